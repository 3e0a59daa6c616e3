"""Fusion, worked by hand: which labels follow from given probabilities and trigger hits."""

from typing import Any

import numpy as np
import pytest

from cxnlp import schema
from cxnlp.fuse import fuse
from cxnlp.model.card import Card, Labels
from cxnlp.model.engine import Scores
from cxnlp.segment import Segmenter
from cxnlp.taxonomy import Taxonomy, load_taxonomy

TAXONOMY = """
version: 1
etapes:
  - {id: achat, libelle: Achat, ordre: 1}
  - {id: usage, libelle: Usage, ordre: 2}
points_de_contact:
  - {id: file, libelle: File, etape: achat, definition: Attendre, declencheurs: [queue]}
  - {id: personnel, libelle: Personnel, etape: achat, definition: Gens, declencheurs: [accueil]}
  - {id: automate, libelle: Automate, etape: usage, definition: DAB, declencheurs: [distributeur]}
leviers:
  - {id: temps, libelle: Temps, indices: [heure]}
  - {id: offre, libelle: Offre, indices: [prix]}
emotions:
  - {id: joie, libelle: Joie, indices: [ravi]}
  - {id: tristesse, libelle: Tristesse, indices: [triste]}
  - {id: peur, libelle: Peur, indices: [peur]}
  - {id: colere, libelle: Colère, indices: [honte]}
  - {id: degout, libelle: Dégoût, indices: [sale]}
  - {id: surprise, libelle: Surprise, indices: [surpris]}
  - {id: mepris, libelle: Mépris, indices: [guignol]}
  - {id: neutre, libelle: Neutre, indices: []}
intentions:
  - {id: recommander, libelle: Recommande, indices: ["je recommande"]}
  - {id: deconseiller, libelle: Déconseille, indices: [fuyez]}
  - {id: revenir, libelle: Reviendra, indices: ["nous reviendrons"]}
  - {id: partir, libelle: Part, indices: ["plus jamais"]}
promesse_vecu:
  indices_reference: ["mieux que", promettre, "conforme à"]
"""
# The network knows a touchpoint that the taxonomy no longer has, and not the newest one.
LABELS = Labels(
    schema.SENTIMENTS, ("1", "2", "3", "4", "5"), schema.EMOTIONS, schema.INTENTS,
    ("personnel", "fax", "file"), ("temps", "offre", "prestige"), schema.POLARITIES, (),
)  # fmt: skip
THRESHOLDS = {
    "sentiment": (1.0,) * 4, "polarity": (1.0,) * 3, "emotions": (0.5,) * 7,
    "intents": (0.5, 0.5, 0.7, 0.5), "touchpoints": (0.5,) * 3, "levers": (0.5,) * 3,
    "segment_touchpoints": (0.5,) * 3, "segment_levers": (0.5,) * 3,
}  # fmt: skip

GUICHET = "Accueil charmant, mais deux heures de queue."
MACHINE = "Le distributeur avale les cartes."
LENT = "Tout cela prend bien trop longtemps."
BEYOND = "C'était mieux que promis."
KEPT = "Conforme à la description."
BROKEN = "Rien n'est conforme à la photo."
PLAIN = "Visite faite mardi."
LONG = (
    "Nous sommes venus un mardi de novembre avec les deux enfants de ma soeur dans une immense "
    "queue sans fin sous la pluie battante"
)
TEXTS = [GUICHET, MACHINE, LENT, BEYOND, KEPT, BROKEN, PLAIN, LONG]

# (text or the first words of its clause, head, label) → probability; others are 0
COMMENT = {
    (GUICHET, "sentiment", "mixte"): 0.6, (GUICHET, "sentiment", "negatif"): 0.3,
    (GUICHET, "sentiment", "positif"): 0.1, (GUICHET, "stars", "2"): 0.5,
    (GUICHET, "stars", "3"): 0.5, (GUICHET, "touchpoints", "personnel"): 0.9,
    (GUICHET, "touchpoints", "file"): 0.8, (GUICHET, "touchpoints", "fax"): 0.99,
    (GUICHET, "levers", "temps"): 0.7, (GUICHET, "levers", "prestige"): 0.99,
    (GUICHET, "emotions", "joie"): 0.6, (GUICHET, "emotions", "colere"): 0.8,
    (GUICHET, "emotions", "surprise"): 0.7, (GUICHET, "emotions", "peur"): 0.49,
    (GUICHET, "intents", "recommander"): 0.5, (GUICHET, "intents", "revenir"): 0.69,
    (LENT, "touchpoints", "file"): 0.6, (LENT, "levers", "temps"): 0.5,
    (LONG, "touchpoints", "file"): 0.7,
    (PLAIN, "levers", "offre"): 0.8,
}  # fmt: skip
SEGMENT = {
    ("Accueil", "touchpoints", "personnel"): 0.9, ("Accueil", "touchpoints", "fax"): 0.9,
    ("Accueil", "polarity", "positif"): 0.9, ("mais", "touchpoints", "file"): 0.9,
    ("mais", "levers", "temps"): 0.9, ("mais", "polarity", "negatif"): 0.8,
    ("mais", "polarity", "positif"): 0.1, ("Tout", "touchpoints", "file"): 0.6,
    ("Le dist", "polarity", "negatif"): 1.0, ("Nous", "touchpoints", "file"): 0.3,
    ("Visite", "levers", "offre"): 0.1,
    ("C'était", "polarity", "positif"): 1.0, ("Conforme", "polarity", "positif"): 1.0,
    ("Rien", "polarity", "negatif"): 1.0,
}  # fmt: skip

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def taxonomy(tmp_path_factory: pytest.TempPathFactory) -> Taxonomy:
    path = tmp_path_factory.mktemp("taxonomy") / "small.yaml"
    path.write_text(TAXONOMY, encoding="utf-8")
    return load_taxonomy(path)


