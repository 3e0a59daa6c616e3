"""The metrics tables: worked out anew each night from `comments` and `mentions`.

Nothing is read here. How each figure is worked out stands in `metrics/TABLE.sql`; how to read
it, and its source, in `docs/metrics.md`.
"""

from typing import Final

import pyarrow as pa

from cxnlp.columns import (
    ALERTS_OF,
    EMOTIONS,
    FLOAT,
    FRAMES,
    INT,
    SENTIMENTS,
    STRING,
    STRINGS,
    TIMESTAMP,
    TONES,
    Column,
    Table,
)
from cxnlp.schema_drift import DRIFT

_DAY = Column("day", pa.date32(), "UTC day", "2026-09-14")
_SOURCE = Column("source", STRING, "as in `comments`", "avis_boutique")
_PERIOD = Column("period", STRING, "month as YYYY-MM, or `tout` for all", "2026-09")
_BRAND = Column("brand", STRING, "brand, or `toutes`", "Maison Véga")
_TOUCHPOINT = Column("touchpoint", STRING, "taxonomy id", "attente_caisse")
_STAGE = Column("stage", STRING, "stage of the journey", "achat")
_BEHIND = Column("comment_ids", STRINGS, "up to 20 comments behind it, the most telling first",
                 "[5b0c9e6d41f2a7c3d8e94f10]")  # fmt: skip
_COUNTED = (
    Column("n", INT, "comments analysed", "57"),
    Column("share", FLOAT, "n / comments analysed that day in that source, 0–1", "0.61"),
    Column("low", FLOAT, "lower end of the 90 % interval of `share` (Wilson)", "0.51"),
    Column("high", FLOAT, "upper end", "0.70"),
)
_FRAMES = (
    Column("control", STRING, f"who controls it: {', '.join(FRAMES['control'])}", "propre", True),
    Column("p", STRING, f"the P: {', '.join(FRAMES['p'])}", "points_de_contact", True),
    Column("experience", STRING, f"which experience: {', '.join(FRAMES['experience'])}", "achat",
           True),
    Column("level", STRING, f"which level: {', '.join(FRAMES['level'])}", "facilite", True),
)  # fmt: skip


def _side(side: str, said: str, *examples: str) -> tuple[Column, ...]:
    """Return the columns of comments that speak badly or well of a lever."""
    difference, coefficient, low, high = examples
    return (
        Column(f"n_{side}", INT, f"comments that speak {said} of it", "71"),
        Column(f"difference_{side}", FLOAT, "their mean − mean_without", difference, True),
        Column(f"coefficient_{side}", FLOAT, f"stars that go with speaking {said} of it, all "
               "levers good and bad held apart", coefficient, True),
        Column(f"coefficient_{side}_low", FLOAT, "lower end of its 95 % interval", low, True),
        Column(f"coefficient_{side}_high", FLOAT, "upper end", high, True),
    )  # fmt: skip


TOUCHPOINTS: Final = Table(
    "touchpoints",
    "a touchpoint of the taxonomy, with the frames it is sorted by",
    (
        _TOUCHPOINT,
        Column("label", STRING, "as people say it", "File d'attente, guichet & caisse"),
        _STAGE,
        Column("stage_label", STRING, "as people say it", "Achat"),
        Column("stage_order", INT, "place of the stage in the journey", "3"),
        *_FRAMES,
    ),
    key=("touchpoint",),
    order=("touchpoint",),
)

TOUCHPOINT_SCORES: Final = Table(
    "touchpoint_scores",
    "a period, a brand and a touchpoint",
    (
        _PERIOD,
        _BRAND,
        _TOUCHPOINT,
        _STAGE,
        Column("n", INT, "comments that speak of it (several mentions of one count once)", "42"),
        Column("mentions", INT, "mentions", "45"),
        Column("share", FLOAT, "n / comments analysed in the period and brand, 0–1", "0.11"),
        Column("mean", FLOAT, "plain mean of the comments' scores for it, −1 … 1", "-0.63"),
        Column("score", FLOAT, "mean shrunk to the period's mean: (Σ + k·m) / (n + k), k = 20",
               "-0.41"),
        Column("low", FLOAT, "lower end of the 90 % interval of `score`", "-0.55"),
        Column("high", FLOAT, "upper end", "-0.27"),
        *_FRAMES,
    ),
    key=("period", "brand", "touchpoint"),
    order=("period", "brand", "touchpoint"),
)  # fmt: skip

