"""The server itself: whether it is there and ready, and what it is."""

from __future__ import annotations

from typing import Any, Dict, Optional

from . import _uwsgi
from ._address import Address
from ._answers import document, is_ready
from ._deadline import Deadline, seconds


class Server:
    """The server at an address. Without state, as :class:`predictd.Model` is.

    Args:
        address: As for :class:`predictd.Model`.
        timeout: Seconds that a call may take in all, unless it says otherwise.
    """

    def __init__(self, address: Optional[str] = None, *, timeout: float = 30.0) -> None:
        self._address = Address(address)
        self._subject = f"predictd at {self._address}"
        self.timeout = seconds(timeout)

    def __repr__(self) -> str:
        return f"Server({self.address!r}, timeout={self.timeout!r})"

    @property
    def address(self) -> str:
        """Where it is."""
        return self._address.text

    def ready(self, timeout: Optional[float] = None) -> bool:
        """Whether it serves, and has all models that it should have. Raises where there is no answer."""
        return is_ready(lambda: self._ask("/v2/health/ready", timeout))

    def metadata(self, timeout: Optional[float] = None) -> Dict[str, Any]:
        """Its name, version and extensions."""
        return self._ask("/v2", timeout)

    def _ask(self, path: str, timeout: Optional[float]) -> Dict[str, Any]:
        deadline = Deadline(self.timeout if timeout is None else timeout, self._subject)
        return document(_uwsgi.ask(self._address, "GET", path, deadline), self._subject)
