"""The taxonomy file is read whole or refused with every problem and its line."""

import doctest
import pickle
from pathlib import Path

import pytest

import cxnlp.taxonomy
from cxnlp.errors import TaxonomyError
from cxnlp.schema import EMOTIONS, FRAMES, INTENTS
from cxnlp.taxonomy import Problem, check_taxonomy, load_taxonomy

SHIPPED = Path("configs/taxonomy.yaml")
SMALL = """version: 2
etapes:
  - {id: acces, libelle: Accès, ordre: 2}
  - {id: achat, libelle: Achat, ordre: 1}
points_de_contact:
  - id: attente
    libelle: Attente
    etape: achat
    definition: Attendre.
    declencheurs: [queue, guichet]
    exclure: ["queue de cheval"]
  - id: livraison
    libelle: Livraison
    etape: acces
    definition: Recevoir.
    declencheurs: [colis]
leviers:
  - {id: temps, libelle: Temps, indices: [rapide]}
leviers_typiques:
  attente: [temps]
emotions:
EMOTIONS
intentions:
INTENTS
promesse_vecu: {indices_reference: [promesse]}
""".replace(
    "EMOTIONS",
    "\n".join(f"  - {{id: {e}, libelle: x, indices: []}}" for e in (*EMOTIONS, "neutre")),
).replace("INTENTS", "\n".join(f"  - {{id: {i}, libelle: x, indices: []}}" for i in INTENTS))


@pytest.fixture
def problems(tmp_path):
    """A function: the small taxonomy with `old` replaced by `new` → its problems."""

    def check(old: str, new: str) -> list[Problem]:
        assert old in SMALL
        file = tmp_path / "taxonomie.yaml"
        file.write_text(SMALL.replace(old, new, 1), encoding="utf-8")
        return check_taxonomy(file)

    return check


def line_of(text: str, within: str = SMALL) -> int:
    return within[: within.index(text)].count("\n") + 1


def test_the_shipped_taxonomy_has_no_problem():
    assert check_taxonomy(SHIPPED) == []


def test_the_small_taxonomy_has_no_problem(problems):
    assert problems("queue", "queue") == []


def test_stages_come_in_the_order_of_the_journey(tmp_path):
    file = tmp_path / "t.yaml"
    file.write_text(SMALL, encoding="utf-8")
    assert [stage.id for stage in load_taxonomy(file).stages] == ["achat", "acces"]


def test_every_touchpoint_has_a_stage_that_exists():
    taxonomy = load_taxonomy(SHIPPED)
    stages = {stage.id for stage in taxonomy.stages}
    assert {taxonomy.stage_of(t.id) for t in taxonomy.touchpoints} <= stages


def test_exactly_one_shipped_touchpoint_is_a_fallback():
    taxonomy = load_taxonomy(SHIPPED)
    assert [t.id for t in taxonomy.touchpoints if t.fallback] == ["experience_globale"]


def test_the_name_holds_version_and_digest():
    taxonomy = load_taxonomy(SHIPPED)
    assert taxonomy.name == f"1-{taxonomy.digest}"
    assert len(taxonomy.digest) == 8


def written(folder: Path, text: str) -> Path:
    file = folder / "t.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_comment_or_a_note_leaves_the_digest(tmp_path):
    first = load_taxonomy(written(tmp_path, SMALL)).digest
    second = load_taxonomy(written(tmp_path, "# vu\n" + SMALL + "ambiguites: [x]\n")).digest
    assert first == second


def test_another_trigger_changes_the_digest(tmp_path):
    first = load_taxonomy(written(tmp_path, SMALL)).digest
    second = load_taxonomy(written(tmp_path, SMALL.replace("[colis]", "[colis, drive]"))).digest
    assert first != second


def test_a_taxonomy_can_be_sent_to_another_process():
    taxonomy = load_taxonomy(SHIPPED)
    assert pickle.loads(pickle.dumps(taxonomy)) == taxonomy  # noqa: S301


