"""From annotations to a model folder and its scores, on forty comments made here."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from conftest import TAXONOMY
from safetensors.numpy import load_file

from cxnlp import schema
from cxnlp.analyse import Analysis, Analyzer
from cxnlp.errors import ConfigError, UsageError
from cxnlp.model.card import Labels, read_card
from cxnlp.training import finetune as fitting
from cxnlp.training import recipe as recipes
from cxnlp.training.corpus import Example, Mention, read_annotated, read_reviews, rough_clauses
from cxnlp.training.corpus import windows as windows_of
from cxnlp.training.evaluate import compare, evaluate
from cxnlp.training.finetune import segment_targets
from cxnlp.training.losses import Targets
from cxnlp.training.optimise import Schedule, optimise, resume
from cxnlp.training.recipe import Recipe, load_recipe, stars
from cxnlp.training.scores import best_threshold, best_weights, f1, micro_f1
from cxnlp.training.steps import run as run_steps

PLACES = [
    ("L'accueil", "personnel_accueil", "emotions"),
    ("La queue au guichet", "attente_caisse", "temps_praticite"),
    ("Le prix du billet", "prix_tarif", "offre"),
    ("La livraison du colis", "livraison_retrait", "temps_praticite"),
    ("Le petit-déjeuner", "restauration_repas", "sensations"),
    ("Le conseil du vendeur", "conseil_devis", "conseil_pedagogie"),
    ("La carte de fidélité", "fidelite_avantages", "personnalisation"),
    ("L'image de la marque", "marque_image", "identite_communaute"),
]
VERDICTS = [
    ("positif", "joie", "est parfait, je suis ravi", 5, "positif"),
    ("negatif", "colere", "est une honte", 1, "negatif"),
    ("negatif", "tristesse", "nous a beaucoup déçus", 2, "negatif"),
    ("negatif", "peur", "me fait vraiment peur", 2, "negatif"),
    ("negatif", "degout", "était dégoûtant", 1, "negatif"),
    ("positif", "surprise", "nous a agréablement surpris", 4.5, "positif"),
    ("negatif", "mepris", "est l'affaire de guignols", 1, "negatif"),
    ("neutre", None, "est comme l'an dernier", 3, "neutre"),
    ("mixte", "joie", "est bien pour les uns et mauvais pour les autres", 3, "neutre"),
]
ENDS = [
    ("", None), (" Je recommande.", "recommander"), (" Je déconseille.", "deconseiller"),
    (" Nous reviendrons.", "revenir"), (" Plus jamais.", "partir"),
]  # fmt: skip
RECIPE = {
    "name": "tiny", "taxonomy": str(TAXONOMY), "tokenizer": {"pieces": 340},
    "network": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                "intermediate_size": 32, "max_position_embeddings": 50, "wide_buckets": 64,
                "wide_size": 4, "head_size": 16},
    "min_mentions": 2, "cut": 40, "plain": {"messages": 20},
    "pretrain": {"tokens": 1500, "batch_tokens": 300, "mask": 0.2, "language": 0.3},
    "finetune": {"tokens": 3000, "batch_tokens": 300, "average": 0.9, "most": 20},
}  # fmt: skip
SET_SCORES = [f"{head}_{kind}_f1" for head in ("emotions", "touchpoints", "levers", "intents")
              for kind in ("micro", "macro")]  # fmt: skip


def _annotated(i: int) -> dict[str, Any]:
    place, touchpoint, lever = PLACES[i % 8]
    sentiment, emotion, verdict, rating, polarity = VERDICTS[i % 9]
    end, intent = ENDS[i % 5]
    words = f"{place} {verdict}"
    return {
        "id": f"a{i}", "text": f"{words}.{end}", "rating": rating, "s": sentiment,
        "e": [emotion] if emotion else [], "i": [intent] if intent else [], "w": 0,
        "m": [{"q": words, "t": touchpoint, "l": [lever], "p": polarity}],
    }  # fmt: skip


def _quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training folder: 72 reviews, 40 annotated comments to learn from, 18 to calibrate on."""
    folder = tmp_path_factory.mktemp("data")
    for name, numbers in (("train", range(40)), ("dev", range(54, 72))):
        lines = [json.dumps(_annotated(i), ensure_ascii=False) for i in numbers]
        (folder / f"annotated_{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with gzip.open(folder / "reviews.jsonl.gz", "wt", encoding="utf-8") as file:
        for i in range(72):
            row = _annotated(i)
            file.write(json.dumps({"text": row["text"], "rating": row["rating"]}) + "\n")
    with gzip.open(folder / "plain_text.jsonl.gz", "wt", encoding="utf-8") as file:
        for i in range(30):
            file.write(json.dumps({"text": _annotated(i)["text"], "set": "messages"}) + "\n")
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("recipe")
    text = yaml.safe_dump(RECIPE | {"folder": str(folder / "run")}, allow_unicode=True)
    (folder / "tiny.yaml").write_text(text, encoding="utf-8")
    return load_recipe(folder / "tiny.yaml")


@pytest.fixture(scope="module")
def trained(recipe: Recipe, data: Path, tiny_model: Path) -> Path:
    """The model folder at the end of the recipe."""
    for step in ("prepare", "pretrain", "finetune"):
        run_steps(recipe, data, step, _quiet)
    return fitting.export(recipe, data, _quiet)


@pytest.fixture(scope="module")
def fitted(trained: Path) -> Analyzer:
    return Analyzer.load(trained, TAXONOMY)


@pytest.fixture(scope="module")
def scores(fitted: Analyzer, data: Path) -> dict[str, Any]:
    return evaluate(data / "annotated_dev.jsonl", fitted)


# --- the recipe ---------------------------------------------------------------------------------


def test_the_recipe_ends_in_a_model_folder(trained: Path) -> None:
    card = read_card(trained)
    assert (card.name, card.about["recipe"]) == ("tiny", "tiny")


def test_the_card_has_a_threshold_for_every_label(trained: Path) -> None:
    card = read_card(trained)
    for head, values in card.thresholds.items():
        assert len(values) == len(getattr(card.labels, head.removeprefix("segment_"))), head


def test_touchpoints_that_are_too_rare_are_not_learnt(trained: Path) -> None:
    assert set(read_card(trained).labels.touchpoints) == {t for _, t, _ in PLACES}


def test_the_trained_model_analyses(fitted: Analyzer) -> None:
    result = fitted.analyze(["La queue au guichet est une honte. Plus jamais."])
    assert result.comments["sentiment"][0].as_py() in schema.SENTIMENTS


def test_training_has_learnt_something(trained: Path, recipe: Recipe) -> None:
    """The weights at the end are not those it began with."""
    first = recipes.new_network(recipe, read_card(trained).labels).state_dict()
    last = load_file(recipe.folder / "finetune" / "checkpoint.safetensors")
    assert not np.allclose(first["comment_heads.weight"].numpy(), last["comment_heads.weight"])


def test_a_step_that_is_done_is_not_done_again(recipe: Recipe, data: Path, trained: Path) -> None:
    told: list[str] = []
    recipes.prepare(recipe, data, told.append)
    assert told == ["72 reviews, 20 texts without a mark"]


def test_a_second_generation_goes_on_from_the_first(
    recipe: Recipe, data: Path, trained: Path, tmp_path: Path
) -> None:
    second = recipe.model_copy(
        update={"folder": tmp_path / "run", "start": trained, "teachers": [trained], "plain": {}}
    )
    run_steps(second, data, None, _quiet)
    assert read_card(tmp_path / "run" / "model").labels == read_card(trained).labels
    assert not (tmp_path / "run" / "pretrain").exists()
    reference = read_card(tmp_path / "run" / "model").reference
    assert reference["from"].startswith("reviews.jsonl.gz: ")


def test_an_unknown_key_of_a_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(RECIPE | {"folder": "x", "epochs": 3}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"tiny\.yaml: epochs: "):
        load_recipe(path)


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "not valid YAML"), (None, "no such training configuration")]
)
def test_a_recipe_that_cannot_be_read_is_named(
    tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "tiny.yaml"
    if text:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"tiny\.yaml: {message}"):
        load_recipe(path)


