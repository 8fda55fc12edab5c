"""What the server's status and JSON mean to the caller: a document, or the error that it is."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, Mapping, Type

from ._errors import BadInput, NotFound, Overloaded, PredictdError, ServerError, Timeout
from ._uwsgi import Answer

# Besides 503, which says when to come again. All others are the server's fault.
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


def is_ready(ask: Callable[[], object]) -> bool:
    """Whether what is asked for is ready. Its 503 says that it is not; an error without a status is no answer of its."""
    try:
        ask()
    except Overloaded as error:
        if error.status is None:
            raise
        return False
    return True


def unreadable(answer: Answer, subject: str, why: object) -> ServerError:
    """The error for an answer whose status is good, and the rest is not."""
    text = f"{subject}: the answer cannot be read: {why}"
    return ServerError(text, status=answer.status, request_id=answer.request_id)


def _object(answer: Answer, subject: str) -> Dict[str, Any]:
    try:
        value = json.loads(answer.body)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    text = f"{subject}: the answer (status {answer.status}) is not predictd's: {bytes(answer.body[:80])!r}"
    raise ServerError(text, status=answer.status, request_id=answer.request_id)


def _error(answer: Answer, subject: str) -> PredictdError:
    text = str(_object(answer, subject).get("error", f"{subject}: status {answer.status}"))[:_LONGEST_TEXT]
    if answer.status != 503:
        kind = _KINDS.get(answer.status, ServerError)
        return kind(text, status=answer.status, request_id=answer.request_id)
    after = answer.headers.get("retry-after", "")
    # A date may be there too, but not from predictd.
    seconds = float(after) if after.isascii() and after.isdigit() else 1.0
    return Overloaded(text, status=503, request_id=answer.request_id, retry_after=seconds)
