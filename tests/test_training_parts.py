"""Parts of a training: targets and losses, rows kept in a file, labels that change, references."""

import gzip
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TAXONOMY

from cxnlp import schema
from cxnlp.errors import ConfigError
from cxnlp.model.card import Labels
from cxnlp.model.network import Network, Shape
from cxnlp.model.tokens import Tokenizer
from cxnlp.segment import Segmenter
from cxnlp.taxonomy import load_taxonomy
from cxnlp.training.augment import hasty
from cxnlp.training.corpus import read_annotated, text_digest
from cxnlp.training.embeddings import embeddings
from cxnlp.training.losses import Targets, comment_loss, segment_loss
from cxnlp.training.material import Material, material, save_arrays
from cxnlp.training.recipe import train_tokenizer
from cxnlp.training.transfer import carry_over

STARS = ("1", "2", "3", "4", "5")
TEXTS = ["L'accueil est parfait. Le prix est élevé.", "Rien à redire !", "Très déçue du plat."]


def _labels(touchpoints: tuple[str, ...], cues: tuple[str, ...] = ()) -> Labels:
    return Labels(
        schema.SENTIMENTS, STARS, schema.EMOTIONS, schema.INTENTS, touchpoints, ("offre",),
        schema.POLARITIES, cues,
    )  # fmt: skip


def _network(labels: Labels) -> Network:
    shape = Shape(
        vocab_size=300, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=40, wide_buckets=32, wide_size=4,
        head_size=8, cues=len(labels.cues),
        comment_outputs=labels.slices(Labels.COMMENT)["levers"].stop,
        piece_outputs=labels.slices(Labels.PIECE)["polarity"].stop,
        shared_outputs=labels.slices(Labels.PIECE)["levers"].stop,
    )  # fmt: skip
    return Network(shape)


# --- rows in a file -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    train_tokenizer(TEXTS * 3, 300).save(str(path))
    return Tokenizer.load(path, 40)


@pytest.fixture(scope="module")
def rows(tokenizer: Tokenizer) -> Material:
    cues = ("touchpoint:personnel_accueil", "touchpoint:prix_tarif", "lever:offre")
    labels = _labels(("prix_tarif",), cues)
    return material(TEXTS, Segmenter(load_taxonomy(TAXONOMY)), tokenizer, labels, 15)


def test_rows_come_back_from_a_file_as_they_were(rows: Material, tmp_path: Path) -> None:
    rows.save(tmp_path / "rows.safetensors")
    again = Material.load(tmp_path / "rows.safetensors")
    assert again.windows.spans == rows.windows.spans
    for one, other in (
        (rows.windows.ids, again.windows.ids), (rows.windows.piece_of, again.windows.piece_of),
        (rows.cues, again.cues),
    ):  # fmt: skip
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_clause_has_the_hits_of_its_triggers(rows: Material) -> None:
    assert rows.cues[0][:, :2].tolist() == [[1, 0], [0, 1]]


def test_rows_are_cut_where_the_recipe_says(rows: Material) -> None:
    assert max(len(ids) for ids in rows.windows.ids) == 15


def test_columns_of_an_array_do_not_become_rows_in_a_file(tmp_path: Path) -> None:
    """What a one-versus-rest classifier returns lies by columns in memory."""
    from safetensors.numpy import load_file

    array = np.array([[1, 2], [3, 4], [5, 6]], np.float32, order="F")
    save_arrays({"a": array}, tmp_path / "a.safetensors")
    assert np.array_equal(load_file(tmp_path / "a.safetensors")["a"], array)


# --- words from counts, slips of the finger -----------------------------------------------------


def test_words_used_alike_have_near_vectors() -> None:
    random = np.random.default_rng(0)
    rows = [
        np.array([random.choice(some), verb, random.choice(others)], np.int32)
        for _ in range(300)
        for some, verb, others in (((1, 2), 10, (3, 4)), ((5, 6), 11, (7, 8)))
    ]
    table = embeddings(rows, 12, 4, seed=1)
    near = table / np.linalg.norm(table, axis=1, keepdims=True)
    assert near[1] @ near[2] > 0.9 > near[1] @ near[5]


def test_hasty_typing_is_repeatable() -> None:
    text = "Une livraison très en retard, déçue du service après-vente." * 4
    assert hasty(3)(text) == hasty(3)(text) != text


def test_hasty_typing_keeps_most_letters() -> None:
    text = "Une livraison tres en retard, decue du service apres-vente." * 20
    changed = hasty(3)(text)
    assert abs(len(changed) - len(text)) < 0.05 * len(text)


# --- losses -------------------------------------------------------------------------------------


def test_rows_of_a_teacher_are_drawn_afresh_each_epoch() -> None:
    targets = Targets({"intents": np.zeros((50, 4), np.float32)}, annotated=10)
    random = np.random.default_rng(0)
    one, other = targets.epoch(random, 5), targets.epoch(random, 5)
    assert one[:10].tolist() == other[:10].tolist() == list(range(10))
    assert (len(one), len(other)) == (15, 15)
    assert set(one[10:].tolist()) != set(other[10:].tolist())


def test_a_row_of_which_nothing_is_known_costs_nothing() -> None:
    labels = _labels(("prix_tarif",))
    wanted = Targets({"intents": np.full((2, 4), np.nan, np.float32)})
    logits = torch.randn(2, labels.slices(Labels.COMMENT)["levers"].stop)
    assert float(comment_loss(logits, wanted, labels, np.array([0, 1]))) == 0


