-- One row: a comment with a reply, also when the comment was set aside.
--
--   delay_hours   reply_at − published_at; null when one is missing or the reply is dated before
--   negative_touchpoints
--                 touchpoints of the comment's mentions that are negatif
--   addressed     those whose triggers the reply holds (`reply_touchpoints`, found at analysis), or
--                 of whose excerpts it repeats a telling word: five letters or more, compared by
--                 the first six without accents, and neither in the list below nor of the brand's
--                 name
--   coverage      addressed / negative_touchpoints; null when there are none
--   tone          `defensif`, `excuse`, `remerciement`, `neutre`: the first whose words are there
--   same_reply    comments of the brand whose reply is the same, once words that begin with a
--                 capital (names, places, the start of a sentence), figures and line breaks are
--                 left out
--   boilerplate   same_reply ≥ 3
--   personalised  no boilerplate, and it addresses a touchpoint or holds a trigger of one that the
--                 comment speaks of
--
-- The words of the three tones are below; they are cues, no reading.
WITH answered AS (
    SELECT
        comment_id,
        source,
        brand,
        day,
        sentiment,
        published_at,
        reply_at,
        coalesce(touchpoints, []) AS touchpoints,
        coalesce(reply_touchpoints, []) AS named,
        reply_text AS words,
        regexp_replace(reply_text, '(?:[^\p{Ll}\s]\S*\s*)+|\s{2,}|\n', ' ', 'g') AS letters
    FROM comments
    WHERE trim(reply_text) <> ''
),

blamed AS (
    SELECT
        m.comment_id,
        m.touchpoint,
        list_contains(a.named, m.touchpoint) AS is_named,
        list_filter(
            list_transform(
                regexp_extract_all(strip_accents(lower(m.excerpt)), '\pL{5,}'), lambda w: w[:6]
            ),
            lambda w: NOT contains(strip_accents(lower(coalesce(a.brand, ''))), w) AND w NOT IN (
                'alors', 'apres', 'aucun', 'aucune', 'aujour', 'aurait', 'aussi', 'autre', 'autres',
                'avant', 'avoir', 'avons', 'beauco', 'bonjou', 'bonsoi', 'celle', 'cette', 'chaque',
                'client', 'comman', 'comme', 'commen', 'demain', 'depuis', 'elles', 'encore',
                'entre', 'equipe', 'etaien', 'etait', 'experi', 'faire', 'heures', 'jamais',
                'jours', 'leurs', 'madame', 'matin', 'merci', 'messag', 'mieux', 'moins', 'monsie',
                'notre', 'numero', 'parce', 'patien', 'person', 'petit', 'petite', 'plutot',
                'pouvez', 'proble', 'quand', 'quelqu', 'repons', 'retour', 'semain', 'servic',
                'suite', 'temps', 'toujou', 'toute', 'toutes', 'voici', 'voila', 'votre', 'vraime'
            )
        ) AS said,
        ' ' || translate(strip_accents(lower(a.words)), '''’-«"(', '      ') AS heard
    FROM mentions AS m
    JOIN answered AS a USING (comment_id)
    WHERE m.touchpoint IS NOT NULL AND m.sentiment = 'negatif' AND a.sentiment IS NOT NULL
),

criticised AS (
    SELECT
        comment_id,
        list_sort(list(DISTINCT touchpoint)) AS touchpoints,
        list_sort(list(DISTINCT touchpoint) FILTER (
            is_named OR len(list_filter(said, lambda w: contains(heard, ' ' || w))) > 0
        )) AS addressed
    FROM blamed
    GROUP BY comment_id
),

repeated AS (
    SELECT brand, letters, count(*) AS same_reply
    FROM answered
    GROUP BY brand, letters
),

heard AS (
    SELECT
        a.*,
        r.same_reply,
        coalesce(c.touchpoints, []) AS negative,
        coalesce(c.addressed, []) AS addressed,
        epoch(a.reply_at - a.published_at) / 3600 AS delay,
        regexp_matches(
            words,
            '(?i)excus|d[ée]sol[ée]|navr[ée]|nous regrettons|regrettons (?:que|de|vivement|sinc)'
            || '|pardon|sommes confus'
        ) AS apologises,
        regexp_matches(
            words,
            '(?i)remerci|reconnaissant|merci (?:à|beaucoup|encore|et|infiniment|pour|d[''’]avoir'
            || '|de ce|de cette|de ton|de tes|de votre|de vos)[^\p{L}]'
            || '|merci(?: [\p{L}-]+){0,2} ?(?:[.,!]|$)'
        ) AS thanks,
        regexp_matches(
            words,
            '(?i)contrairement à (?:ce que|vos|votre)|contest|inexact|infond[ée]|mensong|diffam'
            || '|mauvaise foi|vous auriez (?:dû|pu)|il vous (?:appartenait|suffisait)'
            || '|conditions générales|comme (?:indiqué|précisé|stipulé)|pas responsables?[^\p{L}]'
            || '|(?:tenus?|tenir) (?:pour )?responsables?|aucune trace|à aucun moment'
            || '|pas (?:de notre (?:fait|ressort|responsabilité)|imputable)'
            || '|vous n[''’]avez pas (?:lu|respecté|précisé|signalé|souhaité)'
            || '|nous nous étonnons|nous sommes (?:très )?(?:surpris|étonnés)'
        ) AS defends
    FROM answered AS a
    JOIN repeated AS r ON r.letters = a.letters AND r.brand IS NOT DISTINCT FROM a.brand
    LEFT JOIN criticised AS c USING (comment_id)
)

SELECT
    comment_id,
    source,
    brand,
    day,
    sentiment,
    reply_at,
    CASE WHEN delay >= 0 THEN delay END AS delay_hours,
    negative AS negative_touchpoints,
    addressed,
    CASE WHEN len(negative) > 0 THEN len(addressed) / len(negative) END AS coverage,
    CASE
        WHEN defends THEN 'defensif'
        WHEN apologises THEN 'excuse'
        WHEN thanks THEN 'remerciement'
        ELSE 'neutre'
    END AS tone,
    apologises,
    thanks,
    defends,
    same_reply,
    same_reply >= 3 AS boilerplate,
    same_reply < 3 AND (list_has_any(touchpoints, named) OR len(addressed) > 0) AS personalised
FROM heard
ORDER BY day, comment_id
