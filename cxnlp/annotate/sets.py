"""A training set that grows by imports: `SET/0001`, `SET/0002`, … each whole and never changed.

Comes in: checked annotations. Goes out: a new version folder with `annotations.jsonl` (all good
comments so far), `rejects.jsonl` (the refused rows of this import), `doubles.jsonl` (further
annotations of a comment), `about.yaml`. A version appears by one rename, so it is whole or not
there.
"""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from cxnlp.annotate.agreement import Agreement, agreement
from cxnlp.annotate.check import Checked
from cxnlp.annotate.rows import Annotated, own_row
from cxnlp.errors import UsageError

FILE = "annotations.jsonl"
ABOUT = "about.yaml"


@dataclass(frozen=True, slots=True)
class Added:
    """What an import did to a set."""

    folder: Path
    new: bool
    rows: int
    added: int
    replaced: int
    doubles: int
    rejects: int
    total: int
    agreement: list[Agreement]


def annotations_file(path: Path) -> Path:
    """Return the annotations of the latest version where `path` is a set; else `path` itself."""
    versions = _versions(path)
    return versions[-1] / FILE if versions else path


def add(folder: Path, checked: Checked, files: list[Path], taxonomy: str) -> Added:
    """Write the next version of a set; files that made the latest version make no new one.

    Of several annotations of one comment, the one marked as settled is learnt, else that of the
    first annotator by name; the others are kept in `doubles.jsonl`. A comment that is in the set
    already is replaced. Raises `UsageError` where `folder` is something else.
    """
    versions = _versions(folder)
    if folder.exists() and not versions and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: is not a set of annotations; give a new folder")
    before = _read(versions[-1] / FILE) if versions else {}
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    kept, doubles = _settle(checked.good)
    rows = {one.id: own_row(one) for one in kept}
    counts = {
        "rows": checked.rows, "added": len(rows.keys() - before.keys()),
        "replaced": sum(i in before and before[i] != row for i, row in rows.items()),
        "doubles": len(doubles), "rejects": len(checked.rejects),
        "total": len(before.keys() | rows.keys()),
    }  # fmt: skip
    found = agreement(checked.good)
    if versions and _about(versions[-1]).get("files") == digests:
        return Added(versions[-1], False, agreement=found, **counts)
    place = folder / f"{len(versions) + 1:04d}"
    about = {
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "files": digests, "taxonomy": taxonomy,
        **counts, "agreement": [asdict(one) for one in found],
    }  # fmt: skip
    _write(place, {
        FILE: list((before | rows).values()),
        "rejects.jsonl": [asdict(one) for one in checked.rejects],
        "doubles.jsonl": [own_row(one) for one in doubles],
    }, about)  # fmt: skip
    return Added(place, True, agreement=found, **counts)


def ids_and_texts(path: Path) -> tuple[set[str], set[str]]:
    """Return the ids and the texts of a set or of one file of annotations."""
    rows = _read(annotations_file(path)).values()
    return {str(r["id"]) for r in rows}, {str(r["text"]) for r in rows if "text" in r}


def _settle(good: list[Annotated]) -> tuple[list[Annotated], list[Annotated]]:
    """Return one annotation per comment, and the others."""
    order = sorted(good, key=lambda a: (not a.settled, a.annotator))
    kept: dict[str, Annotated] = {}
    doubles = [one for one in order if kept.setdefault(one.id, one) is not one]
    return [kept[i] for i in dict.fromkeys(one.id for one in good)], doubles


def _versions(folder: Path) -> list[Path]:
    return sorted(p.parent for p in folder.glob(f"[0-9][0-9][0-9][0-9]/{ABOUT}"))


def _about(version: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((version / ABOUT).read_text(encoding="utf-8")))


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        raise UsageError(f"{path}: no such set or file of annotations")
    lines = path.read_text(encoding="utf-8").split("\n")
    try:
        rows = [json.loads(line) for line in lines if line.strip()]
        return {str(row["id"]): row for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: not annotations as docs/annotation.md has: {error!r}") from error


def _write(place: Path, files: dict[str, list[dict[str, Any]]], about: dict[str, Any]) -> None:
    part = place.parent / f".{place.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, rows in files.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (part / name).write_text(lines, encoding="utf-8")
    text = yaml.safe_dump(about, sort_keys=False, allow_unicode=True)
    (part / ABOUT).write_text(text, encoding="utf-8")
    part.replace(place)
