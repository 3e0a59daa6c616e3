"""What the report asks of the tables, in SQL.

Left out: running it (`data.py`). `{scoped}` is SCOPED, `{views}` a list of (period, brand),
`{bucket}` a word of date_trunc, `{ids}` a list of comments. Comments set aside are in no count
but that of reasons.
"""

from typing import Final

# A comment counts in its month and in all, for its brand and for all.
SCOPED: Final = """
    unnest([strftime(day, '%Y-%m'), 'tout']) AS p (period),
    unnest([brand, 'toutes']) AS b (scope)
"""

# One row: a period and a brand. Interval of the mean, 90 %: as in metrics/intervals.sql, with one
# unit of the largest spread that stars can have ((4 / 2)²) added.
SCOPES: Final = """
SELECT
    period,
    scope AS brand,
    count(*) AS n,
    min(day) AS first_day,
    max(day) AS last_day,
    count(DISTINCT brand) AS brands,
    count(*) FILTER (sentiment = 'negatif') AS negatif,
    count(*) FILTER (sentiment = 'neutre') AS neutre,
    count(*) FILTER (sentiment = 'mixte') AS mixte,
    count(*) FILTER (sentiment = 'positif') AS positif,
    count(*) FILTER (needs_review) AS review,
    round(avg(satisfaction), 6) AS satisfaction,
    round(1.6448536 * sqrt((coalesce(var_pop(satisfaction), 0) * n + 4) / n / n), 6) AS half
FROM comments, {scoped}
WHERE set_aside IS NULL AND period IS NOT NULL AND scope IS NOT NULL
GROUP BY period, scope
ORDER BY period, n DESC, scope
"""

STAGES: Final = """
SELECT stage, min(stage_label) AS label, min(stage_order) AS place
FROM touchpoints
GROUP BY stage
ORDER BY place, stage
"""

NAMES: Final = "SELECT touchpoint, label FROM touchpoints ORDER BY touchpoint"

JOURNEY: Final = """
SELECT * FROM journey WHERE (period, brand) IN ({views}) ORDER BY period, brand, stage_order
"""

# Brands side by side: all the period, the largest first.
BRANDS: Final = """
SELECT brand, touchpoint, score, low, high, n
FROM journey
WHERE period = 'tout' AND brand <> 'toutes' AND weakest
ORDER BY brand
"""

SCORES: Final = """
SELECT * FROM touchpoint_scores WHERE (period, brand) IN ({views})
ORDER BY period, brand, touchpoint
"""

COUNTS: Final = """
SELECT period, scope AS brand, touchpoint, sentiment, count(*) AS n
FROM mentions
ANTI JOIN (SELECT comment_id FROM comments WHERE set_aside IS NOT NULL) USING (comment_id),
    {scoped}
WHERE touchpoint IS NOT NULL AND (period, scope) IN ({views})
GROUP BY ALL
ORDER BY ALL
"""

LEVERS: Final = """
SELECT * FROM lever_impact WHERE (period, brand) IN ({views}) ORDER BY period, brand, lever
"""

PROMISES: Final = """
SELECT * FROM promise_gap WHERE (period, brand) IN ({views})
ORDER BY period, brand, gap DESC, touchpoint
"""

ANSWERS: Final = """
SELECT * FROM reply_summary WHERE (period, brand) IN ({views}) AND source = 'toutes'
ORDER BY period, brand, sentiment
"""

TONES: Final = """
SELECT
    period,
    scope AS brand,
    tone,
    count(*) AS n,
    count(*) FILTER (personalised) AS personalised
FROM replies, {scoped}
WHERE (period, scope) IN ({views})
GROUP BY ALL
ORDER BY period, brand, n DESC, tone
"""

# The last alerts, and the three most telling comments of each.
ALERTS: Final = "SELECT * FROM alerts ORDER BY day DESC, n DESC, touchpoint"

