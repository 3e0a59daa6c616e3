"""The method as a whole: rows kept in order, offsets right, the same text told the same."""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from conftest import TAXONOMY, TEXTS
from hypothesis import given, settings
from hypothesis import strategies as st

from cxnlp import clean, schema
from cxnlp.analyse import Analysis, Analyzer, bundled
from cxnlp.errors import ModelError
from cxnlp.model.card import Card, read_card, write_card
from cxnlp.model.engine import Engine
from cxnlp.told import LABELS, set_aside_duplicates

ENGLISH = "The room was clean and quiet, and the staff were lovely and very helpful."
LONG = " ".join(["La chambre était propre, mais le personnel peu aimable."] * 250)
ODD = ["", ENGLISH, "🎉👍", LONG, "  \n ", "5/5", "Parfait.", "…", "MERCI 🙏🏽 l’équipe !!!"]
COLUMN = [*TEXTS, *ODD]
ASIDE = {"": "vide", "  \n ": "vide", "…": "vide", ENGLISH: "langue"}


@pytest.fixture(scope="module")
def bilingual(tiny_model: Path, analyzer: Analyzer) -> Analyzer:
    return Analyzer(Engine.load(tiny_model, "cpu"), analyzer.taxonomy, ("fr", "en"))


@pytest.fixture(scope="module")
def result(analyzer: Analyzer) -> Analysis:
    return analyzer.analyze(COLUMN)


def _labels(comments: pa.Table) -> pa.Table:
    return comments.select(LABELS)


def _raw(texts: Sequence[str], **columns: list[object]) -> pa.Table:
    rows = len(texts)
    some: dict[str, list[object]] = {
        "comment_id": [f"c{i}" for i in range(rows)],
        "source": ["avis"] * rows,
        "channel": ["avis"] * rows,
        "text": list(texts),
        "file": ["a.csv"] * rows,
        "row": list(range(1, rows + 1)),
        "row_digest": [""] * rows,
    }
    return schema.conform(pa.table(some | columns), schema.RAW)


# --- rows ---------------------------------------------------------------------------------------


def test_every_text_has_its_row_in_the_order_given(result: Analysis) -> None:
    assert result.comments["row"].to_pylist() == list(range(1, len(COLUMN) + 1))
    assert result.comments["text"][: len(TEXTS)].to_pylist() == TEXTS


def test_comments_and_mentions_have_their_schemas(result: Analysis) -> None:
    assert result.comments.schema == schema.COMMENTS.arrow
    assert result.mentions.schema == schema.MENTIONS.arrow


def test_what_is_not_analysed_says_why(result: Analysis) -> None:
    assert result.comments["set_aside"].to_pylist() == [ASIDE.get(text) for text in COLUMN]


def test_a_row_set_aside_has_no_labels(result: Analysis) -> None:
    aside = result.comments.filter(result.comments["set_aside"].is_valid())
    assert all(column.null_count == len(aside) for column in _labels(aside).columns)


def test_a_row_set_aside_has_no_mentions(result: Analysis) -> None:
    aside = result.comments.filter(result.comments["set_aside"].is_valid())["comment_id"]
    assert not pc.any(pc.is_in(result.mentions["comment_id"], aside.combine_chunks())).as_py()


def test_an_analysed_row_has_its_labels(result: Analysis) -> None:
    kept = result.comments.filter(result.comments["set_aside"].is_null())
    sure = [name for name in LABELS if name not in ("promise_gap", "rating_conflict")]
    assert all(kept[name].null_count == 0 for name in sure)


def test_no_texts_give_no_rows(analyzer: Analyzer) -> None:
    empty = analyzer.analyze([])
    assert (len(empty.comments), len(empty.mentions)) == (0, 0)
    assert empty.comments.schema == schema.COMMENTS.arrow


def test_texts_that_are_all_set_aside_keep_their_rows(analyzer: Analyzer) -> None:
    aside = analyzer.analyze(["", ENGLISH])
    assert aside.comments["set_aside"].to_pylist() == ["vide", "langue"]
    assert len(aside.mentions) == 0


