"""What the report says of one period and one brand.

Comes in: `Facts`, and which (period, brand). Goes out: texts, figures in words and drawings for
the template, as dictionaries by the names it uses. Left out: what holds for all (`whole.py`).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from cxnlp.report import charts
from cxnlp.report import french as fr
from cxnlp.report.data import Facts, share_interval

Row = dict[str, Any]
View = tuple[str, str]
_SIDES: Final = ("negatif", "neutre", "positif")
_SHOWN: Final = ("negatif", "neutre", "mixte", "positif")  # the order of a bar
_OUTSIDE: Final = "transverse"
_FEW: Final = 5  # promises of too few comments that are shown all the same


def by_view(table: pa.Table) -> Mapping[View, list[Row]]:
    """Return the rows of each period and brand, in the order they lie."""
    found: dict[View, list[Row]] = defaultdict(list)
    for row in table.to_pylist():
        found[row["period"], row["brand"]].append(row)
    return found


def tone(low: float, high: float) -> str:
    """Return on which side of 0 an interval is: negatif, positif, or neutre when on both.

    >>> tone(-0.6, -0.2), tone(-0.1, 0.3)
    ('negatif', 'neutre')
    """
    return "negatif" if high < 0 else "positif" if low > 0 else "neutre"


def scored(row: Row, few: bool = False) -> Row:
    """Return a score of the tables in words, with its drawing."""
    between = f"de {fr.note(row['low'])} à {fr.note(row['high'])}"
    side = tone(row["low"], row["high"])
    drawing = charts.interval(row["score"], row["low"], row["high"], tone=side, few=few)
    return {"note": fr.note(row["score"]), "between": between, "tone": side, "drawing": drawing}


def first_screen(scope: Row, journey: list[Row], facts: Facts, names: Mapping[str, str]) -> Row:
    """Return what a reader sees first: where the journey breaks, how sure, how satisfied."""
    n, mean, half = scope["n"], scope["satisfaction"], scope["half"]
    stages = {row["stage"]: row["label"] for row in facts.stages.to_pylist()}
    return {
        "n": fr.count(n, "commentaire"),
        "span": fr.span(scope["first_day"], scope["last_day"]),
        "satisfaction": fr.decimal(mean),
        "between": f"entre {fr.decimal(max(mean - half, 1), 2)} "
                   f"et {fr.decimal(min(mean + half, 5), 2)}",
        "filled": round((mean - 1) / 4, 3),
        "shares": [_share(side, scope[side], n) for side in _SHOWN],
        **_headline(journey, stages, facts.n_min, names),
        "stages": [_stage(s, journey, facts.n_min, names, stages) for s in facts.stages.to_pylist()
                   if s["stage"] != _OUTSIDE],
    }  # fmt: skip


def _share(side: str, x: int, n: int) -> Row:
    low, high = share_interval(x, n)
    return {
        "id": side, "label": fr.word(side), "n": fr.number(x), "share": fr.percent(x / n),
        "between": fr.between(fr.percent(low), fr.percent(high)), "width": round(100 * x / n, 2),
    }  # fmt: skip


def _headline(
    journey: list[Row], stages: Mapping[str, str], n_min: int, names: Mapping[str, str]
) -> Row:
    """Say in one sentence where the journey breaks, and in a second how sure that is."""
    weakest = next((row for row in journey if row["weakest"]), None)
    if weakest is None:
        return {
            "before": "Pas encore de maillon faible : ", "link": "", "sure": "none",
            "after": "aucun point de contact n’est cité par assez de commentaires",
            "told": f"Il en faut {n_min} sur un même point de contact ; les notes ci-dessous "
                    "restent indicatives.",
        }  # fmt: skip
    figures = f"({fr.note(weakest['score'])}, sur {fr.count(weakest['n'], 'commentaire')})"
    between = f"de {fr.note(weakest['low'])} à {fr.note(weakest['high'])}"
    tied = [stages.get(s, s) for s in weakest["journey_ties"]]
    tied += [names.get(t, t) for t in weakest["ties"]]
    of = f"(étape {stages.get(weakest['stage'], weakest['stage'])}, intervalle à 90 % : {between})"
    if tied:
        told = f"À confirmer : l’écart avec {fr.listed(tied)} tient dans la marge d’erreur {of}."
    else:
        told = f"C’est net : aucun autre maillon n’est dans sa marge d’erreur {of}."
    before = "Maillon faible : " if weakest["score"] < 0 else "Maillon le moins solide : "
    return {
        "before": before, "link": names.get(weakest["touchpoint"], weakest["touchpoint"]),
        "after": figures, "told": fr.typeset(told), "sure": "tied" if tied else "clear",
    }  # fmt: skip


def _stage(
    stage: Row, journey: list[Row], n_min: int, names: Mapping[str, str], stages: Mapping[str, str]
) -> Row:
    row = next((r for r in journey if r["stage"] == stage["stage"]), None)
    base = {"label": stage["label"], "few": True, "weakest": False, "ties": "", "mean": ""}
    if row is None:
        return base | {"told": "aucun commentaire n’en parle"}
    if row["touchpoint"] is None:
        return base | {"told": f"aucun point de contact cité par {n_min} commentaires"}
    base |= scored(row) | {
        "few": False, "weakest": row["weakest"], "n": fr.count(row["n"], "commentaire"),
        "touchpoint": names.get(row["touchpoint"], row["touchpoint"]),
    }  # fmt: skip
    if row["ties"]:
        base["ties"] = f"à égalité avec {fr.listed([names.get(t, t) for t in row['ties']])}"
    if row["mean_minus_min"] > 0:
        base["mean"] = f"moyenne de l’étape{fr.THIN}: {fr.note(row['mean'])}"
    return base


def touchpoint_map(scores: list[Row], counts: list[Row], facts: Facts, names: Mapping[str, str]) \
        -> list[Row]:  # fmt: skip
    """Return the touchpoints by stage, each with its mentions per sentiment and its score."""
    said: dict[tuple[str, str], int] = {(c["touchpoint"], c["sentiment"]): c["n"] for c in counts}
    most, widest = max(said.values(), default=1), max((s["n"] for s in scores), default=1)
    groups = []
    for stage in facts.stages.to_pylist():
        rows = [
            {
                "label": names.get(s["touchpoint"], s["touchpoint"]),
                "n": fr.number(s["n"]), "bar": round(s["n"] / widest, 3),
                "few": s["n"] < facts.n_min, **scored(s, s["n"] < facts.n_min),
                "cells": [_cell(side, said.get((s["touchpoint"], side), 0), most)
                          for side in _SIDES],
            }
            for s in sorted(scores, key=lambda s: (s["score"], s["touchpoint"]))
            if s["stage"] == stage["stage"]
        ]  # fmt: skip
        if rows:
            groups.append({
                "label": stage["label"], "rows": rows, "outside": stage["stage"] == _OUTSIDE,
            })  # fmt: skip
    return groups


def _cell(side: str, n: int, most: int) -> Row:
    """Return a cell of the map; its weight grows with the root of its count."""
    return {
        "id": side,
        "n": fr.number(n) if n else "·",
        "weight": round(0.5 * (n / most) ** 0.5, 3),
    }


def levers(rows: list[Row], n_min: int, names: Mapping[str, str]) -> Row:
    """Return what speaking badly and well of each lever goes with, in stars."""
    bounds = [
        abs(row[f"coefficient_{side}_{end}"])
        for row in rows for side in ("negative", "positive") for end in ("low", "high")
        if row[f"coefficient_{side}"] is not None and row[f"n_{side}"] >= n_min
    ]  # fmt: skip
    reach = max([1.0, *bounds])
    rows = sorted(rows, key=lambda r: (_effect(r, n_min), r["lever"]))
    told = ""
    if rows and _effect(rows[0], n_min) < 0:
        told = (
            f"Se plaindre de « {names.get(rows[0]['lever'], fr.word(rows[0]['lever']))} » va de "
            f"pair avec {fr.decimal(-rows[0]['coefficient_negative'])} étoile de moins, tous les "
            "autres leviers tenus à part."
        )
    return {
        "told": told,
        "rows": [
            {"label": names.get(row["lever"], fr.word(row["lever"])),
             "sides": [_side(row, side, n_min, reach) for side in ("negative", "positive")]}
            for row in rows
        ],
    }  # fmt: skip


def _effect(row: Row, n_min: int) -> float:
    known = row["coefficient_negative"] is not None and row["n_negative"] >= n_min
    return float(row["coefficient_negative"]) if known else 9.0


def _side(row: Row, side: str, n_min: int, reach: float) -> Row:
    n, value = row[f"n_{side}"], row[f"coefficient_{side}"]
    few = n < n_min
    if value is None:
        return {
            "n": fr.number(n),
            "few": few,
            "value": "–",
            "between": "non calculable",
            "tone": "neutre",
            "drawing": "",
        }
    low, high = row[f"coefficient_{side}_low"], row[f"coefficient_{side}_high"]
    return {
        "n": fr.number(n), "few": few, "value": fr.change(value), "tone": tone(low, high),
        "between": f"de {fr.change(low)} à {fr.change(high)}",
        "drawing": charts.interval(value, low, high, reach=(-reach, reach),
                                   tone=tone(low, high), few=few),
    }  # fmt: skip


def promises(rows: list[Row], n_min: int, names: Mapping[str, str]) -> Row:
    """Return how often an expectation spoken of is broken, kept or surpassed.

    Touchpoints of which too few comments speak so come last, and not all of them.
    """
    enough = [row for row in rows if row["n"] >= n_min]
    few = sorted((row for row in rows if row["n"] < n_min), key=lambda r: -r["n"])
    return {
        "told": "" if enough else f"Trop peu d’attentes exprimées pour conclure{fr.THIN}: aucun "
                f"point de contact n’en réunit {n_min}.",
        "left": max(len(few) - _FEW, 0),
        "rows": _kept([*enough, *few[:_FEW]], n_min, names),
    }  # fmt: skip


def _kept(rows: list[Row], n_min: int, names: Mapping[str, str]) -> list[Row]:
    return [
        {
            "label": names.get(row["touchpoint"], row["touchpoint"]), "few": row["n"] < n_min,
            "n": fr.number(row["n"]), "below": fr.number(row["below"]),
            "kept": fr.number(row["kept"]), "beyond": fr.number(row["beyond"]),
            # a positive gap is bad news: broken promises are drawn to the left
            **scored({"score": -row["gap"], "low": -row["high"], "high": -row["low"]},
                     row["n"] < n_min),
        }
        for row in rows
    ]  # fmt: skip


def verbatims(rows: list[Row], scores: list[Row], names: Mapping[str, str]) -> list[Row]:
    """Return the touchpoints most spoken of, with the worst and the best that is said of each."""
    found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: {"negatif": [], "positif": []})
    for row in rows:
        found[row["touchpoint"]][row["sentiment"]].append(quote(row))
    most = sorted(scores, key=lambda s: (-s["n"], s["touchpoint"]))
    return [
        {"label": names.get(s["touchpoint"], s["touchpoint"]), "n": fr.count(s["n"], "commentaire"),
         **scored(s), **found[s["touchpoint"]]}
        for s in most if s["touchpoint"] in found
    ]  # fmt: skip


def quote(row: Row) -> Row:
    """Return a comment, cut around its excerpt, and who said it where and when."""
    before, excerpt, after = fr.within(row["text"], row.get("start", 0), row.get("end", 0))
    said = [row["of_brand"], fr.word(row["source"]), row["day"] and fr.day(row["day"])]
    if row["rating"] is not None:
        said.append(f"note donnée{fr.THIN}: {fr.short(row['rating'])}/5")
    return {
        "before": before,
        "excerpt": excerpt,
        "after": after,
        "said": " · ".join(filter(None, said)),
    }


def brands(facts: Facts, names: Mapping[str, str]) -> Iterator[Row]:
    """Yield each brand of some size: how satisfied its customers are, and its weakest link."""
    weakest = {row["brand"]: row for row in facts.brands.to_pylist()}
    for scope in facts.scopes.to_pylist():
        if scope["period"] != fr.ALL or scope["brand"] == fr.EVERY:
            continue
        n, link = scope["n"], weakest.get(scope["brand"])
        mean, half = scope["satisfaction"], scope["half"]
        yield {
            "label": scope["brand"], "n": fr.number(n), "few": n < facts.n_min,
            "satisfaction": fr.decimal(mean),
            "between": f"de {fr.decimal(max(mean - half, 1))} à {fr.decimal(min(mean + half, 5))}",
            "drawing": charts.interval(
                mean - 3, max(mean - half, 1) - 3, min(mean + half, 5) - 3, reach=(-2, 2),
                tone=tone(mean - half - 3, mean + half - 3), few=n < facts.n_min),
            "negatif": fr.percent(scope["negatif"] / n),
            "positif": fr.percent(scope["positif"] / n),
            "link": link and f"{names.get(link['touchpoint'], link['touchpoint'])} "
                             f"({fr.note(link['score'])}, sur {fr.number(link['n'])})",
        }  # fmt: skip