# --- resuming -----------------------------------------------------------------------------------

Fit = Callable[[int, Path], tuple[int, dict[str, np.ndarray]]]


@pytest.fixture(scope="module")
def fit(trained: Path, recipe: Recipe, data: Path) -> Fit:
    """Fit to the stars for so many tokens; returns the tokens seen and the weights."""
    examples = read_annotated(data / "annotated_train.jsonl")
    texts = [e.text for e in examples]
    spans = [rough_clauses(t) for t in texts]
    rows = windows_of(texts, spans, recipes.tokenizer_of(recipe), recipe.cut)
    labels = read_card(trained).labels

    def run(tokens: int, folder: Path) -> tuple[int, dict[str, np.ndarray]]:
        network = recipes.new_network(recipe, labels)
        schedule = Schedule(tokens, batch_tokens=200)
        optimise(network, rows, Targets({"stars": stars(examples)}), labels, schedule, folder,
                 _quiet)  # fmt: skip
        weights = {k: v.numpy().copy() for k, v in network.state_dict().items()}
        return int(load_file(folder / "checkpoint.safetensors")["_done"][0]), weights

    return run


def test_training_stops_when_its_tokens_are_used(fit: Fit, tmp_path: Path) -> None:
    seen, _ = fit(500, tmp_path)
    assert 500 <= seen < 500 + 200


