-- One row: a period, a brand and a touchpoint that at least one of its comments speaks of.
--
-- Unit: a comment and a touchpoint; its score x is the mean over the mentions of that pair.
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
--
-- Why so: with k comments' worth of belief in m, the score is the mean of what is then believed and
-- s² / (n + k) its variance. s² is the spread within touchpoints, pooled; the 1 is one unit of the
-- largest spread that scores from −1 to 1 can have, so that a single comment gives a wide interval
-- instead of none.
--
-- Scores are summed as decimals: the sum of floats would depend on the order of the rows.
WITH units AS (
    SELECT
        m.touchpoint,
        c.day,
        c.brand,
        min(m.stage) AS stage,
        count(*) AS mentions,
        avg(m.sentiment_score::DOUBLE::DECIMAL(18, 9))::DECIMAL(18, 9) AS x
    FROM mentions AS m
    JOIN comments AS c USING (comment_id)
    WHERE m.touchpoint IS NOT NULL AND c.set_aside IS NULL
    GROUP BY comment_id, m.touchpoint, c.day, c.brand
),

spoken AS (
    SELECT
        p.period,
        b.brand,
        u.touchpoint,
        min(u.stage) AS stage,
        count(*) AS n,
        sum(u.mentions) AS mentions,
        sum(u.x)::DOUBLE AS total,
        sum(u.x * u.x)::DOUBLE AS squares
    FROM units AS u,
        unnest([strftime(u.day, '%Y-%m'), 'tout']) AS p (period),
        unnest([u.brand, 'toutes']) AS b (brand)
    WHERE p.period IS NOT NULL AND b.brand IS NOT NULL
    GROUP BY p.period, b.brand, u.touchpoint
),

analysed AS (
    SELECT p.period, b.brand, count(*) AS comments
    FROM comments AS c,
        unnest([strftime(c.day, '%Y-%m'), 'tout']) AS p (period),
        unnest([c.brand, 'toutes']) AS b (brand)
    WHERE c.set_aside IS NULL AND p.period IS NOT NULL AND b.brand IS NOT NULL
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
    coalesce(stages.stage, scored.stage, 'inconnue') AS stage,
    n,
    mentions,
    share,
    mean,
    score,
    greatest(score - half, -1) AS low,
    least(score + half, 1) AS high
FROM scored
LEFT JOIN stages USING (touchpoint)
ORDER BY period, brand, touchpoint
