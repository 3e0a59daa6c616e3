"""Tell a webhook that a run failed, or of new alerts; nothing is sent unless it is configured.

Comes in: settings, what happened. Goes out: one JSON object by HTTP POST, whose `text` chat
services show as it is. No comment, excerpt or name is in it, and the address, which is a secret,
is in no message of ours. Left out: retries; a message that does not arrive is warned of, the run
goes on.
"""

import json
import os
import urllib.error
import urllib.request
import warnings
from datetime import datetime, timedelta
from typing import Any, Final

from cxnlp import schema
from cxnlp.config import Notify
from cxnlp.errors import ConfigError
from cxnlp.warehouse import Warehouse

TOLD: Final = "state/alerted.json"
RECENT: Final = timedelta(days=7)  # of older days nobody wants to be told
_SHOWN: Final = 10
_SECONDS: Final = 10


def webhook(settings: Notify) -> str | None:
    """Return the address to tell, None when none is configured.

    Raises `ConfigError` when the variable is not set or holds no address.
    """
    if settings.webhook_env is None:
        return None
    address = os.environ.get(settings.webhook_env, "")
    if not address.startswith(("https://", "http://")):
        raise ConfigError(
            f"notify.webhook_env names {settings.webhook_env}, which "
            f"{'is no http(s) address' if address else 'is not set'}; set it to the address of a "
            "webhook, or leave notify out"
        )
    return address


def tell_failure(settings: Notify, run_id: str, error: str) -> None:
    """Tell that a run failed, and why."""
    if "failure" in settings.events:
        text = f"cxnlp : la nuit {run_id} a échoué. {error}"
        _send(settings, {"event": "failure", "text": text, "run_id": run_id, "error": error})


def tell_alerts(settings: Notify, warehouse: Warehouse, run_id: str, now: datetime) -> int:
    """Tell of the alerts of the last days that were not told yet; return how many."""
    if settings.webhook_env is None or "alerts" not in settings.events:
        return 0
    since = (now - RECENT).date()
    alerts = [a for a in warehouse.read(schema.ALERTS).to_pylist() if a["day"] >= since]
    before = json.loads(warehouse.read_text(TOLD) or "[]")
    new = [alert for alert in alerts if _name(alert) not in before]
    if not new or not _send(settings, _about(new, run_id)):
        return 0
    told = json.dumps([_name(alert) for alert in alerts], indent=0)
    warehouse.publish([], run_id=run_id, metadata={}, beside={TOLD: told})
    return len(new)


def _name(alert: dict[str, Any]) -> str:
    return f"{alert['day']} {alert['touchpoint']} {','.join(alert['kinds'])}"


def _about(alerts: list[dict[str, Any]], run_id: str) -> dict[str, Any]:
    lines = [
        f"{a['day']} {a['touchpoint']} : {', '.join(a['kinds'])} "
        f"({a['n']} commentaires{' en sept jours' if a['days'] == 7 else ''}, "
        f"d'habitude {a['usual_n']:.0f})"
        for a in alerts[:_SHOWN]
    ]
    more = [f"… et {len(alerts) - _SHOWN} autres"] if len(alerts) > _SHOWN else []
    return {
        "event": "alerts",
        "text": "\n".join([f"cxnlp : nouvelles alertes ({len(alerts)})", *lines, *more]),
        "run_id": run_id,
        "alerts": [
            {"day": str(a["day"]), "touchpoint": a["touchpoint"], "kinds": a["kinds"],
             "n": a["n"], "mean": a["mean"]}
            for a in alerts
        ],
    }  # fmt: skip


def _send(settings: Notify, message: dict[str, Any]) -> bool:
    """Post a message; say whether it arrived, or was not to be sent."""
    address = webhook(settings)
    if address is None:
        return False
    request = urllib.request.Request(  # noqa: S310  `webhook` lets http and https through alone
        address, json.dumps(message).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310
            return True
    except urllib.error.HTTPError as error:
        why = f"answered {error.code}"
        error.close()
    except (OSError, ValueError) as error:
        why = f"cannot be reached ({type(error).__name__})"
    warnings.warn(
        f"{settings.webhook_env}: the webhook {why}; {message['event']} of run "
        f"{message['run_id']} was not told",
        RuntimeWarning, stacklevel=3,
    )  # fmt: skip
    return False
