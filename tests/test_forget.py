"""A person who asks for it is nowhere in a warehouse any more, and does not come back."""

import csv
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from cxnlp import night, schema
from cxnlp.analyse import Analyzer
from cxnlp.cli import main
from cxnlp.config import load_settings
from cxnlp.errors import UsageError
from cxnlp.forget import Erased, forget
from cxnlp.forgotten import ERASED, read_forgotten
from cxnlp.invariants import check
from cxnlp.journal import JOURNAL, STAGING
from cxnlp.pseudonyms import pseudonym
from cxnlp.warehouse import Warehouse

NAME = "Zénobie Quarantotti"
KEY = "une-cle-de-test"
HEADER = ("id", "date", "auteur", "note", "texte", "reponse")
FIELDS = {
    "native_id": "id", "published_at": "date", "author": "auteur", "rating": "note",
    "text": "texte", "reply_text": "reponse",
}  # fmt: skip
QUEUE = "Une attente interminable devant le tourniquet violet, quelle honte !"
THEIRS = [
    ("zq-0001", "2026-09-14", NAME, "1", QUEUE, f"Bonjour {NAME}, toutes nos excuses."),
    ("zq-0002", "2026-08-02", f" {NAME.upper()} ", "4", "Le vestiaire turquoise est superbe.", ""),
    ("zq-0003", "31/02/2026", NAME, "3", "Un avis du trente et un février, tout de même.", ""),
    ("zq-0002", "2026-08-02", NAME, "5", "Le vestiaire turquoise est superbe, vraiment.", ""),
]
OTHERS = [
    ("1", "2026-09-15", "Ana", "5", "Accueil charmant et visite passionnante.", ""),
    ("2", "2026-09-16", "Bob", "2", QUEUE, ""),
    ("3", "2026-09-17", "Bob", "2", QUEUE, ""),
    ("4", "2026-09-18", "Eva", "5", f"Merci à {NAME} pour la visite !", ""),
    ("5", "2026-09-18", "Eva", "5", "Zénobie n'est pas un prénom si rare.", ""),
]
DAMAGED = f"9;2026-09-14;{NAME};1;Un avis mal coupé;;signé {NAME}\r\n"
SECRETS = (
    NAME, NAME.upper(), NAME.casefold(), "zq-000", "vestiaire turquoise", "trente et un février",
    "toutes nos excuses", str(pseudonym(NAME, KEY.encode())),
)  # fmt: skip


@dataclass
class Place:
    """A folder with one export, and the warehouse made of it."""

    folder: Path
    analyzer: Analyzer

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(str(self.folder / "warehouse"))

    def put(self, *rows: tuple[str, ...], damaged: str = "") -> None:
        path = self.folder / "avis.csv"
        with path.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out, delimiter=";").writerows([HEADER, *rows])
            out.write(damaged)

    def run(self, **settings: Any) -> dict[str, Any]:
        config = self.folder / "config.yaml"
        source = {"name": "avis", "files": "avis.csv", "fields": FIELDS}
        data = {"warehouse": self.warehouse.root, "sources": [source],
                "privacy": {"author_key_env": "CLE"}, **settings}  # fmt: skip
        config.write_text(yaml.safe_dump(data), encoding="utf-8")
        row = night.run(night.Night.begin(load_settings(config)), self.analyzer)
        return dict(row.to_pylist()[0])

    def forget(self, *names: str, comments: tuple[str, ...] = ()) -> Erased:
        return forget(self.warehouse, names, comments, [KEY.encode()])

    def comments(self) -> dict[str, dict[str, Any]]:
        return {c["native_id"]: c for c in self.warehouse.read(schema.COMMENTS).to_pylist()}

    def found(self, *secrets: str) -> list[str]:
        """Return where any of `secrets` is, in the bytes of a file or the cells of a table."""
        root = Path(self.warehouse.root)
        return [
            f"{path.relative_to(root)}: {secret}"
            for path in sorted(p for p in root.rglob("*") if p.is_file())
            for secret in secrets
            for content in _contents(path)
            if secret.encode() in content
        ]

    def problems(self) -> list[str]:
        taxonomy = self.analyzer.taxonomy
        stages = {t.id: t.stage for t in taxonomy.touchpoints}
        found = check(self.warehouse, stages, {lever.id for lever in taxonomy.levers})
        return found + self.warehouse.verify()


