"""The life of a small warehouse in five acts, and what must be true of it at any time.

Each act is a command. `Life` plays them once, undisturbed, and keeps the folder as it was before
each; a trial takes such a folder, disturbs the act, repeats it and compares.
"""

import resource
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import yaml
from conftest import TAXONOMY

from cxnlp import schema
from cxnlp.analyse import Analyzer
from cxnlp.errors import CxnlpError
from cxnlp.journal import JOURNAL, STAGING
from cxnlp.parts import decode
from cxnlp.warehouse import Warehouse
from faults.commands import at_step, nothing, run

KEY = "CLE_DES_AUTEURS"
NAME = "Ana 2"
FIRST, SECOND, AGAIN, FORGET, AFTER = range(5)
ACTS = ("first night", "second night", "reanalysis", "forget", "night after")
COMMANDS = (
    ("run", "config.yaml", "--direct"),
    ("run", "config.yaml", "--direct"),
    ("run", "new.yaml", "--direct"),
    ("forget", "warehouse", "--author", NAME, "--key-env", KEY, "--config", "new.yaml"),
    ("run", "new.yaml", "--direct"),
)
LINEAGE = ("run_id", "analysed_at")
TABLES = tuple(table for table in schema.TABLES if table is not schema.RUNS)
FIELDS = {"native_id": "id", "published_at": "date", "author": "auteur", "text": "texte",
          "reply_text": "reponse"}  # fmt: skip
TEXTS = (
    "Accueil charmant, mais deux heures de queue au guichet numéro {}.",
    "La livraison de la commande {} est arrivée avec trois jours de retard.",
    "Le prix du billet {} est trop élevé. Service client injoignable.",
    "The room number {} was very clean and the staff was friendly.",
)
LEFT_OUT = ("ambiguites", "leviers_typiques", "demande")
Content = dict[str, pa.Table]


