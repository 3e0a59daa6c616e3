"""Batches without padding answer as padded ones do; other encoders than ours are read as well."""

import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, TEXTS
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812

from cxnlp.errors import ModelError
from cxnlp.model.card import read_card, write_card
from cxnlp.model.engine import Engine, Layout, Scores
from cxnlp.model.hub import foreign, hub_network
from cxnlp.model.kernels import add_norm, pool
from cxnlp.model.layout import Batch, Limits, into_bins, lay
from cxnlp.model.packed import PackedNetwork
from cxnlp.model.tokens import Tokenizer, Tokens, _windows
from cxnlp.model.weights import load_network, save_network

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
NEAR = {torch.float32: 1e-5, torch.bfloat16: 0.02}  # how far a probability may be off
WAYS: list[Layout] = ["varlen", "bins"]
BUDGETS = [64, 256, 4096]

# --- where windows go ---------------------------------------------------------------------------

COLUMNS = st.lists(st.lists(st.integers(0, 60), max_size=4), max_size=30)  # tokens of segments
LIMITS = st.builds(Limits.of, st.integers(1, 400), st.just(32))
FRAME = (1, 0, 2)


def _tokens(column: list[list[int]], room: int = 30) -> Tokens:
    owner = np.repeat(np.arange(len(column)), [len(some) for some in column])
    lengths = np.array([n for some in column for n in some], np.int64)
    return _windows(np.arange(5, 5 + lengths.sum(), dtype=np.int32), lengths, owner, room)


def _batches(column: list[list[int]], limits: Limits, bins: bool) -> tuple[Tokens, list[Batch]]:
    tokens = _tokens(column)
    return tokens, list(lay(tokens, limits, FRAME, bins))


@settings(deadline=None)
@given(COLUMNS, LIMITS, st.booleans())
def test_each_window_and_piece_is_in_one_batch(
    column: list[list[int]], limits: Limits, bins: bool
) -> None:
    tokens, batches = _batches(column, limits, bins)
    windows = [w for batch in batches for w in batch.windows.tolist()]
    pieces = [p for batch in batches for p in batch.pieces.tolist()]
    assert sorted(windows) == list(range(len(tokens.window_ends)))
    assert sorted(pieces) == list(range(len(tokens.piece_ends)))


@settings(deadline=None)
@given(COLUMNS, LIMITS, st.booleans())
def test_windows_stand_in_their_frame_and_nothing_else_does(
    column: list[list[int]], limits: Limits, bins: bool
) -> None:
    tokens, batches = _batches(column, limits, bins)
    for batch in batches:
        left = batch.ids.copy()
        for window, start, length in zip(batch.windows, batch.starts, batch.lengths, strict=True):
            own = tokens.ids[tokens.window_starts[window] : tokens.window_ends[window]]
            assert left[start : start + length].tolist() == [0, *own.tolist(), 2]
            left[start : start + length] = 1
        assert (left == 1).all()


@settings(deadline=None)
@given(COLUMNS, LIMITS, st.booleans())
def test_pieces_lie_in_their_windows(
    column: list[list[int]], limits: Limits, bins: bool
) -> None:  # fmt: skip
    tokens, batches = _batches(column, limits, bins)
    for batch in batches:
        for piece, start, length in zip(
            batch.pieces, batch.piece_starts, batch.piece_lengths, strict=True
        ):
            end = tokens.piece_ends[piece]
            assert (batch.ids[start : start + length] == tokens.ids[end - length : end]).all()


