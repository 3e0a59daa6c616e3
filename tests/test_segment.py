"""Clauses cover the text, and hits are whole words that mean a label of the taxonomy."""

import doctest
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cxnlp.clauses
import cxnlp.segment
import cxnlp.words
from cxnlp.segment import CUE_KINDS, Segmenter
from cxnlp.taxonomy import load_taxonomy

TAXONOMY = Path(__file__).parents[1] / "configs" / "taxonomy.yaml"
PIECES = st.sampled_from(
    [
        "accueil", "l’accueil", "chambre propre", ", ", " et ", " mais ", ". ", "… ", " ! ", "\n",
        "4.5", "M. Roux", "😍", " ", "\u00a0", "(", ") ", "rendez-vous", "n'hésitez pas", "prix",
        "deux heures de queue", " - ", "etc. ", "x", "je suis déçu", "service client", "«", " »",
    ]
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=60).map("".join))


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(load_taxonomy(TAXONOMY))


@pytest.fixture(scope="module")
def clauses(segmenter):
    """A function: text → its clauses."""

    def cut(text: str) -> list[str]:
        segments = segmenter.split([text]).segments
        return [text[a:b] for a, b in zip(segments.start, segments.end, strict=True)]

    return cut


@pytest.fixture(scope="module")
def hits(segmenter):
    """A function: text, kind → (words, label) of each hit."""

    def find(text: str, kind: str = "touchpoint") -> list[tuple[str, str]]:
        found = segmenter.split([text]).hits
        rows = zip(found.start, found.end, found.label, strict=True)
        named = [(text[a:b], *segmenter.labels[label]) for a, b, label in rows]
        return [(words, label) for words, of, label in named if of == kind]

    return find


@pytest.mark.parametrize(
    "cut",
    [
        "Accueil charmant, | chambre propre, | petit-déjeuner décevant",
        "Très bien situé. | Rien à redire !",
        "Très bien.|Merci à toute l'équipe",
        "Repas délicieux | et cadre très agréable.",
        "Chambre un peu petite | mais très confortable",
        "Tout était parfait | sauf le petit déjeuner.",
        "Bon séjour dans l'ensemble ; | literie à revoir",
        "Superbe endroit !!! | Je recommande…",
        "Nous avons adoré la chambre | et nous avons bien dormi",
        "Premier avis\n|Second avis",
    ],
)
def test_one_opinion_is_one_clause(clauses, cut):
    text = cut.replace("|", "")
    assert clauses(text) == [piece.strip() for piece in cut.split("|")]


@pytest.mark.parametrize(
    "text",
    [
        "Une note de 4.5 sur 5",
        "Mme. Roux et M. Petit sont charmants",
        "Café, thé, etc. à volonté",
        "Voir www.exemple.fr pour réserver",
        "Fermé dès 19h30. dommage",
        "Un accueil et un service parfaits",
        "Mais quel accueil",
        "Prix de 12,50 euros",
        "Service rapide et souriant",
    ],
)
def test_what_belongs_together_stays_together(clauses, text):
    assert clauses(text) == [text]


@pytest.mark.parametrize("text", ["", "   ", "\n\n"])
def test_an_empty_text_has_no_clause(clauses, text):
    assert clauses(text) == []


@pytest.mark.parametrize("text", ["😍😍", "10/10 !!", "?", "👍 👍"])
def test_a_text_without_letters_is_one_clause(clauses, text):
    assert clauses(text) == [text]


def test_marks_and_emoji_stay_with_the_clause_before(clauses):
    assert clauses("Très bon repas. 😍 Service lent.") == ["Très bon repas. 😍", "Service lent."]


def test_a_clause_without_end_is_cut_at_sixty_words(clauses):
    pieces = clauses("mot " * 500)
    assert max(len(piece.split()) for piece in pieces) <= 60


@given(text=TEXTS)
@settings(max_examples=150, deadline=None)
def test_clauses_hold_every_letter_in_order_and_never_overlap(segmenter, text):
    segments = segmenter.split([text]).segments
    places = list(zip(segments.start.tolist(), segments.end.tolist(), strict=True))
    assert all(a < b and text[a:b] == text[a:b].strip() for a, b in places)
    assert all(before[1] <= after[0] for before, after in pairwise(places))
    inside = {at for a, b in places for at in range(a, b)}
    assert not [c for at, c in enumerate(text) if c.isalpha() and at not in inside]


@given(text=TEXTS)
@settings(max_examples=150, deadline=None)
def test_every_hit_lies_inside_its_clause_on_whole_words(segmenter, text):
    result = segmenter.split([text])
    segments, hits = result.segments, result.hits
    assert np.all(segments.start[hits.segment] <= hits.start)
    assert np.all(hits.end <= segments.end[hits.segment])
    for start, end in zip(hits.start.tolist(), hits.end.tolist(), strict=True):
        assert not text[start - 1 : start].isalnum()
        assert not text[end : end + 1].isalnum()