def test_a_finished_training_is_taken_as_it_is(fit: Fit, tmp_path: Path) -> None:
    seen, weights = fit(500, tmp_path)
    again, same = fit(500, tmp_path)
    assert again == seen
    assert all(np.array_equal(weights[name], same[name]) for name in weights)


def test_a_training_that_stopped_goes_on_where_it_was(fit: Fit, tmp_path: Path) -> None:
    seen, _ = fit(500, tmp_path)
    later, _ = fit(seen + 1, tmp_path)
    assert seen < later <= seen + 200


def test_the_same_seed_gives_the_same_weights(fit: Fit, tmp_path: Path) -> None:
    _, one = fit(500, tmp_path / "one")
    _, other = fit(500, tmp_path / "other")
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_checkpoint_gives_back_its_weights(fit: Fit, recipe: Recipe, trained: Path,
                                             tmp_path: Path) -> None:  # fmt: skip
    seen, weights = fit(500, tmp_path)
    network = recipes.new_network(recipe, read_card(trained).labels)
    assert resume(network, tmp_path) == seen
    assert all(np.array_equal(weights[k], v.numpy()) for k, v in network.state_dict().items())


def test_without_a_checkpoint_nothing_was_seen(
    recipe: Recipe, trained: Path, tmp_path: Path
) -> None:
    assert resume(recipes.new_network(recipe, read_card(trained).labels), tmp_path) == 0


# --- scores of a model --------------------------------------------------------------------------


def test_scores_lie_between_0_and_1(scores: dict[str, Any]) -> None:
    for name, score in scores["scores"].items():
        if name not in ("stars_mae", "stars_spearman"):
            assert 0 <= score <= 1, name


def test_stars_are_at_most_four_apart(scores: dict[str, Any]) -> None:
    assert 0 <= scores["scores"]["stars_mae"] <= 4
    assert -1 <= scores["scores"].get("stars_spearman", 0) <= 1


def test_every_score_has_an_interval_around_it(scores: dict[str, Any]) -> None:
    assert scores["intervals"].keys() == scores["scores"].keys()
    assert all(low <= high for low, high in scores["intervals"].values())


def test_scores_are_valid_json(scores: dict[str, Any]) -> None:
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_the_confusion_counts_every_comment(scores: dict[str, Any]) -> None:
    counted = sum(n for row in scores["confusion"].values() for n in row.values())
    assert counted == scores["comments"] == 18


def _answers(examples: list[Example], wrong: int = 0) -> Analysis:
    """What a model would say that is right, but for the sentiment of the first `wrong`."""
    turned = {"positif": "negatif", "negatif": "positif", "neutre": "mixte", "mixte": "neutre"}
    sentiments = [
        turned[str(e.sentiment)] if i < wrong else e.sentiment for i, e in enumerate(examples)
    ]
    mentions = [(f"{i:08d}", m) for i, e in enumerate(examples) for m in e.mentions]
    comments = pa.table({
        "sentiment": sentiments,
        "satisfaction": pa.array([e.rating for e in examples], pa.float32()),
        "emotions": [list(e.emotions) for e in examples],
        "intents": [list(e.intents) for e in examples],
        "touchpoints": [[m.touchpoint for m in e.mentions] for e in examples],
        "levers": [[x for m in e.mentions for x in m.levers] for e in examples],
    })  # fmt: skip
    return Analysis(comments, pa.table({
        "comment_id": [c for c, _ in mentions], "touchpoint": [m.touchpoint for _, m in mentions],
        "start": [m.start for _, m in mentions], "end": [m.end for _, m in mentions],
        "sentiment": [m.polarity for _, m in mentions],
    }))  # fmt: skip


@pytest.fixture
def examples(data: Path) -> list[Example]:
    return read_annotated(data / "annotated_train.jsonl")


