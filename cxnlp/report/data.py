"""The few figures that a report shows, read from the tables of a warehouse.

Comes in: a warehouse. Goes out: `Facts`, small tables. Left out: working out a metric
(`metrics`), and words (`page.py`). A table that is not there has no rows.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import config, metrics, schema
from cxnlp.report import queries
from cxnlp.report.french import ALL, EVERY
from cxnlp.views import quoted
from cxnlp.warehouse import Warehouse

BRANDS: Final = 8  # that can be chosen, the most spoken of
MONTHS: Final = 3  # likewise, the last
ALERTS: Final = 10  # shown, the last
BEHIND: Final = 3  # comments quoted behind an alert, or without an answer
_BUCKETS: Final = ((17 * 7, "week"), (3 * 366, "month"), (10 * 366, "quarter"))  # days of history


@dataclass(frozen=True, slots=True)
class Facts:
    """What a report is made of; `views` are the (period, brand) that it can show, main first."""

    views: tuple[tuple[str, str], ...]
    bucket: str
    n_min: int
    scopes: pa.Table
    stages: pa.Table
    names: pa.Table
    journey: pa.Table
    brands: pa.Table
    scores: pa.Table
    counts: pa.Table
    levers: pa.Table
    promises: pa.Table
    answers: pa.Table
    tones: pa.Table
    alerts: pa.Table
    terms: pa.Table
    sentiments: pa.Table
    emotions: pa.Table
    verbatims: pa.Table
    quotes: pa.Table
    sources: pa.Table
    aside: pa.Table
    rejects: pa.Table
    sure: pa.Table
    run: pa.Table


def gather(root: str) -> Facts:
    """Return the figures of a warehouse, all of one publication.

    Raises `UsageError` when there is no warehouse there.
    """
    return metrics.answers(root, lambda answer: _gather(root, answer))


def _gather(root: str, answer: metrics.Ask) -> Facts:
    def ask(sql: str, **parts: str) -> pa.Table:
        return answer(sql.format(scoped=queries.SCOPED, **parts))

    scopes = ask(queries.SCOPES)
    runs = Warehouse(root).read(schema.RUNS).sort_by("started_at")
    run = runs.filter(pc.not_equal(runs["status"], "failed"))[-1:]
    known = run["n_min"].drop_null().to_pylist()
    n_min = known[0] if known else config.Metrics().n_min
    views = _views(scopes, n_min)
    shown = ", ".join(f"('{quoted(p)}', '{quoted(b)}')" for p, b in views)
    bucket = _bucket(scopes)
    answers, alerts, terms = ask(queries.ANSWERS, views=shown), ask(queries.ALERTS), \
        ask(queries.TERMS)  # fmt: skip
    unanswered = answers.filter(pc.equal(answers["sentiment"], "tous"))
    return Facts(
        views=views, bucket=bucket, n_min=n_min, scopes=scopes, run=run,
        stages=ask(queries.STAGES), names=ask(queries.NAMES), brands=ask(queries.BRANDS),
        journey=ask(queries.JOURNEY, views=shown), scores=ask(queries.SCORES, views=shown),
        counts=ask(queries.COUNTS, views=shown), levers=ask(queries.LEVERS, views=shown),
        promises=ask(queries.PROMISES, views=shown), answers=answers,
        tones=ask(queries.TONES, views=shown), alerts=alerts, terms=terms,
        sentiments=ask(queries.SENTIMENTS, bucket=bucket),
        emotions=ask(queries.EMOTIONS, bucket=bucket),
        verbatims=ask(queries.VERBATIMS, views=shown),
        quotes=ask(queries.QUOTES, ids=_ids(unanswered, alerts.slice(0, ALERTS), terms)),
        sources=ask(queries.SOURCES), aside=ask(queries.ASIDE), rejects=ask(queries.REJECTS),
        sure=ask(queries.SURE),
    )  # fmt: skip


def _views(scopes: pa.Table, n_min: int) -> tuple[tuple[str, str], ...]:
    """Return which periods and brands can be chosen: those with at least `n_min` comments."""
    sizes = {
        (p, b): n
        for p, b, n in zip(*(scopes[c].to_pylist() for c in ("period", "brand", "n")), strict=True)
    }
    of_all = [b for p, b in sizes if p == ALL and b != EVERY]  # the largest first
    brands = [EVERY, *(of_all[:BRANDS] if len(of_all) > 1 else [])]
    months = sorted({p for p, _ in sizes if p != ALL})
    periods = [ALL, *(months[: -MONTHS - 1 : -1] if len(months) > 1 else [])]
    pairs = [(p, b) for b in brands for p in periods if sizes.get((p, b), 0) >= n_min]
    return ((ALL, EVERY), *(pair for pair in pairs if pair != (ALL, EVERY)))


def _bucket(scopes: pa.Table) -> str:
    """Return how coarse time is drawn, so that there are at most some forty moments."""
    first: dt.date | None = pc.min(scopes["first_day"]).as_py()
    last: dt.date | None = pc.max(scopes["last_day"]).as_py()
    days = (last - first).days if first and last else 0
    return next((name for most, name in _BUCKETS if days <= most), "year")


def _ids(*tables: pa.Table) -> str:
    """Return the first comments behind each row, as a list for SQL."""
    found = {
        comment for table in tables for ids in table["comment_ids"].to_pylist()
        for comment in ids[:BEHIND]
    }  # fmt: skip
    return _list(sorted(found))


def _list(texts: Sequence[str]) -> str:
    return ", ".join(f"'{quoted(text)}'" for text in texts) or "NULL"


def share_interval(x: int, n: int) -> tuple[float, float]:
    """Return the 90 % interval of x out of n (Wilson), as in metrics/intervals.sql.

    >>> low, high = share_interval(3, 10)
    >>> round(low, 3), round(high, 3)
    (0.127, 0.558)
    """
    middle, half = x + 1.352772, 1.6448536 * sqrt(x * (n - x) / n + 0.676386)
    return max((middle - half) / (n + 2.705543), 0), min((middle + half) / (n + 2.705543), 1)
