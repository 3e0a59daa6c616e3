"""Settings of a run: YAML read once, validated, frozen.

Comes in: the path of a configuration file. Goes out: one `Settings` object whose sections
are handed to the stages. Left out: everything that is read later (models, taxonomies, data).
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from cxnlp.config_sources import (
    OAuth,
    Pages,
    RawField,
    Rest,
    Section,
    Since,
    Source,
    Sql,
    digest,
)
from cxnlp.errors import ConfigError

__all__ = [
    "Execution", "Inference", "Language", "Metrics", "Notify", "Privacy", "RawField", "Retention",
    "Settings", "Source", "bundled", "load_settings",
]  # fmt: skip


class Inference(Section):
    """How the network runs. `max_batch_tokens` counts real and padded tokens of a batch.

    `cache_mb` bounds what is kept of earlier nights' answers; 0 keeps nothing.
    """

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    max_batch_tokens: int = Field(16384, ge=512)
    cache_mb: int = Field(256, ge=0)


class Language(Section):
    """Which languages are analysed; comments in others are set aside."""

    keep: tuple[Annotated[str, Field(pattern=r"^[a-z]{2}$")], ...] = ("fr",)


class Privacy(Section):
    """Pseudonyms and masks. Without `author_key_env` a key is made and kept in the warehouse.

    `names_model` is a spaCy model, folder or package, that finds names of people in texts.
    """

    author_key_env: str | None = None
    mask: tuple[Literal["email", "telephone", "iban", "carte", "nir"], ...] = (
        "email", "telephone", "iban", "carte", "nir",
    )  # fmt: skip
    names_model: str | None = None


class Retention(Section):
    """How many days raw comments are kept after they were read; None: for ever."""

    raw_days: int | None = Field(None, ge=1)


class Notify(Section):
    """Who is told what: a webhook whose address is in a variable. Without one nothing is sent."""

    webhook_env: str | None = None
    events: tuple[Literal["failure", "alerts"], ...] = ("failure", "alerts")


class Execution(Section):
    """Where shards of comments are analysed, and how many comments a shard has.

    `address` is that of a Ray cluster; without one a cluster is started on this machine.
    """

    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    workers: int | None = Field(None, ge=1)
    shard_size: int = Field(8_192, ge=1)

    @model_validator(mode="after")
    def _of_ray(self) -> "Execution":
        if self.engine == "local" and (self.address or self.workers):
            raise ValueError("address and workers are of engine: ray; local is this process")
        return self


class Metrics(Section):
    """Constants of the metrics tables (docs/metrics.md)."""

    shrink: float = Field(20.0, ge=0)
    n_min: int = Field(30, ge=1)
    terms_sample: int = Field(5_000, ge=1)


class Settings(Section):
    """The whole configuration file."""

    warehouse: str
    sources: tuple[Source, ...] = Field(min_length=1)
    model: str = "models/cxnlp-fr-mini"
    taxonomy: str = "configs/taxonomy.yaml"
    inference: Inference = Inference()
    language: Language = Language()
    privacy: Privacy = Privacy()
    retention: Retention = Retention()
    notify: Notify = Notify()
    execution: Execution = Execution()
    metrics: Metrics = Metrics()
    partition: Literal["month", "day"] = "month"

    @model_validator(mode="after")
    def _names_differ(self) -> "Settings":
        names = [source.name for source in self.sources]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two sources are named {', '.join(sorted(twice))}")
        mixed = [source.name for source in self.sources if "source" in source.fields]
        if mixed:
            raise ValueError(
                f"source {', '.join(mixed)}: fields may not map 'source', which only "
                "`cxnlp analyze` takes from a column; a warehouse has one source per entry"
            )
        return self

    @property
    def digest(self) -> str:
        return digest(self.model_dump(mode="json"))


def load_settings(path: str | Path) -> Settings:
    """Return the settings of a YAML file.

    Raises `ConfigError` naming the file, the key and what was expected.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such configuration file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected keys such as warehouse and sources, at top level")
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_sentence(path, e) for e in error.errors())) from error


def bundled(path: str | Path) -> Path:
    """Return `path`, or if there is nothing there the same path in the project's own folder."""
    beside = Path(__file__).resolve().parents[1] / path
    return beside if not Path(path).exists() and beside.exists() else Path(path)


def _sentence(path: Path, error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "(top level)"
    if error["type"] == "extra_forbidden":
        known = ", ".join(_keys_beside(error["loc"]))
        return f"{path}: {key}: unknown key" + (f"; known here: {known}" if known else "")
    message = error["msg"].removeprefix("Value error, ")
    hidden = isinstance(error["input"], dict | list) or {"rest", "sql"} & {*error["loc"]}
    shown = "" if hidden else f" (got {error['input']!r})"  # it may be a token at a wrong place
    return f"{path}: {key}: {message}{shown if error['type'] != 'missing' else ''}"


def _keys_beside(loc: tuple[str | int, ...]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "sources": Source, "inference": Inference, "language": Language, "privacy": Privacy,
        "retention": Retention, "notify": Notify,
        "execution": Execution, "metrics": Metrics,
        "rest": Rest, "oauth": OAuth, "pages": Pages, "since": Since, "sql": Sql,
    }  # fmt: skip
    within = [part for part in loc[:-1] if isinstance(part, str)]
    section = sections.get(within[-1]) if within else Settings
    return list(section.model_fields) if section else []
