"""A file of the tables or of raw, cut short or with one bit turned: `cxnlp verify` names it."""

import random
from pathlib import Path
from typing import Any

from faults.commands import run
from faults.life import Life


def damage(life: Life, folder: Path, number: int) -> dict[str, Any]:
    """Damage one Parquet file at a random place, in turn by a cut and by a bit."""
    life.before(len(life.stages) - 1, folder)
    draw = random.Random(number)  # noqa: S311
    path = draw.choice(sorted((folder / "warehouse").glob("[tr]a*/**/*.parquet")))
    sound = path.read_bytes()
    at = draw.randrange(len(sound))
    cut = number % 2 == 0
    turned = sound[:at] + bytes([sound[at] ^ 1 << draw.randrange(8)]) + sound[at + 1 :]
    path.write_bytes(sound[:at] if cut else turned)
    ended = run(folder, ("verify", "warehouse"))
    name = path.relative_to(folder / "warehouse").as_posix()
    found = ended.status == 1 and name in ended.said
    wrong = [] if found else [f"verify ended in {ended.status}: {ended.said[-300:]}"]
    return {"file": name, "how": "cut" if cut else "bit", "byte": at, "wrong": wrong}
