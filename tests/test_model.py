"""The network and its folder: batches, windows, weights, card, engine."""

import json
import shutil
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
import yaml
from conftest import TEXTS
from hypothesis import given, settings
from hypothesis import strategies as st

from cxnlp.errors import ModelError
from cxnlp.model.card import Labels, read_card, write_card
from cxnlp.model.engine import Engine, Scores
from cxnlp.model.network import Network
from cxnlp.model.packing import in_batches, pack
from cxnlp.model.tokens import Tokenizer, Tokens
from cxnlp.model.weights import hub_name, load_network, own_name, save_network

LENGTHS = st.lists(st.integers(0, 300), max_size=60)
WORDS = st.sampled_from(["", "Parfait.", "deux heures de queue", "🎉🎉", "été " * 40, "l'accueil,"])
COLUMNS = st.lists(st.lists(WORDS, max_size=6), max_size=6)  # the segments of each text
LONG = " ".join(["Le personnel est souriant et la chambre est propre."] * 223)  # 2,007 words
COLUMN = [[text] for text in TEXTS] + [
    ["Accueil charmant,", "mais deux heures de queue au guichet."],
    [],
    [""],
    ["🎉👍❤️"],
    [LONG],
    ["a" * 500, "Parfait.", LONG[:400]],
]


# --- batches ------------------------------------------------------------------------------------


@given(LENGTHS, st.integers(1, 400))
def test_each_row_is_in_one_batch(lengths: list[int], budget: int) -> None:
    batches = pack(np.array(lengths, np.int64), budget)
    rows = [row for batch in batches for row in batch.tolist()]
    assert sorted(rows) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 400))
def test_no_batch_is_over_budget_unless_one_row_alone_is(lengths: list[int], budget: int) -> None:
    for batch in pack(np.array(lengths, np.int64), budget):
        assert len(batch) == 1 or len(batch) * max(lengths[r] for r in batch) <= budget


@given(LENGTHS, st.integers(1, 400))
def test_the_longest_row_is_in_the_first_batch(lengths: list[int], budget: int) -> None:
    batches = pack(np.array(lengths, np.int64), budget)
    assert not batches or lengths[batches[0][0]] == max(lengths)


class _FullError(Exception):
    """A device that has no room."""


def _done(lengths: list[int], budget: int, room: int) -> tuple[list[int], list[int], int]:
    """Return the rows done on a device of this room, the sizes refused, and the budget kept."""
    done: list[int] = []
    refused: list[int] = []
    sizes = np.array(lengths, np.int64)

    def step(rows: np.ndarray) -> None:
        size = len(rows) * int(sizes[rows].max())
        if size > room:
            refused.append(size)
            raise _FullError
        done.extend(rows.tolist())

    return done, refused, in_batches(sizes, budget, step, _FullError)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60), st.integers(60, 4000))
def test_each_row_is_done_once_on_a_device_with_too_little_room(
    lengths: list[int], budget: int
) -> None:
    done, _, kept = _done(lengths, budget, room=60)
    assert sorted(done) == list(range(len(lengths)))
    assert kept <= budget


def test_a_budget_that_fits_stays() -> None:
    assert _done([10] * 20, 100, room=100)[1:] == ([], 100)


def test_a_budget_too_large_is_halved_until_it_fits() -> None:
    assert _done([10] * 200, 1600, room=450)[1:] == ([1600, 800], 400)


def test_a_single_row_that_has_no_room_is_an_error() -> None:
    with pytest.raises(_FullError):
        _done([10, 500], 1000, room=450)


class _Tight(Network):
    """A network on a device that has room for so many tokens at once."""

    room = 64

    def forward(self, ids: torch.Tensor, *rest: torch.Tensor) -> tuple[torch.Tensor, ...]:  # type: ignore[override]
        if ids.numel() > self.room:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(ids, *rest)  # type: ignore[arg-type]


@pytest.fixture
def tight(tiny_model: Path) -> Engine:
    network = load_network(tiny_model)
    network.__class__ = _Tight
    tokenizer = Tokenizer.load(tiny_model / "tokenizer.json", network.shape.max_tokens)
    card = read_card(tiny_model)
    cpu = torch.device("cpu")
    return Engine(network, tokenizer, card, cpu, torch.float32, 512, "padded")


# --- windows ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Tokenizer:
    return Tokenizer.load(tiny_model / "tokenizer.json", 32)


@pytest.fixture(scope="module")
def plain(tiny_model: Path) -> tokenizers.Tokenizer:
    """The same file, read by the library alone."""
    return tokenizers.Tokenizer.from_file(str(tiny_model / "tokenizer.json"))


