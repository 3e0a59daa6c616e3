"""Two model folders → what differs between them: labels, thresholds, scores.

Comes in: two cards. Goes out: a dictionary ready for JSON. Left out: their answers on a gold
file, which `evaluate` compares.
"""

from typing import Any

from cxnlp.model.card import Card, Labels

HEADS = (*Labels.COMMENT, "polarity", "cues")


def contrast(old: Card, new: Card) -> dict[str, Any]:
    """Return what differs; a part that is the same in both is empty."""
    return {
        "old": old.version,
        "new": new.version,
        "same_weights": old.sha256 == new.sha256,
        "cleaning": [] if old.cleaning == new.cleaning else [old.cleaning, new.cleaning],
        "labels": _labels(old.labels, new.labels),
        "thresholds": _thresholds(old, new),
        "temperatures": {
            head: [old.temperatures.get(head), new.temperatures.get(head)]
            for head in sorted(old.temperatures.keys() | new.temperatures.keys())
            if old.temperatures.get(head) != new.temperatures.get(head)
        },
        "lexicon": {
            head: two
            for head in sorted(old.lexicon.keys() | new.lexicon.keys())
            if any((two := _changed(old.lexicon.get(head, ()), new.lexicon.get(head, ()))).values())
        },
        "scores": _scores(old, new),
    }


def _labels(old: Labels, new: Labels) -> dict[str, dict[str, list[str]]]:
    found = {head: _changed(getattr(old, head), getattr(new, head)) for head in HEADS}
    return {head: two for head, two in found.items() if any(two.values())}


def _changed(old: tuple[str, ...], new: tuple[str, ...]) -> dict[str, list[str]]:
    return {"added": [n for n in new if n not in old], "gone": [n for n in old if n not in new]}


def _thresholds(old: Card, new: Card) -> dict[str, dict[str, list[float]]]:
    """Return [old, new] of each threshold that differs, of labels that both have."""
    found: dict[str, dict[str, list[float]]] = {}
    for head in old.thresholds.keys() & new.thresholds.keys():
        one, other = (_named(card, head) for card in (old, new))
        moved = {n: [one[n], other[n]] for n in one if n in other and one[n] != other[n]}
        if moved:
            found[head] = moved
    return dict(sorted(found.items()))


def _named(card: Card, head: str) -> dict[str, float]:
    names = getattr(card.labels, head.removeprefix("segment_"))
    return dict(zip(names, card.thresholds[head], strict=True))


def _scores(old: Card, new: Card) -> dict[str, list[float | None]]:
    """Return [old, new] of each score that the cards tell, if they are of the same annotations."""
    one, other = (dict(card.about.get("scores") or {}) for card in (old, new))
    if not one or not other or one.get("gold") != other.get("gold"):
        return {}
    first, second = one.get("values", {}), other.get("values", {})
    names = [n for n in first if n in second]
    return {name: [first[name], second[name]] for name in names}
