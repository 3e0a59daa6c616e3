-- One row: a day, a source that has comments of that day, and each emotion or `neutre`, also at 0.
--
--   n      comments analysed of that day and source that have it among their `emotions`, or, for
--          `neutre`, that have none
--   share  n / comments analysed of that day and source; a comment may have several emotions, so
--          the shares of a day add up to 1 or more
--   low, high  Wilson interval of the share (`intervals.sql`)
--
-- Comments set aside and comments without a day are in no count.
WITH days AS (
    SELECT day, source, count(*) AS comments
    FROM comments
    WHERE set_aside IS NULL AND day IS NOT NULL
    GROUP BY day, source
),

felt AS (
    SELECT
        day,
        source,
        unnest(CASE WHEN len(emotions) > 0 THEN list_distinct(emotions) ELSE ['neutre'] END)
            AS emotion
    FROM comments
    WHERE set_aside IS NULL AND day IS NOT NULL
),

counted AS (
    SELECT day, source, emotion, count(*) AS n
    FROM felt
    GROUP BY day, source, emotion
)

SELECT
    d.day,
    d.source,
    e.emotion,
    coalesce(c.n, 0) AS n,
    coalesce(c.n, 0) / d.comments AS share,
    share_low(coalesce(c.n, 0), d.comments) AS low,
    share_high(coalesce(c.n, 0), d.comments) AS high
FROM days AS d
CROSS JOIN unnest($emotions) AS e (emotion)
LEFT JOIN counted AS c ON c.day = d.day AND c.source = d.source AND c.emotion = e.emotion
ORDER BY d.day, d.source, e.emotion