# --- labels -------------------------------------------------------------------------------------


def test_satisfaction_lies_between_one_and_five_stars(result: Analysis) -> None:
    values = result.comments["satisfaction"].drop_null().to_pylist()
    assert all(1 <= v <= 5 for v in values)


def test_the_same_text_twice_has_the_same_labels(analyzer: Analyzer) -> None:
    labels = _labels(analyzer.analyze([*TEXTS, *TEXTS]).comments)
    assert labels[: len(TEXTS)] == labels[len(TEXTS) :]


def test_the_same_text_twice_has_its_mentions_twice(analyzer: Analyzer) -> None:
    mentions = analyzer.analyze([LONG, "", LONG]).mentions
    first, other = (
        mentions.filter(pc.equal(mentions["comment_id"], f"{row:08d}")) for row in (0, 2)
    )
    names = [n for n in mentions.column_names if n not in ("comment_id", "mention_id")]
    assert len(first) > 0
    assert first.select(names) == other.select(names)


def test_neighbours_change_no_label(analyzer: Analyzer, result: Analysis) -> None:
    names = ["sentiment", "emotions", "touchpoints", "levers", "intents", "promise_gap"]
    alone = pa.concat_tables([analyzer.analyze([text]).comments for text in COLUMN])
    assert alone.select(names) == result.comments.select(names)


def test_two_analyses_differ_in_time_alone(analyzer: Analyzer, result: Analysis) -> None:
    again = analyzer.analyze(COLUMN)
    names = [n for n in schema.COMMENTS.names if n != "analysed_at"]
    assert again.comments.select(names) == result.comments.select(names)
    assert again.mentions == result.mentions


# --- mentions -----------------------------------------------------------------------------------


def _misplaced(result: Analysis) -> list[tuple[str, str]]:
    texts = dict(
        zip(result.comments["comment_id"].to_pylist(), result.comments["text"].to_pylist(),
            strict=True)
    )  # fmt: skip
    return [
        (m["excerpt"], texts[m["comment_id"]])
        for m in result.mentions.to_pylist()
        if texts[m["comment_id"]][m["start"] : m["end"]] != m["excerpt"] or not m["excerpt"]
    ]


def test_offsets_give_the_excerpts(result: Analysis) -> None:
    assert len(result.mentions) > 0
    assert _misplaced(result) == []


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.text() | st.lists(st.sampled_from(
            ["la queue", "au guichet", "😀", "très", "déçu", ",", ".", "mais", "\n", "prix", "l’"]
        )).map(" ".join),
        max_size=4,
    )
)  # fmt: skip
def test_offsets_are_right_in_any_text(analyzer: Analyzer, texts: list[str]) -> None:
    result = analyzer.analyze(texts)
    assert len(result.comments) == len(texts)
    assert _misplaced(result) == []
    ids = result.mentions["mention_id"].to_pylist()
    assert len({*ids}) == len(ids)


def test_ids_of_mentions_are_unique(result: Analysis) -> None:
    assert pc.count_distinct(result.mentions["mention_id"]).as_py() == len(result.mentions)


def test_touchpoints_of_a_comment_are_those_of_its_mentions(result: Analysis) -> None:
    named: dict[str, set[str]] = {}
    for m in result.mentions.to_pylist():
        named.setdefault(m["comment_id"], set()).add(m["touchpoint"])
    for row in result.comments.to_pylist():
        assert {*(row["touchpoints"] or ())} == named.get(row["comment_id"], set()) - {None}


def test_every_mention_carries_its_comment_and_lineage(analyzer: Analyzer) -> None:
    at = datetime(2026, 9, 14, 22, 30, tzinfo=UTC)
    raw = _raw([LONG], published_at=[at], brand=["Véga"])
    mentions = analyzer.analyse(raw, "r1").mentions
    assert len(mentions) > 0
    assert {(m["brand"], m["day"], m["run_id"], m["model_version"]) for m in mentions.to_pylist()} \
        == {("Véga", at.date(), "r1", analyzer.model_version)}  # fmt: skip


