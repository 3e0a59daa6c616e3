"""A candidate beside the current model, on a frozen test set → promoted, or refused.

Comes in: two model folders and annotated comments that neither has learnt from. Goes out: the
promotion as it is written into `promotions.yaml`, or `PromotionError`. A candidate is refused
when a figure of `WATCHED` is worse and the paired bootstrap leaves 0 outside. Labels that are
worse beyond their interval are told and recorded, and do not refuse: of sixty labels some are so
by chance.
"""

import getpass
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxnlp.analyse import Analyzer
from cxnlp.annotate.sets import annotations_file
from cxnlp.config import bundled
from cxnlp.errors import ModelError, PromotionError, UsageError
from cxnlp.model import registry
from cxnlp.model.card import read_card
from cxnlp.model.engine import Engine
from cxnlp.taxonomy import load_taxonomy
from cxnlp.training.evaluate import evaluate

WATCHED = (
    "sentiment_accuracy", "sentiment_macro_f1", "emotions_micro_f1", "touchpoints_micro_f1",
    "levers_micro_f1", "intents_micro_f1", "mention_polarity_accuracy", "stars_mae",
)  # fmt: skip
_LOWER_IS_BETTER = ("stars_mae",)


def promote(
    candidate: str | Path, name: Path, test: Path | None, taxonomy: Path, *, reason: str,
    by: str | None = None, force: bool = False, new_test: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Make `candidate` the current version of the model folder `name`; return the promotion.

    `candidate` is a model folder, which is copied among the versions, or the name of a version.
    `test` may be left out where a promotion has named one; another test than that one needs
    `new_test`. Raises `PromotionError` when the candidate is worse and `force` is not set.
    """
    if not reason.strip():
        raise UsageError("say why with --reason, for those who read promotions.yaml later")
    with registry.promoting(name):
        place = _place(candidate, name)
        chosen = _test(name, test, new_test)
        card = read_card(place)
        present = registry.current(name)
        if (present / "card.yaml").is_file() and read_card(present) == card:
            raise UsageError(f"{card.version} is the current model of {name} already")
        new = _load(place, taxonomy)
        old, failed = _current(present, taxonomy, force)
        found = evaluate(chosen, new, against=old)
        worse = worse_figures(found)
        if worse and not force:
            raise PromotionError(_refusal(new, old, chosen, found, worse))
        version = registry.version_name(name, place) or registry.store(place, name)
        promotion: dict[str, Any] = {
            "version": version, "model": new.model_version,
            "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "by": by or _who(), "why": reason,
            "forced": bool(worse or failed), "instead_of": old.model_version if old else None,
            "test": {"file": str(chosen), "sha256": _digest(chosen),
                     "comments": found["comments"]},
            "scores": {n: round(v, 4) for n, v in found["scores"].items()},
        }  # fmt: skip
        if failed:
            promotion["not_compared"] = failed
        if old:
            promotion["differences"] = found["against"]["differences"]
            promotion["worse"] = worse
            promotion["worse_labels"] = moved_labels(found, better=False)
            promotion["better_labels"] = moved_labels(found, better=True)
        registry.point(name, promotion)
    return promotion


def worse_figures(found: dict[str, Any]) -> list[str]:
    """Return the figures of `WATCHED` that are worse beyond their interval."""
    differences = found.get("against", {}).get("differences", {})
    return [
        figure
        for figure in WATCHED
        if (one := differences.get(figure)) and one["beyond_noise"]
        and (one["difference"] > 0) == (figure in _LOWER_IS_BETTER)
    ]  # fmt: skip


def moved_labels(found: dict[str, Any], *, better: bool) -> list[str]:
    """Return `head:label` of each F1 that differs beyond its interval, in one direction."""
    return [
        f"{head}:{label}"
        for head, labels in found.get("against", {}).get("per_label", {}).items()
        for label, one in labels.items()
        if one["beyond_noise"] and (one["difference"] > 0) == better
    ]


def _place(candidate: str | Path, name: Path) -> Path:
    """Return the folder of a candidate: that of a version by its name, or a folder as given."""
    version = registry.version_folder(name, str(candidate))
    if str(candidate) == registry.BUNDLED or (version / "card.yaml").is_file():
        return version
    if not (Path(candidate) / "card.yaml").is_file():
        known = ", ".join(v.name for v in registry.versions(name)) or "none"
        raise ModelError(f"{candidate}: no such model folder, and no version of {name} ({known})")
    return Path(candidate)


def _test(name: Path, test: Path | None, new_test: bool) -> Path:
    """Return the test set, which stays the one of the last promotion unless a new one is asked."""
    last = next((p["test"] for p in reversed(registry.promotions(name)) if p.get("test")), None)
    chosen = annotations_file(test) if test else Path(last["file"]) if last else None
    if chosen is None:
        raise UsageError(f"no promotion of {name} has named a test set: give one with --test FILE")
    if not chosen.is_file():
        raise UsageError(f"{chosen}: no such test set; give one with --test FILE")
    if last and last["sha256"] != _digest(chosen) and not new_test:
        raise UsageError(
            f"{chosen} is not the test set of the last promotion ({last['file']}, sha256 "
            f"{last['sha256'][:12]}…): scores on it do not go on with the earlier ones; "
            "--new-test takes it from now on"
        )
    return chosen


def _current(place: Path, taxonomy: Path, force: bool) -> tuple[Analyzer | None, str]:
    """Return the current model, None where there is none yet; and why it cannot be loaded."""
    if not (place / "card.yaml").is_file():
        return None, ""
    try:
        return _load(place, taxonomy), ""
    except ModelError as error:
        if not force:
            raise ModelError(
                f"the current model cannot be compared with: {error}\n--force promotes without "
                "a comparison"
            ) from error
        return None, str(error)


def _load(place: Path, taxonomy: Path) -> Analyzer:
    """Return the analyzer of this very folder, whichever version is current."""
    return Analyzer(Engine.load(place), load_taxonomy(bundled(taxonomy)))


def _refusal(
    new: Analyzer, old: Analyzer | None, test: Path, found: dict[str, Any], worse: list[str]
) -> str:
    than = old.model_version if old else "none"
    lines = [f"{new.model_version} is worse than {than} on {test} beyond its interval:"]
    for figure in worse:
        one = found["against"]["differences"][figure]
        low, high = one["interval"]
        lines.append(f"  {figure}: {one['difference']:+.3f} ({low:+.3f} – {high:+.3f})")
    labels = moved_labels(found, better=False)
    if labels:
        lines.append(f"  labels: {', '.join(labels)}")
    lines.append("nothing was changed; `--force --reason …` promotes it all the same")
    return "\n".join(lines)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # a user without a name, as in some containers
        raise UsageError("this user has no name: say who promotes with --by NAME") from error


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
