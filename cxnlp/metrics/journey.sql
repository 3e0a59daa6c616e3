-- One row: a period, a brand and a stage that at least one of its comments speaks of.
--
-- From the rows of `touchpoint_scores` just worked out (`scores`). A journey is as good as its
-- weakest link, so a stage has the score of its weakest touchpoint, and the journey that of its
-- weakest stage. Eligible: n ≥ `n_min`. The stage `transverse` (the brand, the experience as a
-- whole) is no stage of the journey.
--
--   touchpoint, n, score, low, high   the weakest link; of equals the first in the alphabet
--   ties            other eligible touchpoints whose interval overlaps its interval: with these n
--                   nobody can say which of them is the weakest
--   mean            plain mean of the scores of the stage's eligible touchpoints
--   mean_minus_min  mean − score
--   journey_*       the same over the scores of the stages that have one; `weakest` marks the stage
--
-- A stage without an eligible touchpoint has a row with n = 0 and nulls, so that its silence shows.
WITH eligible AS (
    SELECT
        s.period,
        s.brand,
        s.stage,
        s.touchpoint,
        s.n,
        s.score::DOUBLE::DECIMAL(18, 9) AS score,
        s.low,
        s.high
    FROM scores AS s
    WHERE s.stage <> 'transverse' AND s.n >= $n_min
),

weakest AS (
    SELECT *
    FROM eligible
    QUALIFY row_number() OVER (PARTITION BY period, brand, stage ORDER BY score, touchpoint) = 1
),

stages AS (
    SELECT
        w.period,
        w.brand,
        w.stage,
        w.touchpoint,
        w.n,
        w.score,
        w.low,
        w.high,
        count(*) AS touchpoints,
        avg(e.score) AS mean,
        list(e.touchpoint ORDER BY e.score, e.touchpoint)
            FILTER (e.touchpoint <> w.touchpoint AND e.low <= w.high AND e.high >= w.low) AS ties
    FROM weakest AS w
    JOIN eligible AS e USING (period, brand, stage)
    GROUP BY ALL
),

journeys AS (
    SELECT
        w.period,
        w.brand,
        w.stage,
        w.score,
        w.low,
        w.high,
        avg(s.score) AS mean,
        list(s.stage ORDER BY s.score, s.stage)
            FILTER (s.stage <> w.stage AND s.low <= w.high AND s.high >= w.low) AS ties
    FROM (
        SELECT *
        FROM stages
        QUALIFY row_number() OVER (PARTITION BY period, brand ORDER BY score, stage) = 1
    ) AS w
    JOIN stages AS s USING (period, brand)
    GROUP BY ALL
),

spoken AS (
    SELECT DISTINCT period, brand, stage FROM scores WHERE stage <> 'transverse'
),

places AS (
    SELECT DISTINCT stage, stage_order FROM known
)

SELECT
    p.period,
    p.brand,
    p.stage,
    coalesce(places.stage_order, 99) AS stage_order,
    s.touchpoint,
    coalesce(s.n, 0) AS n,
    s.score,
    s.low,
    s.high,
    coalesce(s.ties, []::VARCHAR[]) AS ties,
    coalesce(s.touchpoints, 0) AS touchpoints,
    s.mean,
    s.mean - s.score AS mean_minus_min,
    coalesce(p.stage = j.stage, false) AS weakest,
    j.score AS journey_score,
    j.low AS journey_low,
    j.high AS journey_high,
    coalesce(j.ties, []::VARCHAR[]) AS journey_ties,
    j.mean AS journey_mean,
    j.mean - j.score AS journey_mean_minus_min
FROM spoken AS p
LEFT JOIN stages AS s USING (period, brand, stage)
LEFT JOIN journeys AS j ON j.period = p.period AND j.brand = p.brand
LEFT JOIN places ON places.stage = p.stage
ORDER BY p.period, p.brand, coalesce(places.stage_order, 99), p.stage