@pytest.fixture(scope="module")
def segmenter(taxonomy: Taxonomy) -> Segmenter:
    return Segmenter(taxonomy)


@pytest.fixture(scope="module")
def fused(segmenter: Segmenter, taxonomy: Taxonomy) -> tuple[Rows, Rows]:
    """What becomes of `TEXTS` under the probabilities above: comments and mentions."""
    segmented = segmenter.split(TEXTS)
    spans = segmented.segments
    clauses = [TEXTS[t][a:b] for t, a, b in zip(spans.text, spans.start, spans.end, strict=True)]
    scores = Scores(
        {h: _filled(h, TEXTS, COMMENT) for h in Labels.COMMENT},
        {h: _filled(h, clauses, SEGMENT) for h in Labels.PIECE},
    )
    card = Card("worked", LABELS, THRESHOLDS, {}, "1")
    comments, mentions = fuse(TEXTS, segmented, segmenter.labels, scores, card, taxonomy)
    shown = [m | {"excerpt": TEXTS[m["text"]][m["start"] : m["end"]]} for m in mentions.to_pylist()]
    return comments.to_pylist(), shown


def _filled(head: str, rows: list[str], given: dict[tuple[str, str, str], float]) -> np.ndarray:
    names = list(getattr(LABELS, head))
    values = np.zeros((len(rows), len(names)), np.float32)
    if "neutre" in names:
        values[:, names.index("neutre")] = 0.2
    for (begins, of, label), probability in given.items():
        if of == head:
            (row,) = [i for i, text in enumerate(rows) if text.startswith(begins)]
            values[row, names.index(label)] = probability
    return values


def _comment(fused: tuple[Rows, Rows], text: str) -> dict[str, Any]:
    return fused[0][TEXTS.index(text)]


def _mentions(fused: tuple[Rows, Rows], text: str) -> Rows:
    return [m for m in fused[1] if m["text"] == TEXTS.index(text)]


# --- both tables --------------------------------------------------------------------------------


def test_touchpoints_of_a_comment_are_those_of_its_mentions(fused: tuple[Rows, Rows]) -> None:
    for text in TEXTS:
        named = {m["touchpoint"] for m in _mentions(fused, text)} - {None}
        assert set(_comment(fused, text)["touchpoints"]) == named


def test_levers_of_a_comment_are_those_of_its_mentions(fused: tuple[Rows, Rows]) -> None:
    for text in TEXTS:
        named = {lever for m in _mentions(fused, text) for lever in m["levers"]}
        assert set(_comment(fused, text)["levers"]) == named


def test_labels_that_the_taxonomy_no_longer_has_are_left_out(fused: tuple[Rows, Rows]) -> None:
    comment = _comment(fused, GUICHET)
    assert (comment["touchpoints"], comment["levers"]) == (["personnel", "file"], ["temps"])


def test_every_excerpt_lies_in_its_text(fused: tuple[Rows, Rows]) -> None:
    for m in fused[1]:
        assert 0 <= m["start"] < m["end"] <= len(TEXTS[m["text"]])


# --- mentions -----------------------------------------------------------------------------------


def test_trigger_and_network_agree(fused: tuple[Rows, Rows]) -> None:
    found = [(m["excerpt"], m["touchpoint"], m["method"]) for m in _mentions(fused, GUICHET)]
    assert found == [
        ("Accueil charmant", "personnel", "les_deux"),
        ("mais deux heures de queue.", "file", "les_deux"),
    ]


def test_a_clause_has_its_own_sentiment(fused: tuple[Rows, Rows]) -> None:
    good, bad = _mentions(fused, GUICHET)
    assert (good["sentiment"], bad["sentiment"]) == ("positif", "negatif")
    assert bad["sentiment_score"] == pytest.approx(0.1 - 0.8)


def test_a_mention_has_the_levers_of_its_clause(fused: tuple[Rows, Rows]) -> None:
    assert [m["levers"] for m in _mentions(fused, GUICHET)] == [[], ["temps"]]


def test_a_mention_has_the_emotions_that_suit_its_sentiment(fused: tuple[Rows, Rows]) -> None:
    good, bad = _mentions(fused, GUICHET)
    assert (good["emotions"], bad["emotions"]) == (["surprise", "joie"], ["colere", "surprise"])