def test_right_answers_score_one_and_never_less(
    examples: list[Example], analyzer: Analyzer
) -> None:
    found = compare(examples, _answers(examples), analyzer)
    assert found["scores"].pop("stars_mae") == 0
    assert found["scores"].pop("stars_exact") == 1
    assert set(found["scores"]) > {"sentiment_accuracy", "mention_polarity_accuracy", *SET_SCORES}
    assert {round(score, 9) for score in found["scores"].values()} == {1}
    assert found["intervals"]["sentiment_accuracy"] == [1, 1]


def test_an_interval_is_as_wide_as_chance_makes_it(
    examples: list[Example], analyzer: Analyzer
) -> None:
    """Half of 40 right: 0.5 ± 1.96·√(0.25 / 40)."""
    found = compare(examples, _answers(examples, wrong=20), analyzer)
    low, high = found["intervals"]["sentiment_accuracy"]
    assert found["scores"]["sentiment_accuracy"] == 0.5
    assert (low, high) == (pytest.approx(0.345, abs=0.03), pytest.approx(0.655, abs=0.03))


def test_what_cannot_be_measured_is_left_out(analyzer: Analyzer) -> None:
    plain = [Example(str(i), "Ouvert le mardi.", None, "neutre") for i in range(3)]
    found = compare(plain, _answers_without_mentions(plain), analyzer)
    absent = {"polarity_accuracy", "mention_polarity_accuracy", "stars_mae", "stars_spearman"}
    assert found["scores"]["sentiment_accuracy"] == 1
    assert not absent & {*found["scores"], *found["intervals"]}


def _answers_without_mentions(examples: list[Example]) -> Analysis:
    some = _answers(examples)
    names = ("comment_id", "touchpoint", "sentiment")
    types = {name: pa.string() for name in names} | {"start": pa.int32(), "end": pa.int32()}
    return Analysis(some.comments, pa.schema(types).empty_table())


def test_few_marks_are_enough_for_an_interval(examples: list[Example], analyzer: Analyzer) -> None:
    """In some resamples none of the three marked comments is drawn."""
    some = [
        Example(e.id, e.text, e.rating if i < 3 else None, e.sentiment, e.emotions, e.intents,
                e.mentions)
        for i, e in enumerate(examples)
    ]  # fmt: skip
    found = compare(some, _answers(some), analyzer)
    assert found["intervals"]["stars_mae"] == [0, 0]


# --- annotations --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"s": "bof"}, "s: bof; known: negatif, neutre, positif, mixte"),
        ({"e": ["ennui"]}, "e: ennui"),
        ({"i": ["revenir", "fuir"]}, "i: fuir"),
        ({"m": [{"q": "x", "t": "prix_tarif", "l": [], "p": "mixte"}]}, "p: mixte"),
        ({"m": [{"q": "x"}]}, "'p'"),
        ({"text": None}, "not an annotation"),
    ],
)
def test_a_line_that_is_no_annotation_is_named(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "gold.jsonl"
    lines = [json.dumps(_annotated(0)), json.dumps(_annotated(1) | change)]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UsageError, match=rf"gold\.jsonl:2: .*{message}"):
        read_annotated(path)


