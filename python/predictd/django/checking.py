"""What ``manage.py check``, and ``runserver`` at its start, say of the server and its models.

All of it are warnings: a site has more to it than its models, and starts without them.
"""

from __future__ import annotations

from typing import Any, List

from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured

from .. import BadInput, Model, NotFound, PredictdError
from .settings import Settings

# Seconds for each question: nobody waits long for a check.
_TIMEOUT = 1.0


def check_server(**_: Any) -> List[CheckMessage]:
    """Asks for each model of ``PREDICTD["MODELS"]`` whether it is there and ready."""
    try:
        settings = Settings.read()
    except ImproperlyConfigured as error:
        return [CheckWarning(str(error), id="predictd.W001")]
    messages: List[CheckMessage] = []
    for name in settings.models:
        try:
            if not Model(name, settings.address, timeout=min(_TIMEOUT, settings.timeout)).ready():
                hint = "It is being loaded, could not be, or is closed: `predictd status` says which."
                messages.append(
                    CheckWarning(f"predictd: model {name!r} is not ready", hint=hint, id="predictd.W004")
                )
        except NotFound as error:
            hint = "PREDICTD['MODELS'] names it; `predictd status` lists what there is."
            messages.append(CheckWarning(f"predictd: {error}", hint=hint, id="predictd.W003"))
        except BadInput as error:
            messages.append(CheckWarning(f"PREDICTD: {error}", id="predictd.W001"))
        except PredictdError as error:
            # It will be the same for the others.
            hint = "Pages that ask a model will fail until it answers; the others will not."
            return [*messages, CheckWarning(f"predictd: {error}", hint=hint, id="predictd.W002")]
    return messages
