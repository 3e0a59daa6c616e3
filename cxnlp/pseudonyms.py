"""The key by which authors become pseudonyms.

Comes in: settings and a warehouse. Goes out: the key, from the environment or kept beside the
tables. Left out: the pseudonyms themselves (`ingest/mapping.py`).
"""

import os
import secrets
from pathlib import Path

from cxnlp.config import Settings
from cxnlp.errors import ConfigError
from cxnlp.warehouse import Warehouse


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
    path = Path(warehouse.root) / "state" / "author.key"
    if not path.is_file():
        _keep_key(path, secrets.token_hex(32))
    return path.read_text().strip().encode()


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
