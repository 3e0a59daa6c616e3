-- One row: a period and a source beside the reference, the comments that the model was trained on;
-- and the reference itself, as period `reference` of source `toutes`.
--
-- Read: `tallies.sql`, and the same counts of the reference from the model's card.
--
--   shares       of comments analysed
--   psi_…        Σ (p − q) · ln(p / q) over the labels, p of the period, q of the reference, each
--                (n + ½) / (N + labels / 2) so that none is 0: 4 sentiments, 8 emotions, the tenths
--                of `confidence` (population stability index: Siddiqi 2006, Credit Risk Scorecards)
--   words_distance
--                Jensen–Shannon divergence (Lin 1991) of the 256 groups of words, in bits, less its
--                expectation 255 / (8 · ln 2) · (1 / N + 1 / M) when N and M words come from one
--                source; at least 0
--
-- Rule, with at least 200 comments analysed (fewer: `trop_peu`); without a reference the advice is
-- `sans_reference` and nothing is compared:
--   annoter      a psi ≥ 0.25 or words_distance ≥ 0.10
--   surveiller   else a psi ≥ 0.10, words_distance ≥ 0.05, or other_language ≥ 0.05 above that of
--                the reference (such comments are not analysed, so annotating them is no help)
--   aucune       else
-- `reasons` names every aspect beyond its first mark; with too few comments chance decides, so none.
WITH told AS (
    SELECT period, source, aspect, label, n FROM tallies
    UNION ALL
    SELECT 'reference', 'toutes', aspect, label, n FROM reference
),

places AS (
    SELECT DISTINCT period, source FROM told
),

labels AS (
    SELECT 'sentiment' AS aspect, unnest($sentiments) AS label
    UNION ALL
    SELECT 'emotion', unnest($emotions)
    UNION ALL
    SELECT 'confiance', unnest(range(10))::VARCHAR
    UNION ALL
    SELECT 'mots', unnest(range(256))::VARCHAR
),

dense AS (
    SELECT
        p.period, p.source, l.aspect, l.label,
        coalesce(t.n, 0) AS n,
        r.n AS r,
        sum(coalesce(t.n, 0)) OVER whole AS total,
        sum(r.n) OVER whole AS r_total,
        count(*) OVER whole AS of_labels
    FROM places AS p
    CROSS JOIN labels AS l
    LEFT JOIN told AS t USING (period, source, aspect, label)
    LEFT JOIN (
        SELECT l.aspect, l.label, coalesce(r.n, 0) AS n
        FROM labels AS l
        LEFT JOIN reference AS r USING (aspect, label)
        WHERE l.aspect IN (SELECT aspect FROM reference)
    ) AS r USING (aspect, label)
    WINDOW whole AS (PARTITION BY p.period, p.source, l.aspect)
),

shares AS (
    SELECT
        *,
        n / nullif(total, 0) AS share,
        r / nullif(r_total, 0) AS r_share,
        (n + 0.5) / (total + of_labels / 2) AS p,
        (r + 0.5) / (r_total + of_labels / 2) AS q
    FROM dense
),

compared AS (
    SELECT
        period, source, aspect,
        any_value(total) AS total,
        CASE WHEN any_value(total) > 0 THEN sum((p - q) * ln(p / q) ORDER BY label) END AS psi,
        CASE
            WHEN any_value(total) > 0 AND any_value(r_total) > 0 THEN greatest(
                sum(
                    (
                        CASE WHEN n > 0 THEN share * log2(2 * share / (share + r_share)) ELSE 0 END
                        + CASE WHEN r > 0 THEN r_share * log2(2 * r_share / (share + r_share))
                            ELSE 0 END
                    ) / 2
                    ORDER BY label
                )
                - 255 / (8 * ln(2)) * (1 / any_value(total) + 1 / any_value(r_total)),
                0
            )
        END AS distance
    FROM shares
    GROUP BY period, source, aspect
),

languages AS (
    SELECT
        period, source,
        coalesce(sum(n) FILTER (label = 'langue'), 0) / sum(n) AS other,
        coalesce(sum(n) FILTER (label = 'analyse'), 0) AS analysed
    FROM told
    WHERE aspect = 'langue'
    GROUP BY period, source
),

wide AS (
    SELECT
        l.period, l.source, l.analysed AS n, l.other,
        max(c.psi) FILTER (c.aspect = 'sentiment') AS psi_sentiment,
        max(c.psi) FILTER (c.aspect = 'emotion') AS psi_emotion,
        max(c.psi) FILTER (c.aspect = 'confiance') AS psi_confidence,
        max(c.distance) FILTER (c.aspect = 'mots') AS words_distance,
        max(c.total) FILTER (c.aspect = 'mots') AS words
    FROM languages AS l
    JOIN compared AS c USING (period, source)
    GROUP BY ALL
),

labelled AS (
    SELECT
        period, source,
        map_from_entries(list((aspect || '_' || label, share)) FILTER (share IS NOT NULL)) AS share
    FROM shares
    WHERE aspect IN ('sentiment', 'emotion')
    GROUP BY period, source
),

judged AS (
    SELECT
        w.*,
        list_filter(
            [
                CASE WHEN psi_sentiment >= 0.1 THEN 'sentiment' END,
                CASE WHEN psi_emotion >= 0.1 THEN 'emotion' END,
                CASE WHEN psi_confidence >= 0.1 THEN 'confiance' END,
                CASE WHEN words_distance >= 0.05 THEN 'mots' END,
                CASE WHEN w.other - r.other >= 0.05 THEN 'langue' END
            ],
            lambda x: x IS NOT NULL
        ) AS reasons,
        greatest(psi_sentiment, psi_emotion, psi_confidence) >= 0.25 OR words_distance >= 0.1
            AS far,
        r.period IS NULL AS alone
    FROM wide AS w
    LEFT JOIN languages AS r ON r.period = 'reference'
)

SELECT
    j.period,
    j.source,
    j.n::BIGINT AS n,
    l.share['sentiment_negatif'] AS sentiment_negatif,
    l.share['sentiment_neutre'] AS sentiment_neutre,
    l.share['sentiment_positif'] AS sentiment_positif,
    l.share['sentiment_mixte'] AS sentiment_mixte,
    j.psi_sentiment,
    l.share['emotion_joie'] AS emotion_joie,
    l.share['emotion_tristesse'] AS emotion_tristesse,
    l.share['emotion_peur'] AS emotion_peur,
    l.share['emotion_colere'] AS emotion_colere,
    l.share['emotion_degout'] AS emotion_degout,
    l.share['emotion_surprise'] AS emotion_surprise,
    l.share['emotion_mepris'] AS emotion_mepris,
    l.share['emotion_neutre'] AS emotion_neutre,
    j.psi_emotion,
    t.n / nullif(j.n, 0) AS confidence,
    j.psi_confidence,
    j.words::BIGINT AS words,
    j.words_distance,
    j.other AS other_language,
    CASE
        WHEN j.alone THEN 'sans_reference'
        WHEN j.n < 200 AND j.period <> 'reference' THEN 'trop_peu'
        WHEN j.far THEN 'annoter'
        WHEN len(j.reasons) > 0 THEN 'surveiller'
        ELSE 'aucune'
    END AS advice,
    CASE WHEN j.n < 200 AND j.period <> 'reference' THEN [] ELSE j.reasons END AS reasons
FROM judged AS j
JOIN labelled AS l USING (period, source)
LEFT JOIN told AS t ON t.period = j.period AND t.source = j.source AND t.aspect = 'certitude'
ORDER BY j.period, j.source
