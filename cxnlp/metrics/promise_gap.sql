-- One row: a period, a brand and a touchpoint of which a comment speaks with an expectation.
--
-- Unit: a comment and a touchpoint with at least one mention that speaks of what was promised or
-- expected (`daily.sql`): below if one mention is, else beyond if one mention is, else kept.
-- Period and brand as in `touchpoint_scores`.
--
--   gap        share_below − share_beyond: 1 all promises broken, −1 all surpassed
--   low, high  its interval, of the difference of two shares of one sample (`intervals.sql`); it
--              is drawn towards 0, so that for a small n it need not be centred on `gap`
WITH spoken AS (
    SELECT
        p.period,
        b.brand,
        d.touchpoint,
        min(d.stage) AS stage,
        sum(d.below + d.kept + d.beyond)::BIGINT AS n,
        sum(d.below)::BIGINT AS below,
        sum(d.kept)::BIGINT AS kept,
        sum(d.beyond)::BIGINT AS beyond
    FROM daily AS d,
        unnest([strftime(d.day, '%Y-%m'), 'tout']) AS p (period),
        unnest([d.brand, 'toutes']) AS b (brand)
    WHERE p.period IS NOT NULL AND b.brand IS NOT NULL AND d.below + d.kept + d.beyond > 0
    GROUP BY p.period, b.brand, d.touchpoint
)

SELECT
    period,
    brand,
    touchpoint,
    coalesce(known.stage, spoken.stage, 'inconnue') AS stage,
    n,
    below,
    kept,
    beyond,
    below / n AS share_below,
    beyond / n AS share_beyond,
    (below - beyond) / n AS gap,
    gap_low(below, beyond, n) AS low,
    gap_high(below, beyond, n) AS high
FROM spoken
LEFT JOIN known USING (touchpoint)
ORDER BY period, brand, touchpoint
