"""Versions of a model under one name: `models/NAME/VERSION`, and which of them is current.

Comes in: the folder that settings name as their model. Goes out: the folder of its current
version, and what is known of all. `promotions.yaml` in the folder lists every promotion; the
last one says which version is current, so that replacing this one file is the whole switch. A
folder without it is a model folder itself. Left out: judging (`cxnlp.training.promotion`).
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from cxnlp.errors import ModelError
from cxnlp.model.card import Card, read_card

PROMOTIONS = "promotions.yaml"
BUNDLED = "bundled"  # the version whose files lie in the folder itself
_FILES = ("config.json", "model.safetensors", "tokenizer.json", "card.yaml", "README.md")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model: its card, or why it cannot be used."""

    name: str
    folder: Path
    card: Card | None
    fault: str
    current: bool


def current(folder: Path) -> Path:
    """Return the folder of the current version of `folder`; itself where nothing was promoted.

    Raises `ModelError` when the version that was promoted last is not there.
    """
    done = promotions(folder)
    if not done:
        return folder
    chosen = version_folder(folder, str(done[-1]["version"]))
    if not chosen.is_dir():
        raise ModelError(
            f"{folder / PROMOTIONS}: version {done[-1]['version']} was promoted last and is not "
            "there; put it back, or promote another one with `cxnlp models promote`"
        )
    return chosen


def promotions(folder: Path) -> list[dict[str, Any]]:
    """Return every promotion under this name, oldest first."""
    path = folder / PROMOTIONS
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = [{"version": p["version"], **p} for p in data["promotions"]]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, yaml.YAMLError, TypeError, KeyError, ValueError) as error:
        raise ModelError(
            f"{path}: not a list of promotions ({error!r}); put it back from a copy, or delete it "
            "to go back to the model files beside it"
        ) from error
    return found


def versions(folder: Path) -> list[Version]:
    """Return the versions under this name, in the order of their names."""
    chosen = current(folder).resolve()
    places = [folder] if (folder / "card.yaml").is_file() else []
    if folder.is_dir():
        places += sorted(p.parent for p in folder.glob("*/card.yaml"))
    return [_version(folder, place, place.resolve() == chosen) for place in places]


def version_folder(folder: Path, version: str) -> Path:
    """Return where a version lies."""
    return folder if version == BUNDLED else folder / version


def version_name(folder: Path, place: Path) -> str | None:
    """Return the version whose files lie in `place`, or None if that is elsewhere."""
    if place.resolve() == folder.resolve():
        return BUNDLED
    return place.name if place.resolve().parent == folder.resolve() else None


@contextmanager
def promoting(folder: Path) -> Iterator[None]:
    """Be the only one who promotes under this name; raises `ModelError` when another does."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise ModelError(f"{folder}: another promotion is under way; try again later") from error


def store(candidate: Path, folder: Path) -> str:
    """Copy a model folder among the versions of `folder`, whole or not at all; return its name.

    The name is the day of training and the first digits of the digest: `2026-11-25-1f2e3d4c`.
    """
    card = read_card(candidate)
    stem = f"{card.about.get('trained', 'undated')}-{card.sha256[:8]}"
    name, number = stem, 1
    while (folder / name).exists():
        if read_card(folder / name) == card:
            return name
        number += 1
        name = f"{stem}-{number}"  # the same weights with other thresholds
    part = folder / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for file in _FILES:
        if (candidate / file).is_file():
            shutil.copyfile(candidate / file, part / file)
            _sync(part / file)
    read_card(part)
    part.replace(folder / name)
    return name


def point(folder: Path, promotion: dict[str, Any]) -> None:
    """Add a promotion, whose `version` is current from now on; atomic."""
    done = [*promotions(folder), promotion]
    part = folder / f".{PROMOTIONS}.part"
    text = yaml.safe_dump({"promotions": done}, sort_keys=False, allow_unicode=True, width=100)
    part.write_text(text, encoding="utf-8")
    _sync(part)
    part.replace(folder / PROMOTIONS)


def _version(folder: Path, place: Path, is_current: bool) -> Version:
    name = version_name(folder, place) or place.name
    try:
        return Version(name, place, read_card(place), "", is_current)
    except ModelError as error:
        return Version(name, place, None, str(error), is_current)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
