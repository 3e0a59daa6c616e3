-- The staging that several tables share. One row: a day (or null), a brand (or null) and a
-- touchpoint that at least one of its comments speaks of.
--
-- Unit: a comment and a touchpoint; its score x is the mean over the mentions of that pair.
-- Comments set aside are in no count; mentions of a lever alone are not of a touchpoint.
--
--   n               units                       mentions   mentions
--   total, squares  Σx and Σx²
--   below, kept, beyond
--                   units that speak of an expectation: below if one mention is, else beyond if one
--                   mention is, else kept
--
-- A comment has one day and one brand, so months, all periods and all brands are sums of these
-- rows. Scores are summed as decimals: the sum of floats would depend on the order of the rows.
CREATE OR REPLACE TEMP TABLE daily AS
WITH units AS (
    SELECT
        touchpoint,
        any_value(day) AS day,
        any_value(brand) AS brand,
        min(stage) AS stage,
        count(*) AS mentions,
        avg(sentiment_score::DOUBLE::DECIMAL(18, 9))::DECIMAL(18, 9) AS x,
        CASE WHEN min(promise_gap) < 0 THEN -1 ELSE max(promise_gap) END AS gap
    FROM mentions
    ANTI JOIN (SELECT comment_id FROM comments WHERE set_aside IS NOT NULL) USING (comment_id)
    WHERE touchpoint IS NOT NULL
    GROUP BY comment_id, touchpoint
)

SELECT
    day,
    brand,
    touchpoint,
    min(stage) AS stage,
    count(*) AS n,
    sum(mentions)::BIGINT AS mentions,
    sum(x) AS total,
    sum(x * x) AS squares,
    count(*) FILTER (gap < 0) AS below,
    count(*) FILTER (gap = 0) AS kept,
    count(*) FILTER (gap > 0) AS beyond
FROM units
GROUP BY day, brand, touchpoint
