"""The command line as a new user meets it: one message for each mistake, an exit status, tables."""

import csv
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
import yaml

import cxnlp.night  # loaded here, so that no import is interrupted
import cxnlp.show
from cxnlp import schema
from cxnlp.analyse import Analyzer
from cxnlp.cli import app, main
from cxnlp.onefile import analyse_file
from cxnlp.parts import Part
from cxnlp.taxonomy import load_taxonomy
from cxnlp.warehouse import Warehouse

ROOT = Path(__file__).parents[1]
TAXONOMY = ROOT / "configs" / "taxonomy.yaml"
TEXTS = (
    "Accueil charmant 😀, mais deux heures de queue au guichet.",
    "Le prix est trop élevé. Service client injoignable !",
    "",
    "The staff was friendly and the rooms were very clean.",
)
TABLES = {"comments": schema.COMMENTS, "mentions": schema.MENTIONS, "rejects": schema.REJECTS}
FORMULAS = ("=1+1", "+33", "-5", "@somme", "bien = mal", "'déjà")


@dataclass
class Ended:
    status: int
    out: str
    err: str


Cxnlp = Callable[..., Ended]


@pytest.fixture
def cxnlp(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cxnlp:
    """The command, called in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["cxnlp", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        return Ended(status, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Ten comments, the last of which has an impossible date."""
    rows = [
        {"id": f"n-{i}", "text": f"{TEXTS[i % 4]}", "date": "2026-09-14", "rating": 1 + i % 5}
        for i in range(10)
    ]
    rows[-1]["date"] = "2026-02-31"
    return rows


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with one table of which the names would be formulas."""
    root = tmp_path_factory.mktemp("warehouse")
    rejects = {column.name: list(FORMULAS) for column in schema.REJECTS.columns}
    rejects["row"] = list(range(len(FORMULAS)))
    held = Warehouse(str(root))
    with held.hold():
        data = pa.Table.from_pydict(rejects, schema.REJECTS.arrow)
        held.publish([Part(schema.REJECTS, data)], run_id="r1", metadata={})
    return root


def test_the_help_of_every_command_shows_an_example(cxnlp: Cxnlp) -> None:
    for words in commands():
        shown = cxnlp(*words, "--help")
        assert shown.status == 0
        assert f"Example: cxnlp {' '.join(words)} " in " ".join(shown.out.split())


def test_without_a_command_the_help_is_shown(cxnlp: Cxnlp) -> None:
    shown = cxnlp()
    assert "analyze" in shown.out + shown.err


def test_the_version_is_shown(cxnlp: Cxnlp) -> None:
    assert cxnlp("--version").out.startswith("cxnlp ")


def test_the_help_imports_nothing_heavy() -> None:
    asked = "import sys; heavy = {'torch', 'prefect', 'spacy', 'duckdb', 'pandas', 'transformers'}"
    done = process(f"{asked}; sys.stderr.write(' '.join(heavy & set(sys.modules)))", "--help")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_mistake_ends_in_one_line_of_a_real_process(tmp_path: Path) -> None:
    done = process("", "analyze", "nulle-part.csv", "--output", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "cxnlp: nulle-part.csv: no such file\n"


@pytest.mark.parametrize(
    "words",
    [
        ("run", "nulle-part.yaml", "--direct"),
        ("run", "nulle-part.yaml"),
        ("evaluate", "nulle-part.jsonl", "--taxonomy", "nulle-part.yaml"),
        ("train", "nulle-part.yaml", "--data", "nulle-part"),
        ("query", "nulle-part", "SELECT 1"),
        ("verify", "nulle-part"),
        ("taxonomy", "check", "nulle-part.yaml"),
        ("models", "verify", "nulle-part"),
        ("analyze", "--text", "Parfait.", "--model", "nulle-part"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_wrong_path_is_named(cxnlp: Cxnlp, words: tuple[str, ...]) -> None:
    assert_refused(cxnlp(*words), 2, "nulle-part")


def test_an_empty_file_is_told(cxnlp: Cxnlp, tmp_path: Path) -> None:
    (tmp_path / "avis.csv").touch()
    ended = cxnlp("analyze", tmp_path / "avis.csv", "--output", tmp_path / "out")
    assert_refused(ended, 2, "avis.csv", "0 bytes")


def test_a_pdf_named_csv_is_told(cxnlp: Cxnlp, tmp_path: Path) -> None:
    (tmp_path / "avis.csv").write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3")
    ended = cxnlp("analyze", tmp_path / "avis.csv", "--output", tmp_path / "out")
    assert_refused(ended, 2, "avis.csv", "PDF")


def test_a_folder_is_no_file(cxnlp: Cxnlp, tmp_path: Path) -> None:
    assert_refused(cxnlp("analyze", tmp_path, "--output", tmp_path / "out"), 2, "no such file")


def test_a_file_without_a_text_column_names_the_columns(cxnlp: Cxnlp, tmp_path: Path) -> None:
    (tmp_path / "avis.csv").write_text("Id;Avis\n1;Parfait.\n", encoding="utf-8")
    ended = cxnlp("analyze", tmp_path / "avis.csv", "--output", tmp_path / "out")
    assert_refused(ended, 2, "--text", "Id, Avis")


def test_a_text_column_that_is_not_there_names_those_that_are(cxnlp: Cxnlp, tmp_path: Path) -> None:
    (tmp_path / "avis.csv").write_text("Id;Avis\n1;Parfait.\n", encoding="utf-8")
    words = ("analyze", tmp_path / "avis.csv", "--output", tmp_path / "out", "--text", "Avi")
    assert_refused(cxnlp(*words), 2, "'Avi'", "did you mean 'Avis'?", "Id, Avis")


def test_a_file_without_an_output_says_which_option_lacks(cxnlp: Cxnlp, tmp_path: Path) -> None:
    (tmp_path / "avis.csv").touch()
    assert_refused(cxnlp("analyze", tmp_path / "avis.csv"), 2, "--output DIR")


def test_analyze_with_nothing_says_what_to_give(cxnlp: Cxnlp) -> None:
    assert_refused(cxnlp("analyze"), 2, "--text")


def test_an_output_that_is_a_file_is_told(cxnlp: Cxnlp, tmp_path: Path) -> None:
    (tmp_path / "avis.csv").write_text("text\nParfait.\n", encoding="utf-8")
    ended = cxnlp("analyze", tmp_path / "avis.csv", "--output", tmp_path / "avis.csv")
    assert_refused(ended, 2, "is not a folder")


def test_an_unknown_device_is_told(cxnlp: Cxnlp) -> None:
    assert_refused(cxnlp("analyze", "--text", "Bien.", "--device", "tpu"), 2, "tpu", "cuda:0")


def test_an_unknown_option_is_told(cxnlp: Cxnlp) -> None:
    ended = cxnlp("analyze", "--modle", "x")
    assert (ended.status, ended.out) == (2, "")
    assert "No such option: --modle" in ended.err


def test_an_unknown_key_names_the_known_ones(cxnlp: Cxnlp, tmp_path: Path) -> None:
    config = configured(tmp_path, inference={"devise": "cpu"})
    ended = cxnlp("run", config, "--direct")
    assert_refused(ended, 2, str(config), "inference.devise", "device, precision")


def test_every_wrong_key_is_told_at_once(cxnlp: Cxnlp, tmp_path: Path) -> None:
    config = configured(tmp_path, inference={"device": "tpu"}, partition="year")
    assert_refused(cxnlp("run", config, "--direct"), 2, "inference.device", "partition", "'year'")


def test_a_configuration_that_is_not_yaml_says_on_which_line(cxnlp: Cxnlp, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("warehouse: [output\nsources: 1\n", encoding="utf-8")
    assert_refused(cxnlp("run", tmp_path / "c.yaml", "--direct"), 2, "c.yaml", "line 2")


def test_days_in_the_wrong_order_are_told(cxnlp: Cxnlp, tmp_path: Path) -> None:
    words = ("run", configured(tmp_path), "--direct", "--from", "2026-09-15", "--to", "2026-09-14")
    assert_refused(cxnlp(*words), 2, "2026-09-15 is after --to 2026-09-14")


def test_a_day_that_is_none_is_told(cxnlp: Cxnlp, tmp_path: Path) -> None:
    ended = cxnlp("run", configured(tmp_path), "--direct", "--from", "14/09/2026")
    assert ended.status == 2
    assert "14/09/2026" in ended.err


def test_a_wrong_column_in_a_mapping_names_those_there_are(
    cxnlp: Cxnlp, tmp_path: Path, tiny_model: Path
) -> None:
    (tmp_path / "avis.csv").write_text("Id;Avis\n1;Parfait.\n", encoding="utf-8")
    config = configured(tmp_path, model=str(tiny_model), fields={"text": "Aviss"})
    ended = cxnlp("run", config, "--direct")
    assert_refused(ended, 2, "fields.text", "'Aviss'", "did you mean 'Avis'?", "Id, Avis")


def test_a_warehouse_that_is_held_ends_in_75(cxnlp: Cxnlp, tmp_path: Path) -> None:
    with Warehouse(str(tmp_path / "warehouse")).hold("20260915T020000-4f1d"):
        ended = cxnlp("run", configured(tmp_path), "--direct")
    assert_refused(ended, 75, "held by run 20260915T020000-4f1d")


def test_an_interrupted_run_says_what_stays(cxnlp: Cxnlp, tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "avis.csv").write_text("Id;Avis\n1;Parfait.\n", encoding="utf-8")
    config = configured(tmp_path, model=str(tiny_model))
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        ended = cxnlp("run", config, "--direct")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert_refused(ended, 130, "interrupted", "run again")


def test_a_model_with_a_flipped_byte_is_refused(
    cxnlp: Cxnlp, tmp_path: Path, tiny_model: Path
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert_refused(cxnlp("models", "verify", folder), 2, str(folder), "sha256")
    ended = cxnlp("analyze", "--text", "Parfait.", "--model", folder)
    assert_refused(ended, 2, str(folder), "sha256")


def test_a_model_that_is_whole_is_verified(cxnlp: Cxnlp, tiny_model: Path) -> None:
    ended = cxnlp("models", "verify", tiny_model)
    assert (ended.status, ended.err) == (0, "")


def test_a_taxonomy_with_two_equal_ids_says_on_which_lines(cxnlp: Cxnlp, tmp_path: Path) -> None:
    lines = TAXONOMY.read_text(encoding="utf-8").splitlines()
    first, second = [i for i, line in enumerate(lines) if line.startswith("  - id: ")][:2]
    lines[second] = lines[first]
    (tmp_path / "t.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    ended = cxnlp("taxonomy", "check", tmp_path / "t.yaml")
    assert_refused(ended, 2, f"t.yaml:{second + 1}: ", f"already stands on line {first + 1}")


def test_the_taxonomy_of_the_project_is_valid(cxnlp: Cxnlp) -> None:
    ended = cxnlp("taxonomy", "check", TAXONOMY)
    assert (ended.status, ended.err) == (0, "")
    assert f"{len(load_taxonomy(TAXONOMY).touchpoints)} touchpoints" in ended.out


def test_one_comment_is_shown_with_its_mentions(
    cxnlp: Cxnlp, tiny_model: Path, analyzer: Analyzer
) -> None:
    ended = cxnlp("analyze", "--text", TEXTS[0], "--model", tiny_model)
    assert (ended.status, ended.err) == (0, "")
    assert TEXTS[0] in ended.out
    for excerpt in analyzer.analyze([TEXTS[0]]).mentions["excerpt"].to_pylist():
        assert f"« {excerpt} »" in ended.out


def test_json_lines_become_three_tables(
    cxnlp: Cxnlp, tmp_path: Path, tiny_model: Path, rows: list[dict[str, Any]]
) -> None:
    source = written(rows, tmp_path / "avis.jsonl")
    ended = cxnlp("analyze", source, "--output", tmp_path / "out", "--model", tiny_model)
    assert (ended.status, ended.err) == (0, "")
    assert f"{tmp_path}/out/comments.parquet: 9 rows" in ended.out
    assert_three_tables(tmp_path / "out", rows)


@pytest.mark.parametrize("kind", ["csv", "xlsx", "parquet", "jsonl"])
def test_a_file_of_any_format_becomes_three_tables(
    tmp_path: Path, analyzer: Analyzer, rows: list[dict[str, Any]], kind: str
) -> None:
    source = written(rows, tmp_path / f"avis.{kind}")
    analyse_file(source, tmp_path / "out", lambda: analyzer)
    assert_three_tables(tmp_path / "out", rows)


def test_lines_of_id_and_text_are_enough(tmp_path: Path, analyzer: Analyzer) -> None:
    rows = [{"id": "a", "text": TEXTS[0]}, {"id": "b", "text": TEXTS[1]}]
    analyse_file(written(rows, tmp_path / "a.jsonl"), tmp_path / "out", lambda: analyzer)
    comments = pq.read_table(tmp_path / "out" / "comments.parquet")
    assert comments["comment_id"].to_pylist() == ["a", "b"]


def test_an_id_that_two_sources_share_is_not_taken_for_ours(
    tmp_path: Path, analyzer: Analyzer
) -> None:
    rows = [{"id": "1", "text": t, "source": s} for t, s in zip(TEXTS, ("a", "b"), strict=False)]
    tables = analyse_file(written(rows, tmp_path / "a.jsonl"), tmp_path / "o", lambda: analyzer)
    assert len(set(tables["comments"]["comment_id"].to_pylist())) == 2


def test_a_header_alone_gives_three_empty_tables(tmp_path: Path, analyzer: Analyzer) -> None:
    (tmp_path / "avis.csv").write_text("id,text\n", encoding="utf-8")
    analyse_file(tmp_path / "avis.csv", tmp_path / "out", lambda: analyzer)
    for name, table in TABLES.items():
        found = pq.read_table(tmp_path / "out" / f"{name}.parquet")
        assert found.num_rows == 0
        assert found.schema.equals(table.arrow)


def test_nothing_but_the_three_tables_is_left_in_the_output(
    tmp_path: Path, analyzer: Analyzer, rows: list[dict[str, Any]]
) -> None:
    analyse_file(written(rows, tmp_path / "a.csv"), tmp_path / "out", lambda: analyzer)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "comments.parquet", "mentions.parquet", "rejects.parquet",
    ]  # fmt: skip


def test_a_good_query_is_answered(cxnlp: Cxnlp, warehouse: Path) -> None:
    ended = cxnlp("query", warehouse, "SELECT count(*) AS combien FROM rejects")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.split() == ["combien", str(len(FORMULAS))]


def test_a_long_answer_is_not_cut_away_from_a_terminal(cxnlp: Cxnlp, warehouse: Path) -> None:
    assert "x" * 500 in cxnlp("query", warehouse, "SELECT repeat('x', 500) AS x").out


def test_a_table_without_rows_can_be_asked(cxnlp: Cxnlp, warehouse: Path) -> None:
    assert cxnlp("query", warehouse, "SELECT count(*) AS n FROM comments").out.split() == ["n", "0"]


@pytest.mark.parametrize("sql", ["SELECT", "SELECT x FROM rejects", "DROP VIEW rejects", ""])
def test_a_bad_query_is_told(cxnlp: Cxnlp, warehouse: Path, sql: str) -> None:
    assert_refused(cxnlp("query", warehouse, sql), 2, "query: ")


def test_texts_of_an_answer_are_no_formulas_for_a_spreadsheet(
    cxnlp: Cxnlp, warehouse: Path, tmp_path: Path
) -> None:
    sql = 'SELECT detail, detail AS "=1", row - 9 AS n FROM rejects ORDER BY row'
    ended = cxnlp("query", warehouse, sql, "--output", tmp_path / "a.csv")
    assert (ended.status, ended.err) == (0, "")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        header, *found = csv.reader(file)
    assert header == ["detail", "'=1", "n"]
    assert [cells[0] for cells in found] == ["'=1+1", "'+33", "'-5", "'@somme", *FORMULAS[4:]]
    assert [cells[2] for cells in found] == ["-9", "-8", "-7", "-6", "-5", "-4"]


def test_an_answer_is_written_as_parquet(cxnlp: Cxnlp, warehouse: Path, tmp_path: Path) -> None:
    cxnlp("query", warehouse, "SELECT detail FROM rejects", "--output", tmp_path / "a.parquet")
    assert sorted(pq.read_table(tmp_path / "a.parquet")["detail"].to_pylist()) == sorted(FORMULAS)


@pytest.mark.parametrize("name", ["a.txt", "nulle-part/a.csv", "nulle-part/a.parquet"])
def test_an_answer_that_cannot_be_written_is_told(
    cxnlp: Cxnlp, warehouse: Path, tmp_path: Path, name: str
) -> None:
    ended = cxnlp("query", warehouse, "SELECT 1 AS x", "--output", tmp_path / name)
    assert_refused(ended, 2, name.split("/")[0])


def test_a_whole_warehouse_is_verified(cxnlp: Cxnlp, warehouse: Path) -> None:
    ended = cxnlp("verify", warehouse)
    assert (ended.status, ended.err) == (0, "")


def test_an_altered_file_is_found(cxnlp: Cxnlp, warehouse: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(warehouse, tmp_path / "warehouse")
    with (copy / "tables" / "rejects.parquet").open("r+b") as file:
        file.seek(40)
        file.write(b"\xff")
    assert_refused(cxnlp("verify", copy), 1, "tables/rejects.parquet", "sha256")


def commands() -> list[tuple[str, ...]]:
    """Return the words of every command there is."""
    found: list[tuple[str, ...]] = []
    waiting: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(app))]
    while waiting:
        words, command = waiting.pop()
        inside = getattr(command, "commands", None)
        if inside is None:
            found.append(words)
        else:
            waiting += [((*words, name), one) for name, one in inside.items()]
    return sorted(found)


def process(after: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, then `after`."""
    code = f"from cxnlp.cli import main\ntry:\n    main()\nfinally:\n    {after or 'pass'}"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def assert_refused(ended: Ended, status: int, *words: str) -> None:
    """Hold that a command ended with a status and one message that has these words."""
    assert (ended.status, ended.out) == (status, "")
    assert ended.err.startswith("cxnlp: ")
    assert ended.err.count("cxnlp: ") == 1
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err


def assert_three_tables(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Hold that three tables conform, that no row is lost and that offsets are right."""
    found = {name: pq.read_table(folder / f"{name}.parquet") for name in TABLES}
    for name, table in found.items():
        assert table.schema.equals(TABLES[name].arrow)
    comments, mentions = found["comments"], found["mentions"].to_pylist()
    assert comments.num_rows + found["rejects"].num_rows == len(rows)
    assert comments["comment_id"].to_pylist() == [row["id"] for row in rows[:-1]]
    texts = dict(zip(comments["comment_id"].to_pylist(), comments["text"].to_pylist(), strict=True))
    assert mentions
    for one in mentions:
        assert texts[one["comment_id"]][one["start"] : one["end"]] == one["excerpt"]


def configured(folder: Path, fields: dict[str, str] | None = None, **more: Any) -> Path:
    """Write a configuration of one source, `avis.csv`, and return its path."""
    source = {"name": "avis", "files": str(folder / "*.csv"), "fields": fields or {"text": "Avis"}}
    settings = {"warehouse": str(folder / "warehouse"), "sources": [source], **more}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def written(rows: list[dict[str, Any]], path: Path) -> Path:
    """Write rows in the format that the path ends in."""
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0], delimiter=";")
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".xlsx":
        book = openpyxl.Workbook()
        for row in ([*rows[0]], *([*row.values()] for row in rows)):
            book.active.append(row)
        book.save(path)
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        path.write_text("\n".join(lines), encoding="utf-8")
    return path
