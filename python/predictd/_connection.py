"""One connection for one call: bytes there and bytes back, until the call's deadline.

Nothing is kept between calls, neither connections nor threads nor locks; that is why forks, threads and greenlets do not
matter.
"""

from __future__ import annotations

import contextlib
import socket
from types import TracebackType
from typing import Iterator, List, Optional, Type, Union

from ._address import Address
from ._deadline import Deadline

Buffer = Union[bytes, memoryview]

# Bytes that are rather copied than sent alone.
_SMALL = 64 * 1024


class Connection:
    """A connection to ``address``, closed by leaving its context."""

    def __init__(self, address: Address, deadline: Deadline) -> None:
        self.address = address
        self.deadline = deadline
        self._socket = address.connect(deadline)

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        # A process that another thread has forked meanwhile holds the connection too. Closing alone would not tell the
        # server that nobody waits any more.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def send(self, pieces: List[Buffer]) -> None:
        """Sends all of them, or as much as the peer takes."""
        phase = f"sending the request to {self.address}"
        try:
            for piece in _joined(pieces):
                self._socket.settimeout(self.deadline.left_for(phase))
                self._socket.sendall(piece)
        except socket.timeout:
            raise self.deadline.passed(phase) from None
        except (BrokenPipeError, ConnectionResetError):
            # It closes early where it has answered early, a body over its limit for example. If not, reading will tell.
            pass

    def receive(self, room: memoryview) -> int:
        """How many bytes have come into ``room``; 0 if there is nothing more to come."""
        phase = f"waiting for the answer of {self.address}"
        try:
            self._socket.settimeout(self.deadline.left_for(phase))
            return self._socket.recv_into(room)
        except socket.timeout:
            raise self.deadline.passed(phase) from None
        except ConnectionResetError:
            return 0


def _joined(pieces: List[Buffer]) -> Iterator[Buffer]:
    """The same bytes, with small pieces put together."""
    small = bytearray()
    for piece in pieces:
        if len(piece) < _SMALL:
            small += piece
        if small and (len(piece) >= _SMALL or len(small) >= _SMALL):
            yield bytes(small)
            small.clear()
        if len(piece) >= _SMALL:
            yield piece
    if small:
        yield bytes(small)
