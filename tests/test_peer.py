"""The classical peer, on sentences made here."""

import gzip
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from cxnlp import schema
from cxnlp.model.card import Labels
from cxnlp.segment import Hits, Segmented, Segments
from cxnlp.training.corpus import Example, Mention
from cxnlp.training.peer import HEADS, Peer, fit_stars, heard_in, median_stars

LABELS = Labels(
    schema.SENTIMENTS, ("1", "2", "3", "4", "5"), schema.EMOTIONS, schema.INTENTS,
    ("file", "prix"), ("temps", "offre"), schema.POLARITIES, ("touchpoint:file", "emotion:joie"),
)  # fmt: skip
VERDICTS = [
    ("{} est parfait, je suis ravi", "positif", ("joie",)),
    ("{} est une honte, je suis furieux", "negatif", ("colere",)),
    ("{} ouvre le mardi", "neutre", ()),
]
WORDS = ("le magasin", "le restaurant", "le musée", "cet hôtel", "leur service", "le guichet")


def _example(i: int) -> Example:
    words, sentiment, emotions = VERDICTS[i % 3]
    touchpoint, lever = (("file", "temps"), ("prix", "offre"))[i % 2]
    mention = Mention(0, 5, touchpoint, (lever,), "neutre")
    return Example(str(i), words.format(WORDS[i % 6]), None, sentiment, emotions, (), (mention,))


EXAMPLES = [_example(i) for i in range(60)]
SILENCE = np.zeros((60, 2), np.float32)
QUEUES = np.array([[i % 2 == 0, False] for i in range(60)], np.float32)


@pytest.fixture(scope="module")
def peer() -> Peer:
    return Peer(LABELS).fit(EXAMPLES, QUEUES)


def test_each_label_of_each_head_has_a_probability(peer: Peer) -> None:
    found = peer.predict([e.text for e in EXAMPLES], QUEUES)
    assert {h: p.shape[1] for h, p in found.items()} == {h: len(getattr(LABELS, h)) for h in HEADS}
    assert all(((p >= 0) & (p <= 1)).all() for p in found.values())


def test_sentiments_sum_to_one(peer: Peer) -> None:
    found = peer.predict(["Le magasin est parfait", "xyz"], SILENCE[:2])["sentiment"]
    assert found.sum(1) == pytest.approx(1)


def test_what_was_learnt_is_told(peer: Peer) -> None:
    found = peer.predict([e.text for e in EXAMPLES], QUEUES)
    given = [schema.SENTIMENTS[i] for i in found["sentiment"].argmax(1)]
    assert given == [e.sentiment for e in EXAMPLES]
    assert ((found["emotions"] > 0.5).sum(1) == [len(e.emotions) for e in EXAMPLES]).all()


def test_a_label_that_was_never_seen_has_probability_0(peer: Peer) -> None:
    found = peer.predict(["Je reviendrai, quelle horreur"], SILENCE[:1])
    assert found["intents"].sum() == 0
    assert found["sentiment"][0, schema.SENTIMENTS.index("mixte")] == 0


def test_triggers_are_heard_where_they_are_inputs() -> None:
    """Texts that say nothing of touchpoints: only the hits tell them apart."""
    same = [Example(e.id, "bien", None, "positif", (), (), e.mentions) for e in EXAMPLES]
    found = Peer(LABELS, triggers=True).fit(same, QUEUES).predict(["bien"] * 2, QUEUES[:2])
    file = found["touchpoints"][:, 0]
    assert file[0] > 0.5 > file[1]


def test_triggers_are_not_heard_where_they_are_none() -> None:
    found = Peer(LABELS, triggers=False).fit(EXAMPLES, QUEUES).predict(["le prix"] * 2, QUEUES[:2])
    assert all(np.array_equal(p[0], p[1]) for p in found.values())