@dataclass(frozen=True)
class Life:
    """The folder before each act and after the last, its tables; what each act took: seconds of
    the processor, and steps (`at_step`).
    """

    stages: tuple[Path, ...]
    contents: tuple[Content, ...]
    seconds: tuple[float, ...]
    steps: tuple[int, ...]

    def before(self, act: int, folder: Path) -> Path:
        """Return a fresh copy, at `folder`, of what was there when the act began."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.stages[act], folder)
        put_exports(folder, act)
        return folder

    def repeat(self, act: int, folder: Path) -> list[str]:
        """Do the act again in a folder where it was disturbed; return what is not as it should."""
        ended = run(folder, COMMANDS[act])
        if ended.status:
            return [f"the same command again ended in {ended.status}: {ended.said[-500:]}"]
        warehouse = Warehouse(str(folder / "warehouse"))
        wrong = [f"verify: {problem}" for problem in warehouse.verify()]
        wrong += [f"litter: {path}" for path in litter(folder / "warehouse")]
        there, expected = content(folder), self.contents[act + 1]
        return wrong + [f"{n}: other rows" for n in expected if not there[n].equals(expected[n])]


def live(folder: Path, model: Path) -> Life:
    """Play all acts, undisturbed, after loading once what every fork then has: French words."""
    Analyzer.load(model, TAXONOMY).analyze([TEXTS[0], TEXTS[3]])
    stages, seconds, steps = [folder / "stage-0"], [], []
    stages[0].mkdir(parents=True)
    _configure(stages[0], model)
    for act, command in enumerate(COMMANDS):
        stages.append(folder / f"stage-{act + 1}")
        shutil.copytree(stages[act], stages[-1])
        put_exports(stages[-1], act)
        counter, before = folder / "steps", _children()
        ended = run(stages[-1], command, partial(at_step, 1 << 30, nothing, counter))
        if ended.status:
            raise SystemExit(f"nobody disturbed it and it ended in {ended.status}:\n{ended.said}")
        seconds.append(_children() - before)
        steps.append(counter.stat().st_size)
    contents = tuple(content(stage) for stage in stages)
    return Life(tuple(stages), contents, tuple(seconds), tuple(steps))


def put_exports(folder: Path, act: int) -> None:
    """Write the exports as they are in an act: after the first night, of one file some rows
    are edited, answered, moved to another month and new.
    """
    for number, name in enumerate(("avis/a", "avis/b", "enquete/c")):
        path = folder / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        later = act > FIRST and name == "avis/b"
        rows = ["id;date;auteur;texte;reponse"]
        for i in range(20 * number, 20 * number + (28 if later else 20)):
            month = 9 + (i + later * (i % 5 == 0)) % 2
            day = "2026-02-31" if i % 10 == 9 else f"2026-{month:02d}-{1 + i % 28:02d}"
            text = TEXTS[i % 4].format(i // 3) + (" Vraiment." if later and i % 7 == 0 else "")
            reply = "Merci de votre visite." if later and i % 3 == 0 else ""
            rows.append(f"{i};{day};Ana {i % 4};{text};{reply}")
        path.write_text("\n".join(rows), encoding="utf-8")


def content(folder: Path) -> Content:
    """Return every table but `runs`, without what names the run, in the order of its key."""
    warehouse = Warehouse(str(folder / "warehouse"))
    return {
        table.name: warehouse.read(table)
        .drop_columns([name for name in LINEAGE if name in table.names])
        .sort_by([(name, "ascending") for name in table.key])
        .combine_chunks()
        for table in TABLES
    }


def unreadable(folder: Path) -> list[str]:
    """Return the Parquet files, of tables and raw, that cannot be read to the last page."""
    wrong = []
    for zone in ("tables", "raw"):
        for path in sorted((folder / "warehouse" / zone).rglob("*")):
            try:
                if path.is_file():
                    decode(path)
            except (OSError, pa.ArrowException) as error:
                wrong.append(f"unreadable: {path.name}: {error}")
    return wrong


def neither(life: Life, act: int, folder: Path) -> list[str]:
    """Return the tables whose rows are neither those before the act nor those after it."""
    before, after = life.contents[act], life.contents[act + 1]
    try:
        there = content(folder)
    except CxnlpError as error:
        return [f"tables cannot be read: {error}"]
    halfway = {table.name for table in schema.METRICS} if act == FORGET else set()
    halfway |= {"files", "rejects"} if act == FIRST else set()  # published source by source
    return [
        f"{name}: neither the old rows nor the new"
        for name, table in there.items()
        if name not in halfway and not (table.equals(before[name]) or table.equals(after[name]))
    ]


def litter(warehouse: Path) -> list[Path]:
    """Return what a disturbed run has left that nobody will need."""
    shards = (warehouse / "state" / "shards").glob("*")
    staging = (warehouse / STAGING).rglob("*")
    return [*staging, *warehouse.rglob("*.part"), *warehouse.glob(JOURNAL), *shards]


def _configure(folder: Path, model: Path) -> None:
    """Write two configurations, which differ in what they mask, and a taxonomy of a few
    touchpoints, which is read faster than the whole.
    """
    taxonomy = yaml.safe_load(TAXONOMY.read_text("utf-8"))
    taxonomy["points_de_contact"] = taxonomy["points_de_contact"][::5]
    taxonomy = {name: taxonomy[name] for name in taxonomy if name not in LEFT_OUT}
    text = yaml.safe_dump(taxonomy, allow_unicode=True)
    (folder / "taxonomy.yaml").write_text(text, encoding="utf-8")
    for name, masks in (("config", ["email", "telephone"]), ("new", ["email"])):
        settings = {
            "warehouse": "warehouse", "model": str(model),
            "taxonomy": "taxonomy.yaml", "execution": {"shard_size": 20},
            "privacy": {"author_key_env": KEY, "mask": masks},
            "sources": [{"name": source, "files": f"{source}/*.csv", "fields": FIELDS}
                        for source in ("avis", "enquete")],
        }  # fmt: skip
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def _children() -> float:
    """Return the processor time that commands have used so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
