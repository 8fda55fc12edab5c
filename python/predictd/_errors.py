"""What can go wrong in a call, by what the caller can do about it.

Every class has a built-in one as its base where there is one that fits, so that code which does not know this package
catches it too.
"""

from __future__ import annotations

from typing import Optional


class PredictdError(Exception):
    """The base of all errors of this package. Its text says what is wrong and what helps.

    ``status`` is the HTTP status of the server's answer, and ``request_id`` the name of the request in the server's log;
    both are None where there was no answer.
    """

    def __init__(
        self, message: str, *, status: Optional[int] = None, request_id: Optional[str] = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.request_id = request_id


class BadInput(PredictdError, ValueError):
    """What was given is not what the model takes. The same call will fail again."""


class NotFound(PredictdError, LookupError):
    """The server has no such model, or no such version of it."""


class Overloaded(PredictdError):
    """There is no room for the work now: a queue is full, or the model or the server is not ready, or closed.

    ``retry_after`` says in seconds when it is worth another try.
    """

    def __init__(
        self,
        message: str,
        *,
        status: Optional[int] = None,
        request_id: Optional[str] = None,
        retry_after: float = 1.0,
    ) -> None:
        super().__init__(message, status=status, request_id=request_id)
        self.retry_after = retry_after


class Timeout(PredictdError, TimeoutError):
    """There was no answer in time. The server has dropped the work, or is about to."""


class ServerError(PredictdError):
    """The model failed, or the server gave no answer, or none that makes sense. Its log says more."""


class Unreachable(PredictdError, ConnectionError):
    """There is nobody at the address, or nobody that we may speak to."""
