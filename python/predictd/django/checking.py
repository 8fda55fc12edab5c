"""What ``manage.py check``, and ``runserver`` at its start, say of the server and its models.

All of it are warnings: a site has more to it than its models, and starts without them.
"""

from __future__ import annotations

from typing import Any, List, Optional

from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured

from predictd import BadInput, Model, NotFound, PredictdError, Server

from .settings import Settings

# Seconds for each question: nobody likes to wait for a check.
_LONGEST = 1.0


def check_server(**_: Any) -> List[CheckMessage]:
    """Asks whether the server is there, and whether it has each model of ``PREDICTD["MODELS"]``."""
    try:
        settings = Settings.read()
    except ImproperlyConfigured as error:
        return [CheckWarning(str(error), id="predictd.W001")]
    timeout = min(_LONGEST, settings.timeout)
    try:
        Server(settings.address, timeout=timeout).metadata()
        messages = [_check_model(name, settings.address, timeout) for name in settings.models]
    except PredictdError as error:
        hint = "Pages that ask a model will fail until it answers; the others will not."
        return [CheckWarning(f"predictd: {error}", hint=hint, id="predictd.W002")]
    return [message for message in messages if message is not None]


def _check_model(name: str, address: Optional[str], timeout: float) -> Optional[CheckMessage]:
    try:
        if Model(name, address, timeout=timeout).ready():
            return None
        hint = "It is being loaded, could not be, or is closed: `predictd status` says which."
        return CheckWarning(f"predictd: model {name!r} is not ready", hint=hint, id="predictd.W004")
    except NotFound as error:
        hint = "PREDICTD['MODELS'] names it; `predictd status` lists what there is."
        return CheckWarning(f"predictd: {error}", hint=hint, id="predictd.W003")
    except BadInput as error:
        return CheckWarning(f"PREDICTD['MODELS']: {error}", id="predictd.W001")
