"""Raw comments leave after their days; what was made of them stays, and can be made again."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from conftest import TAXONOMY

from cxnlp import night, schema
from cxnlp.analyse import Analyzer
from cxnlp.config import load_settings
from cxnlp.retention import expire
from cxnlp.warehouse import Warehouse

QUEUE = "Deux heures de queue au guichet et personne pour nous renseigner, quelle honte !"
ROWS = ("id;date;texte", f"1;2026-09-14;{QUEUE}", "2;2026-09-15;Écrivez à lea@exemple.fr !")
LATER = datetime.now(UTC) + timedelta(days=31)


class Place:
    """A folder with an export and the warehouse made of it."""

    def __init__(self, folder: Path, analyzer: Analyzer) -> None:
        self.folder, self.analyzer = folder, analyzer
        self.warehouse = Warehouse(str(folder / "out"))
        self.put("a.csv", *ROWS)

    def put(self, name: str, *rows: str) -> None:
        (self.folder / name).write_text("\n".join(rows), encoding="utf-8")

    def run(self, last: date | None = None, raw_days: int | None = None) -> None:
        fields = {"native_id": "id", "published_at": "date", "text": "texte"}
        source = {"name": "avis", "files": str(self.folder / "*.csv"), "fields": fields}
        data = {"warehouse": self.warehouse.root, "sources": [source],
                "retention": {"raw_days": raw_days}}  # fmt: skip
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(data), encoding="utf-8")
        tonight = night.Night.begin(load_settings(path), last_day=last)
        with tonight.warehouse.hold():
            for one in tonight.settings.sources:
                night.ingest(tonight, one)
            night.analyse(tonight, self.analyzer)
            night.end(tonight)

    def expire(self, days: int | None = 30) -> int:
        with self.warehouse.hold():
            return expire(self.warehouse, days, "r", LATER)

    def column(self, name: str, table: schema.Table = schema.COMMENTS) -> list[object]:
        return list(self.warehouse.read(table).sort_by("native_id")[name].to_pylist())


@pytest.fixture
def place(tmp_path: Path, analyzer: Analyzer) -> Place:
    return Place(tmp_path, analyzer)


def test_raw_older_than_its_days_is_removed(place: Place) -> None:
    place.run()
    assert place.expire() == 1
    assert place.warehouse.parts(schema.RAW) == []
    assert place.warehouse.verify() == []


@pytest.mark.parametrize("days", [None, 32])
def test_raw_stays_for_its_days(place: Place, days: int | None) -> None:
    place.run()
    assert place.expire(days) == 0


def test_a_run_leaves_raw_that_it_has_just_read(place: Place) -> None:
    place.run(raw_days=1)
    assert place.column("native_id", schema.RAW) == ["1", "2"]


def test_raw_that_is_not_analysed_yet_stays(place: Place) -> None:
    place.run(last=date(2026, 9, 14))
    assert place.expire() == 0


def test_a_file_whose_raw_has_gone_is_not_read_again(place: Place) -> None:
    place.run()
    place.expire()
    place.run()
    assert place.warehouse.parts(schema.RAW) == []
    assert place.column("native_id") == ["1", "2"]


def test_comments_without_raw_are_analysed_again_from_their_cleaned_text(
    place: Place, tiny_model: Path
) -> None:
    place.run()
    before = place.column("text")
    place.expire()
    place.analyzer = Analyzer.load(tiny_model, TAXONOMY, mask=("telephone",))
    place.run()
    assert place.column("analysis_key") == [place.analyzer.key] * 2
    assert place.column("text") == before == [QUEUE, "Écrivez à [email] !"]


def test_a_comment_without_raw_is_set_aside_when_an_earlier_one_says_the_same(
    place: Place,
) -> None:
    place.run()
    place.expire()
    place.put("b.csv", ROWS[0], f"0;2026-09-01;{QUEUE}")
    place.run()
    assert place.column("set_aside") == [None, "doublon", None]