def test_triggers_are_chosen_for_the_heads_they_help() -> None:
    said = [Example(e.id, e.text, None, e.sentiment, e.emotions, (), ()) for e in EXAMPLES]
    told = [Example(e.id, "bien " + e.text.split()[-1], None, "positif", (), (), e.mentions)
            for e in EXAMPLES]  # fmt: skip
    mixed = np.array([[i % 2 == 0, i % 5 == 0] for i in range(60)], np.float32)
    assert Peer(LABELS).fit(told, QUEUES).triggers["touchpoints"]
    assert not Peer(LABELS).fit(said, mixed).triggers["emotions"]


def test_the_same_annotations_give_the_same_peer(peer: Peer) -> None:
    again = Peer(LABELS).fit(EXAMPLES, QUEUES).predict(["le guichet"], QUEUES[:1])
    before = peer.predict(["le guichet"], QUEUES[:1])
    assert all(np.array_equal(again[head], before[head]) for head in HEADS)


def test_a_hit_in_any_clause_is_heard_in_the_comment() -> None:
    none = np.zeros(0, np.int64)
    where = Segments(np.array([0, 0, 1]), np.array([0, 5, 0]), np.array([5, 9, 4]))
    cues = np.array([[0, 2], [0, 1], [1, 0]], np.float32)
    found = heard_in(cues, Segmented(where, Hits(none, none, none, none, none)), 3)
    assert found.tolist() == [[0, 1], [1, 0], [0, 0]]


def test_stars_follow_the_words() -> None:
    tell = fit_stars(
        [f"{w} parfait" for w in WORDS] + [f"{w} nul" for w in WORDS], [5] * 6 + [1] * 6
    )
    found = tell(["parfait", "nul"])
    assert median_stars(found).tolist() == [5, 1]
    assert found.sum(1) == pytest.approx(1)


def test_half_stars_are_rounded_up() -> None:
    found = fit_stars(["bien", "bien", "bien", "mal", "mal", "mal"], [3.5] * 3 + [0.5] * 3)(
        ["bien"]
    )
    assert np.flatnonzero(found[0]).tolist() == [0, 3]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A training folder: 60 comments to learn, 20 to judge, the same texts with marks."""
    rows = [
        {
            "id": e.id, "text": e.text, "s": e.sentiment, "e": list(e.emotions), "i": [],
            "m": [{"q": e.text[:5], "t": ("attente_caisse", "prix_tarif")[i % 2], "l": ["offre"],
                   "p": "neutre"}],
            "rating": 1 + i % 5,
        }
        for i, e in enumerate(EXAMPLES)
    ]  # fmt: skip
    for name, some in (("train", rows), ("dev", rows[::3])):
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in some)
        (tmp_path / f"annotated_{name}.jsonl").write_text(text, encoding="utf-8")
    with gzip.open(tmp_path / "reviews.jsonl.gz", "wt", encoding="utf-8") as file:
        for i, row in enumerate(rows):
            file.write(json.dumps({"text": f"{row['text']} {i}", "rating": row["rating"]}) + "\n")
    return tmp_path


@pytest.mark.slow
def test_the_benchmark_puts_peer_and_model_side_by_side(
    data: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    output = data / "peer.json"
    monkeypatch.setattr(sys, "argv", [
        "bench_peer.py", "--data", str(data), "--model", str(tiny_model), "--train-only",
        "--output", str(output),
    ])  # fmt: skip
    runpy.run_path(str(ROOT / "benchmarks" / "bench_peer.py"), run_name="__main__")
    found = json.loads(output.read_text("utf-8"))
    for way in ("thresholds_on_dev", "thresholds_on_other_folds"):
        theirs = found[way]["peer"]["scores"]["sentiment_accuracy"]
        difference = found[way]["difference"]["differences"]["sentiment_accuracy"]["difference"]
        assert theirs == 1
        assert difference == pytest.approx(
            found[way]["ours"]["scores"]["sentiment_accuracy"] - theirs, abs=1e-4
        )
        assert "mention_polarity_accuracy" not in found[way]["peer"]["scores"]
    assert "ours − peer" in capsys.readouterr().out