def _contents(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()
    if path.suffix == ".parquet":
        yield repr(pq.read_table(path, partitioning=None).to_pydict()).encode()
        yield str(pq.read_metadata(path).metadata).encode()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, analyzer: Analyzer) -> Place:
    """A warehouse of comments of the person and of others, with three rejects of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLE", KEY)
        made = Place(tmp_path_factory.mktemp("template"), analyzer)
        patch.chdir(made.folder)
        made.put(*THEIRS, *OTHERS, damaged=DAMAGED)
        made.run()
    return made


@pytest.fixture
def place(template: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A copy of the template that the test may change; the export is named as in the template."""
    monkeypatch.setenv("CLE", KEY)
    folder = tmp_path / "place"
    shutil.copytree(template.folder, folder)
    monkeypatch.chdir(folder)
    return Place(folder, template.analyzer)


@pytest.fixture
def secrets(place: Place) -> tuple[str, ...]:
    """All that must be gone: words, pseudonym, and the ids and digests of the person's rows."""
    rows = [row for name, row in place.comments().items() if name.startswith("zq")]
    digests = [row["comment_id"] for row in rows] + [row["row_digest"] for row in rows]
    return (*SECRETS, *digests)


@pytest.fixture
def alone(place: Place) -> Place:
    """The same without the comment of another that holds the name."""
    place.forget(comments=(place.comments()["4"]["comment_id"],))
    return place


def test_nothing_of_a_forgotten_person_is_in_any_byte(
    alone: Place, secrets: tuple[str, ...]
) -> None:
    assert {s for s in secrets if not alone.found(s)} == set(SECRETS[1:3])  # it is there before
    rows = alone.warehouse.read(schema.COMMENTS)
    warehouse = alone.warehouse
    with warehouse.hold():
        warehouse.stage_shard("abc", rows, schema.empty(schema.MENTIONS))
        failed = warehouse.read(schema.RUNS)
        failed = failed.set_column(
            failed.column_names.index("error"), "error", pa.array([f"XError: {NAME}"])
        )
        warehouse.publish([night.Part(schema.RUNS, failed)], run_id="r", metadata={})
    alone.forget(NAME)
    assert alone.found(*secrets) == []


def test_what_remains_is_whole(place: Place) -> None:
    place.forget(NAME)
    assert place.problems() == []
    assert sorted(place.comments()) == ["1", "2", "3", "4", "5"]


def test_the_command_says_what_was_erased(place: Place) -> None:
    done = place.forget(NAME.upper())
    assert (done.comments, done.raw, done.rejects) == (2, 2, 3)


def test_rejects_of_a_forgotten_person_keep_their_place_alone(place: Place) -> None:
    place.forget(NAME)
    rejects = place.warehouse.read(schema.REJECTS).to_pylist()
    assert [r["detail"] for r in rejects] == [ERASED] * 3
    assert sorted(r["reason"] for r in rejects) == ["colonnes", "date", "identifiant"]
    assert {r["raw"] for r in rejects} == {""}


def test_comments_of_others_that_hold_the_name_are_told_and_stay(place: Place) -> None:
    assert place.forget(NAME).named_in == (place.comments()["4"]["comment_id"],)


def test_the_first_of_the_others_takes_the_place_of_a_forgotten_first(place: Place) -> None:
    assert place.comments()["2"]["set_aside"] == "doublon"
    assert place.forget(NAME).waiting == 1
    row = place.run()
    after = place.comments()
    assert row["comments_written"] == 1
    assert (after["2"]["set_aside"], after["2"]["duplicate_of"]) == (None, None)
    assert after["3"]["duplicate_of"] == after["2"]["comment_id"]


