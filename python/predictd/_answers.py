"""What the server's status and JSON mean to the caller: a document, or the error that it is."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping, Type

from ._errors import BadInput, NotFound, Overloaded, PredictdError, ServerError, Timeout
from ._uwsgi import Answer

# Besides 503, which says when to come again, and all others, which are the server's fault.
_KINDS: Mapping[int, Type[PredictdError]] = {
    **dict.fromkeys((400, 411, 413, 415, 422, 431), BadInput),
    404: NotFound,
    **dict.fromkeys((408, 504), Timeout),
}
_LONGEST_TEXT = 4096


def checked(answer: Answer, subject: str) -> Answer:
    """The answer, if it is one to be glad of; else raises what it says."""
    if answer.status == 200:
        return answer
    raise _error(answer, subject)


def document(answer: Answer, subject: str) -> Dict[str, Any]:
    """The JSON object of a good answer."""
    return _object(checked(answer, subject), subject)


def _object(answer: Answer, subject: str) -> Dict[str, Any]:
    try:
        value = json.loads(answer.body)
        if isinstance(value, dict):
            return value
    except ValueError:
        pass
    request_id = answer.headers.get("x-request-id")
    text = f"{subject}: the answer (status {answer.status}) is not predictd's: {bytes(answer.body[:80])!r}"
    raise ServerError(text, status=answer.status, request_id=request_id)


def _error(answer: Answer, subject: str) -> PredictdError:
    status = answer.status
    request_id = answer.headers.get("x-request-id")
    text = str(_object(answer, subject).get("error", f"{subject}: status {status}"))[:_LONGEST_TEXT]
    if status == 503:
        after = answer.headers.get("retry-after", "")
        # Digits, or a date, which predictd never gives.
        seconds = float(after) if after.isascii() and after.isdigit() else 1.0
        return Overloaded(text, status=status, request_id=request_id, retry_after=seconds)
    return _KINDS.get(status, ServerError)(text, status=status, request_id=request_id)
