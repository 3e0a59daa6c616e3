"""Settings of a run: YAML read once, validated, frozen.

Comes in: the path of a configuration file. Goes out: one `Settings` object whose sections
are handed to the stages. Left out: everything that is read later (models, taxonomies, data).
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cxnlp.errors import ConfigError

RawField = Literal[
    "native_id", "url", "brand", "location", "product", "published_at", "author", "rating",
    "title", "text", "reply_text", "reply_at", "source",
]  # fmt: skip
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Section):
    """Where one kind of export lies and how its columns map to ours.

    `fields` maps our names to theirs; a theirs of the form `a.b` also reaches into nested JSON.
    `constants` fills a column that the export does not have (a brand, a place).
    """

    name: Slug
    channel: Literal["avis", "reseau_social", "enquete", "email", "autre"] = "autre"
    files: str | tuple[str, ...]
    fields: dict[RawField, str] = Field(min_length=1)
    constants: dict[Literal["brand", "location", "product", "url"], str] = {}
    rating_scale: tuple[float, float] | None = None
    date_format: str | None = None
    timezone: str = "Europe/Paris"
    format: Literal["csv", "jsonl", "json", "xlsx", "parquet"] | None = None
    encoding: str | None = None
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    sheet: str | None = None
    records: str | None = None

    @field_validator("fields")
    @classmethod
    def _has_text(cls, fields: dict[str, str]) -> dict[str, str]:
        if "text" not in fields:
            raise ValueError("must map 'text' to the column that holds the comment")
        return fields

    @field_validator("rating_scale")
    @classmethod
    def _rises(cls, scale: tuple[float, float] | None) -> tuple[float, float] | None:
        if scale and not scale[0] < scale[1]:
            raise ValueError("must be [lowest, highest], as in [0, 10]")
        return scale

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{zone!r} is not a time zone such as Europe/Paris") from error
        return zone

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str | None) -> str | None:
        if encoding:
            try:
                "".encode(encoding)
            except LookupError as error:
                raise ValueError(f"{encoding!r} is not an encoding such as cp1252") from error
        return encoding

    @property
    def patterns(self) -> tuple[str, ...]:
        return (self.files,) if isinstance(self.files, str) else self.files

    @property
    def digest(self) -> str:
        """Digest of what decides how a file is read; a change reads the files again."""
        return _digest(self.model_dump(mode="json", exclude={"files"}))


class Inference(_Section):
    """How the network runs. `max_batch_tokens` counts real and padded tokens of a batch.

    `cache_mb` bounds what is kept of earlier nights' answers; 0 keeps nothing.
    """

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    max_batch_tokens: int = Field(16384, ge=512)
    cache_mb: int = Field(256, ge=0)


class Language(_Section):
    """Which languages are analysed; comments in others are set aside."""

    keep: tuple[Annotated[str, Field(pattern=r"^[a-z]{2}$")], ...] = ("fr",)


class Privacy(_Section):
    """Pseudonyms and masks. Without `author_key_env` a key is made and kept in the warehouse."""

    author_key_env: str | None = None
    mask: tuple[Literal["email", "telephone", "iban", "carte", "nir"], ...] = (
        "email", "telephone", "iban", "carte", "nir",
    )  # fmt: skip


class Retention(_Section):
    """How many days raw comments are kept after they were read; None: for ever."""

    raw_days: int | None = Field(None, ge=1)


class Notify(_Section):
    """Who is told what: a webhook whose address is in a variable. Without one nothing is sent."""

    webhook_env: str | None = None
    events: tuple[Literal["failure", "alerts"], ...] = ("failure", "alerts")


class Execution(_Section):
    """Where shards of comments are analysed, and how many comments a shard has."""

    engine: Literal["local"] = "local"
    shard_size: int = Field(8_192, ge=1)


class Metrics(_Section):
    """Constants of the metrics tables (docs/metrics.md)."""

    shrink: float = Field(20.0, ge=0)
    n_min: int = Field(30, ge=1)
    terms_sample: int = Field(5_000, ge=1)


class Settings(_Section):
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
        return _digest(self.model_dump(mode="json"))


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
    shown = "" if isinstance(error["input"], dict | list) else f" (got {error['input']!r})"
    return f"{path}: {key}: {message}{shown if error['type'] != 'missing' else ''}"


def _keys_beside(loc: tuple[str | int, ...]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "sources": Source, "inference": Inference, "language": Language, "privacy": Privacy,
        "retention": Retention, "notify": Notify,
        "execution": Execution, "metrics": Metrics,
    }  # fmt: skip
    section = Settings if len(loc) == 1 else sections.get(str(loc[0]))
    return list(section.model_fields) if section else []


def _digest(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