def test_an_error_names_file_and_line_of_every_problem(tmp_path):
    file = written(tmp_path, SMALL.replace("etape: achat", "etape: vol").replace("[temps]", "[x]"))
    with pytest.raises(TaxonomyError) as caught:
        load_taxonomy(file)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"{file}:{line_of('etape: achat')}",
        f"{file}:{line_of('  attente: [temps]')}",
    ]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TaxonomyError, match=r"absent\.yaml"):
        load_taxonomy(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("id: livraison", "id: attente", "already stands on line 6"),
        ("id: livraison", "id: Livraison é", "lower-case letters"),
        ("etape: acces", "etape: vol", "unknown etape 'vol'; known: acces, achat"),
        ("    etape: acces", "    etappe: acces", "unknown key"),
        ("    definition: Recevoir.", "    definition: 12", "put it in quotes"),
        ("  attente: [temps]", "  attente: [argent]", "unknown name 'argent'"),
        ("  attente: [temps]", "  attendre: [temps]", "unknown name 'attendre'"),
        ("{id: colere, ", "{id: rage, ", "'rage' has no column"),
        ("    libelle: Livraison", "    libelle: [a", "not valid YAML"),
        ("    libelle: Livraison", "    etape: achat", "already stands on line"),
    ],
)
def test_what_blocks_is_found_and_said(problems, old, new, says):
    found = [p.message for p in problems(old, new) if p.blocks]
    assert any(says in message for message in found), found


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[colis]", "[colis, Queue]", "already stands on line 10"),
        ("guichet]", "QUEUE]", "already stands on line 10"),
        ("[colis]", "[]", "no trigger"),
        ("[colis]", '["!"]', "no letter"),
        ('"queue de cheval"', '"de cheval"', "cancels nothing"),
    ],
)
def test_a_word_that_cannot_count_is_a_notice(problems, old, new, says):
    [problem] = problems(old, new)
    assert says in problem.message
    assert not problem.blocks


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("etape: acces\n    definition", "etape: vol\n    definition"),
        ("declencheurs: [colis]", "declencheurs: [colis, colis]"),
        ("  attente: [temps]", "  attente: [argent]"),
        ("libelle: Temps, indices", "nom: Temps, indices"),
    ],
)
def test_a_problem_is_on_the_line_where_it_stands(problems, old, new):
    assert {problem.line for problem in problems(old, new)} == {line_of(old)}


def test_a_missing_section_is_said(problems):
    start = SMALL.index("leviers:")
    block = SMALL[start : SMALL.index("leviers_typiques:")]
    assert "leviers: this key is missing" in [p.message for p in problems(block, "")]


def test_a_list_instead_of_a_taxonomy_is_refused(tmp_path):
    [problem] = check_taxonomy(written(tmp_path, "- a\n- b\n"))
    assert "at top level" in problem.message


def test_a_python_object_in_the_file_is_refused(tmp_path):
    [problem] = check_taxonomy(written(tmp_path, "version: !!python/name:os.system x\n"))
    assert problem.message.startswith("not valid YAML")


def test_a_file_that_refers_to_itself_is_refused(tmp_path):
    assert check_taxonomy(written(tmp_path, "version: &a [*a]\n"))


def test_the_examples_of_the_module_hold():
    assert doctest.testmod(cxnlp.taxonomy).failed == 0


def test_every_shipped_touchpoint_has_its_four_frames():
    table = load_taxonomy(SHIPPED).table()
    assert {name: set(table[name].to_pylist()) for name in FRAMES} == {
        name: set(values) for name, values in FRAMES.items()
    }


def test_a_frame_of_a_touchpoint_is_a_known_word(problems):
    found = problems("    etape: achat\n", "    etape: achat\n    controle: public\n")
    (problem,) = found
    assert "unknown controle 'public'; known: propre, partenaire, tiers" in problem.message


def test_a_touchpoint_may_say_no_frame(tmp_path):
    table = load_taxonomy(written(tmp_path, SMALL)).table()
    assert table["level"].null_count == table.num_rows == 2


def test_the_table_of_touchpoints_has_stage_and_place_of_the_stage(tmp_path):
    table = load_taxonomy(written(tmp_path, SMALL)).table()
    assert table.select(["touchpoint", "stage", "stage_order"]).to_pylist() == [
        {"touchpoint": "attente", "stage": "achat", "stage_order": 1},
        {"touchpoint": "livraison", "stage": "acces", "stage_order": 2},
    ]
