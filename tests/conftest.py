"""Fixtures that several test files share: a tiny real model, the samples, a configuration."""

import os
from pathlib import Path

import pytest
import yaml

from cxnlp import clean
from cxnlp.analyse import Analyzer
from cxnlp.model.card import Card, write_card
from cxnlp.model.network import Network, Shape
from cxnlp.model.weights import save_network
from cxnlp.taxonomy import load_taxonomy
from cxnlp.training.recipe import labels_for, train_tokenizer

ROOT = Path(__file__).parents[1]
TAXONOMY = ROOT / "configs" / "taxonomy.yaml"
TEXTS = [
    "Accueil charmant, mais deux heures de queue au guichet.",
    "La livraison est arrivée avec trois jours de retard, je suis très déçu.",
    "Parfait.",
    "Exposition sublime ! Nous reviendrons avec les enfants.",
    "Le prix est trop élevé pour la qualité du produit. Service client injoignable.",
    "RAS",
    "Chambre propre, petit-déjeuner copieux, personnel aux petits soins.",
    "Plus jamais ! C'est une honte, une arnaque, fuyez.",
]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in the bundled configurations start from the project's folder."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights and a real tokenizer, small enough to run in no time."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def make_tiny_model(folder: Path) -> Path:
    """Write such a model to a folder and return it."""
    import torch

    torch.set_num_threads(1)  # for a network this small a second one only waits
    labels = labels_for(load_taxonomy(TAXONOMY), [], least=0)
    slices, pieces = labels.slices(labels.COMMENT), labels.slices(labels.PIECE)
    tokenizer = train_tokenizer(TEXTS * 3, 400)
    shape = Shape(
        vocab_size=448, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=34, wide_buckets=64, wide_size=4,
        head_size=16, cues=len(labels.cues), comment_outputs=slices["levers"].stop,
        piece_outputs=pieces["polarity"].stop, shared_outputs=pieces["levers"].stop,
    )  # fmt: skip
    torch.manual_seed(1)
    save_network(Network(shape), folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    half = {head: (0.5,) * len(getattr(labels, head)) for head in ("emotions", "intents")}
    half |= {head: (0.58,) * len(getattr(labels, head)) for head in ("touchpoints", "levers")}
    half |= {"segment_touchpoints": half["touchpoints"], "segment_levers": half["levers"]}
    half |= {"sentiment": (1.0,) * 4, "polarity": (1.0,) * 3}
    write_card(folder, Card("tiny", labels, half, {}, clean.VERSION))
    return folder


@pytest.fixture(scope="session")
def analyzer(tiny_model: Path) -> Analyzer:
    return Analyzer.load(tiny_model, TAXONOMY)


@pytest.fixture
def demo(tmp_path: Path, tiny_model: Path) -> Path:
    """The demo's configuration with a warehouse and model of this test; a path."""
    settings = yaml.safe_load((ROOT / "configs" / "demo.yaml").read_text("utf-8"))
    settings |= {"warehouse": str(tmp_path / "warehouse"), "model": str(tiny_model)}
    path = tmp_path / "demo.yaml"
    path.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    return path


@pytest.fixture(scope="session", autouse=True)
def _own_prefect(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Prefect's data of the tests lie in their own folder, and nothing is reported anywhere."""
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
