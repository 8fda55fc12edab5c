"""The moment at which a call has to be over, whatever it is waiting for."""

from __future__ import annotations

import math
import time

from ._errors import BadInput, Timeout


class Deadline:
    """So many seconds from now, by a clock that nobody sets, for a call about ``subject``."""

    def __init__(self, seconds: float, subject: str) -> None:
        # A call that may hang for ever is what this package is there to avoid; so None is refused too.
        if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 < seconds < math.inf:
            raise BadInput(f"timeout must be a number of seconds above 0, got {seconds!r}")
        self.seconds = float(seconds)
        self.subject = subject
        self._end = time.monotonic() + self.seconds

    def seconds_left(self) -> float:
        """As many as there are, below 0 once it has passed."""
        return self._end - time.monotonic()

    def left(self, phase: str) -> float:
        """The seconds that are left, more than 0; else raises Timeout, which tells what was being waited for."""
        left = self.seconds_left()
        if left <= 0:
            raise self.passed(phase)
        return left

    def passed(self, phase: str) -> Timeout:
        """The error for a wait that took all that was left."""
        return Timeout(f"{self.subject}: timed out after {self.seconds:g} s, {phase}")