def test_confidence_is_the_probability_of_the_touchpoint(fused: tuple[Rows, Rows]) -> None:
    assert [m["confidence"] for m in _mentions(fused, GUICHET)] == pytest.approx([0.9, 0.8])


def test_clauses_are_numbered_from_0_in_each_comment(fused: tuple[Rows, Rows]) -> None:
    assert [m["segment"] for m in _mentions(fused, GUICHET)] == [0, 1]


def test_a_mention_has_the_stage_of_its_touchpoint(fused: tuple[Rows, Rows]) -> None:
    assert [m["stage"] for m in _mentions(fused, MACHINE)] == ["usage"]


def test_a_touchpoint_new_to_the_network_is_found_by_its_trigger(fused: tuple[Rows, Rows]) -> None:
    (m,) = _mentions(fused, MACHINE)
    assert (m["touchpoint"], m["method"], m["sentiment"]) == ("automate", "lexique", "negatif")


def test_the_network_finds_what_no_trigger_names(fused: tuple[Rows, Rows]) -> None:
    (m,) = _mentions(fused, LENT)
    assert (m["touchpoint"], m["method"], m["excerpt"]) == ("file", "modele", LENT)


def test_a_lever_alone_has_a_mention_without_touchpoint(fused: tuple[Rows, Rows]) -> None:
    (m,) = _mentions(fused, PLAIN)
    assert (m["touchpoint"], m["stage"], m["levers"]) == (None, None, ["offre"])
    assert (m["method"], m["confidence"]) == ("modele", pytest.approx(0.8))


def test_what_a_comment_speaks_of_is_said_by_its_strongest_clause(
    fused: tuple[Rows, Rows],
) -> None:
    """0.3 is below the threshold of clauses, but the comment is sure."""
    assert [m["touchpoint"] for m in _mentions(fused, LONG)] == ["file"]


def test_the_excerpt_of_a_long_clause_is_the_trigger_and_the_words_around(
    fused: tuple[Rows, Rows],
) -> None:
    (m,) = _mentions(fused, LONG)
    assert m["excerpt"] == "ma soeur dans une immense queue sans fin sous la"


# --- promise ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "gap"), [(BROKEN, -1), (KEPT, 0), (BEYOND, 1), (PLAIN, None), (GUICHET, None)]
)
def test_what_was_promised_is_held_against_what_was_lived(
    fused: tuple[Rows, Rows], text: str, gap: int | None
) -> None:
    assert _comment(fused, text)["promise_gap"] == gap


# --- comments -----------------------------------------------------------------------------------


def test_the_likeliest_sentiment_is_chosen(fused: tuple[Rows, Rows]) -> None:
    comment = _comment(fused, GUICHET)
    assert (comment["sentiment"], comment["confidence"]) == ("mixte", pytest.approx(0.6))


def test_the_score_is_positive_minus_negative(fused: tuple[Rows, Rows]) -> None:
    assert _comment(fused, GUICHET)["sentiment_score"] == pytest.approx(-0.2)


def test_satisfaction_is_the_expected_number_of_stars(fused: tuple[Rows, Rows]) -> None:
    assert _comment(fused, GUICHET)["satisfaction"] == pytest.approx(2.5)


def test_emotions_above_their_thresholds_come_strongest_first(fused: tuple[Rows, Rows]) -> None:
    comment = _comment(fused, GUICHET)
    assert comment["emotions"] == ["colere", "surprise", "joie"]
    assert comment["emotion"] == "colere"


def test_a_comment_without_emotion_is_neutre(fused: tuple[Rows, Rows]) -> None:
    comment = _comment(fused, PLAIN)
    assert (comment["emotion"], comment["emotions"]) == ("neutre", [])


def test_each_emotion_has_its_probability(fused: tuple[Rows, Rows]) -> None:
    comment = _comment(fused, GUICHET)
    assert comment["emotion_peur"] == pytest.approx(0.49)


def test_an_intent_counts_from_its_own_threshold_on(fused: tuple[Rows, Rows]) -> None:
    assert _comment(fused, GUICHET)["intents"] == ["recommander"]


def test_a_doubtful_sentiment_needs_review(fused: tuple[Rows, Rows]) -> None:
    assert [_comment(fused, t)["needs_review"] for t in (GUICHET, PLAIN)] == [False, True]


def test_thresholds_of_sentiments_weigh_the_choice(
    segmenter: Segmenter, taxonomy: Taxonomy
) -> None:
    """negatif at 0.3 / 0.4 = 0.75 beats mixte at 0.6 / 1."""
    segmented = segmenter.split([GUICHET])
    scores = Scores(
        {h: _filled(h, [GUICHET], {k: p for k, p in COMMENT.items() if k[0] == GUICHET})
         for h in Labels.COMMENT},
        {h: _filled(h, ["Accueil", "mais"], {}) for h in Labels.PIECE},
    )  # fmt: skip
    card = Card("worked", LABELS, THRESHOLDS | {"sentiment": (0.4, 1.0, 1.0, 1.0)}, {}, "1")
    comments, _ = fuse([GUICHET], segmented, segmenter.labels, scores, card, taxonomy)
    assert comments["sentiment"].to_pylist() == ["negatif"]
