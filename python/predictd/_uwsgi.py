"""The uwsgi protocol: a request as a packet of variables and a body, the answer as HTTP has it.

What comes is bounded, and memory grows with what has come, not with what is announced.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Iterable, Mapping, Optional, Sequence, Tuple

from ._address import Address
from ._connection import Buffer, Connection
from ._deadline import Deadline
from ._errors import BadInput, ServerError

# Bytes of an answer.
_LONGEST_HEAD = 64 * 1024
_LONGEST_BODY = 2**31
# What there is room for at first.
_STEP = 64 * 1024

_STATUS_LINE = re.compile(r"HTTP/1\.[01] ([1-5][0-9]{2})(?: .*)?")
_FIELD = re.compile(r"([^\s:]+):[ \t]*(.*?)[ \t]*")
_LENGTH = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True)
class Answer:
    """The server's answer, whatever its status."""

    status: int
    # By their names in lower case.
    headers: Mapping[str, str]
    body: bytearray

    @property
    def request_id(self) -> Optional[str]:
        """The request's name in the server's log."""
        return self.headers.get("x-request-id")


def packet(variables: Iterable[Tuple[str, str]]) -> bytes:
    """The head of a request: four bytes, and the variables that CGI has for it."""
    block = bytearray()
    for text in (text for variable in variables for text in variable):
        encoded = text.encode()
        if len(encoded) > 0xFFFF:
            raise BadInput(
                f"{text[:40]!r}... has {len(encoded)} bytes: that is too much for a request's head"
            )
        block += struct.pack("<H", len(encoded)) + encoded
    if len(block) > 0xFFFF:
        raise BadInput(f"the request's head has {len(block)} bytes, and may have 65535")
    # Modifier 0 is a request.
    return struct.pack("<BHB", 0, len(block), 0) + bytes(block)


def ask(
    address: Address,
    method: str,
    path: str,
    deadline: Deadline,
    *,
    query: str = "",
    headers: Mapping[str, str] = {},
    body: Sequence[Buffer] = (),
) -> Answer:
    """Sends a request, its body in pieces, and reads the answer."""
    variables = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(sum(map(len, body))),
        "HTTP_USER_AGENT": "predictd-python",
    }
    for name, value in headers.items():
        name = name.upper().replace("-", "_")
        variables[name if name == "CONTENT_TYPE" else f"HTTP_{name}"] = value
    head = packet(variables.items())
    with Connection(address, deadline) as connection:
        connection.send([head, *body])
        return _Reader(connection).answer()


class _Reader:
    """Reads the answer on a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._subject = connection.deadline.subject
        self._address = connection.address

    def answer(self) -> Answer:
        received = self._head()
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = _STATUS_LINE.fullmatch(first)
        fields = [_FIELD.fullmatch(line) for line in lines]
        headers = {field[1].lower(): field[2] for field in fields if field is not None}
        length = _LENGTH.fullmatch(headers.get("content-length", ""))
        if status is None or None in fields or length is None:
            raise self._garbage(received)
        self._fill(body, int(length[0]))
        return Answer(int(status[1]), headers, body)

    def _head(self) -> bytearray:
        """What has come when the head is there."""
        received = bytearray()
        room = bytearray(_STEP)
        while b"\r\n\r\n" not in received:
            if len(received) > _LONGEST_HEAD:
                raise self._garbage(received)
            count = self._connection.receive(memoryview(room))
            if not count:
                raise self._broken_off(received)
            received += room[:count]
        return received

    def _fill(self, body: bytearray, length: int) -> None:
        """Reads until ``body`` has ``length`` bytes."""
        if length > _LONGEST_BODY:
            raise ServerError(
                f"{self._subject}: the answer has {length} bytes; {_LONGEST_BODY} would be read at most"
            )
        filled = min(len(body), length)
        del body[filled:]
        while filled < length:
            if filled == len(body):
                body.extend(bytes(min(length - filled, max(filled, _STEP))))
            with memoryview(body) as whole, whole[filled:] as room:
                count = self._connection.receive(room)
            if not count:
                raise ServerError(f"{self._subject}: the answer broke off after {filled} of {length} bytes")
            filled += count

    def _broken_off(self, received: bytearray) -> ServerError:
        if received:
            return ServerError(
                f"{self._subject}: the answer broke off in its head, after {len(received)} bytes"
            )
        return ServerError(
            f"{self._subject}: {self._address} has closed the connection without an answer. The server ended, or does not "
            "speak uwsgi there (`wires`), or does not take this user (`socket.allow_users`); its log says why"
        )

    def _garbage(self, received: bytearray) -> ServerError:
        return ServerError(
            f"{self._subject}: what answers at {self._address} is not predictd: {bytes(received[:80])!r}"
        )