# --- rating, reply, title -----------------------------------------------------------------------


def test_text_and_mark_disagree_from_two_stars_on(analyzer: Analyzer) -> None:
    stars = analyzer.analyze(["Parfait."]).comments["satisfaction"][0].as_py()
    marks = [stars - 2.1, stars - 1.9, stars + 2.1, None]
    raw = _raw(["Parfait."] * 4, rating=marks)
    assert analyzer.analyse(raw, "").comments["rating_conflict"].to_pylist() \
        == [True, False, True, None]  # fmt: skip


def test_a_comment_that_disagrees_with_its_mark_needs_review(analyzer: Analyzer) -> None:
    stars = analyzer.analyze(["Parfait."]).comments["satisfaction"][0].as_py()
    raw = _raw(["Parfait.", ""], rating=[stars - 2.1, 1.0])
    assert analyzer.analyse(raw, "").comments["needs_review"].to_pylist() == [True, None]


def test_title_and_answer_are_cleaned_and_masked_too(analyzer: Analyzer) -> None:
    raw = _raw(["Parfait."], title=["Bien&nbsp;!"], reply_text=["Écrivez à a.b@exemple.fr"])
    row = analyzer.analyse(raw, "").comments
    assert row.select(["title", "reply_text"]).to_pylist() == [
        {"title": "Bien !", "reply_text": "Écrivez à [email]"}
    ]


# --- duplicates ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deduplicated(result: Analysis) -> tuple[pa.Table, pa.Table]:
    """The long comment repeats the first one."""
    of = [None] * len(COLUMN)
    of[COLUMN.index(LONG)] = result.comments["comment_id"][0].as_py()
    return set_aside_duplicates(result.comments, result.mentions, pa.array(of, pa.string()))


def test_a_duplicate_is_set_aside_and_names_what_it_repeats(
    deduplicated: tuple[pa.Table, pa.Table],
) -> None:
    row = deduplicated[0].slice(COLUMN.index(LONG), 1).to_pylist()[0]
    assert (row["set_aside"], row["duplicate_of"]) == ("doublon", "00000000")
    assert all(row[name] is None for name in LABELS)


def test_mentions_of_a_duplicate_are_left_out(
    result: Analysis, deduplicated: tuple[pa.Table, pa.Table]
) -> None:
    gone = f"{COLUMN.index(LONG):08d}"
    before, after = result.mentions["comment_id"], deduplicated[1]["comment_id"]
    assert gone in before.to_pylist()
    assert after.to_pylist() == [c for c in before.to_pylist() if c != gone]


def test_other_rows_stay_as_they_are(
    result: Analysis, deduplicated: tuple[pa.Table, pa.Table]
) -> None:
    rows = [i for i, text in enumerate(COLUMN) if text != LONG]
    assert deduplicated[0].take(rows) == result.comments.take(rows)
    assert deduplicated[0].schema == result.comments.schema


def test_without_duplicates_nothing_changes(result: Analysis) -> None:
    none = pa.nulls(len(COLUMN), pa.string())
    comments, mentions = set_aside_duplicates(result.comments, result.mentions, none)
    assert (comments, mentions) == (result.comments, result.mentions)


# --- loading ------------------------------------------------------------------------------------


def test_a_model_of_another_cleaning_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "old"))
    card = read_card(folder)
    write_card(folder, Card(card.name, card.labels, card.thresholds, {}, "0"))
    with pytest.raises(ModelError, match=f"cleaning 0, this is cleaning {clean.VERSION}"):
        Analyzer.load(folder, TAXONOMY)


def test_the_key_changes_with_what_decides_the_labels(
    analyzer: Analyzer, bilingual: Analyzer
) -> None:
    assert bilingual.key != analyzer.key


def test_languages_to_keep_are_analysed(bilingual: Analyzer) -> None:
    comments = bilingual.analyze([ENGLISH]).comments
    assert comments["set_aside"].to_pylist() == [None]
    assert comments["sentiment"].null_count == 0


def test_bundled_files_are_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert bundled("configs/taxonomy.yaml") == TAXONOMY
