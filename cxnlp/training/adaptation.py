"""The configuration of an adaptation: a YAML file that names a model to start from.

Comes in: a path. Goes out: an `Adaptation`, or None for a recipe that starts from nothing
(`recipe.py`). Left out: what is done with it (`adapt.py`).
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from cxnlp.errors import ConfigError
from cxnlp.training.optimise import Schedule


class Adaptation(BaseModel):
    """A configuration that starts from a model; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    folder: Path
    taxonomy: Path
    start: Path
    annotations: list[Path]
    test: Path
    dev: Path | None = None
    rehearse: str | None = None
    most: int = 3000
    soft: float = 0.4
    renamed: dict[str, str] = {}
    min_mentions: int = 5
    cut: int = 128
    seed: int = 7
    finetune: dict[str, float]
    about: dict[str, Any] = {}

    def schedule(self) -> Schedule:
        whole = {k: int(v) if k.endswith("tokens") else v for k, v in self.finetune.items()}
        return Schedule(**whole, seed=self.seed)  # type: ignore[arg-type]


def read_adaptation(path: Path) -> Adaptation | None:
    """Return the configuration of a YAML file, None where it has no `start`.

    Raises `ConfigError` naming file and key.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None  # `load_recipe` says what is wrong with it
    if not isinstance(data, dict) or "start" not in data:
        return None
    try:
        return Adaptation.model_validate(data)
    except ValidationError as error:
        lines = (f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError("\n".join(lines)) from error