@given(texts=st.lists(TEXTS, max_size=5))
@settings(max_examples=40, deadline=None)
def test_a_batch_gives_what_each_text_gives_alone(segmenter, texts):
    batch = segmenter.split(texts)
    for row, text in enumerate(texts):
        alone = segmenter.split([text])
        mine = batch.hits.text == row
        assert batch.hits.label[mine].tolist() == alone.hits.label.tolist()
        assert batch.hits.start[mine].tolist() == alone.hits.start.tolist()
        of_row = batch.segments.text == row
        assert batch.segments.end[of_row].tolist() == alone.segments.end.tolist()


@given(text=st.lists(PIECES, max_size=40).map("".join))
@settings(max_examples=100, deadline=None)
def test_no_words_have_two_touchpoints(segmenter, text):
    hits = segmenter.split([text]).hits
    touchpoint = np.array([kind == "touchpoint" for kind, _ in segmenter.labels])[hits.label]
    assert np.all(hits.end[touchpoint][:-1] <= hits.start[touchpoint][1:])


@pytest.mark.parametrize(
    ("text", "words", "label"),
    [
        ("L'accueil", "accueil", "personnel_accueil"),
        ("l’accueil", "accueil", "personnel_accueil"),
        ("ACCUEIL", "ACCUEIL", "personnel_accueil"),
        ("mes réservations", "réservations", "reservation_commande"),
        ("pas livrée", "livrée", "livraison_retrait"),
        ("deux vendeuses", "vendeuses", "personnel_accueil"),
        ("une reservation", "reservation", "reservation_commande"),
        ("les œuvres", "œuvres", "contenu_mediation"),
        ("rapport qualité/prix", "qualité/prix", "prix_tarif"),
        ("le petit-déjeuner", "petit-déjeuner", "restauration_repas"),
        ("petits déjeuners", "petits déjeuners", "restauration_repas"),
        ("deux heures d'attente", "heures d'attente", "attente_caisse"),
        ("l équipe", "équipe", "personnel_service"),
    ],
)
def test_a_trigger_is_found_in_all_its_forms(hits, text, words, label):
    assert hits(text) == [(words, label)]


@pytest.mark.parametrize(
    "text",
    ["Cher monsieur", "eau de toilette", "la page d'accueil", "Mon avis", "Je m'appelle Anne",
     "C'est trop salé", "Rien", "de retour", "Je m'attendais à autre chose", "je conseille"],
)  # fmt: skip
def test_what_only_looks_like_a_trigger_is_no_hit(hits, text):
    assert hits(text) == []


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("service client", "sav_support"),
        ("le service", "personnel_service"),
        ("attente au téléphone", "sav_support"),
        ("site web", "site_information"),
        ("aucun retour de leur part", "sav_support"),
        ("carte de fidélité", "fidelite_avantages"),
        ("carte bancaire", "paiement_facturation"),
        ("à réception du colis", "livraison_retrait"),
    ],
)
def test_the_longer_expression_decides(hits, text, label):
    assert [found for _, found in hits(text)] == [label]


def test_a_fallback_counts_when_the_clause_has_nothing_else(hits):
    assert hits("Un excellent hôtel") == [("hôtel", "experience_globale")]


def test_a_fallback_gives_way_to_a_precise_touchpoint(hits):
    assert hits("Un hôtel et son parking") == [("parking", "lieu_acces")]


def test_the_same_words_may_carry_several_kinds(hits):
    kinds = [kind for kind in CUE_KINDS if hits("Une arnaque", kind)]
    assert kinds == ["touchpoint", "lever", "emotion"]


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("Je recommande", "recommander"),
        ("n’hésitez pas", "recommander"),
        ("je ne recommande pas", "deconseiller"),
        ("A EVITER", "deconseiller"),
        ("nous reviendrons", "revenir"),
        ("je ne reviendrai pas", "partir"),
    ],
)
def test_an_intention_is_heard(hits, text, intent):
    assert {label for _, label in hits(text, "intent")} == {intent}


def test_the_tense_of_an_intention_counts(hits):
    assert hits("Nous revenons de trois jours là-bas", "intent") == []


@pytest.mark.parametrize("text", ["Je m'attendais à mieux", "Pas à la hauteur", "comme promis"])
def test_an_expectation_is_heard(hits, text):
    assert hits(text, "promise")


def test_waiting_in_line_is_no_expectation(hits):
    assert hits("une heure d'attente", "promise") == []


def test_columns_are_small_integers(segmenter):
    result = segmenter.split(["Accueil parfait.", "", "Prix trop élevé"])
    columns = (result.segments.text, result.segments.start, result.hits.segment, result.hits.label)
    assert [column.dtype for column in columns] == [np.int32] * 4


def test_rows_name_the_text_they_come_from(segmenter):
    result = segmenter.split(["Accueil parfait.", "", "Prix trop élevé"])
    assert result.segments.text.tolist() == [0, 2]


def test_no_text_gives_empty_columns(segmenter):
    result = segmenter.split([])
    assert len(result.segments.text) == len(result.hits.label) == 0


@pytest.mark.parametrize("module", [cxnlp.clauses, cxnlp.segment, cxnlp.words])
def test_the_examples_of_the_modules_hold(module):
    assert doctest.testmod(module).failed == 0
