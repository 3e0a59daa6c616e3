-- One row: a day on which a touchpoint is outside its own history, by itself or with the six days
-- before it.
--
-- Unit: a comment and a touchpoint (`daily.sql`), all brands and sources together; comments
-- without a day are in no count.
--
--   days          1: the day itself; 7: the seven days that end with it, so that small houses, too,
--                 hear of a bad week. A week is told once, on the first day on which it is outside,
--                 and not when one of its days is told already
--   history       of a day the 56 days before, of a week the weeks that ended on the 56 days before
--                 its first; a day without a comment is 0; with less than 28 of them no alert
--   usual_n       median of the n of the history
--   volume_z      the lesser of two: (n − usual_n) / (1.4826 · MAD) of the history (robust: an
--                 earlier peak shall not hide the next one), and
--                 2 · (√(n + 3/8) − √(usual_n + 3/8)), what chance alone gives (Poisson; Anscombe
--                 1948)
--   usual_mean    mean x over the N units of the days of the history, s² the variance of x there
--   low, high     mean ± 1.645 · √(s² / n), within −1 and 1; without history s² is 1
--   sentiment_z   (mean − usual_mean) / √(s² / n + s² / N)
--   share, usual_share
--                 n / comments analysed, of the days of the alert and of the history: when all
--                 volumes rise at once these stay level
--
-- Rule, with at least 10 comments:
--   volume   volume_z ≥ 4 and n ≥ 1.5 · usual_n
--   baisse   sentiment_z ≤ −4 and mean ≤ usual_mean − 0.2, N ≥ 30
--   hausse   sentiment_z ≥ 4 and mean ≥ usual_mean + 0.2, N ≥ 30
-- At z = 4 chance alone gives about one alert in 30,000 days and touchpoints.
--
--   comment_ids  up to 20 comments of those days and that touchpoint, lowest score first (highest
--                first when only `hausse`)
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

summed AS (
    SELECT
        *,
        1 AS days,
        total::DECIMAL(38, 9) AS exact_total,
        squares::DECIMAL(38, 18) AS exact_squares
    FROM dense
),

-- Of each day the sums of its week, and of the days before that week.
weekly AS (
    SELECT
        day,
        touchpoint,
        7 AS days,
        CASE WHEN count(*) OVER week = 7 THEN sum(n) OVER week END AS n,
        (sum(exact_total) OVER week)::DOUBLE AS total,
        sum(comments) OVER week AS comments,
        sum(n) OVER past AS past_n,
        sum(comments) OVER past AS past_comments,
        sum(exact_total) OVER past AS past_total,
        sum(exact_squares) OVER past AS past_squares
    FROM summed
    WINDOW
        week AS (PARTITION BY touchpoint ORDER BY day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW),
        past AS (PARTITION BY touchpoint ORDER BY day ROWS BETWEEN 62 PRECEDING AND 7 PRECEDING)
),

history AS (
    SELECT
        day,
        touchpoint,
        days,
        n,
        total,
        comments,
        sum(n) OVER past AS past_n,
        sum(comments) OVER past AS past_comments,
        sum(exact_total) OVER past AS past_total,
        sum(exact_squares) OVER past AS past_squares,
        count(n) OVER past AS known_n,
        median(n) OVER past AS usual_n,
        mad(n) OVER past AS deviation
    FROM summed
    WINDOW past AS (PARTITION BY touchpoint ORDER BY day ROWS BETWEEN 56 PRECEDING AND 1 PRECEDING)
    UNION ALL
    SELECT
        *,
        count(n) OVER past AS known_n,
        median(n) OVER past AS usual_n,
        mad(n) OVER past AS deviation
    FROM weekly
    WINDOW past AS (PARTITION BY touchpoint ORDER BY day ROWS BETWEEN 62 PRECEDING AND 7 PRECEDING)
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
    WHERE n >= 10 AND known_n >= 28
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

outside AS (
    SELECT *, lag(day) OVER (PARTITION BY touchpoint, days ORDER BY day) AS last_day
    FROM found
    WHERE len(kinds) > 0
),

alarmed AS (
    SELECT *
    FROM outside AS o
    WHERE days = 1 OR coalesce(last_day < day - 7, true) AND NOT EXISTS (
        SELECT 1
        FROM outside AS d
        WHERE d.days = 1 AND d.touchpoint = o.touchpoint AND d.day BETWEEN o.day - 6 AND o.day
    )
),

counted AS (
    SELECT touchpoint, day, day - unnest(range(days))::INTEGER AS spoken_on FROM alarmed
),

behind AS (
    SELECT a.day, a.touchpoint, m.comment_id, avg(m.sentiment_score::DOUBLE::DECIMAL(18, 9)) AS x
    FROM mentions AS m
    JOIN counted AS a ON a.spoken_on = m.day AND a.touchpoint = m.touchpoint
    ANTI JOIN (SELECT comment_id FROM comments WHERE set_aside IS NOT NULL) AS c
        ON c.comment_id = m.comment_id
    GROUP BY a.day, a.touchpoint, m.comment_id
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
    a.days,
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
JOIN (SELECT touchpoint, min(stage) AS stage FROM spoken GROUP BY touchpoint) AS s
    USING (touchpoint)
JOIN listed AS l USING (day, touchpoint)
LEFT JOIN known USING (touchpoint)
ORDER BY a.day, a.touchpoint