JOURNEY: Final = Table(
    "journey",
    "a period, a brand and a stage of the journey (`transverse` is none)",
    (
        _PERIOD,
        _BRAND,
        _STAGE,
        Column("stage_order", INT, "place of the stage in the journey", "3"),
        Column("touchpoint", STRING, "the weakest link: lowest `score` of those eligible (n ≥ "
               "`n_min`); null if none is", "attente_caisse", True),
        Column("n", INT, "comments that speak of that touchpoint; 0 if none is eligible", "42"),
        Column("score", FLOAT, "its score, which is the stage's, −1 … 1", "-0.41", True),
        Column("low", FLOAT, "lower end of its 90 % interval", "-0.55", True),
        Column("high", FLOAT, "upper end", "-0.27", True),
        Column("ties", STRINGS, "other eligible touchpoints whose interval overlaps it",
               "[paiement_facturation]"),
        Column("touchpoints", INT, "eligible touchpoints of the stage", "4"),
        Column("mean", FLOAT, "plain mean of their scores", "0.12", True),
        Column("mean_minus_min", FLOAT, "mean − score: what a mean would hide", "0.53", True),
        Column("weakest", pa.bool_(), "the journey's weakest stage", "true"),
        Column("journey_score", FLOAT, "score of the weakest stage", "-0.41", True),
        Column("journey_low", FLOAT, "lower end of its 90 % interval", "-0.55", True),
        Column("journey_high", FLOAT, "upper end", "-0.27", True),
        Column("journey_ties", STRINGS, "other stages whose interval overlaps it", "[acces]"),
        Column("journey_mean", FLOAT, "plain mean of the stages' scores", "0.20", True),
        Column("journey_mean_minus_min", FLOAT, "journey_mean − journey_score", "0.61", True),
    ),
    key=("period", "brand", "stage"),
    order=("period", "brand", "stage_order", "stage"),
)  # fmt: skip

LEVER_IMPACT: Final = Table(
    "lever_impact",
    "a period, a brand and a lever that at least one of its comments speaks of",
    (
        _PERIOD,
        _BRAND,
        Column("lever", STRING, "taxonomy id", "temps_praticite"),
        Column("n", INT, "comments that speak of it", "118"),
        Column("n_without", INT, "comments that do not", "294"),
        Column("mean_with", FLOAT, "mean `satisfaction` of the former, 1–5", "2.4"),
        Column("mean_without", FLOAT, "of the latter", "3.6", True),
        Column("difference", FLOAT, "mean_with − mean_without, in stars", "-1.2", True),
        Column("difference_low", FLOAT, "lower end of its 95 % interval (Welch)", "-1.5", True),
        Column("difference_high", FLOAT, "upper end", "-0.9", True),
        Column("coefficient", FLOAT, "stars that go with it when all levers are held apart "
               "(least squares); null where that cannot be told", "-0.8", True),
        Column("coefficient_low", FLOAT, "lower end of its 95 % interval", "-1.0", True),
        Column("coefficient_high", FLOAT, "upper end", "-0.6", True),
        *_side("negative", "badly", "-2.1", "-1.4", "-1.7", "-1.1"),
        *_side("positive", "well", "0.9", "0.6", "0.3", "0.9"),
    ),
    key=("period", "brand", "lever"),
    order=("period", "brand", "lever"),
)  # fmt: skip

SENTIMENT_TREND: Final = Table(
    "sentiment_trend",
    "a day, a source and a sentiment",
    (
        _DAY,
        _SOURCE,
        Column("sentiment", STRING, f"one of {', '.join(SENTIMENTS)}", "positif"),
        *_COUNTED,
        Column("mean_score", FLOAT, "mean `sentiment_score` of all that day's comments of the "
               "source, −1 … 1", "0.44"),
        Column("mean_low", FLOAT, "lower end of the 90 % interval of `mean_score`", "0.31"),
        Column("mean_high", FLOAT, "upper end", "0.57"),
    ),
    key=("day", "source", "sentiment"),
    order=("day", "source", "sentiment"),
)  # fmt: skip