@settings(deadline=None)
@given(COLUMNS, LIMITS, st.booleans())
def test_batches_are_within_their_limits_unless_one_window_is_not(
    column: list[list[int]], limits: Limits, bins: bool
) -> None:
    for batch in _batches(column, limits, bins)[1]:
        assert len(batch.ids) == limits.tokens
        places = np.unique(batch.starts // batch.width) if bins else batch.windows
        assert len(places) == 1 or (
            len(batch.windows) <= limits.windows and len(batch.pieces) <= limits.pieces
        )


@settings(deadline=None)
@given(COLUMNS, LIMITS)
def test_no_window_crosses_a_bin(column: list[list[int]], limits: Limits) -> None:
    for batch in _batches(column, limits, bins=True)[1]:
        last = batch.starts + batch.lengths - 1
        assert (batch.starts // batch.width == last // batch.width).all()


def test_long_windows_go_first_and_apart() -> None:
    tokens = _tokens([[20], [200], [30]], room=300)
    batches = list(lay(tokens, Limits.of(2000, 300), FRAME, bins=True))
    assert [(b.windows.tolist(), b.width) for b in batches] == [([1], 384), ([2, 0], 128)]


def test_bins_of_short_comments_are_full() -> None:
    random = np.random.default_rng(2)
    lengths = np.clip(random.lognormal(3.4, 0.7, 5_000), 3, 128).astype(np.int64)
    bin_of, _ = into_bins(lengths, 128)
    assert lengths.sum() / (128 * (bin_of.max() + 1)) > 0.99


# --- operations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_a_run_of_rows_is_added_up_and_its_largest_found(device: str) -> None:
    x = torch.randn(40, 60, device=device)
    start, stop = torch.tensor([[1, 5, 5, 20, 40, 40], [4, 5, 19, 40, 40, 39]], device=device).int()
    total, largest = pool(x, start, stop)
    for run, (a, b) in enumerate(zip(start.tolist(), stop.tolist(), strict=True)):
        none = torch.zeros(60, device=device)
        torch.testing.assert_close(total[run], x[a:b].sum(0) if b > a else none)
        torch.testing.assert_close(largest[run], x[a:b].amax(0) if b > a else none)


@pytest.mark.parametrize("looked_up", [False, True])
@pytest.mark.parametrize("device", DEVICES)
def test_a_sum_and_its_norm_are_layer_norm(device: str, looked_up: bool) -> None:
    x, other = torch.randn(2, 30, 48, device=device)
    weight, bias = torch.randn(2, 48, device=device)
    first, second = torch.randint(0, 30, (2, 70), device=device).int()
    found = add_norm(x, other, weight, bias, 1e-5, (first, second) if looked_up else None)
    added = x[first.long()] + other[second.long()] if looked_up else x + other
    torch.testing.assert_close(found, F.layer_norm(added, (48,), weight, bias, 1e-5))


# --- answers ------------------------------------------------------------------------------------

RANDOM = np.random.default_rng(5)
WORDS = " ".join(TEXTS).split()
LONG = " ".join(["Le personnel est souriant et la chambre est propre."] * 60)
SEGMENTS = [
    *([" ".join(RANDOM.choice(WORDS, size)) + " "] for size in RANDOM.integers(1, 25, 60)),
    [], [""], ["", "Parfait.", ""], [LONG], ["🎉" * 300], ["a" * 500, "Parfait.", LONG[:400]],
]  # fmt: skip


def _given(column: list[list[str]], width: int) -> tuple[list[str], np.ndarray, int, np.ndarray]:
    segments = [s for some in column for s in some]
    owner = np.repeat(np.arange(len(column)), [len(some) for some in column])
    cues = np.array([[(len(s) + i) % 9 // 7 * 2 for i in range(width)] for s in segments])
    return segments, owner, len(column), cues.reshape(-1, width).astype(np.float32)


def _predict(engine: Engine, column: list[list[str]] = SEGMENTS) -> Scores:
    return engine.predict(*_given(column, len(engine.card.labels.cues)))


def _near(one: Scores, other: Scores, most: float) -> None:
    for ours, theirs in ((one.comment, other.comment), (one.segment, other.segment)):
        for head in ours:
            np.testing.assert_allclose(ours[head], theirs[head], atol=most, err_msg=head)


def _engine(
    folder: Path, device: str, dtype: torch.dtype, way: Layout, budget: int = 256
) -> Engine:
    engine = Engine.load(folder, device, str(dtype).removeprefix("torch."), budget, way)
    assert engine.way in (way, "bins")  # FlashAttention has no single precision
    return engine


@pytest.fixture(scope="module")
def padded(tiny_model: Path) -> Scores:
    return _predict(Engine.load(tiny_model, "cpu", "float32", way="padded"))


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("device", DEVICES)
def test_batches_without_padding_answer_as_padded_ones(
    tiny_model: Path, padded: Scores, device: str, dtype: torch.dtype, way: Layout, budget: int
) -> None:
    _near(_predict(_engine(tiny_model, device, dtype, way, budget)), padded, NEAR[dtype])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("device", DEVICES)
def test_neighbours_in_a_batch_change_nothing(tiny_model: Path, device: str, way: Layout) -> None:
    engine = _engine(tiny_model, device, torch.float32, way)
    together = _predict(engine)
    for row in (0, 30, 63, 65):
        alone = _predict(engine, [SEGMENTS[row]])
        for head, values in alone.comment.items():
            np.testing.assert_allclose(values[0], together.comment[head][row], atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_no_texts_have_no_rows_without_padding(tiny_model: Path, way: Layout) -> None:
    scores = _predict(_engine(tiny_model, "cpu", torch.float32, way), [])
    assert {len(v) for v in (*scores.comment.values(), *scores.segment.values())} == {0}


@pytest.mark.parametrize("device", DEVICES)
def test_a_block_may_be_begun_before_the_last_is_fetched(tiny_model: Path, device: str) -> None:
    engine = _engine(tiny_model, device, torch.float32, "varlen")
    waiting = []
    for column in (SEGMENTS[:30], SEGMENTS[30:]):
        segments, owner, texts, cues = _given(column, len(engine.card.labels.cues))
        waiting.append(engine.begin(engine.tokens(segments, owner), texts, cues))
    found = np.concatenate([finish().comment["stars"] for finish in waiting])
    np.testing.assert_allclose(found, _predict(engine).comment["stars"], atol=1e-5)


def test_other_ids_of_the_frame_are_put_around_texts(tiny_model: Path) -> None:
    """CamemBERT's own are 5 and 6."""
    card, network = read_card(tiny_model), load_network(tiny_model)
    network.shape = replace(network.shape, bos_token_id=5, eos_token_id=6)
    tokenizer = Tokenizer.load(tiny_model / "tokenizer.json", network.shape.max_tokens)
    both = [
        _predict(Engine(network, tokenizer, card, torch.device("cpu"), torch.float32, 512, way))
        for way in ("padded", "varlen")
    ]
    _near(*both, 1e-5)


class _Tight(PackedNetwork):
    """A packed network on a device that has room for so many tokens at once."""

    def __call__(self, room: object, buffer: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if room.tokens > 128:  # type: ignore[attr-defined]
            raise torch.OutOfMemoryError("out of memory")
        return super().__call__(room, buffer)  # type: ignore[arg-type]


def test_a_device_with_little_room_is_given_half_and_told_of_once(
    tiny_model: Path, padded: Scores
) -> None:
    engine = _engine(tiny_model, "cpu", torch.float32, "varlen", 1024)
    engine._runner._network.__class__ = _Tight
    with pytest.warns(RuntimeWarning, match=r"no room for batches of 1024 tokens; 128 from here"):
        _near(_predict(engine), padded, 1e-5)
    _near(_predict(engine), padded, 1e-5)  # a warning here would fail the test


# --- encoders of transformers -------------------------------------------------------------------

OTHERS = {
    "bert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
             "intermediate_size": 32},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "roberta": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
                "intermediate_size": 32, "hidden_act": "relu", "pad_token_id": 1},
}  # fmt: skip


@pytest.fixture(scope="module", params=OTHERS)
def other_model(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model folder whose encoder is not CamemBERT-shaped."""
    folder = tmp_path_factory.mktemp("others") / request.param
    shutil.copytree(tiny_model, folder)
    config = {"model_type": request.param, "vocab_size": 448, "max_position_embeddings": 34}
    sizes = load_network(tiny_model).shape.to_dict()
    ours = {k: sizes[k] for k in sizes if k.endswith(("_outputs", "cues", "wide_size", "_buckets"))}
    ours |= {"head_size": 16, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    torch.manual_seed(4)
    save_network(hub_network(config | OTHERS[request.param], ours, folder).eval(), folder)
    write_card(folder, replace(read_card(tiny_model), name="other"))
    return folder


def test_another_encoder_is_told_of(other_model: Path) -> None:
    with pytest.warns(RuntimeWarning, match="read by transformers, which is slower"):
        load_network(other_model)


def _other(folder: Path) -> Engine:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return Engine.load(folder, "cpu", "float32", way="varlen")


def test_another_encoder_is_transformers_own(other_model: Path) -> None:
    from transformers import AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()  # it reports our heads as unexpected
    logging.disable_progress_bar()
    theirs = AutoModel.from_pretrained(other_model, dtype=torch.float32).eval()
    ids = torch.tensor([[0, 40, 77, 200, 301, 12, 2], [0, 9, 2, 1, 1, 1, 1]])
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        ours = load_network(other_model).encoder(ids)
        wanted = theirs(ids, attention_mask=(ids != 1).long())[0]
    assert torch.allclose(ours[ids != 1], wanted[ids != 1], atol=1e-5)


def test_another_encoder_pads_and_answers_whatever_the_neighbours(other_model: Path) -> None:
    engine = _other(other_model)
    assert engine.way == "padded"
    together = _predict(engine, SEGMENTS[:20])
    alone = _predict(engine, [SEGMENTS[7]])
    np.testing.assert_allclose(alone.comment["stars"][0], together.comment["stars"][7], atol=1e-5)


def test_ids_around_a_text_that_no_one_gives_are_asked_for(tmp_path: Path) -> None:
    config = {"model_type": "bert", "vocab_size": 99, **OTHERS["bert"]}
    with pytest.raises(ModelError, match="bos_token_id is missing; give it in the section cxnlp"):
        hub_network(config, {}, tmp_path / "config.json")


def test_an_architecture_that_no_one_knows_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="model_type 'oracle': transformers makes no encoder"):
        hub_network({"model_type": "oracle"}, {}, tmp_path / "config.json")


@pytest.mark.parametrize("kind", ["camembert", "roberta", "xlm-roberta"])
def test_the_family_is_read_by_our_own_encoder(kind: str) -> None:
    assert foreign({"model_type": kind, "hidden_act": "gelu"}) == ""


# --- what is needed -----------------------------------------------------------------------------


def test_the_model_needs_neither_spacy_nor_prefect_nor_pydantic() -> None:
    code = (
        "import sys\n"
        "for name in ('spacy', 'prefect', 'pydantic', 'duckdb', 'pandas', 'ftfy', 'typer'):\n"
        "    sys.modules[name] = None\n"
        "import pkgutil, importlib, cxnlp.model\n"
        "for m in pkgutil.iter_modules(cxnlp.model.__path__, 'cxnlp.model.'):\n"
        "    importlib.import_module(m.name)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=ROOT)
