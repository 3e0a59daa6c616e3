"""A checkpoint of the CamemBERT family becomes a model folder that a night runs with."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, TAXONOMY
from tokenizers import Tokenizer as Fast
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    CamembertConfig,
    CamembertForMaskedLM,
    CamembertModel,
    RobertaConfig,
    RobertaModel,
)

from cxnlp import schema
from cxnlp.cli import app
from cxnlp.errors import ConfigError, ModelError
from cxnlp.model.card import read_card
from cxnlp.model.tokens import Tokenizer
from cxnlp.model.weights import load_network
from cxnlp.taxonomy import load_taxonomy
from cxnlp.training.adapt import adapt
from cxnlp.training.adaptation import Adaptation, read_adaptation
from cxnlp.training.checkpoint import begin_from, fetch
from cxnlp.training.recipe import labels_for
from cxnlp.warehouse import Warehouse

GOLD = [ROOT / "samples" / f"gold_part{n}.jsonl" for n in (1, 2)]
ROWS = [json.loads(line) for path in GOLD for line in path.read_text("utf-8").splitlines()]
# As in camembert-base: <s> and </s> come after five other pieces, <mask> at the end.
PIECES = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>", "<mask>"]
SIZES = {"vocab_size": 512, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 48, "max_position_embeddings": 66,
         "layer_norm_eps": 1e-5}  # fmt: skip


def unigram() -> Fast:
    """Return a tokenizer in the parts of CamemBERT's, learnt from the bundled comments."""
    tokenizer = Fast(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=500, special_tokens=PIECES, unk_token=PIECES[3], show_progress=False
    )
    tokenizer.train_from_iterator([row["text"] for row in ROWS], trainer)
    around = [(piece, PIECES.index(piece)) for piece in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=around
    )
    return tokenizer


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights, as transformers writes it; its config has wrong ends."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("base") / "petit-camembert"
    torch.manual_seed(3)
    config = CamembertConfig(**SIZES, type_vocab_size=1, bos_token_id=0, eos_token_id=2)
    CamembertForMaskedLM(config).save_pretrained(folder)
    unigram().save(str(folder / "tokenizer.json"))
    return folder


def plan(base: Path, place: Path, **more: Any) -> Adaptation:
    keys = {"name": "petit", "folder": place, "taxonomy": TAXONOMY, "base": str(base),
            "annotations": [GOLD[1]], "test": GOLD[0], "dev": GOLD[0], "min_mentions": 3,
            "finetune": {"tokens": 4000, "batch_tokens": 400, "head_rate": 0.01}}  # fmt: skip
    return Adaptation.model_validate(keys | more)


def begun(base: Path, place: Path) -> Path:
    """Return the model folder before anything is learnt."""
    labels = labels_for(load_taxonomy(TAXONOMY), [], least=0)
    return begin_from(plan(base, place), labels, lambda _: None)