EMOTION_TREND: Final = Table(
    "emotion_trend",
    "a day, a source and an emotion",
    (
        _DAY,
        _SOURCE,
        Column("emotion", STRING, f"one of {', '.join(EMOTIONS)}, neutre", "joie"),
        *_COUNTED,
    ),
    key=("day", "source", "emotion"),
    order=("day", "source", "emotion"),
)

PROMISE_GAP: Final = Table(
    "promise_gap",
    "a period, a brand and a touchpoint of which comments speak with an expectation",
    (
        _PERIOD,
        _BRAND,
        _TOUCHPOINT,
        _STAGE,
        Column("n", INT, "comments that speak of it with an expectation", "31"),
        Column("below", INT, "of those, below what was expected", "17"),
        Column("kept", INT, "as expected", "5"),
        Column("beyond", INT, "beyond", "9"),
        Column("share_below", FLOAT, "below / n", "0.55"),
        Column("share_beyond", FLOAT, "beyond / n", "0.29"),
        Column("gap", FLOAT, "share_below − share_beyond: above 0, promises are broken more often "
               "than surpassed", "0.26"),
        Column("low", FLOAT, "lower end of its 90 % interval (Bonett and Price)", "-0.01"),
        Column("high", FLOAT, "upper end", "0.49"),
    ),
    key=("period", "brand", "touchpoint"),
    order=("period", "brand", "touchpoint"),
)  # fmt: skip

REPLIES: Final = Table(
    "replies",
    "a comment with a reply of the brand",
    (
        Column("comment_id", STRING, "the comment", "5b0c9e6d41f2a7c3d8e94f10"),
        _SOURCE,
        Column("brand", STRING, "as in `comments`", "Maison Véga", True),
        Column("day", pa.date32(), "as in `comments`", "2026-09-14", True),
        Column("sentiment", STRING, "as in `comments`", "negatif", True),
        Column("reply_at", TIMESTAMP, "when the brand answered", "2026-09-15T09:00:00Z", True),
        Column("delay_hours", FLOAT, "from comment to reply; null when a time is missing or the "
               "reply is dated before the comment", "24.9", True),
        Column("negative_touchpoints", STRINGS, "touchpoints the comment speaks badly of",
               "[attente_caisse, prix_tarif]"),
        Column("addressed", STRINGS, "those of them that the reply names", "[attente_caisse]"),
        Column("coverage", FLOAT, "share of them that it names; null when there are none", "0.5",
               True),
        Column("tone", STRING, f"one of {', '.join(TONES)}; the first that applies", "excuse"),
        Column("apologises", pa.bool_(), "has words of apology", "true"),
        Column("thanks", pa.bool_(), "has words of thanks", "true"),
        Column("defends", pa.bool_(), "disputes or turns back what was said", "false"),
        Column("same_reply", INT, "comments that got this reply, apart from names, figures and "
               "the greeting", "1"),
        Column("boilerplate", pa.bool_(), "at least 3 comments got it", "false"),
        Column("personalised", pa.bool_(), "no boilerplate, and it takes up a touchpoint of the "
               "comment", "true"),
    ),
    key=("comment_id",),
    order=("day", "comment_id"),
)  # fmt: skip

