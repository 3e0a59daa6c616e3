-- One row: a month and a term that comments use more than in all months before, in words that no
-- touchpoint covers: where a touchpoint is missing, or something new happens, it shows here first.
--
-- Read: analysed comments with a day; of a month with more than `sample`, a fixed sample of about
-- so many (by the md5 of the id), since a term of interest does not need all. Of each comment, the
-- text outside the excerpts of its mentions of a touchpoint; `transverse` covers nothing.
-- Term: one to three words without a sign between them, the first and last no function word (the
-- list is below); articles and pronouns before an apostrophe are left out.
-- Unit: a comment, however often it has the term.
--
--   log_odds  δ = ln((n + α) / (N + A − n − α)) − ln((n' + α) / (N' + A − n' − α))
--             n of N comments of the month, n' of N' before; prior: A = 500 comments in which the
--             term is as frequent as in all, α = A · (n + n') / (N + N')
--   interval  δ ± 1.645 · √(1 / (n + α) + 1 / (n' + α)); z = δ / the root
--             (Monroe, Colaresi and Quinn 2008, their equations 16 and 22, comments for words)
--
-- Kept: n ≥ 10, z ≥ 3, and no longer term of the month with three quarters of its comments holds
-- it; the 50 of highest z of a month.
WITH dated AS (
    SELECT comment_id, strftime(day, '%Y-%m') AS period, text
    FROM comments
    WHERE set_aside IS NULL AND day IS NOT NULL
),

sizes AS (
    SELECT period, count(*) AS comments FROM dated GROUP BY period
),

read AS MATERIALIZED (
    SELECT d.comment_id, d.period, d.text
    FROM dated AS d
    JOIN sizes AS s USING (period)
    WHERE md5_number_lower(d.comment_id)::DOUBLE / 18446744073709551616 < $sample / s.comments
),

spans AS (
    SELECT
        comment_id,
        m.start AS first,
        m."end" AS stop,
        coalesce(max(m."end") OVER earlier, 0) AS from_here
    FROM mentions AS m
    SEMI JOIN read USING (comment_id)
    WHERE m.touchpoint IS NOT NULL AND m.stage <> 'transverse'
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
        r.period,
        coalesce(
            string_agg(
                substring(r.text, from_here + 1, to_there - from_here), ' | ' ORDER BY from_here
            ),
            any_value(r.text)
        ) AS text
    FROM read AS r
    LEFT JOIN gaps USING (comment_id)
    GROUP BY r.comment_id, r.period
),

-- Words end to end; | where a sign or a covered place was; _ before a function word.
worded AS MATERIALIZED (
    SELECT
        comment_id,
        period,
        string_split(
            trim(
                regexp_replace(
                    ' ' || regexp_replace(
                        regexp_replace(
                            regexp_replace(
                                replace(lower(text), '’', ''''),
                                '(^|[^\p{L}])(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu)''', '\1 ', 'g'
                            ),
                            '[^\p{L}\s-]+', ' | ', 'g'
                        ),
                        '\s+', '  ', 'g'
                    ) || ' ',
                    ' (a|à|afin|ai|aie|ainsi|alors|après|as|assez|au|aucun|aucune|aurait|aussi|autant'
                    || '|autre|autres|aux|avaient|avais|avait|avant|avec|avez|avoir|avons|bien|car|ce'
                    || '|ceci|cela|celle|celles|celui|ces|cet|cette|ceux|chaque|chez|comme|comment|contre'
                    || '|dans|de|depuis|des|deux|devant|donc|dont|du|elle|elles|en|encore|entre|es|est|et'
                    || '|étaient|étais|était|été|êtes|étions|être|eu|eux|fait|faire|faut|fois|font|furent'
                    || '|fut|ici|il|ils|jamais|je|la|là|le|les|leur|leurs|lors|lui|ma|mais|malgré|me|même'
                    || '|mes|moi|moins|mon|ne|ni|non|nos|notre|nous|on|ont|ou|où|par|parce|pas|pendant|peu'
                    || '|peut|peux|plus|plusieurs|plutôt|pour|pourquoi|près|puis|quand|que|quel|quelle'
                    || '|quelles|quelque|quelques|quels|qui|quoi|rien|sa|sans|se|sera|serait|ses|si|soit'
                    || '|sommes|son|sont|sous|suis|sur|surtout|ta|tant|te|tel|telle|tes|toi|ton|toujours'
                    || '|tous|tout|toute|toutes|trop|très|tu|un|une|va|vais|vers|voici|voilà|vont|vos|votre'
                    || '|vous|vraiment|vu|y|ça|où) ',
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

counted AS (
    SELECT period, term, count(*) AS n
    FROM terms
    GROUP BY period, term
),

totals AS (
    SELECT
        period,
        comments,
        sum(comments) OVER (ORDER BY period ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
            AS comments_before
    FROM (SELECT period, count(*) AS comments FROM read GROUP BY period)
),

compared AS (
    SELECT
        period,
        term,
        n,
        coalesce(sum(n) OVER earlier, 0) AS n_before
    FROM counted
    WHERE term IN (SELECT term FROM counted WHERE n >= $least)
    WINDOW earlier AS (
        PARTITION BY term ORDER BY period ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
),

weighed AS (
    SELECT
        *,
        500.0 * (n + n_before) / (comments + comments_before) AS a
    FROM compared
    JOIN totals USING (period)
    WHERE n >= $least AND comments_before > 0
),

scored AS (
    SELECT
        *,
        ln((n + a) / (comments + 500 - n - a))
        - ln((n_before + a) / (comments_before + 500 - n_before - a)) AS log_odds,
        sqrt(1 / (n + a) + 1 / (n_before + a)) AS error
    FROM weighed
),

rising AS (
    SELECT * FROM scored WHERE log_odds / error >= 3
),

kept AS (
    SELECT *
    FROM rising AS r
    WHERE NOT EXISTS (
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
    k.n,
    k.n_before::BIGINT AS n_before,
    k.comments,
    k.comments_before::BIGINT AS comments_before,
    k.n / k.comments AS share,
    k.n_before / k.comments_before AS share_before,
    k.log_odds,
    k.log_odds - 1.6448536 * k.error AS log_odds_low,
    k.log_odds + 1.6448536 * k.error AS log_odds_high,
    k.log_odds / k.error AS z,
    b.comment_ids
FROM kept AS k
JOIN behind AS b USING (period, term)
ORDER BY k.period, k.term