def with_config(base: Path, place: Path, **changed: Any) -> Path:
    """Return a copy of a checkpoint whose config says something else."""
    shutil.copytree(base, place)
    config = json.loads((place / "config.json").read_text("utf-8")) | changed
    (place / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def start(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begun(base, tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def trained(base: Path, told: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data")
    shutil.copy(GOLD[1], data / "learnt.jsonl")
    own = plan(base, tmp_path_factory.mktemp("run"), annotations=["learnt.jsonl"])
    return adapt(own, data, told.append)


def test_ids_around_a_text_are_those_the_tokenizer_adds(start: Path) -> None:
    shape = load_network(start).shape
    assert (shape.bos_token_id, shape.eos_token_id, shape.pad_token_id) == (5, 6, 1)


def same_states(folder: Path, theirs: Any, pad: int) -> float:
    """Return the largest difference between our states and theirs, padded rows among them."""
    ids = torch.randint(8, 500, (3, 20), generator=torch.Generator().manual_seed(1))
    ids[1, 12:], ids[2, 3:] = pad, pad
    keep = ids != pad
    with torch.inference_mode():
        ours = load_network(folder).encoder(ids)
        expected = theirs.eval()(input_ids=ids, attention_mask=keep.long()).last_hidden_state
    return float((ours - expected)[keep].abs().max())


def test_the_encoder_says_what_the_checkpoint_says(base: Path, start: Path) -> None:
    """Within half precision, in which a model folder keeps its weights."""
    theirs = CamembertModel.from_pretrained(base, add_pooling_layer=False)
    assert same_states(start, theirs, pad=1) < 3e-3


def test_transformers_reads_the_model_folder(start: Path) -> None:
    theirs = CamembertModel.from_pretrained(start, add_pooling_layer=False, dtype=torch.float32)
    assert same_states(start, theirs, pad=1) < 1e-5


def test_positions_count_from_after_the_pad(base: Path, tmp_path: Path) -> None:
    """A RoBERTa whose pad is 0 has its first token at position 1."""
    model = RobertaModel(RobertaConfig(**SIZES, type_vocab_size=2, pad_token_id=0))
    model.save_pretrained(tmp_path / "base")
    shutil.copy(base / "tokenizer.json", tmp_path / "base")
    folder = begun(tmp_path / "base", tmp_path)
    assert load_network(folder).shape.max_tokens == 65
    assert same_states(folder, model, pad=0) < 3e-3


def test_clauses_one_by_one_give_the_tokens_of_the_whole(start: Path) -> None:
    tokenizer = Tokenizer.load(start / "tokenizer.json", 1000)
    whole = "Accueil charmant, mais deux heures de queue ! Nous reviendrons."
    clauses = ["Accueil charmant,", "mais deux heures de queue !", "Nous reviendrons."]
    once = tokenizer.encode([whole], np.array([0]))
    parts = tokenizer.encode(clauses, np.array([0, 0, 0]))
    assert parts.ids.tolist() == once.ids.tolist()
    assert len(parts.window_ends) == 1


def test_a_byte_level_tokenizer_reads_a_clause_as_if_after_a_space(
    base: Path, tmp_path: Path
) -> None:
    tokenizer = Fast(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(
        ["deux heures de queue"] * 9, trainers.BpeTrainer(special_tokens=PIECES)
    )
    tokenizer.post_processor = unigram().post_processor
    shutil.copytree(base, tmp_path / "base")
    tokenizer.save(str(tmp_path / "base" / "tokenizer.json"))
    made = Fast.from_file(str(begun(tmp_path / "base", tmp_path) / "tokenizer.json"))
    assert made.encode("queue").tokens == ["<s>", "Ġqueue", "</s>"]


def test_what_is_not_taken_is_told(trained: Path, told: list[str], base: Path) -> None:
    said = next(line for line in told if line.startswith(str(base)))
    assert "lm_head.dense.weight" in said
    assert "encoder taken, 5 other weights left out" in said


def test_annotations_are_found_in_the_data_folder(trained: Path, told: list[str]) -> None:
    assert "learnt.jsonl: 75 comments, 0 held out for tests" in told


def test_what_it_learnt_from_is_its_reference(trained: Path) -> None:
    assert sum(read_card(trained).reference["counts"]["langue"].values()) == 75


def test_the_card_names_the_base(trained: Path, base: Path) -> None:
    about = read_card(trained).about
    assert about["base"] == str(base)
    assert "start" not in about


def test_all_parts_of_the_network_have_learnt(trained: Path, base: Path) -> None:
    card, network = read_card(trained), load_network(trained).state_dict()
    fresh = load_network(begun(base, trained.parent / "again")).state_dict()
    assert {len(t) for t in card.thresholds.values()} >= {len(card.labels.touchpoints)}
    for name in ("encoder.words.weight", "encoder.layers.1.up.weight", "wide.weight"):
        assert not torch.equal(network[name], fresh[name])


def test_what_was_trained_verifies(trained: Path) -> None:
    app(["models", "verify", str(trained)], standalone_mode=False)


def test_a_night_runs_with_it(trained: Path, demo: Path, tmp_path: Path) -> None:
    config = yaml.safe_load(demo.read_text("utf-8"))
    config |= {"model": str(trained), "sources": config["sources"][1:2]}
    demo.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    app(["run", str(demo), "--direct"], standalone_mode=False)
    found = Warehouse(config["warehouse"]).read(schema.COMMENTS, ("model_version", "sentiment"))
    assert found["model_version"].unique().to_pylist() == [read_card(trained).version]
    assert found["sentiment"].null_count < len(found)


def test_a_model_of_a_base_is_gone_on_from_like_any_other(trained: Path, tmp_path: Path) -> None:
    """Its heads stay, which those of a base do not."""
    keys = {"name": "petit", "folder": tmp_path, "taxonomy": TAXONOMY, "start": trained,
            "annotations": [GOLD[1]], "test": GOLD[0], "finetune": {"tokens": 1}}  # fmt: skip
    before, after = (
        load_network(folder).comment_heads.bias
        for folder in (trained, adapt(Adaptation.model_validate(keys), None, lambda _: None))
    )
    assert float((before - after).detach().abs().max()) < 0.01


# --- refused ------------------------------------------------------------------------------------


def test_a_checkpoint_without_safetensors_is_refused(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "base")
    (tmp_path / "base" / "model.safetensors").rename(tmp_path / "base" / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"model\.safetensors is missing; save the checkpoint"):
        begun(tmp_path / "base", tmp_path)


def test_another_activation_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="hidden_act is 'relu', expected 'gelu'"):
        begun(with_config(base, tmp_path / "base", hidden_act="relu"), tmp_path)


def test_another_family_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="model_type 'bert' is not CamemBERT-shaped"):
        begun(with_config(base, tmp_path / "base", model_type="bert"), tmp_path)


def test_weights_of_another_size_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the weights do not fit config\.json"):
        begun(with_config(base, tmp_path / "base", hidden_size=64), tmp_path)


def test_missing_weights_are_named(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"weights are missing, the first encoder\.layers\.2"):
        begun(with_config(base, tmp_path / "base", num_hidden_layers=3), tmp_path)


def test_a_tokenizer_of_another_checkpoint_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="they are of two checkpoints"):
        begun(with_config(base, tmp_path / "base", vocab_size=100), tmp_path)


@pytest.mark.parametrize("wrong", ["models/camembert-base", "camembert-base", "/no/such/folder"])
def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(wrong: str) -> None:
    with pytest.raises(ConfigError, match="no such folder, nor an id such as owner/name"):
        fetch(wrong)


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"start": "models/x"}, "name one of the two"), ({"base": None}, "name one of the two"),
     ({"dev": None}, "thresholds, they are chosen on dev"), ({"rehearse": "x"}, "knows no labels"),
     ({"finetune": {"tokens": 1, "mask": 0.1}}, "for pretraining")],
)  # fmt: skip
def test_a_configuration_that_cannot_work_is_refused(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    keys = plan(tmp_path, tmp_path).model_dump(mode="json") | changed
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_adaptation(tmp_path / "a.yaml")


def test_the_bundled_configuration_is_valid() -> None:
    found = read_adaptation(Path("configs/training/camembert.yaml"))
    assert found is not None
    assert found.schedule().tokens > 0


# --- the hub ------------------------------------------------------------------------------------


def fetched(home: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Run `fetch` in a process of its own, where the hub cannot be reached."""
    code = (
        "import sys\nfrom cxnlp.training.checkpoint import fetch\n"
        f"sys.stdout.write(str(fetch({name!r})))"
    )
    env = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)


def test_an_id_on_the_hub_is_found_in_its_cache(base: Path, tmp_path: Path) -> None:
    place = tmp_path / "hub" / "models--maison--petit"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("a" * 40, encoding="utf-8")
    shutil.copytree(base, place / "snapshots" / ("a" * 40))
    assert fetched(tmp_path, "maison/petit").stdout == str(place / "snapshots" / ("a" * 40))


def test_a_hub_that_cannot_be_reached_says_what_to_do(tmp_path: Path) -> None:
    said = fetched(tmp_path, "maison/petit").stderr
    assert "maison/petit cannot be fetched from the hub" in said
    assert "into a folder and name that" in said
