"""Settings of a source: files, a REST service or an SQL query, and how its columns map to ours.

Comes in: one entry of `sources:`. Goes out: a frozen `Source`. Left out: the rest of the
configuration (`config.py`), the values of the variables it names (`ingest/secret.py`).
A token never stands in a configuration: `${NAME}` in a header or parameter, or `url_env`, names
the variable of the environment that holds it.
"""

import hashlib
import json
import re
from datetime import date
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

RawField = Literal[
    "native_id", "url", "brand", "location", "product", "published_at", "author", "rating",
    "title", "text", "reply_text", "reply_at", "source",
]  # fmt: skip
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
VARIABLE: Final = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_SECRET: Final = re.compile(r"authori[sz]ation|token$|api[-_]?key|secret|passw|^key$", re.I)
_HERE: Final = ("127.0.0.1", "localhost", "::1")
_OF_FILES: Final = ("format", "encoding", "separator", "sheet")


class Section(BaseModel):
    """A part of a configuration: unknown keys are refused, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Pages(Section):
    """How one page leads to the next.

    `number` and `offset`: `param` counts pages or records. `cursor`: what the answer has at `path`
    goes into `param`. `address`: the answer has the next address at `path`. `link`: it is in the
    header Link. A page of fewer than `size` records is the last.
    """

    by: Literal["number", "offset", "cursor", "address", "link"]
    param: str | None = None
    path: str | None = None
    first: int = Field(1, ge=0)
    size: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _complete(self) -> "Pages":
        if self.by in ("number", "offset", "cursor") and not self.param:
            raise ValueError(f"by: {self.by} needs `param`, the parameter that it goes into")
        if self.by in ("cursor", "address") and not self.path:
            raise ValueError(f"by: {self.by} needs `path`, where it lies in the answer")
        return self


class Since(Section):
    """Where a later fetch starts: at the newest comment there is, less `look_back` days.

    `format` says how `:since` is written: a strftime format, in UTC, or `unix`, or `id` for the
    id of the newest comment before that moment. `start` is where the first fetch starts.
    `newest_first` names the date by which a service sorts that cannot be asked for a start.
    """

    look_back: float = Field(7, ge=0)
    format: str | None = None
    start: date | None = None
    newest_first: str | None = None


class OAuth(Section):
    """Where and with what a short-lived token is asked for (OAuth 2)."""

    url: str
    data: dict[str, str]

    @model_validator(mode="after")
    def _without_secrets(self) -> "OAuth":
        _check_address(self.url, secret=True)
        _refuse_literals(self.data)
        return self


class Rest(Section):
    """A service that answers with JSON.

    `timeout`: seconds that a page may take. `retries`: how often a page is asked for again, after
    at most `wait_max` seconds each time. `pause`: seconds between two pages.
    """

    url: str
    params: dict[str, str] = {}
    headers: dict[str, str] = {}
    oauth: OAuth | None = None
    pages: Pages | None = None
    since: Since = Since()
    timeout: float = Field(60, gt=0)
    retries: int = Field(6, ge=0, le=20)
    wait_max: float = Field(120, ge=0)
    pause: float = Field(0, ge=0)
    max_pages: int = Field(10_000, ge=1)

    @field_validator("params", mode="before")
    @classmethod
    def _as_written(cls, params: Any) -> Any:
        """Take 50 and true as they are written in an address."""
        if not isinstance(params, dict):
            return params
        return {
            name: json.dumps(value) if isinstance(value, bool | int | float) else value
            for name, value in params.items()
        }

    @model_validator(mode="after")
    def _without_secrets(self) -> "Rest":
        given = {**self.headers, **self.params}
        secret = bool(self.oauth) or any(VARIABLE.search(value) for value in given.values())
        _check_address(self.url, secret)
        _refuse_literals(given)
        return self


class Sql(Section):
    """A query, with `:since` where its start goes; `url_env` holds SQLAlchemy's URL."""

    url_env: str = Field(pattern=r"^[A-Za-z_]\w*$")
    query: str = Field(pattern=r"^\s*(?i:select|with)\s")
    since: Since = Since()


class Source(Section):
    """Where one kind of comment comes from and how its columns map to ours.

    `fields` maps our names to theirs; a theirs of the form `a.b` also reaches into nested JSON.
    `constants` fills a column that the export does not have (a brand, a place).
    """

    name: Slug
    channel: Literal["avis", "reseau_social", "enquete", "email", "autre"] = "autre"
    files: str | tuple[str, ...] = ()
    rest: Rest | None = None
    sql: Sql | None = None
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

    @model_validator(mode="after")
    def _one_origin(self) -> "Source":
        if sum(map(bool, (self.files, self.rest, self.sql))) != 1:
            raise ValueError(f"source {self.name} must have one of files, rest or sql")
        if self.files:
            return self
        if "native_id" not in self.fields:
            raise ValueError(
                f"source {self.name} must map 'native_id', by which a comment that comes again "
                "is known"
            )
        extra = [name for name in _OF_FILES if getattr(self, name)]
        if extra:
            raise ValueError(f"source {self.name}: {extra[0]} is a setting of files")
        return self

    @property
    def patterns(self) -> tuple[str, ...]:
        return (self.files,) if isinstance(self.files, str) else self.files

    @property
    def digest(self) -> str:
        """Digest of what decides how a source is read; a change reads everything again."""
        data = self.model_dump(mode="json", exclude={"files", "rest", "sql"})
        if self.rest:
            start = str(self.rest.since.start)
            data["rest"] = [self.rest.url, self.rest.params, start]
        if self.sql:
            data["sql"] = [self.sql.url_env, self.sql.query, str(self.sql.since.start)]
        return digest(data)


def digest(data: Any) -> str:
    """Return a digest of settings."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_address(address: str, secret: bool) -> None:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("url must be an address such as https://api.example/v1/reviews")
    if parts.username or parts.password or parts.query or parts.fragment or "${" in address:
        raise ValueError("url must end with its path: names and tokens go into headers or params")
    if secret and parts.scheme == "http" and parts.hostname not in _HERE:
        raise ValueError("url must be https, since a token goes there")


def _refuse_literals(given: dict[str, str]) -> None:
    for name, value in given.items():
        if _SECRET.search(name) and not VARIABLE.search(value):
            raise ValueError(
                f"{name} must be read from the environment: write ${{NAME}}, where NAME is the "
                "variable that holds it"
            )
