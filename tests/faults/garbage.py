"""An export with one bad row in a hundred, of six kinds: every row is a comment or a reject.

Which rows are bad is known from how the file was made, not from what cxnlp says of it.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from cxnlp import night, schema
from cxnlp.config import load_settings
from cxnlp.warehouse import Warehouse
from faults.commands import run
from faults.life import TEXTS

KINDS = ("date", "note", "cells", "byte", "quote", "id")
REASONS = {"date": "date", "note": "note", "cells": "colonnes", "byte": "encodage",
           "quote": "colonnes", "id": "identifiant"}  # fmt: skip
FIELDS = {"native_id": "id", "published_at": "date", "rating": "note", "text": "texte"}


def garbage(model: Path, folder: Path, rows: int) -> dict[str, Any]:
    """Read the export, as the first stage of a night does, and account for every row."""
    folder.mkdir(parents=True)
    expected = _write(folder / "avis.csv", rows)
    source = {"name": "avis", "files": "avis.csv", "fields": FIELDS, "rating_scale": [1, 5]}
    settings = {"warehouse": "warehouse", "model": str(model), "sources": [source]}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    ended = run(folder, ("verify", "warehouse"), _ingest)
    wrong = [f"it ended in {ended.status}: {ended.said[-500:]}"] if ended.status else []
    warehouse = Warehouse(str(folder / "warehouse"))
    found = warehouse.read(schema.REJECTS, ("row", "reason")).to_pylist()
    rejects = {row["row"]: row["reason"] for row in found}
    kept = warehouse.read(schema.RAW, ("comment_id", "row"))
    lost = rows - kept.num_rows - len(found)
    if lost:
        wrong.append(f"{lost} rows are neither comments nor rejects")
    if {*range(1, rows + 1)} != {*kept["row"].to_pylist(), *rejects}:
        wrong.append("not each row of the file is there once")
    wrong += [
        f"row {row}: expected {expected.get(row)}, found {rejects.get(row)}"
        for row in sorted(expected.keys() | rejects.keys())
        if expected.get(row) != rejects.get(row)
    ][:10]
    return {"rows": rows, "comments": kept.num_rows, "rejects": len(found),
            "reasons": dict(Counter(rejects.values())), "wrong": wrong}  # fmt: skip


def _ingest() -> None:
    tonight = night.Night.begin(load_settings("config.yaml"))
    with tonight.underway():
        night.ingest(tonight, tonight.settings.sources[0])


def _write(path: Path, rows: int) -> dict[int, str]:
    """Write the export; return the reason that each bad row is to be refused for."""
    bad = {}
    with path.open("wb") as out:
        out.write(b"id;date;note;texte\r\n")
        for n in range(1, rows + 1):
            kind = KINDS[n // 100 % len(KINDS)] if n % 100 == 50 else ""
            name, day, mark = f"a{n}", f"2026-{1 + n % 9:02d}-{1 + n % 28:02d}", str(1 + n % 5)
            text = TEXTS[n % 4].format(n)
            if kind:
                bad[n] = REASONS[kind]
            if kind == "date":
                day = "31/02/2026"
            elif kind == "note":
                mark = "99"
            elif kind == "cells":
                text += ";de;trop"
            elif kind == "quote":
                text = f'"{text}'
            elif kind == "id":
                name = f"a{n + 1}"  # the next row has the same id and is kept
            line = f"{name};{day};{mark};{text}\r\n".encode()
            out.write(line.replace(b"a", b"\xff", 2) if kind == "byte" else line)
    return bad
