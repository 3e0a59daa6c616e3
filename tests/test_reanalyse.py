"""When the model changes, old labels stay until every new one is there, whatever happens."""

from pathlib import Path

import pytest
from conftest import TAXONOMY

from cxnlp import night, schema
from cxnlp.analyse import Analyzer
from cxnlp.config import Settings, load_settings
from cxnlp.warehouse import Warehouse

TEXTS = ("Accueil charmant.", "Trop cher pour ce que c'est.", "Deux heures de queue au guichet.")


@pytest.fixture
def settings(tmp_path: Path, analyzer: Analyzer) -> Settings:
    """Three comments, analysed one to a shard."""
    (tmp_path / "avis.csv").write_text("\n".join(["texte", *TEXTS]), encoding="utf-8")
    (tmp_path / "config.yaml").write_text(
        f"warehouse: {tmp_path / 'out'}\nexecution: {{shard_size: 1}}\n"
        f"sources: [{{name: avis, files: {tmp_path / 'avis.csv'}, fields: {{text: texte}}}}]\n"
        "inference: {cache_mb: 0}\n",
        encoding="utf-8",
    )
    settings = load_settings(tmp_path / "config.yaml")
    tonight = night.Night.begin(settings)
    with tonight.warehouse.hold():
        night.ingest(tonight, settings.sources[0])
        night.analyse(tonight, analyzer)
    return settings


@pytest.fixture
def newer(tiny_model: Path) -> Analyzer:
    return Analyzer.load(tiny_model, TAXONOMY, mask=("email",))


def interrupted(settings: Settings, newer: Analyzer) -> None:
    """Stop a reanalysis after its first shard."""

    def tell(said: str) -> None:
        if said.startswith("2 of"):
            raise KeyboardInterrupt

    again = night.Night.begin(settings, tell=tell)
    with pytest.raises(KeyboardInterrupt), again.underway():
        night.analyse(again, newer)


def keys(settings: Settings) -> set[str]:
    found = Warehouse(settings.warehouse).read(schema.COMMENTS)["analysis_key"]
    return {*found.to_pylist()}


def test_old_labels_stay_until_the_last_new_one_is_there(
    settings: Settings, newer: Analyzer, analyzer: Analyzer
) -> None:
    interrupted(settings, newer)
    assert keys(settings) == {analyzer.key}


def test_what_was_interrupted_goes_on_at_the_next_shard(
    settings: Settings, newer: Analyzer
) -> None:
    interrupted(settings, newer)
    again = night.Night.begin(settings)
    with again.underway():
        done = night.analyse(again, newer)
    assert (done.texts, done.written) == (1, 3)
    assert keys(settings) == {newer.key}
