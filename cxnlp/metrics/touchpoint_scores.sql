-- One row: a period, a brand and a touchpoint that at least one of its comments speaks of.
--
-- Unit: a comment and a touchpoint; its score x is the mean over the mentions of that pair
-- (`daily.sql`).
-- Period: the month of the comment, and `tout`; a comment without a day counts in `tout` only.
-- Brand: the brand of the comment, and `toutes`; a comment without a brand counts in `toutes` only.
-- Comments set aside are in no count; mentions of a lever alone are not of a touchpoint.
--
--   share  n / comments analysed in the period and brand
--   mean   Σx / n
--   score  (Σx + k·m) / (n + k)      m: mean of all units of the period and brand, k: `shrink`
--   low    score − 1.645 · √(s² / (n + k)), not below −1; high likewise, not above 1
--   s²     (Σ over units of (x − mean of its touchpoint)² + 1) / (N − T + 1), for the N units and
--          T touchpoints of the period and brand
--   control, p, experience, level    the frames of the taxonomy, for one GROUP BY
--
-- Why so: with k comments' worth of belief in m, the score is the mean of what is then believed and
-- s² / (n + k) its variance. s² is the spread within touchpoints, pooled; the 1 is one unit of the
-- largest spread that scores from −1 to 1 can have, so that a single comment gives a wide interval
-- instead of none.
WITH spoken AS (
    SELECT
        p.period,
        b.brand,
        d.touchpoint,
        min(d.stage) AS stage,
        sum(d.n)::BIGINT AS n,
        sum(d.mentions)::BIGINT AS mentions,
        sum(d.total)::DOUBLE AS total,
        sum(d.squares)::DOUBLE AS squares
    FROM daily AS d,
        unnest([strftime(d.day, '%Y-%m'), 'tout']) AS p (period),
        unnest([d.brand, 'toutes']) AS b (brand)
    WHERE p.period IS NOT NULL AND b.brand IS NOT NULL
    GROUP BY p.period, b.brand, d.touchpoint
),

monthly AS (
    SELECT date_trunc('month', day) AS month, brand, count(*) AS comments
    FROM comments
    WHERE set_aside IS NULL
    GROUP BY ALL
),

analysed AS (
    SELECT p.period, b.brand, sum(m.comments)::BIGINT AS comments
    FROM monthly AS m,
        unnest([strftime(m.month, '%Y-%m'), 'tout']) AS p (period),
        unnest([m.brand, 'toutes']) AS b (brand)
    WHERE p.period IS NOT NULL AND b.brand IS NOT NULL
    GROUP BY p.period, b.brand
),

-- Lists in the order of the touchpoints: these few floats are then summed in one order.
pooled AS (
    SELECT
        period,
        brand,
        list_sum(list(total ORDER BY touchpoint)) / sum(n) AS m,
        (list_sum(list(greatest(squares - total * total / n, 0) ORDER BY touchpoint)) + 1)
        / (sum(n) - count(*) + 1) AS variance
    FROM spoken
    GROUP BY period, brand
),

scored AS (
    SELECT
        s.*,
        s.n / a.comments AS share,
        s.total / s.n AS mean,
        (s.total + $shrink * p.m) / (s.n + $shrink) AS score,
        1.6448536 * sqrt(p.variance / (s.n + $shrink)) AS half
    FROM spoken AS s
    JOIN pooled AS p USING (period, brand)
    JOIN analysed AS a USING (period, brand)
)

SELECT
    period,
    brand,
    touchpoint,
    coalesce(known.stage, scored.stage, 'inconnue') AS stage,
    n,
    mentions,
    share,
    mean,
    score,
    greatest(score - half, -1) AS low,
    least(score + half, 1) AS high,
    known.control,
    known.p,
    known.experience,
    known.level
FROM scored
LEFT JOIN known USING (touchpoint)
ORDER BY period, brand, touchpoint