def _flat(column: list[list[str]]) -> tuple[list[str], np.ndarray]:
    segments = [segment for text in column for segment in text]
    owner = np.repeat(np.arange(len(column)), [len(text) for text in column])
    return segments, owner.astype(np.int64)


def _encoded(tokenizer: Tokenizer, column: list[list[str]]) -> Tokens:
    return tokenizer.encode(*_flat(column))


@settings(max_examples=50)
@given(column=COLUMNS)
def test_pieces_end_to_end_are_the_tokens_of_their_segment(
    tokenizer: Tokenizer, plain: tokenizers.Tokenizer, column: list[list[str]]
) -> None:
    tokens = _encoded(tokenizer, column)
    segments, _ = _flat(column)
    found: list[list[int]] = [[] for _ in segments]
    for segment, ids in zip(
        tokens.piece_segment, np.split(tokens.ids, tokens.piece_ends), strict=False
    ):
        found[segment] += ids.tolist()
    assert found == [plain.encode(s, add_special_tokens=False).ids for s in segments]


@settings(max_examples=50)
@given(column=COLUMNS)
def test_windows_hold_all_tokens_and_none_is_longer_than_the_room(
    tokenizer: Tokenizer, column: list[list[str]]
) -> None:
    tokens = _encoded(tokenizer, column)
    assert tokens.window_lengths.sum() == len(tokens.ids)
    assert tokens.window_lengths.max(initial=0) <= tokenizer.room


@settings(max_examples=50)
@given(column=COLUMNS)
def test_the_pieces_of_a_window_lie_side_by_side_and_fill_it(
    tokenizer: Tokenizer, column: list[list[str]]
) -> None:
    tokens = _encoded(tokenizer, column)
    assert [w for w, _ in groupby(tokens.piece_window)] == list(range(len(tokens.window_ends)))
    filled = np.bincount(tokens.piece_window, tokens.piece_lengths, len(tokens.window_ends))
    assert filled.tolist() == tokens.window_lengths.tolist()


@settings(max_examples=50)
@given(column=COLUMNS)
def test_no_window_holds_two_texts(tokenizer: Tokenizer, column: list[list[str]]) -> None:
    tokens = _encoded(tokenizer, column)
    _, owner = _flat(column)
    assert (owner[tokens.piece_segment] == tokens.window_text[tokens.piece_window]).all()


@settings(max_examples=50)
@given(column=COLUMNS)
def test_every_segment_has_a_piece_even_an_empty_one(
    tokenizer: Tokenizer, column: list[list[str]]
) -> None:
    tokens = _encoded(tokenizer, column)
    segments, _ = _flat(column)
    assert sorted({*tokens.piece_segment.tolist()}) == list(range(len(segments)))


def test_a_segment_longer_than_a_window_is_cut_into_full_pieces(tokenizer: Tokenizer) -> None:
    tokens = _encoded(tokenizer, [["été " * 200]])
    assert len(tokens.piece_ends) > 5
    assert (tokens.piece_lengths[:-1] == tokenizer.room).all()


def test_segments_that_fit_share_a_window(tokenizer: Tokenizer) -> None:
    tokens = _encoded(tokenizer, [["Parfait.", "Parfait."]])
    assert tokens.piece_window.tolist() == [0, 0]


def test_no_segments_have_no_windows(tokenizer: Tokenizer) -> None:
    tokens = _encoded(tokenizer, [[], []])
    assert (len(tokens.ids), len(tokens.window_ends), len(tokens.piece_ends)) == (0, 0, 0)


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match=r"tokenizer\.json: not a tokenizer"):
        Tokenizer.load(path, 32)


# --- weights ------------------------------------------------------------------------------------

IDS = torch.tensor([
    [0, 40, 77, 200, 301, 12, 2],
    [0, 9, 2, 1, 1, 1, 1],
    [0, 300, 41, 41, 2, 1, 1],
])  # fmt: skip


def _theirs(folder: Path) -> torch.nn.Module:
    from transformers import CamembertModel

    model: torch.nn.Module = CamembertModel.from_pretrained(
        folder, add_pooling_layer=False, dtype=torch.float32
    )
    return model.eval()


@pytest.mark.parametrize("rows", [slice(0, 1), slice(0, 3)], ids=["full", "padded"])
def test_the_encoder_answers_as_transformers_does(tiny_model: Path, rows: slice) -> None:
    ids = IDS[rows]
    with torch.inference_mode():
        ours = load_network(tiny_model).encoder(ids)
        theirs = _theirs(tiny_model)(ids, attention_mask=(ids != 1).long()).last_hidden_state
    assert torch.allclose(ours[ids != 1], theirs[ids != 1], atol=1e-5)


