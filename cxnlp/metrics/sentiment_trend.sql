-- One row: a day, a source that has comments of that day, and each sentiment, also at 0.
--
--   n           comments analysed of that day and source that have the sentiment
--   share       n / comments analysed of that day and source; the shares of a day add up to 1
--   low, high   Wilson interval of the share (`intervals.sql`)
--   mean_score  mean `sentiment_score` of all of them, the same on each row of the day, and its
--               interval, mean_low … mean_high (`intervals.sql`)
--
-- Comments set aside and comments without a day are in no count.
-- Scores are summed as decimals: the sum of floats would depend on the order of the rows.
WITH days AS (
    SELECT
        day,
        source,
        count(*) AS comments,
        sum(sentiment_score::DOUBLE::DECIMAL(18, 9))::DOUBLE AS total,
        sum(power(sentiment_score::DOUBLE, 2)::DECIMAL(18, 9))::DOUBLE AS squares
    FROM comments
    WHERE set_aside IS NULL AND day IS NOT NULL
    GROUP BY day, source
),

counted AS (
    SELECT day, source, sentiment, count(*) AS n
    FROM comments
    WHERE set_aside IS NULL AND day IS NOT NULL
    GROUP BY day, source, sentiment
)

SELECT
    d.day,
    d.source,
    s.sentiment,
    coalesce(c.n, 0) AS n,
    coalesce(c.n, 0) / d.comments AS share,
    share_low(coalesce(c.n, 0), d.comments) AS low,
    share_high(coalesce(c.n, 0), d.comments) AS high,
    total / comments AS mean_score,
    greatest(total / comments - mean_half(comments, total, squares), -1) AS mean_low,
    least(total / comments + mean_half(comments, total, squares), 1) AS mean_high
FROM days AS d
CROSS JOIN unnest($sentiments) AS s (sentiment)
LEFT JOIN counted AS c ON c.day = d.day AND c.source = d.source AND c.sentiment = s.sentiment
ORDER BY d.day, d.source, s.sentiment
