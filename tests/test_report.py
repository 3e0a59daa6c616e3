"""The report: its figures are those of the tables, its markup is sound, nothing gets out of it."""

import datetime as dt
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from warehouse_rows import comment, mention, rows, touchpoints
from yaml import safe_load

from cxnlp import cli, config, metrics, night, schema
from cxnlp.analyse import Analyzer
from cxnlp.config import load_settings
from cxnlp.errors import UsageError, WarehouseError
from cxnlp.model.card import read_card
from cxnlp.report import write_report
from cxnlp.report.data import gather
from cxnlp.report.page import render
from cxnlp.warehouse import Part, Warehouse, split

THIN = "\u202f"
HOSTILE = "<script>document.title = 'lu'</script> {{ 7 * 7 }} \"><img src=x onerror=alert(1)> 'fin'"
NAMES = {"temps": "Gain de temps", "emotions": "Émotions"}
VOID = {"meta", "link", "br", "line", "circle", "polygon", "polyline"}


def brand_of(i: int) -> str:
    return "Véga" if i % 3 else "L'Ondéa <b>"


def told(n: int = 60) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Comments of two brands and two months, one bad word on the queue, one good on the welcome."""
    comments, mentions = [], []
    for i in range(n):
        bad = i % 4 != 3
        of = comment(
            f"c{i:03}", f"2026-{9 + i % 2:02}-{i % 28 + 1:02}", brand=brand_of(i),
            sentiment="negatif" if bad else "positif", sentiment_score=-0.8 if bad else 0.9,
            satisfaction=2.0 if bad else 4.5, rating=2.0 if i % 2 else None,
            emotion="colere" if bad else "joie", emotions=["colere" if bad else "joie"],
            text=HOSTILE if i == 0 else comment("x")["text"],
            reply_text="Merci de votre visite !" if i % 5 == 0 else None,
        )  # fmt: skip
        comments.append(of)
        start = 0 if i == 0 else mention(of)["start"]
        spoken = {"start": start, "end": start + 8, "excerpt": of["text"][start : start + 8]}
        score = -0.9 if bad else 0.7
        said = "negatif" if bad else "positif"
        mentions.append(mention(of, "attente", sentiment=said, sentiment_score=score, **spoken))
        if i % 2:
            mentions.append(
                mention(of, "accueil", sentiment="positif", sentiment_score=0.8, **spoken)
            )
    return comments, mentions


def made(
    folder: Path, comments: list[dict[str, Any]], mentions: list[dict[str, Any]],
    n_min: int | None = 20, **settings: Any,
) -> Warehouse:  # fmt: skip
    """Publish comments, mentions and, unless `n_min` is None, their metrics and a run."""
    warehouse = Warehouse(str(folder))
    with warehouse.hold():
        parts = [
            *split(rows(schema.COMMENTS, *comments), schema.COMMENTS),
            *split(rows(schema.MENTIONS, *mentions), schema.MENTIONS),
            Part(schema.FILES, schema.empty(schema.FILES)),
        ]
        warehouse.publish(parts, run_id="r1", metadata={})
        if n_min is not None:
            known = config.Metrics(n_min=n_min, **settings)
            measured = metrics.measure(str(folder), touchpoints(), known)
            run = {"run_id": "r1", "status": "done", "n_min": n_min, "cxnlp_version": "1"}
            parts = [Part(table, data) for table, data in measured.items()]
            parts.append(Part(schema.RUNS, rows(schema.RUNS, run)))
            warehouse.publish(parts, run_id="r1", metadata={})
    return warehouse


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    return made(tmp_path_factory.mktemp("told") / "w", *told())


@pytest.fixture(scope="module")
def html(warehouse: Warehouse) -> str:
    return render(gather(warehouse.root), NAMES)


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, text, and what is shown first."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.errors: list[str] = []
        self.shown: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self.feed(html)
        self.close()
        self.errors += [f"{tag} is not closed" for tag, _ in self._open]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attributes}
        self.elements.append((tag, known))
        hidden = tag in ("script", "style", "title", "desc") or "hidden" in known
        if tag not in VOID:
            self._open.append((tag, hidden or (bool(self._open) and self._open[-1][1])))

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1][0] == tag:
            self._open.pop()
        else:
            self.errors.append(f"</{tag}> closes nothing at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if self._open and not self._open[-1][1]:
            self.shown.append(data)

    @property
    def text(self) -> str:
        """The words shown before anything is clicked, with plain spaces."""
        words = " ".join(self.shown).replace(THIN, " ").replace("\xa0", " ")
        return re.sub(r"\s+", " ", words)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


# --- figures ------------------------------------------------------------------------------------


def test_the_first_sentence_is_the_weakest_link_of_the_tables(
    warehouse: Warehouse, page: Page
) -> None:
    found = warehouse.read(schema.JOURNEY).to_pylist()
    row = next(r for r in found if r["weakest"] and (r["period"], r["brand"]) == ("tout", "toutes"))
    note = str(round(row["score"] * 100)).replace("-", "−")
    assert f"Maillon faible : attente ({note}, sur {row['n']} commentaires)" in page.text


def test_the_sentence_says_how_sure_it_is(page: Page) -> None:
    assert "C’est net : aucun autre maillon n’est dans sa marge d’erreur" in page.text


def test_satisfaction_is_the_mean_of_the_comments(page: Page) -> None:
    assert "2,6 sur 5" in page.text  # (45 · 2 + 15 · 4.5) / 60


def test_shares_have_their_counts_and_intervals(page: Page) -> None:
    assert "75 % négatif (45, de 65 % à 83 %)" in page.text


def test_the_map_counts_the_mentions_of_each_sentiment(page: Page) -> None:
    assert re.search(r"attente 60 45 · 15 −\d\d", page.text)


def test_a_score_in_the_map_is_that_of_the_table(warehouse: Warehouse, page: Page) -> None:
    scores = warehouse.read(schema.TOUCHPOINT_SCORES).to_pylist()
    row = next(r for r in scores if (r["period"], r["brand"], r["touchpoint"])
               == ("tout", "toutes", "accueil"))  # fmt: skip
    assert f"accueil 30 · · 30 +{round(row['score'] * 100)}" in page.text


def test_a_lever_is_called_by_its_name(page: Page) -> None:
    assert "Gain de temps" in page.text


def test_emotions_are_counted(page: Page) -> None:
    assert "Colère 75 % (45 commentaires)" in page.text


def test_answers_are_counted(page: Page) -> None:
    assert "20 % des commentaires ont une réponse (12 sur 60)." in page.text


def test_the_period_is_said_in_words(page: Page) -> None:
    assert "du 1er septembre au 28 octobre 2026" in page.text


def test_brands_and_months_with_enough_comments_can_be_chosen(page: Page) -> None:
    chosen = {attributes["value"] for attributes in page.all("option")}
    assert chosen == {"toutes", "Véga", "L'Ondéa <b>", "tout", "2026-09", "2026-10"}


def test_each_view_shows_its_own_count(html: str) -> None:
    assert re.search(r'data-title="Véga".*?Véga · [^·]* · 40\xa0commentaires', html, re.DOTALL)


def test_the_same_tables_give_the_same_bytes(warehouse: Warehouse, html: str) -> None:
    assert render(gather(warehouse.root), NAMES) == html


def test_scores_of_the_model_are_shown_when_the_card_is_its_card(tmp_path: Path) -> None:
    card = read_card(Path("models/cxnlp-fr-mini"))
    comments, mentions = told()
    place = made(tmp_path / "w", [c | {"model_version": card.version} for c in comments], mentions)
    accuracy = card.about["scores"]["values"]["sentiment_accuracy"]
    shown = Page(render(gather(place.root), NAMES, card)).text
    assert f"Sentiment du commentaire juste {accuracy * 100:.0f} %" in shown


def test_scores_of_another_model_are_not_shown(warehouse: Warehouse) -> None:
    card = read_card(Path("models/cxnlp-fr-mini"))
    shown = Page(render(gather(warehouse.root), NAMES, card)).text
    assert "Sentiment du commentaire juste" not in shown


# --- little or nothing to tell ------------------------------------------------------------------


def test_too_few_comments_name_no_weakest_link(tmp_path: Path) -> None:
    shown = Page(render(gather(made(tmp_path / "w", *told(6)).root), NAMES)).text
    assert "Pas encore de maillon faible" in shown
    assert "Il en faut 20 sur un même point de contact" in shown


def test_a_figure_of_too_few_comments_is_grey_and_said_to_be(tmp_path: Path) -> None:
    html = render(gather(made(tmp_path / "w", *told(), n_min=40).root), NAMES)
    row = re.search(r'<tr class="few">\s*<th scope="row">accueil<span[^>]*>([^<]*)', html)
    assert row is not None
    assert row[1] == " (trop peu de commentaires)"


def test_links_that_cannot_be_told_apart_are_named(tmp_path: Path) -> None:
    comments, mentions = told()
    same = [mention(c, "accueil", sentiment_score=-0.9) for c in comments]
    shown = Page(render(gather(made(tmp_path / "w", comments, mentions[:1] + same).root), NAMES))
    assert "Maillon faible : accueil" in shown.text
    both = [mention(c, t, sentiment_score=-0.9) for c in comments for t in ("accueil", "attente")]
    shown = Page(render(gather(made(tmp_path / "x", comments, both).root), NAMES))
    assert re.search(r"À confirmer : l’écart avec (visite|achat) tient dans la marge", shown.text)


def test_without_metrics_there_are_sentences_instead(tmp_path: Path) -> None:
    shown = Page(render(gather(made(tmp_path / "w", *told(), n_min=None).root), NAMES))
    assert shown.errors == []
    for sentence in (
        "Pas encore de maillon faible", "Aucun commentaire analysé n’a de date",
        "ne parle d’un levier", "Aucune alerte", "Aucun mot nouveau", "n’a de réponse",
    ):  # fmt: skip
        assert sentence in shown.text


def test_a_warehouse_whose_comments_are_all_set_aside_says_so(tmp_path: Path) -> None:
    aside = [comment(f"c{i}", set_aside="langue", sentiment=None) for i in range(3)]
    shown = Page(render(gather(made(tmp_path / "w", aside, []).root), NAMES))
    assert shown.errors == []
    assert "Aucun commentaire analysé pour l’instant" in shown.text
    assert "autre langue : 3 (100 %)" in shown.text


def test_an_alert_comes_with_the_comments_behind_it(tmp_path: Path) -> None:
    first = dt.date(2026, 8, 1)
    days = [first + dt.timedelta(days=i) for i in range(40)] + [dt.date(2026, 9, 14)] * 25
    comments = [comment(f"c{i:03}", day.isoformat()) for i, day in enumerate(days)]
    place = made(tmp_path / "w", comments, [mention(c) for c in comments])
    html = render(gather(place.root), NAMES)
    assert "attente 14 septembre 2026 Plus de commentaires que d’ordinaire" in Page(html).text
    alerts = html[html.index('id="alertes"') :]
    assert "deux heures de queue" in alerts[: alerts.index("</ul>")]


# --- hostile comments ---------------------------------------------------------------------------


def test_a_script_in_a_comment_is_a_text(page: Page) -> None:
    assert len(page.all("script")) == 1
    assert "document.title = 'lu'</script> {{ 7 * 7 }} \"><img" in page.text


def test_markup_in_a_comment_makes_no_element(page: Page) -> None:
    assert page.all("img") == []
    assert {name for name, _ in page.elements}.isdisjoint({"iframe", "object", "embed", "form"})


def test_markup_in_a_brand_is_a_text(html: str) -> None:
    assert "L'Ondéa <b>" not in html
    assert "L&#39;Ondéa &lt;b&gt;" in html


def test_no_attribute_runs_anything(page: Page) -> None:
    assert [a for _, attributes in page.elements for a in attributes if a.startswith("on")] == []


def test_the_policy_lets_only_the_pages_own_script_run(page: Page) -> None:
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; ")
    assert "script-src 'sha256-" in policy


def test_nothing_is_fetched(html: str, page: Page) -> None:
    links = [a for _, attributes in page.elements for n, a in attributes.items()
             if n in ("src", "href", "srcset", "data", "action", "xlink:href")]  # fmt: skip
    assert {link for link in links if not link.startswith("#")} == {"data:,"}
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


# --- markup -------------------------------------------------------------------------------------


def test_every_element_is_closed_in_order(page: Page) -> None:
    assert page.errors == []


def test_headings_go_down_one_level_at_a_time(page: Page) -> None:
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch(r"h[1-6]", name)]
    assert levels[0] == 1
    assert [b for a, b in pairwise(levels) if b > a + 1] == []


def test_an_id_is_there_once(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_what_an_element_refers_to_is_there(page: Page) -> None:
    ids = {attributes.get("id") for _, attributes in page.elements}
    named = [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    jumps = [a["href"][1:] for a in page.all("a")]
    assert [name for name in named + jumps if name not in ids] == []


def test_every_head_of_a_table_says_what_it_heads(page: Page) -> None:
    assert [a for a in page.all("th") if "scope" not in a] == []


def test_a_drawing_is_named_or_hidden_from_screen_readers(page: Page) -> None:
    drawings = page.all("svg")
    assert drawings
    assert [a for a in drawings if "aria-hidden" not in a and not a.get("aria-label")] == []


def test_the_language_is_said(page: Page) -> None:
    assert page.all("html") == [{"lang": "fr"}]


# --- where it goes ------------------------------------------------------------------------------


def test_it_lies_in_the_warehouse_whole(warehouse: Warehouse, html: str) -> None:
    place = Path(write_report(warehouse, NAMES, None))
    assert place == Path(warehouse.root) / "report.html"
    assert place.read_text("utf-8") == html
    assert list(place.parent.glob("*.part")) == []


def test_a_warehouse_with_a_report_is_whole(warehouse: Warehouse) -> None:
    write_report(warehouse, NAMES, None)
    assert [p for p in warehouse.verify() if "report" in p] == []


def test_it_lies_in_an_object_store_as_well(warehouse: Warehouse) -> None:
    store = Warehouse("memory://report-of-tests")
    with store.hold():
        parts = [Part(table, warehouse.read(table)) for table in schema.TABLES
                 if table not in (schema.COMMENTS, schema.MENTIONS)]  # fmt: skip
        parts += split(warehouse.read(schema.COMMENTS), schema.COMMENTS)
        store.publish(parts, run_id="r1", metadata={})
    assert write_report(store, NAMES, None) == "memory://report-of-tests/report.html"


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def call(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["cxnlp", "report", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0)

    return call


def test_the_command_writes_where_it_is_told(
    report: Callable[..., int], warehouse: Warehouse, tmp_path: Path
) -> None:
    assert report(warehouse.root, "--output", tmp_path / "avis.html") == 0
    assert "Gain de temps & praticité" not in (tmp_path / "avis.html").read_text("utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["avis.html"]


def test_a_folder_without_tables_is_told(
    report: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(tmp_path) == UsageError.exit_status
    assert "has no tables" in capsys.readouterr().err


def test_an_output_in_no_folder_is_told(
    report: Callable[..., int], warehouse: Warehouse, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert report(warehouse.root, "--output", tmp_path / "x" / "avis.html") == 2
    assert "no such folder" in capsys.readouterr().err


def test_a_night_ends_with_its_report(demo: Path, analyzer: Analyzer) -> None:
    tonight = night.Night.begin(load_settings(demo))
    night.run(tonight, analyzer)
    shown = Page((Path(tonight.warehouse.root) / "report.html").read_text("utf-8")).text
    runs = tonight.warehouse.read(schema.RUNS)
    assert f"{runs['comments'][0].as_py()} commentaires , dont" in shown
    assert runs["n_min"].to_pylist() == [30]


def test_a_report_that_cannot_be_written_loses_no_table(demo: Path, analyzer: Analyzer) -> None:
    place = Path(safe_load(demo.read_text("utf-8"))["warehouse"])
    (place / "report.html" / "in the way").mkdir(parents=True)
    tonight = night.Night.begin(load_settings(demo))
    with pytest.raises(WarehouseError, match=r"the tables are complete, but report\.html"):
        night.run(tonight, analyzer)
    assert tonight.warehouse.read(schema.RUNS).num_rows == 1
    assert pa.compute.sum(tonight.warehouse.read(schema.TOUCHPOINT_SCORES)["n"]).as_py() > 0


def test_pictures_in_notebooks_have_the_colours_of_the_report() -> None:
    folder = Path("cxnlp/report")
    css = (folder / "style.css").read_text("utf-8")
    cycle = re.findall(r'"([0-9a-f]{6})"', (folder / "house.mplstyle").read_text("utf-8"))
    names = ("accent", "neg", "pos", "neu", "mix")
    assert [f"#{c}" for c in cycle] == [css.split(f"--{n}: ")[1].split(";")[0] for n in names]