def test_padding_changes_no_state(tiny_model: Path) -> None:
    encoder = load_network(tiny_model).encoder
    with torch.inference_mode():
        padded, alone = encoder(IDS)[1:2, :3], encoder(IDS[1:2, :3])
    assert torch.allclose(padded, alone, atol=1e-6)


def test_saved_weights_are_loaded_again(tiny_model: Path, tmp_path: Path) -> None:
    first = load_network(tiny_model)
    save_network(first, tmp_path)
    again = load_network(tmp_path)
    assert again.shape == first.shape
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name


def test_every_name_of_a_weight_inverts(tiny_model: Path) -> None:
    for name in load_network(tiny_model).state_dict():
        assert own_name(hub_name(name)) == name


def test_weights_of_another_size_are_refused(model: Path) -> None:
    _edit(model / "config.json", intermediate_size=48)
    with pytest.raises(ModelError, match=r"do not fit config\.json"):
        load_network(model)


def test_a_size_that_is_missing_is_named(model: Path) -> None:
    config = json.loads((model / "config.json").read_text("utf-8"))
    del config["hidden_size"]
    (model / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match=r"config\.json: 'hidden_size' is missing"):
        load_network(model)


def test_dropout_is_off_when_a_network_is_loaded(tiny_model: Path) -> None:
    network: Network = load_network(tiny_model)
    assert not any(module.training for module in network.modules())


# --- card ---------------------------------------------------------------------------------------


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


def _edit(path: Path, **changes: object) -> None:
    data = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(data | changes), encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "card.yaml"]
)
def test_a_missing_file_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing"):
        read_card(model)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere: no such model folder"):
        read_card(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_one_altered_byte_is_seen(model: Path, name: str) -> None:
    data = bytearray((model / name).read_bytes())
    data[len(data) // 2] ^= 1
    (model / name).write_bytes(data)
    with pytest.raises(ModelError, match=rf"{name}.* are not the files the card describes"):
        read_card(model)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "old/weights.PKL", "optimizer.pt"])
def test_a_file_that_could_run_code_is_refused(model: Path, name: str) -> None:
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match=f"{name}: refused"):
        Engine.load(model, "cpu")


