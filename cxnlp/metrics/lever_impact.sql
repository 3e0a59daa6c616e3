-- One row: a period, a brand and a set of levers spoken of, well and badly; not yet the table.
--
-- `levers.py` solves the regressions from these sums: comments with the same levers have the same
-- place in them, so that their number, Σ and Σ² of `satisfaction` say all. The work is then that
-- of a few hundred rows, however many comments there are.
--
-- Unit: a comment analysed. A set is a number whose bit i is the lever `levers[i]`: `spoken` of at
-- all, `badly` in a mention that is negatif, `well` in one that is positif; a lever may be in all.
-- Period and brand as in `touchpoint_scores`.
WITH told AS (
    SELECT
        comment_id,
        sentiment,
        list_bit_or(
            list_transform(levers, lambda x: 1::BIGINT << (list_position($levers, x) - 1)::BIGINT)
        ) AS said
    FROM mentions
    WHERE len(levers) > 0
),

sets AS (
    SELECT
        comment_id,
        bit_or(said) AS spoken,
        bit_or(CASE WHEN sentiment = 'negatif' THEN said ELSE 0 END) AS badly,
        bit_or(CASE WHEN sentiment = 'positif' THEN said ELSE 0 END) AS well
    FROM told
    GROUP BY comment_id
),

monthly AS (
    SELECT
        date_trunc('month', c.day) AS month,
        c.brand,
        coalesce(s.spoken, 0) AS spoken,
        coalesce(s.badly, 0) AS badly,
        coalesce(s.well, 0) AS well,
        count(*) AS n,
        sum(c.satisfaction::DOUBLE::DECIMAL(18, 9)) AS total,
        sum((c.satisfaction::DOUBLE * c.satisfaction::DOUBLE)::DECIMAL(18, 9)) AS squares
    FROM comments AS c
    LEFT JOIN sets AS s USING (comment_id)
    WHERE c.set_aside IS NULL
    GROUP BY ALL
)

SELECT
    p.period,
    b.brand,
    m.spoken,
    m.badly,
    m.well,
    sum(m.n)::DOUBLE AS n,
    sum(m.total)::DOUBLE AS total,
    sum(m.squares)::DOUBLE AS squares
FROM monthly AS m,
    unnest([strftime(m.month, '%Y-%m'), 'tout']) AS p (period),
    unnest([m.brand, 'toutes']) AS b (brand)
WHERE p.period IS NOT NULL AND b.brand IS NOT NULL
GROUP BY p.period, b.brand, m.spoken, m.badly, m.well
ORDER BY p.period, b.brand, m.spoken, m.badly, m.well
