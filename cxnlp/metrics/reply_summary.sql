-- One row: a period, a brand, a source and a sentiment that comments have: who got an answer.
--
-- Unit: a comment analysed; answered: it has a row in `replies` (`answers`, just worked out).
-- Period and brand as in `touchpoint_scores`; source also `toutes`, sentiment also `tous`.
--
--   share, low, high   answered / n, with its Wilson interval (`intervals.sql`)
--   within_24h, within_72h, within_168h
--                      of those answered with a known delay: at most so many hours
--   mean_coverage      mean `coverage` of those answered that have one
--   share_boilerplate  boilerplate / answered
--   comment_ids        up to 20 comments without an answer: lowest `sentiment_score` first
WITH cells AS (
    SELECT
        date_trunc('month', c.day) AS month,
        c.brand,
        c.source,
        c.sentiment,
        count(*) AS n,
        count(a.comment_id) AS answered,
        count(a.delay_hours) AS timed,
        count(*) FILTER (a.delay_hours <= 24) AS within_24h,
        count(*) FILTER (a.delay_hours <= 72) AS within_72h,
        count(*) FILTER (a.delay_hours <= 168) AS within_168h,
        count(a.coverage) AS covered,
        sum(a.coverage::DOUBLE::DECIMAL(18, 9)) AS coverage,
        count(*) FILTER (a.boilerplate) AS boilerplate,
        min({'score': c.sentiment_score, 'comment_id': c.comment_id}, 20)
            FILTER (a.comment_id IS NULL) AS silent
    FROM comments AS c
    LEFT JOIN answers AS a USING (comment_id)
    WHERE c.set_aside IS NULL
    GROUP BY ALL
),

spread AS (
    SELECT
        p.period,
        b.brand AS of_brand,
        s.source AS of_source,
        t.sentiment AS of_sentiment,
        cells.*
    FROM cells,
        unnest([strftime(cells.month, '%Y-%m'), 'tout']) AS p (period),
        unnest([cells.brand, 'toutes']) AS b (brand),
        unnest([cells.source, 'toutes']) AS s (source),
        unnest([cells.sentiment, 'tous']) AS t (sentiment)
    WHERE p.period IS NOT NULL AND b.brand IS NOT NULL AND t.sentiment IS NOT NULL
),

summed AS (
    SELECT
        period,
        of_brand,
        of_source,
        of_sentiment,
        sum(n)::BIGINT AS n,
        sum(answered)::BIGINT AS answered,
        sum(timed) AS timed,
        sum(within_24h) AS within_24h,
        sum(within_72h) AS within_72h,
        sum(within_168h) AS within_168h,
        sum(covered) AS covered,
        sum(coverage)::DOUBLE AS coverage,
        sum(boilerplate) AS boilerplate,
        flatten(list(silent) FILTER (silent IS NOT NULL)) AS silent
    FROM spread
    GROUP BY period, of_brand, of_source, of_sentiment
)

SELECT
    period,
    of_brand AS brand,
    of_source AS source,
    of_sentiment AS sentiment,
    n,
    answered,
    n - answered AS unanswered,
    answered / n AS share,
    share_low(answered, n) AS low,
    share_high(answered, n) AS high,
    within_24h / nullif(timed, 0) AS within_24h,
    within_72h / nullif(timed, 0) AS within_72h,
    within_168h / nullif(timed, 0) AS within_168h,
    coverage / nullif(covered, 0) AS mean_coverage,
    boilerplate / nullif(answered, 0) AS share_boilerplate,
    list_transform(
        list_slice(list_sort(coalesce(silent, [])), 1, 20), lambda x: x.comment_id
    ) AS comment_ids
FROM summed
ORDER BY period, brand, source, sentiment
