"""What the report says of all comments together: time, alerts, answers, what figures are worth.

Comes in: `Facts`, names, the model's card. Goes out: texts, figures in words and drawings for
the template, as dictionaries by the names it uses.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Final

from cxnlp.columns import EMOTIONS
from cxnlp.model.card import Card
from cxnlp.report import charts
from cxnlp.report import french as fr
from cxnlp.report.data import ALERTS, BEHIND, Facts, share_interval
from cxnlp.report.scope import Row, quote

_KINDS: Final = {
    "volume": "plus de commentaires que d’ordinaire",
    "baisse": "ton plus dur que d’ordinaire",
    "hausse": "ton meilleur que d’ordinaire",
}
_MOMENTS: Final = {"week": "semaine", "month": "mois", "quarter": "trimestre", "year": "année"}
_SCORES: Final = (
    ("sentiment_accuracy", "Sentiment du commentaire juste"),
    ("mention_polarity_accuracy", "Sentiment d’une mention juste"),
    ("touchpoints_micro_f1", "Points de contact (F1)"),
    ("levers_micro_f1", "Leviers (F1)"),
    ("emotions_micro_f1", "Émotions (F1)"),
    ("intents_micro_f1", "Intentions (F1)"),
)
_ORDER: Final = ("tous", "negatif", "mixte", "neutre", "positif")


def trends(facts: Facts) -> Row:
    """Return how sentiments and emotions went, moment by moment, over all brands and sources."""
    said, felt = _by_label(facts.sentiments.to_pylist()), _by_label(facts.emotions.to_pylist())
    totals: dict[dt.date, int] = defaultdict(int)
    for moments in said.values():
        for moment, n in moments.items():
            totals[moment] += n
    when = sorted(moment for moment, n in totals.items() if n)
    if not when:
        return {"sentiments": None, "emotions": [], "rows": [], "labels": []}
    lines = {
        label: [_point(moments.get(m, 0), totals[m], m, facts) for m in when]
        for label, moments in {**said, **felt}.items()
    }
    both = [(side, lines[side]) for side in ("negatif", "positif") if side in lines]
    named = [e for e in EMOTIONS if e in lines]
    named.sort(key=lambda e: -sum(felt[e].values()))
    top = _top([lines[e] for e in named])
    labels = [side for side, _ in both] + named
    return {
        "moment": _MOMENTS[facts.bucket], "first": _moment(when[0], facts.bucket),
        "last": _moment(when[-1], facts.bucket),
        "sentiments": charts.trend(
            both, top=_top([points for _, points in both]), title="Sentiments dans le temps",
            told=" ".join(_told(fr.word(side), points) for side, points in both),
        ),
        "emotions": [
            {"label": fr.upper(fr.word(e)), "n": fr.count(sum(felt[e].values()), "commentaire"),
             "share": fr.percent(sum(felt[e].values()) / sum(totals.values())),
             "drawing": charts.trend([("accent", lines[e])], top=top, title=fr.word(e),
                                     told=_told(fr.word(e), lines[e]))}
            for e in named
        ],
        "labels": [fr.word(label) for label in labels],
        "rows": [
            {"moment": _moment(m, facts.bucket), "n": fr.number(totals[m]),
             "few": totals[m] < facts.n_min,
             "shares": [fr.percent(lines[label][i].share) for label in labels]}
            for i, m in enumerate(when)
        ],
    }  # fmt: skip


def _by_label(rows: Sequence[Row]) -> dict[str, dict[dt.date, int]]:
    found: dict[str, dict[dt.date, int]] = defaultdict(dict)
    for row in rows:
        found[row["label"]][row["moment"]] = row["n"]
    return found


def _point(x: int, n: int, moment: dt.date, facts: Facts) -> charts.Point:
    return charts.Point(
        _moment(moment, facts.bucket), x / n, *share_interval(x, n), few=n < facts.n_min
    )


def _top(lines: Sequence[Sequence[charts.Point]]) -> float:
    """Return the end of an axis: above what is sure, in steps of ten percent."""
    sure = [p.high for points in lines for p in points if not p.few]
    every = [p.share for points in lines for p in points]
    return min(max(ceil(max(sure or every, default=0) * 10), 1) / 10, 1.0)


def _told(label: str, points: Sequence[charts.Point]) -> str:
    first, last = points[0], points[-1]
    return (
        f"{fr.upper(label)} : {fr.percent(first.share)} ({first.label}), "
        f"{fr.percent(last.share)} ({last.label})."
    )


def _moment(moment: dt.date, bucket: str) -> str:
    if bucket == "year":
        return str(moment.year)
    if bucket == "quarter":
        return f"T{(moment.month + 2) // 3} {moment.year}"
    return fr.period(f"{moment:%Y-%m}") if bucket == "month" else fr.day(moment)


def alerts(facts: Facts, names: Mapping[str, str]) -> Row:
    """Return the last days on which a touchpoint was outside its habits."""
    quotes = _quotes(facts)
    rows = facts.alerts.to_pylist()
    return {
        "more": len(rows) - ALERTS,
        "rows": [
            {
                "day": f"{'sept jours, au ' if row['days'] == 7 else ''}{fr.day(row['day'])}",
                "when": "en sept jours" if row["days"] == 7 else "ce jour-là",
                "label": names.get(row["touchpoint"], row["touchpoint"]),
                "kinds": fr.upper(fr.listed([_KINDS.get(k, fr.word(k)) for k in row["kinds"]])),
                "tone": "negatif" if "baisse" in row["kinds"]
                        else "positif" if "hausse" in row["kinds"] else "neutre",
                "n": fr.count(row["n"], "commentaire"),
                "usual": fr.short(row["usual_n"]), "note": fr.note(row["mean"]),
                "between": f"de {fr.note(row['low'])} à {fr.note(row['high'])}",
                "usual_note": None if row["usual_mean"] is None else fr.note(row["usual_mean"]),
                "quotes": [quotes[c] for c in row["comment_ids"][:BEHIND] if c in quotes],
            }
            for row in rows[:ALERTS]
        ],
    }  # fmt: skip


def terms(facts: Facts) -> list[Row]:
    """Return the words on the rise that no touchpoint covers."""
    quotes = _quotes(facts)
    return [
        {
            "period": fr.period(row["period"]), "term": row["term"], "n": fr.number(row["n"]),
            "share": fr.percent(row["share"]), "before": fr.percent(row["share_before"]),
            "quotes": [quotes[c] for c in row["comment_ids"][:1] if c in quotes],
        }
        for row in facts.terms.to_pylist()
    ]  # fmt: skip


def answers(rows: Sequence[Row], tones: Sequence[Row], facts: Facts) -> Row | None:
    """Return who got an answer in one period and brand, how soon and how good; None if nobody."""
    rows = sorted(
        (row for row in rows if row["sentiment"] in _ORDER),
        key=lambda r: _ORDER.index(r["sentiment"]),
    )
    whole = rows[0] if rows and rows[0]["sentiment"] == "tous" else None
    if whole is None or not whole["answered"]:
        return None
    quotes, many = _quotes(facts), sum(t["n"] for t in tones)
    return {
        "told": f"{fr.percent(whole['share'])} des commentaires ont une réponse "
                f"({fr.number(whole['answered'])} sur {fr.number(whole['n'])}).",
        "rows": [_answered(row, facts.n_min) for row in rows],
        "tones": [{"label": fr.word(t["tone"]), "n": fr.number(t["n"]),
                   "share": fr.percent(t["n"] / many), "width": round(100 * t["n"] / many, 1)}
                  for t in tones],
        "personalised": f"{fr.percent(sum(t['personalised'] for t in tones) / many)} des réponses "
                        "reprennent un point précis du commentaire." if many else "",
        "unanswered": [quotes[c] for c in whole["comment_ids"][:BEHIND] if c in quotes],
        "left": fr.count(whole["unanswered"], "commentaire"),
    }  # fmt: skip


def _answered(row: Row, n_min: int) -> Row:
    few = row["n"] < n_min
    names = ("within_24h", "within_72h", "within_168h", "mean_coverage", "share_boilerplate")
    return {
        "label": fr.word(row["sentiment"]), "n": fr.number(row["n"]), "few": few,
        "share": fr.percent(row["share"]),
        "between": f"de {fr.percent(row['low'])} à {fr.percent(row['high'])}",
        "drawing": charts.interval(row["share"], row["low"], row["high"], reach=(0, 1), few=few),
        **{name: "–" if row[name] is None else fr.percent(row[name]) for name in names},
    }  # fmt: skip


def worth(facts: Facts, card: Card | None) -> Row:
    """Return what a reader needs to know before leaning on a figure."""
    sure = facts.sure.to_pylist()[0]
    run = (facts.run.to_pylist() or [{}])[0]
    n, sources = sure["n"], facts.sources.to_pylist()
    read = sum(source["n"] for source in sources)
    return {
        "read": fr.count(read, "commentaire"), "n": fr.number(n),
        "n_min": facts.n_min, "undated": sure["undated"] and fr.number(sure["undated"]),
        "aside": [{"label": fr.word(r["reason"]), "n": fr.number(r["n"]),
                   "share": fr.percent(r["n"] / read)} for r in facts.aside.to_pylist()],
        "rejects": [{"label": fr.word(r["reason"]), "n": fr.number(r["n"])}
                    for r in facts.rejects.to_pylist()],
        "rejected": fr.count(sum(facts.rejects["n"].to_pylist()), "ligne"),
        "review": fr.percent(sure["review"] / n) if n else "–",
        "reviews": fr.number(sure["review"]),
        "conflict": fr.percent(sure["conflict"] / sure["rated"]) if sure["rated"] else None,
        "conflicts": fr.number(sure["conflict"]), "rated": fr.number(sure["rated"]),
        "confidence": None if sure["confidence"] is None else fr.percent(sure["confidence"]),
        "model": sure["model_version"], "models": sure["models"],
        "made": run.get("finished_at") and fr.day(run["finished_at"].date()),
        "run": run.get("run_id"), "version": run.get("cxnlp_version"),
        "taxonomy": run.get("taxonomy_version"), "scores": _scores(card, sure["model_version"]),
        "sources": [
            {"label": fr.word(s["source"]), "channel": fr.word(s["channel"]),
             "n": fr.number(s["n"]), "analysed": fr.number(s["analysed"]),
             "review": fr.percent(s["review"] / s["analysed"]) if s["analysed"] else "–",
             "span": fr.span(s["first_day"], s["last_day"])}
            for s in sources
        ],
    }  # fmt: skip


def _scores(card: Card | None, model: str | None) -> Row | None:
    """Return the measured scores of the model that made the labels, if this card is its card."""
    found: dict[str, Any] = (card.about.get("scores") or {}) if card else {}
    if card is None or card.version != model or not found.get("values"):
        return None
    between = found.get("intervals_95", {})
    return {
        "gold": found.get("gold"), "date": found.get("date"),
        "limits": card.about.get("limits") or [],
        "rows": [
            {"label": label, "value": fr.percent(found["values"][name]),
             "between": f"de {fr.percent(between[name][0])} à {fr.percent(between[name][1])}"
                        if name in between else "–"}
            for name, label in _SCORES if name in found["values"]
        ],
    }  # fmt: skip


def _quotes(facts: Facts) -> dict[str, Row]:
    return {row["comment_id"]: quote(row) for row in facts.quotes.to_pylist()}
