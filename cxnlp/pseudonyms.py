"""Pseudonyms of authors, and the key that makes them.

Comes in: names; settings and a warehouse. Goes out: keyed pseudonyms, and the key, from the
environment or kept beside the tables. Left out: which column holds a name (`ingest/mapping.py`).
"""

import hmac
import os
import secrets
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from cxnlp.config import Settings
from cxnlp.errors import ConfigError
from cxnlp.warehouse import Warehouse


def pseudonym(name: str, key: bytes) -> str | None:
    """Return the pseudonym of a name, whatever its case and the spaces around it.

    >>> pseudonym("Léa M. ", b"key") == pseudonym("LÉA M.", b"key") != pseudonym("Léa", b"key")
    True
    """
    plain = unicodedata.normalize("NFKC", name).casefold().strip()
    return hmac.digest(key, plain.encode(), "sha256").hex()[:32] if plain else None


def author_key(settings: Settings, warehouse: Warehouse) -> bytes:
    """Return the key of pseudonyms: from the environment, or made once in the warehouse.

    Raises `ConfigError` when the settings name a variable that is not set, or none though the
    warehouse is an object store, where a key would lie in the open.
    """
    name = settings.privacy.author_key_env
    if name:
        value = os.environ.get(name, "")
        if not value:
            raise ConfigError(
                f"privacy.author_key_env names {name}, which is not set; make a key once with\n"
                f"  export {name}=$(python3 -c 'import secrets; print(secrets.token_hex(32))')\n"
                "and keep it: another key gives other pseudonyms"
            )
        return value.encode()
    if "://" in warehouse.root:
        raise ConfigError(
            f"warehouse {warehouse.root} keeps no key of pseudonyms; name a variable that holds "
            "one with `privacy: {author_key_env: CXNLP_AUTHOR_KEY}`"
        )
    path = _kept(warehouse)
    if not path.is_file():
        _keep_key(path, secrets.token_hex(32))
    return path.read_text().strip().encode()


def known_keys(warehouse: Warehouse, variables: Sequence[str]) -> list[bytes]:
    """Return every key at hand: those of the variables that are set, and the warehouse's own."""
    keys = [value.encode() for name in variables if (value := os.environ.get(name, ""))]
    path = _kept(warehouse)
    if "://" not in warehouse.root and path.is_file():
        keys.append(path.read_text().strip().encode())
    return keys


def _kept(warehouse: Warehouse) -> Path:
    return Path(warehouse.root) / "state" / "author.key"


def _keep_key(path: Path, key: str) -> None:
    """Write a key that only its owner reads; it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.unlink(missing_ok=True)
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
