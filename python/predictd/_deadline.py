"""The moment at which a call has to be over, whatever it is waiting for."""

from __future__ import annotations

import math
import numbers
import time
from typing import Any

from ._errors import BadInput, Timeout


def seconds(timeout: Any) -> float:
    """A timeout that makes sense. None does not: a call that may wait for ever is what this package is there to avoid."""
    if isinstance(timeout, numbers.Real) and not isinstance(timeout, bool) and 0 < float(timeout) < math.inf:
        return float(timeout)
    raise BadInput(f"timeout must be a number of seconds above 0, got {timeout!r}")


class Deadline:
    """``timeout`` seconds from now, by a clock that nobody sets, for a call about ``subject``."""

    def __init__(self, timeout: float, subject: str) -> None:
        self.timeout = seconds(timeout)
        self.subject = subject
        self._end = time.monotonic() + self.timeout

    def left(self) -> float:
        """The seconds that are left; 0 or less once it has passed."""
        return self._end - time.monotonic()

    def left_for(self, phase: str) -> float:
        """The seconds that are left, more than 0; else raises Timeout, which tells what was being done."""
        left = self.left()
        if left <= 0:
            raise self.passed(phase)
        return left

    def passed(self, phase: str) -> Timeout:
        """The error where it passed in that phase."""
        return Timeout(f"{self.subject}: timed out after {self.timeout:g} s, {phase}")