REPLY_SUMMARY: Final = Table(
    "reply_summary",
    "a period, a brand, a source and a sentiment: who was answered, and who was not",
    (
        _PERIOD,
        _BRAND,
        Column("source", STRING, "source, or `toutes`", "avis_boutique"),
        Column("sentiment", STRING, f"one of {', '.join(SENTIMENTS)}, or `tous`", "negatif"),
        Column("n", INT, "comments analysed", "84"),
        Column("answered", INT, "with a reply", "51"),
        Column("unanswered", INT, "without", "33"),
        Column("share", FLOAT, "answered / n", "0.61"),
        Column("low", FLOAT, "lower end of its 90 % interval (Wilson)", "0.52"),
        Column("high", FLOAT, "upper end", "0.69"),
        Column("within_24h", FLOAT, "share of those with a known delay answered within 24 hours",
               "0.41", True),
        Column("within_72h", FLOAT, "within 72 hours", "0.77", True),
        Column("within_168h", FLOAT, "within a week", "0.95", True),
        Column("mean_coverage", FLOAT, "of those with a coverage", "0.44", True),
        Column("share_boilerplate", FLOAT, "of those answered", "0.37", True),
        Column("comment_ids", STRINGS, "up to 20 comments without a reply, the most negative first",
               "[5b0c9e6d41f2a7c3d8e94f10]"),
    ),
    key=("period", "brand", "source", "sentiment"),
    order=("period", "brand", "source", "sentiment"),
)  # fmt: skip

ALERTS: Final = Table(
    "alerts",
    "a day and a touchpoint outside its own history",
    (
        _DAY,
        _TOUCHPOINT,
        _STAGE,
        Column("days", pa.int8(), "1: that day by itself; 7: the seven days that end with it", "1"),
        Column("kinds", STRINGS, f"what is unusual, among {', '.join(ALERTS_OF)} (more comments, "
               "a lower or a higher score)", "[volume, baisse]"),
        Column("n", INT, "comments of these days that speak of it", "38"),
        Column("usual_n", FLOAT, "median of the days, or weeks, before", "11.0"),
        Column("usual_high", FLOAT, "number from which a volume is unusual", "28.5"),
        Column("volume_z", FLOAT, "n against usual_n in standard deviations", "6.3"),
        Column("mean", FLOAT, "mean score of these comments for it, −1 … 1", "-0.71"),
        Column("low", FLOAT, "lower end of its 90 % interval", "-0.86"),
        Column("high", FLOAT, "upper end", "-0.56"),
        Column("usual_mean", FLOAT, "mean of the 56 days before; null if too few spoke of it",
               "-0.22", True),
        Column("sentiment_z", FLOAT, "(mean − usual_mean) in standard errors", "-5.1", True),
        Column("share", FLOAT, "n / comments analysed in these days", "0.31"),
        Column("usual_share", FLOAT, "the same over the 56 days before", "0.10"),
        _BEHIND,
    ),
    key=("day", "touchpoint"),
    order=("day", "touchpoint"),
)  # fmt: skip

EMERGING_TERMS: Final = Table(
    "emerging_terms",
    "a period and a term that rises in what no touchpoint covers",
    (
        Column("period", STRING, "month as YYYY-MM", "2026-09"),
        Column("term", STRING, "one to three words, lower case", "borne de recharge"),
        Column("words", pa.int8(), "how many", "3"),
        Column("n", INT, "comments of the period with it", "24"),
        Column("n_before", INT, "comments of the periods before with it", "6"),
        Column("comments", INT, "comments read in the period (a fixed sample where they are many)",
               "4120"),
        Column("comments_before", INT, "comments read in the periods before", "39200"),
        Column("share", FLOAT, "n / comments", "0.0058"),
        Column("share_before", FLOAT, "share before, each source weighted as in the period",
               "0.0002"),
        Column("log_odds", FLOAT, "log-odds ratio of the shares, with a Dirichlet prior",
               "3.1"),
        Column("log_odds_low", FLOAT, "lower end of its 90 % interval", "2.5"),
        Column("log_odds_high", FLOAT, "upper end", "3.7"),
        Column("z", FLOAT, "log_odds in standard errors, at least 3", "7.9"),
        _BEHIND,
    ),
    key=("period", "term"),
    order=("period", "term"),
)  # fmt: skip

METRICS: Final = (
    TOUCHPOINTS, TOUCHPOINT_SCORES, JOURNEY, LEVER_IMPACT, SENTIMENT_TREND, EMOTION_TREND,
    PROMISE_GAP, REPLIES, REPLY_SUMMARY, ALERTS, EMERGING_TERMS, DRIFT,
)  # fmt: skip
