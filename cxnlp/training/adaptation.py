"""The configuration of an adaptation: a YAML file that names what to start from.

Comes in: a path. Goes out: an `Adaptation`, or None for a recipe that starts from nothing
(`recipe.py`). It names a model of ours (`start`) or a checkpoint of the CamemBERT family, a
folder or an id on the hub (`base`, `revision`). Left out: what is done with it (`adapt.py`).
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from cxnlp.errors import ConfigError
from cxnlp.training.optimise import Schedule


class Adaptation(BaseModel):
    """A configuration that starts from a model or a checkpoint; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    folder: Path
    taxonomy: Path
    start: Path | None = None
    base: str | None = None
    revision: str | None = None
    annotations: list[Path]
    test: Path
    dev: Path | None = None
    rehearse: str | None = None
    most: int = 3000
    soft: float = 0.4
    renamed: dict[str, str] = {}
    only: list[str] = []
    min_mentions: int = 5
    cut: int = 128
    seed: int = 7
    finetune: dict[str, float]
    about: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_beginning(self) -> "Adaptation":
        if (self.start is None) == (self.base is None):
            raise ValueError("start (a model folder) or base (a checkpoint): name one of the two")
        if self.base is None:
            return self
        if self.dev is None:
            raise ValueError("dev is missing: a base has no thresholds, they are chosen on dev")
        if self.rehearse or self.renamed or self.only:
            raise ValueError("rehearse, renamed and only are for a start: a base knows no labels")
        if self.finetune.get("mask") or self.finetune.get("language"):
            raise ValueError("finetune: mask and language are for pretraining by a recipe")
        return self

    def schedule(self) -> Schedule:
        whole = {k: int(v) if k.endswith("tokens") else v for k, v in self.finetune.items()}
        return Schedule(**whole, seed=self.seed)  # type: ignore[arg-type]


def read_adaptation(path: Path) -> Adaptation | None:
    """Return the configuration of a YAML file, None where it has no `start` and no `base`, or where
    it is a recipe, which has the sizes of a `network`.

    Raises `ConfigError` naming file and key.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None  # `load_recipe` says what is wrong with it
    if not isinstance(data, dict) or "network" in data or not {"start", "base"} & data.keys():
        return None
    try:
        return Adaptation.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_sentence(path, e) for e in error.errors())) from error


def _sentence(path: Path, error: Any) -> str:
    key = f"{'.'.join(map(str, error['loc']))}: " if error["loc"] else ""
    return f"{path}: {key}{error['msg'].removeprefix('Value error, ')}"