def test_a_weight_of_a_half_halves_the_loss() -> None:
    labels = _labels(("prix_tarif",))
    values = np.array([[0, 1, 0, 0]], np.float32)
    logits = torch.randn(1, labels.slices(Labels.COMMENT)["levers"].stop)
    whole, half = (
        comment_loss(logits, Targets({"intents": values}, weight=np.array([w], np.float32)),
                     labels, np.array([0]))
        for w in (1.0, 0.5)
    )  # fmt: skip
    assert float(half) == pytest.approx(float(whole) / 2)


def test_rare_labels_weigh_more_in_annotated_rows_only() -> None:
    labels, values = _labels(("prix_tarif",)), np.array([[0, 1, 0, 0]] * 2, np.float32)
    logits = torch.zeros(2, labels.slices(Labels.COMMENT)["levers"].stop)
    rarity = {"intents": np.full(4, 3.0, np.float32)}
    targets = Targets({"intents": values}, annotated=1, rarity=rarity)
    first, second = (
        float(comment_loss(logits[:1], targets, labels, np.array([r]))) for r in (0, 1)
    )
    assert first == pytest.approx(1.5 * second)  # one label in four weighs three times


def test_segments_without_targets_cost_nothing() -> None:
    labels = _labels(("prix_tarif",))
    targets = Targets({"intents": np.zeros((1, 4), np.float32)}, [None])
    piece = torch.randn(2, labels.slices(Labels.PIECE)["polarity"].stop)
    at = torch.tensor([0, 0]), torch.tensor([0, 1])
    assert float(segment_loss(piece, targets, labels, np.array([0]), *at)) == 0


# --- labels that change -------------------------------------------------------------------------


def test_weights_follow_the_name_of_their_label() -> None:
    old = _labels(("prix_tarif", "sav_support"), ("touchpoint:prix_tarif",))
    new = _labels(("borne", "sav_support", "prix_tarif"), ("lever:offre", "touchpoint:prix_tarif"))
    first, second = _network(old), _network(new)
    first.load_state_dict({k: torch.randn_like(v) for k, v in first.state_dict().items()})
    state = carry_over(first.state_dict(), old, second.state_dict(), new)
    was, where = old.slices(Labels.COMMENT), new.slices(Labels.COMMENT)
    there, here = was["touchpoints"].start, where["touchpoints"].start + 2
    known, kept = first.comment_heads.weight, state["comment_heads.weight"]
    assert torch.equal(kept[here, :-2], known[there, :-1])
    assert kept[here, -2:].tolist() == [0, known[there, -1].item()]
    assert state["lift"][2] == first.lift[0]
    assert torch.equal(state["encoder.words.weight"], first.encoder.words.weight)


def test_a_new_label_starts_as_the_network_was_made() -> None:
    old, new = _labels(("prix_tarif",)), _labels(("prix_tarif", "borne"))
    second = _network(new)
    state = carry_over(_network(old).state_dict(), old, second.state_dict(), new)
    row = new.slices(Labels.PIECE)["touchpoints"].start + 1
    assert torch.equal(state["piece_heads.weight"][row], second.piece_heads.weight[row])


def test_a_renamed_label_keeps_its_weights() -> None:
    old, new = _labels(("caisse",)), _labels(("attente_caisse",))
    first, second = _network(old), _network(new)
    names = {"attente_caisse": "caisse"}
    state = carry_over(first.state_dict(), old, second.state_dict(), new, names)
    row = new.slices(Labels.PIECE)["touchpoints"].start
    assert torch.equal(state["piece_heads.weight"][row], first.piece_heads.weight[row])


# --- annotations of texts that lie elsewhere ----------------------------------------------------


@pytest.fixture
def references(tmp_path: Path) -> Path:
    """A folder with three reviews, and an annotation of the second without its text."""
    with gzip.open(tmp_path / "reviews.jsonl.gz", "wt", encoding="utf-8") as file:
        for text in TEXTS:
            file.write(json.dumps({"text": text, "rating": 4, "domain": "hotel"}) + "\n")
    row = {
        "review": 1, "digest": text_digest(TEXTS[1]), "s": "positif", "e": [], "i": [], "w": 0,
        "m": [{"start": 0, "end": 14, "t": "experience_globale", "l": [], "p": "positif"}],
    }  # fmt: skip
    (tmp_path / "own.jsonl").write_text(json.dumps(row), encoding="utf-8")
    return tmp_path


def test_an_annotation_finds_the_text_it_names(references: Path) -> None:
    (example,) = read_annotated(references / "own.jsonl", references)
    assert (example.text, example.rating, example.domain) == (TEXTS[1], 4, "hotel")
    (mention,) = example.mentions
    assert example.text[mention.start : mention.end] == "Rien à redire "


def test_an_annotation_of_another_text_is_refused(references: Path) -> None:
    path = references / "own.jsonl"
    row = json.loads(path.read_text(encoding="utf-8")) | {"digest": "0" * 16}
    path.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"own\.jsonl:1: .*review 1 is not the one"):
        read_annotated(path, references)


# --- several processes --------------------------------------------------------------------------

WORKER = """
import torch
from cxnlp.training import workers
workers.join()
value = torch.full((2,), float(workers.number()))
workers.average([value])
workers.first(lambda: print("first", flush=True))
print("mean", value.tolist(), workers.count(), flush=True)
"""


def test_processes_take_the_mean_of_their_weights(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
             "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}  # fmt: skip
    started = [
        subprocess.Popen([sys.executable, "worker.py"], cwd=tmp_path, text=True,
                         env=os.environ | place | {"RANK": str(rank)}, stdout=subprocess.PIPE)
        for rank in (0, 1)
    ]  # fmt: skip
    said = [process.communicate(timeout=120)[0].split("\n")[:-1] for process in started]
    assert said == [["first", "mean [0.5, 0.5] 2"], ["mean [0.5, 0.5] 2"]]
