"""One HTML file out of what the report says: template, style and script in one.

Comes in: `Facts`, the taxonomy's names, the model's card. Goes out: the text of report.html.
What customers wrote is escaped wherever it stands, and the page's policy lets nothing run but
its own script and nothing be fetched.
"""

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from cxnlp.model.card import Card
from cxnlp.report import french as fr
from cxnlp.report import scope, whole
from cxnlp.report.data import Facts
from cxnlp.report.scope import Row

_TEMPLATES = ("template.html", "view.html", "parts.html")


def render(facts: Facts, names: Mapping[str, str], card: Card | None = None) -> str:
    """Return report.html; `names` are the labels of levers, by id.

    `card` is shown when it is that of the model that made the labels.
    """
    touchpoints = (facts.names[column].to_pylist() for column in ("touchpoint", "label"))
    names = {
        name: fr.typeset(label)
        for name, label in {**names, **dict(zip(*touchpoints, strict=True))}.items()
    }
    script = _text("script.js")
    page = _environment().get_template("template.html")
    return page.render(
        style=Markup(_text("style.css")),  # noqa: S704  (our own file)
        script=Markup(script),  # noqa: S704  (our own file)
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        views=_views(facts, names),
        trends=whole.trends(facts),
        alerts=whole.alerts(facts, names),
        terms=whole.terms(facts),
        worth=whole.worth(facts, card),
        **_choices(facts),
    )


def _views(facts: Facts, names: Mapping[str, str]) -> list[Row]:
    """Return what can be chosen, one after the other; the first is shown at once."""
    scopes, journey, scores, counts, levers, promises, said, answers, tones = (
        scope.by_view(table)
        for table in (facts.scopes, facts.journey, facts.scores, facts.counts, facts.levers,
                      facts.promises, facts.verbatims, facts.answers, facts.tones)
    )  # fmt: skip
    return [
        {
            "key": "|".join(view), "first": place == 0, "brand": view[1], "period": view[0],
            "title": _title(view, scopes[view][0]),
            **scope.first_screen(scopes[view][0], journey[view], facts, names),
            "map": scope.touchpoint_map(scores[view], counts[view], facts, names),
            "levers": scope.levers(levers[view], facts.n_min, names),
            "promises": scope.promises(promises[view], facts.n_min, names),
            "verbatims": scope.verbatims(said[view], scores[view], names),
            "answers": whole.answers(answers[view], tones[view], facts),
            "brands": list(scope.brands(facts, names)) if place == 0 else [],
        }
        for place, view in enumerate(facts.views)
        if view in scopes
    ]  # fmt: skip


def _title(view: tuple[str, str], found: Row) -> str:
    period, brand = view
    if brand == fr.EVERY:
        many = found["brands"]
        brand = fr.count(many, "enseigne") if many > 1 else "Tous les commentaires"
    return brand if period == fr.ALL else f"{brand}, {fr.period(period)}"


def _choices(facts: Facts) -> dict[str, Any]:
    """Return the brands and the periods that can be chosen, each once, in the order of views."""
    brands = dict.fromkeys(brand for _, brand in facts.views)
    periods = dict.fromkeys(period for period, _ in facts.views)
    return {
        "brands": [(b, "Toutes les enseignes" if b == fr.EVERY else b) for b in brands],
        "periods": [(p, fr.upper(fr.period(p))) for p in periods],
        "n_min": facts.n_min,
    }


def _environment() -> Environment:
    """Return the templates, whose own French is set as French print does it."""
    return Environment(
        loader=DictLoader({name: fr.typeset(_text(name)) for name in _TEMPLATES}),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
