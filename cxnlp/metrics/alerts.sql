-- One row: a day on which a touchpoint is outside its own history.
--
-- Unit: a comment and a touchpoint (`daily.sql`), all brands and sources together; comments
-- without a day are in no count. History: the 56 days before (8 whole weeks), a day without a
-- comment being 0; the first 28 days of the tables have no alert.
--
--   usual_n     median of the daily n of the history
--   volume_z    the lesser of two: (n − usual_n) / (1.4826 · MAD) of the history (robust: an
--               earlier peak shall not hide the next one), and
--               2 · (√(n + 3/8) − √(usual_n + 3/8)), what chance alone gives (Poisson; Anscombe 1948)
--   usual_mean  mean x over the history, s² the variance of x there
--   low, high   mean ± 1.645 · √(s² / n), within −1 and 1; without history s² is 1
--   sentiment_z (mean − usual_mean) / √(s² / n + s² / N), N units in the history
--   share, usual_share
--               n / comments analysed, of the day and of the history: when all volumes rise at once
--               these stay level
--
-- Rule, with at least 10 comments of the day:
--   volume   volume_z ≥ 4 and n ≥ 1.5 · usual_n
--   baisse   sentiment_z ≤ −4 and mean ≤ usual_mean − 0.2, N ≥ 30
--   hausse   sentiment_z ≥ 4 and mean ≥ usual_mean + 0.2, N ≥ 30
-- At z = 4 chance alone gives about one alert in 30,000 days and touchpoints.
--
--   comment_ids  up to 20 comments of that day and touchpoint, lowest score first (highest first
--                when only `hausse`)
WITH spoken AS (
    SELECT
        day,
        touchpoint,
        min(stage) AS stage,
        sum(n) AS n,
        sum(total) AS total,
        sum(squares) AS squares
    FROM daily
    WHERE day IS NOT NULL
    GROUP BY day, touchpoint
),

calendar AS (
    SELECT unnest(generate_series(min(day), max(day), INTERVAL 1 DAY))::DATE AS day
    FROM spoken
),

analysed AS (
    SELECT day, count(*) AS comments
    FROM comments
    WHERE set_aside IS NULL AND day IS NOT NULL
    GROUP BY day
),

-- Every day from the touchpoint's first month on, also without a comment.
dense AS (
    SELECT
        c.day,
        t.touchpoint,
        coalesce(s.n, 0)::DOUBLE AS n,
        s.total::DOUBLE AS total,
        s.squares::DOUBLE AS squares,
        coalesce(a.comments, 0) AS comments
    FROM calendar AS c
    CROSS JOIN (SELECT DISTINCT touchpoint FROM spoken) AS t
    LEFT JOIN spoken AS s ON s.day = c.day AND s.touchpoint = t.touchpoint
    LEFT JOIN analysed AS a ON a.day = c.day
),

history AS (
    SELECT
        *,
        count(*) OVER past AS days,
        median(n) OVER past AS usual_n,
        mad(n) OVER past AS deviation,
        sum(n) OVER past AS past_n,
        sum(comments) OVER past AS past_comments,
        sum(total::DECIMAL(38, 9)) OVER past AS past_total,
        sum(squares::DECIMAL(38, 18)) OVER past AS past_squares
    FROM dense
    WINDOW past AS (
        PARTITION BY touchpoint ORDER BY day ROWS BETWEEN 56 PRECEDING AND 1 PRECEDING
    )
),

measured AS (
    SELECT
        *,
        total / n AS mean,
        past_total::DOUBLE / nullif(past_n, 0) AS usual_mean,
        coalesce(
            greatest(past_squares::DOUBLE - power(past_total::DOUBLE, 2) / past_n, 0) + 1, 1
        ) / greatest(past_n, 1) AS variance
    FROM history
    WHERE n >= 10 AND days >= 28
),

judged AS (
    SELECT
        *,
        least(
            (n - usual_n) / nullif(1.4826 * deviation, 0),
            2 * (sqrt(n + 0.375) - sqrt(usual_n + 0.375))
        ) AS volume_z,
        CASE WHEN past_n >= 30 THEN (mean - usual_mean) / sqrt(variance / n + variance / past_n) END
            AS sentiment_z
    FROM measured
),

found AS (
    SELECT
        *,
        list_filter(
            [
                CASE WHEN volume_z >= 4 AND n >= 1.5 * usual_n THEN 'volume' END,
                CASE WHEN sentiment_z <= -4 AND mean <= usual_mean - 0.2 THEN 'baisse' END,
                CASE WHEN sentiment_z >= 4 AND mean >= usual_mean + 0.2 THEN 'hausse' END
            ],
            lambda x: x IS NOT NULL
        ) AS kinds
    FROM judged
),

alarmed AS (
    SELECT * FROM found WHERE len(kinds) > 0
),

behind AS (
    SELECT m.day, m.touchpoint, m.comment_id, avg(m.sentiment_score::DOUBLE::DECIMAL(18, 9)) AS x
    FROM mentions AS m
    SEMI JOIN alarmed AS a ON a.day = m.day AND a.touchpoint = m.touchpoint
    ANTI JOIN (SELECT comment_id FROM comments WHERE set_aside IS NOT NULL) AS c
        ON c.comment_id = m.comment_id
    GROUP BY m.day, m.touchpoint, m.comment_id
),

listed AS (
    SELECT
        b.day,
        b.touchpoint,
        list(b.comment_id ORDER BY b.x, b.comment_id)[:20] AS lowest,
        list(b.comment_id ORDER BY b.x DESC, b.comment_id)[:20] AS highest
    FROM behind AS b
    GROUP BY b.day, b.touchpoint
)

SELECT
    a.day,
    a.touchpoint,
    coalesce(known.stage, s.stage, 'inconnue') AS stage,
    a.kinds,
    a.n::BIGINT AS n,
    a.usual_n,
    greatest(
        a.usual_n + 4 * 1.4826 * a.deviation,
        power(2 + sqrt(a.usual_n + 0.375), 2) - 0.375,
        1.5 * a.usual_n,
        10
    ) AS usual_high,
    a.volume_z,
    a.mean,
    greatest(a.mean - 1.6448536 * sqrt(a.variance / a.n), -1) AS low,
    least(a.mean + 1.6448536 * sqrt(a.variance / a.n), 1) AS high,
    CASE WHEN a.past_n >= 30 THEN a.usual_mean END AS usual_mean,
    a.sentiment_z,
    a.n / a.comments AS share,
    coalesce(a.past_n / nullif(a.past_comments, 0), 0) AS usual_share,
    CASE WHEN a.kinds = ['hausse'] THEN l.highest ELSE l.lowest END AS comment_ids
FROM alarmed AS a
JOIN spoken AS s USING (day, touchpoint)
JOIN listed AS l USING (day, touchpoint)
LEFT JOIN known USING (touchpoint)
ORDER BY a.day, a.touchpoint
