-- What `drift` compares, counted: a row per period, source, aspect and label. The same counts of
-- comments that a model was trained on are the `reference` in its card.
--
--   sentiment, emotion   comments analysed with this one (the dominant emotion, or neutre)
--   confiance            by tenth of `confidence`, label 0 … 9
--   certitude            the sum of `confidence`
--   langue               label 'analyse', or 'langue' where set aside for its language
--   mots                 words of four letters or more of comments analysed, in 256 groups by a
--                        digest of the word: a card that counts groups quotes nobody. Of a source's
--                        month with more comments than `sample`, a fixed sample is read (by a hash
--                        of the id), and each of its words counts for more.
--
-- Comments set aside for another reason are in no count.
WITH seen AS (
    SELECT
        comment_id, source, strftime(day, '%Y-%m') AS month, sentiment, emotion, confidence, text,
        coalesce(set_aside, 'analyse') AS aside
    FROM comments
    WHERE set_aside IS NULL OR set_aside = 'langue'
),

analysed AS (
    SELECT *, greatest(count(*) OVER (PARTITION BY source, month) / $sample, 1) AS weight
    FROM seen
    WHERE aside = 'analyse'
),

words AS (
    SELECT
        source, month, weight,
        unnest(regexp_extract_all(lower(text), '\p{L}{4,}')) AS word
    FROM analysed
    WHERE hash(comment_id)::DOUBLE / 18446744073709551616 < 1 / weight
),

counted AS (
    SELECT source, month, 'langue' AS aspect, aside AS label, count(*)::DECIMAL(18, 3) AS n
    FROM seen
    GROUP BY ALL
    UNION ALL
    SELECT source, month, 'sentiment', sentiment, count(*)
    FROM analysed
    GROUP BY ALL
    UNION ALL
    SELECT source, month, 'emotion', emotion, count(*)
    FROM analysed
    GROUP BY ALL
    UNION ALL
    SELECT source, month, 'confiance', least(floor(confidence * 10), 9)::INT::VARCHAR, count(*)
    FROM analysed
    GROUP BY ALL
    UNION ALL
    SELECT source, month, 'certitude', 'somme', sum(confidence::DOUBLE::DECIMAL(18, 9))
    FROM analysed
    GROUP BY ALL
    UNION ALL
    SELECT source, month, 'mots', (md5_number_lower(word) % 256)::VARCHAR, sum(weight::DECIMAL(9, 3))
    FROM words
    GROUP BY ALL
)

SELECT p.period, s.source, aspect, label, sum(n)::DOUBLE AS n
FROM counted AS c, unnest([month, 'tout']) AS p (period), unnest([c.source, 'toutes']) AS s (source)
WHERE p.period IS NOT NULL
GROUP BY ALL
ORDER BY ALL