def test_metrics_and_report_are_those_of_a_warehouse_that_never_knew_the_person(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.forget(NAME)
    place.run()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    other = Place(tmp_path / "other", place.analyzer)
    other.put(*OTHERS)
    other.run()
    for table in schema.METRICS:
        mine, theirs = (p.warehouse.read(table).to_pydict() for p in (place, other))
        for name, values in theirs.items():
            rounded = pa.types.is_floating(table.arrow.field(name).type)
            assert mine[name] == (pytest.approx(values, abs=1e-5) if rounded else values), name


def test_metrics_keep_the_constants_of_the_last_run(place: Place) -> None:
    place.run(metrics={"n_min": 1, "shrink": 0})
    place.forget(comments=(place.comments()["5"]["comment_id"],))
    before = place.warehouse.read(schema.TOUCHPOINT_SCORES)
    place.run(metrics={"n_min": 1, "shrink": 0})
    assert place.warehouse.read(schema.TOUCHPOINT_SCORES).equals(before)


def test_a_forgotten_person_does_not_come_back_with_the_next_export(place: Place) -> None:
    place.forget(NAME)
    more = ("zq-0009", "2026-09-20", NAME, "1", "Un tout nouvel avis.", "")
    place.put(*THEIRS, *OTHERS, more, damaged=DAMAGED)
    place.run()
    place.forget(comments=(place.comments()["4"]["comment_id"],))
    assert place.found(*SECRETS, "nouvel avis") == []
    assert place.problems() == []


def test_records_of_the_forgotten_are_counted_in_files(place: Place) -> None:
    place.forget(NAME)
    place.put(*THEIRS[:2], OTHERS[0])
    place.run()
    first, second = place.warehouse.read(schema.FILES).sort_by("sequence").to_pylist()
    assert (first["forgotten"], second["forgotten"], second["comments"]) == (2, 2, 1)


def test_a_comment_forgotten_by_its_id_does_not_come_back_under_another_key(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.forget(NAME)
    monkeypatch.setenv("CLE", "une-autre-cle")
    place.put(*THEIRS[:2], *OTHERS, OTHERS[0])
    place.run()
    assert sorted(place.comments()) == ["1", "2", "3", "4", "5"]


def test_forgetting_twice_changes_nothing(place: Place) -> None:
    place.forget(NAME)
    before = place.warehouse.read(schema.COMMENTS)
    assert place.forget(NAME).comments == 0
    assert place.warehouse.read(schema.COMMENTS).equals(before)


def test_the_list_of_the_forgotten_holds_digests_alone(place: Place) -> None:
    place.forget(NAME)
    assert all(len(digest) == 64 for digest in read_forgotten(place.warehouse).digests)


def test_a_name_that_nobody_has_is_a_mistake(place: Place) -> None:
    with pytest.raises(UsageError, match="holds no comment of that author or id"):
        place.forget("Personne")


def test_no_litter_is_left(place: Place) -> None:
    place.forget(NAME)
    root = Path(place.warehouse.root)
    assert not (root / JOURNAL).exists()
    assert [*root.glob(f"{STAGING}/*"), *root.glob("state/shards/*")] == []


def _cxnlp(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["cxnlp", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_the_command_ends_in_0_and_writes_the_report(
    alone: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("forget", alone.warehouse.root, "--author", NAME, "--key-env", "CLE")
    assert _cxnlp(monkeypatch, *arguments) == 0
    assert capsys.readouterr().out.startswith("Erased: 2 comments, ")
    assert NAME not in (Path(alone.warehouse.root) / "report.html").read_text("utf-8")


def test_a_dry_run_erases_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("forget", place.warehouse.root, "--author", NAME, "--key-env", "CLE")
    assert _cxnlp(monkeypatch, *arguments, "--dry-run") == 0
    assert capsys.readouterr().out.startswith("Would erase: 2 comments, ")
    assert len(place.comments()) == 7


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say whom to erase"),
        (["--author", NAME], "keeps no key of pseudonyms"),
        (["--author", "Personne", "--key-env", "CLE"], "holds no comment of that author"),
    ],
)
def test_a_wrong_call_ends_in_2_and_says_why(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], said: str,
) -> None:  # fmt: skip
    assert _cxnlp(monkeypatch, "forget", place.warehouse.root, *arguments) == 2
    assert said in capsys.readouterr().err


def test_a_warehouse_that_is_held_ends_in_75(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with place.warehouse.hold("another"):
        assert _cxnlp(monkeypatch, "forget", place.warehouse.root, "--comment", "x") == 75
