-- One row: a month and a term that comments use more than in all months before, in words that no
-- touchpoint covers: where a touchpoint is missing, or something new happens, it shows here first.
--
-- Read: analysed comments with a day; of a month with more than `sample`, a fixed sample of about
-- so many (by a hash of the id), since a term of interest does not need all. Of each comment, the
-- text outside the excerpts of its mentions of a touchpoint.
-- Term: one to three words without a sign between them, the first and last no function word (the
-- list is below); articles and pronouns before an apostrophe are left out. What a brand's name holds
-- is no term: a month in which one brand is spoken of more has no news by that alone.
-- Unit: a comment, however often it has the term.
--
--   log_odds  δ = ln((n + α) / (N + A − n − α)) − ln((n' + α) / (N' + A − n' − α))
--             n of N comments of the month, n' of N' before; prior: A = 50 comments in which the
--             term is as frequent as in all, α = A · (n + n') / (N + N'), at least 0.5
--             n' is standardised: the share before is that of each source, weighted by its part of
--             the month's comments, so that a month with more of one source has no news by that
--             alone; a source that has no comments before is left out of its first month
--   interval  δ ± 1.645 · √(1 / (n + α) + 1 / (n' + α)); z = δ / the root
--             (Monroe, Colaresi and Quinn 2008, their equations 16 and 22, comments for words)
--
-- Kept: n ≥ 10, z ≥ 3, and no longer term of the month with three quarters of its comments holds
-- it; the 50 of highest z of a month.
WITH dated AS (
    SELECT comment_id, source, date_trunc('month', day) AS month, text
    FROM comments
    WHERE set_aside IS NULL AND day IS NOT NULL
),

sizes AS (
    SELECT month, count(*) AS comments FROM dated GROUP BY month
),

read AS MATERIALIZED (
    SELECT d.comment_id, d.source, strftime(d.month, '%Y-%m') AS period, d.text
    FROM dated AS d
    JOIN sizes AS s USING (month)
    WHERE hash(d.comment_id)::DOUBLE / 18446744073709551616 < $sample / s.comments
),

spans AS (
    SELECT
        comment_id,
        m.start AS first,
        m."end" AS stop,
        coalesce(max(m."end") OVER earlier, 0) AS from_here
    FROM mentions AS m
    SEMI JOIN read USING (comment_id)
    WHERE m.touchpoint IS NOT NULL
    WINDOW earlier AS (
        PARTITION BY comment_id ORDER BY m.start, m."end"
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
),

gaps AS (
    SELECT comment_id, from_here, first AS to_there FROM spans WHERE first > from_here
    UNION ALL
    SELECT comment_id, max(stop) AS from_here, 1000000 AS to_there FROM spans GROUP BY comment_id
),

uncovered AS (
    SELECT
        r.comment_id,
        r.source,
        r.period,
        coalesce(
            string_agg(
                substring(r.text, from_here + 1, to_there - from_here), ' | ' ORDER BY from_here
            ),
            any_value(r.text)
        ) AS text
    FROM read AS r
    LEFT JOIN gaps USING (comment_id)
    GROUP BY r.comment_id, r.source, r.period
),

-- Words end to end; | where a sign or a covered place was; _ before a function word.
worded AS MATERIALIZED (
    SELECT
        comment_id,
        source,
        period,
        string_split(
            trim(
                regexp_replace(
                    ' ' || regexp_replace(
                        regexp_replace(
                            regexp_replace(
                                replace(lower(text), '’', ''''),
                                '(^|[^\p{L}])(?:[cdjlmnst]|aujourd|(?:jus|lors|puis|quoi)?qu)''',
                                '\1 ', 'g'
                            ),
                            '[^\p{L}\s-]+', ' | ', 'g'
                        ),
                        '\s+', '  ', 'g'
                    ) || ' ',
                    ' (a|afin|ai|aie|ainsi|alors|après|as|assez|au|aucun|aucune|aurait'
                    || '|aussi|autant|autre|autres|aux|avaient|avais|avait|avant|avec|avez'
                    || '|avoir|avons|bien|bonjour|bonsoir|car|ce|ceci|cela|celle|celles'
                    || '|celui|ces|cet|cette|ceux|chaque|chez|comme|comment|conseille|contre'
                    || '|cordialement|dans|de|depuis|des|deux|devant|donc|dont|du|elle|elles'
                    || '|en|encore|entre|es|est|et|eu|eux|faire|fait|faut|fois|font|furent'
                    || '|fut|hui|ici|il|ils|jamais|je|la|le|les|leur|leurs|lors|lui|là|ma'
                    || '|madame|mais|malgré|me|merci|mes|moi|moins|mon|monsieur|même|ne|ni'
                    || '|non|nos|notre|nous|on|ont|ou|où|par|parce|pas|pendant|peu|peut|peux'
                    || '|plus|plusieurs|plutôt|pour|pourquoi|près|puis|quand|que|quel|quelle'
                    || '|quelles|quelque|quelques|quels|qui|quoi|recommande|recommander|rien'
                    || '|sa|sans|se|sera|serait|ses|si|soit|sommes|son|sont|sous|suis|sur'
                    || '|surtout|ta|tant|te|tel|telle|tes|toi|ton|toujours|tous|tout|toute'
                    || '|toutes|trop|très|tu|un|une|va|vais|vers|voici|voilà|vont|vos|votre'
                    || '|vous|vraiment|vu|y|à|ça|étaient|étais|était|étions|été|êtes|être) ',
                    ' _\1 ', 'g'
                )
            ),
            '  '
        ) AS w
    FROM uncovered
),

terms AS (
    SELECT
        comment_id,
        source,
        period,
        unnest(
            list_distinct(
                [w[i] FOR i IN range(1, len(w) + 1) IF w[i][1] NOT IN ('_', '|') AND len(w[i]) > 2]
                || [
                    w[i] || ' ' || w[i + 1]
                    FOR i IN range(1, len(w))
                    IF w[i][1] NOT IN ('_', '|') AND w[i + 1][1] NOT IN ('_', '|')
                ]
                || [
                    w[i] || ' ' || ltrim(w[i + 1], '_') || ' ' || w[i + 2]
                    FOR i IN range(1, len(w) - 1)
                    IF w[i][1] NOT IN ('_', '|') AND w[i + 2][1] NOT IN ('_', '|')
                    AND w[i + 1][1] <> '|'
                ]
            )
        ) AS term
    FROM worded
),

counted AS MATERIALIZED (
    SELECT period, source, term, count(*) AS n
    FROM terms
    GROUP BY period, source, term
),

-- Of each source and month: comments read, and those read before.
totals AS (
    SELECT
        period,
        source,
        count(*) AS comments,
        sum(count(*)) OVER (
            PARTITION BY source ORDER BY period ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS comments_before
    FROM read
    GROUP BY period, source
    QUALIFY comments_before > 0
),

months AS (
    SELECT period, sum(comments) AS comments, sum(comments_before) AS comments_before
    FROM totals
    GROUP BY period
),

current AS (
    SELECT period, term, sum(n) AS n
    FROM counted
    SEMI JOIN totals USING (period, source)
    GROUP BY period, term
    HAVING sum(n) >= $least
),

sourced AS (
    SELECT c.period, c.term, o.source, sum(o.n) AS n_before
    FROM current AS c
    JOIN counted AS o ON o.term = c.term AND o.period < c.period
    GROUP BY c.period, c.term, o.source
),

before AS (
    SELECT
        period,
        term,
        sum(n_before) AS n_before,
        sum(n_before / comments_before * comments) AS expected
    FROM sourced
    JOIN totals USING (period, source)
    GROUP BY period, term
),

weighed AS (
    SELECT
        period,
        term,
        n,
        comments,
        comments_before,
        coalesce(n_before, 0) AS n_before,
        coalesce(expected, 0) / comments * comments_before AS standard,
        greatest(50.0 * (n + standard) / (comments + comments_before), 0.5) AS a
    FROM current
    JOIN months USING (period)
    LEFT JOIN before USING (period, term)
),

scored AS (
    SELECT
        *,
        ln((n + a) / (comments + 50 - n - a))
        - ln((standard + a) / (comments_before + 50 - standard - a)) AS log_odds,
        sqrt(1 / (n + a) + 1 / (standard + a)) AS error
    FROM weighed
),

rising AS (
    SELECT * FROM scored WHERE log_odds / error >= 3
),

-- Words of the brands' names, cut as texts are.
brands AS (
    SELECT DISTINCT
        ' ' || regexp_replace(lower(brand), '[^\p{L}-]+', ' ', 'g') || ' ' AS name
    FROM comments
    WHERE brand IS NOT NULL
),

kept AS (
    SELECT *
    FROM rising AS r
    WHERE NOT EXISTS (FROM brands AS b WHERE contains(b.name, ' ' || r.term || ' '))
    AND NOT EXISTS (
        SELECT 1
        FROM rising AS l
        WHERE l.period = r.period AND l.term <> r.term AND l.n >= 0.75 * r.n
            AND contains(' ' || l.term || ' ', ' ' || r.term || ' ')
    )
    QUALIFY row_number() OVER (PARTITION BY period ORDER BY log_odds / error DESC, term) <= 50
),

behind AS (
    SELECT t.period, t.term, list(t.comment_id ORDER BY t.comment_id)[:20] AS comment_ids
    FROM terms AS t
    SEMI JOIN kept AS k ON k.period = t.period AND k.term = t.term
    GROUP BY t.period, t.term
)

SELECT
    k.period,
    k.term,
    len(string_split(k.term, ' ')) AS words,
    k.n::BIGINT AS n,
    k.n_before::BIGINT AS n_before,
    k.comments::BIGINT AS comments,
    k.comments_before::BIGINT AS comments_before,
    k.n / k.comments AS share,
    k.standard / k.comments_before AS share_before,
    k.log_odds,
    k.log_odds - 1.6448536 * k.error AS log_odds_low,
    k.log_odds + 1.6448536 * k.error AS log_odds_high,
    k.log_odds / k.error AS z,
    b.comment_ids
FROM kept AS k
JOIN behind AS b USING (period, term)
ORDER BY k.period, k.term