TERMS: Final = """
SELECT *
FROM emerging_terms
WHERE period IN (SELECT DISTINCT period FROM emerging_terms ORDER BY period DESC LIMIT 2)
QUALIFY row_number() OVER (PARTITION BY period ORDER BY z DESC, term) <= 8
ORDER BY period DESC, z DESC, term
"""

SENTIMENTS: Final = """
SELECT date_trunc('{bucket}', day)::DATE AS moment, sentiment AS label, sum(n)::BIGINT AS n
FROM sentiment_trend
GROUP BY ALL
ORDER BY ALL
"""

EMOTIONS: Final = """
SELECT date_trunc('{bucket}', day)::DATE AS moment, emotion AS label, sum(n)::BIGINT AS n
FROM emotion_trend
GROUP BY ALL
ORDER BY ALL
"""

# Of the most spoken of touchpoints, two comments of each side: those easy to read first, then
# the strongest and surest.
VERBATIMS: Final = """
WITH spoken AS (
    SELECT
        period,
        scope,
        touchpoint,
        comment_id,
        sentiment,
        start,
        "end",
        abs(sentiment_score) * confidence AS weight
    FROM mentions, {scoped}
    WHERE touchpoint IS NOT NULL AND sentiment <> 'neutre' AND (period, scope) IN ({views})
    QUALIFY row_number() OVER (
        PARTITION BY period, scope, touchpoint, comment_id ORDER BY weight DESC, start
    ) = 1
),

most AS (
    SELECT period, brand AS scope, touchpoint
    FROM touchpoint_scores
    WHERE (period, brand) IN ({views})
    QUALIFY row_number() OVER (PARTITION BY period, brand ORDER BY n DESC, touchpoint) <= 12
),

sized AS (
    SELECT comment_id, length(text) AS size FROM comments WHERE set_aside IS NULL
),

chosen AS (
    SELECT s.*
    FROM spoken AS s
    SEMI JOIN most USING (period, scope, touchpoint)
    JOIN sized USING (comment_id)
    QUALIFY row_number() OVER (
        PARTITION BY period, scope, touchpoint, sentiment
        ORDER BY size BETWEEN 40 AND 320 DESC, weight DESC, comment_id
    ) <= 2
)

SELECT
    chosen.period,
    chosen.scope AS brand,
    chosen.touchpoint,
    chosen.sentiment,
    chosen.start,
    chosen."end",
    chosen.weight,
    c.text,
    c.brand AS of_brand,
    c.source,
    c.day,
    c.rating
FROM chosen
JOIN comments AS c USING (comment_id)
ORDER BY chosen.period, chosen.scope, touchpoint, chosen.sentiment, weight DESC, comment_id
"""

QUOTES: Final = """
SELECT comment_id, text, brand AS of_brand, source, day, rating, sentiment
FROM comments
WHERE comment_id IN ({ids}) AND text IS NOT NULL
"""

SOURCES: Final = """
SELECT
    source,
    min(channel) AS channel,
    count(*) AS n,
    count(*) FILTER (set_aside IS NULL) AS analysed,
    count(*) FILTER (needs_review) AS review,
    min(day) AS first_day,
    max(day) AS last_day
FROM comments
GROUP BY source
ORDER BY n DESC, source
"""

ASIDE: Final = """
SELECT set_aside AS reason, count(*) AS n
FROM comments
WHERE set_aside IS NOT NULL
GROUP BY ALL
ORDER BY n DESC, reason
"""

REJECTS: Final = "SELECT reason, count(*) AS n FROM rejects GROUP BY ALL ORDER BY n DESC, reason"

SURE: Final = """
SELECT
    count(*) AS n,
    count(*) FILTER (needs_review) AS review,
    count(*) FILTER (rating IS NOT NULL) AS rated,
    count(*) FILTER (rating_conflict) AS conflict,
    count(*) FILTER (day IS NULL) AS undated,
    avg(confidence) AS confidence,
    min(model_version) AS model_version,
    count(DISTINCT model_version) AS models
FROM comments
WHERE set_aside IS NULL
"""
