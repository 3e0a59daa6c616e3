"""What a recipe's teachers think of reviews, and a network that goes on from an earlier one."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import TAXONOMY

from cxnlp.errors import ConfigError
from cxnlp.model.card import Labels, read_card
from cxnlp.model.tokens import Tokenizer
from cxnlp.model.weights import load_network
from cxnlp.segment import Segmenter
from cxnlp.taxonomy import load_taxonomy
from cxnlp.training.finetune import continue_from
from cxnlp.training.material import Material, material
from cxnlp.training.teachers import network_labels, together

TEXTS = ["Livraison rapide.", "", "Accueil glacial, mais un conseil parfait et un prix correct."]


@pytest.fixture(scope="module")
def rows(tiny_model: Path) -> Material:
    longest = load_network(tiny_model).shape.max_tokens - 2
    tokenizer = Tokenizer.load(tiny_model / "tokenizer.json", longest)
    segmenter = Segmenter(load_taxonomy(TAXONOMY))
    return material(TEXTS, segmenter, tokenizer, read_card(tiny_model).labels, longest)


def test_a_network_has_a_probability_of_every_label(tiny_model: Path, rows: Material) -> None:
    found = network_labels(tiny_model, tiny_model / "tokenizer.json", rows)
    labels = read_card(tiny_model).labels
    assert {head: tuple(some) for head, some in found.items()} == {
        head: getattr(labels, head)
        for head in ("sentiment", "emotions", "intents", "touchpoints", "levers")
    }


def test_the_sentiments_of_a_review_add_up_to_one(tiny_model: Path, rows: Material) -> None:
    found = network_labels(tiny_model, tiny_model / "tokenizer.json", rows)["sentiment"]
    assert np.allclose(sum(found.values()), 1)


def test_rows_of_another_tokenizer_are_refused(
    tiny_model: Path, rows: Material, tmp_path: Path
) -> None:
    other = tmp_path / "tokenizer.json"
    other.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="its tokenizer is not"):
        network_labels(tiny_model, other, rows)


def test_teachers_count_alike() -> None:
    labels = Labels((), (), ("joie", "peur"), (), (), (), (), ())
    peer = {"emotions": np.array([[0.2, 0.4]], np.float32)}
    network = {"emotions": {"joie": np.array([0.6], np.float32)}}
    assert together(labels, peer, [network])["emotions"] == pytest.approx(np.array([[0.4, 0.4]]))


def test_a_network_goes_on_from_an_earlier_one(tiny_model: Path) -> None:
    network = load_network(tiny_model)
    labels = read_card(tiny_model).labels
    for weight in network.parameters():
        weight.data.zero_()
    continue_from(network, labels, tiny_model)
    known = load_network(tiny_model).state_dict()
    assert all(bool((value == known[name]).all()) for name, value in network.state_dict().items())


def test_a_network_of_other_sizes_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    network = load_network(tiny_model)
    network.encoder.words.weight = type(network.encoder.words.weight)(
        network.encoder.words.weight[:, :2]
    )
    with pytest.raises(ConfigError, match="not of the sizes"):
        continue_from(network, read_card(tiny_model).labels, tmp_path / "model")