def test_a_line_that_is_no_json_is_named(tmp_path: Path, analyzer: Analyzer) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text("{\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"gold\.jsonl:1: not a line of JSON"):
        evaluate(path, analyzer)


def test_a_file_without_annotations_is_named(tmp_path: Path, analyzer: Analyzer) -> None:
    (tmp_path / "gold.jsonl").touch()
    with pytest.raises(UsageError, match=r"gold\.jsonl: no annotated comments"):
        evaluate(tmp_path / "gold.jsonl", analyzer)


def test_mentions_lie_where_their_words_are(data: Path) -> None:
    for example in read_annotated(data / "annotated_train.jsonl"):
        (m,) = example.mentions
        assert example.text[m.start : m.end] == example.text.split(".")[0]


def test_words_said_twice_are_two_places(tmp_path: Path) -> None:
    mention = {"q": "trop cher", "t": "prix_tarif", "l": [], "p": "negatif"}
    row = _annotated(0) | {"text": "trop cher, oui trop cher", "m": [mention, mention]}
    path = tmp_path / "gold.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    (example,) = read_annotated(path)
    assert [m.start for m in example.mentions] == [0, 15]


def test_reviews_are_read_with_their_marks(data: Path) -> None:
    reviews = read_reviews(data)
    assert (len(reviews), reviews[5].rating) == (72, 4.5)


# --- small functions ----------------------------------------------------------------------------

LABELS = Labels(
    schema.SENTIMENTS, ("1", "2", "3", "4", "5"), schema.EMOTIONS, schema.INTENTS,
    ("file", "prix"), ("temps", "offre"), schema.POLARITIES, (),
)  # fmt: skip
SPANS = [(0, 10), (10, 20), (20, 30)]


def _segments(*mentions: Mention) -> tuple[list[list[float]], list[int]]:
    present, sides = segment_targets(Example("1", "x" * 30, mentions=mentions), SPANS, LABELS)
    return present.tolist(), sides.tolist()


def test_a_mention_belongs_to_the_segment_it_shares_most_with() -> None:
    present, sides = _segments(Mention(8, 16, "prix", ("temps",), "positif"))
    assert present == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert sides == [-1, 2, -1]


def test_a_segment_whose_mentions_disagree_has_no_polarity() -> None:
    present, sides = _segments(
        Mention(0, 5, "prix", (), "positif"), Mention(5, 10, "file", (), "negatif")
    )
    assert (present[0], sides[0]) == ([1, 1, 0, 0], -1)


def test_mentions_that_agree_give_their_polarity() -> None:
    _, sides = _segments(
        Mention(20, 25, "prix", (), "negatif"), Mention(25, 30, "file", (), "negatif")
    )
    assert sides[2] == 0


def test_a_touchpoint_that_is_not_learnt_still_has_its_levers() -> None:
    present, _ = _segments(Mention(0, 5, "rare", ("offre",), "neutre"))
    assert present[0] == [0, 0, 0, 1]


def test_a_mention_outside_all_segments_is_nowhere() -> None:
    present, sides = _segments(Mention(40, 45, "prix", (), "neutre"))
    assert (np.sum(present), sides) == (0, [-1, -1, -1])


@pytest.mark.parametrize(
    ("rating", "expected"),
    [
        (1.0, [1, 0, 0, 0, 0]), (5.0, [0, 0, 0, 0, 1]), (3.5, [0, 0, 0.5, 0.5, 0]),
        (4.25, [0, 0, 0, 0.75, 0.25]), (0.5, [1, 0, 0, 0, 0]),
    ],
)  # fmt: skip
def test_a_mark_between_two_stars_is_shared_by_them(rating: float, expected: list[float]) -> None:
    assert stars([Example("1", "x", rating)])[0].tolist() == expected


@pytest.mark.parametrize("rating", [None, 0.0, 7.0])
def test_a_mark_that_is_none_is_unknown(rating: float | None) -> None:
    assert np.isnan(stars([Example("1", "x", rating)])).all()


def test_f1_of_each_column() -> None:
    found = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]], bool)
    wanted = np.array([[1, 0, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0]], bool)
    assert f1(found, wanted).tolist() == pytest.approx([4 / 5, 0, 2 / 3, 0])


def test_micro_f1_counts_all_cells_together() -> None:
    found = np.array([[1, 1], [0, 0]], bool)
    wanted = np.array([[1, 0], [1, 0]], bool)
    assert micro_f1(found, wanted) == 0.5
    assert micro_f1(~found & found, wanted & ~wanted) == 0


def test_a_threshold_parts_what_is_there_from_what_is_not() -> None:
    p = np.linspace(0, 1, 101, dtype=np.float32)[:, None]
    (chosen,) = best_threshold(p, (p > 0.62).astype(np.float32))
    assert chosen == pytest.approx(0.62, abs=0.051)


def test_the_labels_of_a_head_share_a_threshold() -> None:
    random = np.random.default_rng(0)
    common = random.random(200).astype(np.float32)
    wanted = np.stack([common > 0.5, random.random(200) > 0.95], 1).astype(np.float32)
    first, rare = best_threshold(np.stack([common, common * 0.2], 1), wanted)
    assert first == rare == pytest.approx(0.5, abs=0.05)


def test_weights_make_up_for_a_rare_class_that_is_never_chosen() -> None:
    p = np.array([[0.6, 0.4]] * 10 + [[0.8, 0.2]] * 40, np.float32)
    wanted = np.eye(2, dtype=np.float32)[[1] * 10 + [0] * 40]
    weights = np.array(best_weights(p, wanted))
    assert (p / weights).argmax(1).tolist() == wanted.argmax(1).tolist()
    assert weights[0] == 1


def test_temperature_draws_sure_but_wrong_answers_together() -> None:
    p = np.array([[0.99], [0.99], [0.01], [0.01]], np.float32)
    temperature, tempered = fitting._tempered(p, np.array([[1], [0], [0], [1]], np.float32), False)
    assert temperature > 2
    assert ((tempered > 0.2) & (tempered < 0.8)).all()