@pytest.mark.parametrize(
    "text", ["", "- a list", "labels: [", "labels: {sentiment: 3}", "day: 2026-99-01"]
)
def test_a_bad_card_is_named(model: Path, text: str) -> None:
    (model / "card.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"card\.yaml: not a model card"):
        read_card(model)


def test_an_unknown_key_in_the_card_is_named(model: Path) -> None:
    with (model / "card.yaml").open("a", encoding="utf-8") as card:
        card.write("licence_: MIT\n")
    with pytest.raises(ModelError, match="licence_"):
        read_card(model)


def test_another_family_of_models_than_that_of_the_weights_is_refused(model: Path) -> None:
    card = read_card(model)
    _edit(model / "config.json", model_type="distilbert")
    write_card(model, card)
    with pytest.raises(ModelError, match=r"the weights do not fit config\.json"):
        Engine.load(model, "cpu")


def test_the_version_has_name_and_digest(tiny_model: Path) -> None:
    card = read_card(tiny_model)
    assert card.version == f"tiny-{card.sha256[:8]}"


def test_a_card_is_read_as_it_was_written(model: Path) -> None:
    card = read_card(model)
    assert write_card(model, card) == card


def test_labels_lie_end_to_end_among_the_outputs(tiny_model: Path) -> None:
    labels = read_card(tiny_model).labels
    for heads in (Labels.COMMENT, Labels.PIECE):
        where = labels.slices(heads)
        places = [i for head in heads for i in range(where[head].start, where[head].stop)]
        assert places == list(range(sum(len(getattr(labels, head)) for head in heads)))


# --- engine -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Engine:
    return Engine.load(tiny_model, "cpu")


@pytest.fixture(scope="module")
def together(engine: Engine) -> Scores:
    return _predict(engine, COLUMN)


def _predict(engine: Engine, column: list[list[str]]) -> Scores:
    segments, owner = _flat(column)
    return engine.predict(segments, owner, len(column), _cues(engine, segments))


def _cues(engine: Engine, segments: list[str]) -> np.ndarray:
    """Counts that depend on the segment alone, so that each goes wherever its segment goes."""
    width = len(engine.card.labels.cues)
    places = np.arange(width)
    return np.array(
        [(places + len(s)) % 17 == 0 for s in segments], np.float32
    ).reshape(-1, width)  # fmt: skip


def _near(one: Scores, other: Scores) -> None:
    for ours, theirs in ((one.comment, other.comment), (one.segment, other.segment)):
        assert ours.keys() == theirs.keys()
        for head in ours:
            np.testing.assert_allclose(ours[head], theirs[head], atol=1e-5, err_msg=head)


def test_a_batch_answers_as_one_text_at_a_time(engine: Engine, together: Scores) -> None:
    alone = [_predict(engine, [text]) for text in COLUMN]
    _near(together, Scores(
        {h: np.concatenate([a.comment[h] for a in alone]) for h in together.comment},
        {h: np.concatenate([a.segment[h] for a in alone]) for h in together.segment},
    ))  # fmt: skip


def test_shuffled_texts_have_the_same_rows(engine: Engine, together: Scores) -> None:
    order = np.random.default_rng(3).permutation(len(COLUMN))
    shuffled = _predict(engine, [COLUMN[i] for i in order])
    _, owner = _flat(COLUMN)
    rows = np.concatenate([np.flatnonzero(owner == i) for i in order])
    _near(shuffled, Scores(
        {h: v[order] for h, v in together.comment.items()},
        {h: v[rows] for h, v in together.segment.items()},
    ))  # fmt: skip


def test_a_small_budget_gives_the_same_rows(tiny_model: Path, together: Scores) -> None:
    _near(together, _predict(Engine.load(tiny_model, "cpu", max_batch_tokens=64), COLUMN))


def test_a_device_with_little_room_gives_the_same_rows(tight: Engine, together: Scores) -> None:
    with pytest.warns(RuntimeWarning, match=r"no room for batches of 512 tokens; 64 from here on"):
        found = _predict(tight, COLUMN)
    _near(together, found)


def test_a_device_with_little_room_is_told_of_once(tight: Engine) -> None:
    with pytest.warns(RuntimeWarning):
        _predict(tight, COLUMN)
    _predict(tight, COLUMN)  # a warning here would fail the test


def test_other_texts_give_other_answers(together: Scores) -> None:
    stars = together.comment["stars"]
    assert len(np.unique(stars.round(6), axis=0)) > len(COLUMN) - 3


def test_cues_are_heard(engine: Engine) -> None:
    silent = np.zeros((1, len(engine.card.labels.cues)), np.float32)
    owner = np.zeros(1, np.int64)
    one = engine.predict(["Parfait."], owner, 1, silent)
    other = engine.predict(["Parfait."], owner, 1, silent + 1)
    assert not np.allclose(one.comment["sentiment"], other.comment["sentiment"], atol=1e-4)


def test_a_text_without_segments_has_zeros(together: Scores) -> None:
    row = COLUMN.index([])
    assert all((values[row] == 0).all() for values in together.comment.values())


def test_no_texts_have_no_rows(engine: Engine) -> None:
    scores = _predict(engine, [])
    assert {len(v) for v in (*scores.comment.values(), *scores.segment.values())} == {0}


def test_scores_are_probabilities(together: Scores) -> None:
    for values in (*together.comment.values(), *together.segment.values()):
        assert values.dtype == np.float32
        assert ((values >= 0) & (values <= 1)).all()


@pytest.mark.parametrize("head", ["sentiment", "stars"])
def test_one_of_several_labels_sums_to_one(together: Scores, head: str) -> None:
    sums = together.comment[head].sum(1)
    written = np.array([bool(text) for text in COLUMN])
    np.testing.assert_allclose(sums[written], 1, atol=1e-5)


def test_polarities_of_a_segment_sum_to_one(together: Scores) -> None:
    np.testing.assert_allclose(together.segment["polarity"].sum(1), 1, atol=1e-5)


def test_a_comment_speaks_of_what_one_of_its_windows_does(engine: Engine) -> None:
    """Each full-length segment is a window, hence a text of its own."""
    parts = ["a" * 80, "été " * 40, "z" * 80]
    whole = _predict(engine, [parts]).comment["intents"]
    alone = _predict(engine, [[part] for part in parts]).comment["intents"]
    np.testing.assert_allclose(whole[0], alone.max(0), atol=1e-5)


def test_temperatures_of_comments_leave_segments_alone(model: Path, together: Scores) -> None:
    """Thresholds of segments were chosen on probabilities that no temperature of theirs changed."""
    data = yaml.safe_load((model / "card.yaml").read_text("utf-8"))
    data["temperatures"] = {"touchpoints": 3.0, "levers": 3.0}
    (model / "card.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    cooled = _predict(Engine.load(model, "cpu"), COLUMN)
    assert not np.allclose(cooled.comment["levers"], together.comment["levers"], atol=1e-3)
    np.testing.assert_allclose(cooled.segment["levers"], together.segment["levers"], atol=1e-6)


def test_bfloat16_changes_little(tiny_model: Path, together: Scores) -> None:
    half = _predict(Engine.load(tiny_model, "cpu", precision="bfloat16"), COLUMN)
    np.testing.assert_allclose(half.comment["stars"], together.comment["stars"], atol=0.02)
