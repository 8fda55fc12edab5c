"""One request by the uwsgi protocol, on a connection of its own: bytes there, bytes back.

Nothing is kept between calls, neither connections nor threads nor locks; that is why forks, threads and greenlets do not
matter. Every wait ends at the call's deadline, and what an answer may take is bounded.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Sequence, Tuple, Union

from ._address import Address
from ._deadline import Deadline
from ._errors import BadInput, ServerError

Buffer = Union[bytes, memoryview]

# What is sent in one piece, if it is no more.
_JOINED = 64 * 1024
# Of an answer.
_LONGEST_HEAD = 64 * 1024
_LONGEST_BODY = 2**31
_STEP = 256 * 1024

_STATUS_LINE = re.compile(r"HTTP/1\.[01] ([1-5][0-9]{2})(?: .*)?")
_LENGTH = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True)
class Answer:
    """The server's answer, whatever its status."""

    status: int
    # By their names in lower case.
    headers: Mapping[str, str]
    body: bytearray


def packet(variables: Iterable[Tuple[str, str]]) -> bytes:
    """The head of a request: four bytes, and the variables that CGI has for it."""
    block = bytearray()
    for text in (text for variable in variables for text in variable):
        encoded = text.encode()
        if len(encoded) > 0xFFFF:
            raise BadInput(f"{text[:40]!r}... has {len(encoded)} bytes, too many for a request's head")
        block += struct.pack("<H", len(encoded)) + encoded
    if len(block) > 0xFFFF:
        raise BadInput(f"the request's head has {len(block)} bytes, too many: 65535 at most")
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
    connection = address.connect(deadline)
    try:
        try:
            for piece in _joined([head, *body]):
                connection.settimeout(deadline.left(f"sending the request to {address}"))
                connection.sendall(piece)
        except socket.timeout:
            raise deadline.passed(f"sending the request to {address}") from None
        except (BrokenPipeError, ConnectionResetError):
            # It closes early where it has answered early, a body over its limit for example.
            pass
        return _read(connection, address, deadline)
    finally:
        _close(connection)


def _joined(pieces: List[Buffer]) -> List[Buffer]:
    return [b"".join(pieces)] if sum(map(len, pieces)) <= _JOINED else pieces


def _close(connection: socket.socket) -> None:
    # A process that was forked meanwhile by another thread holds the connection too: closing alone would not tell the
    # server that nobody waits any more.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _read(connection: socket.socket, address: Address, deadline: Deadline) -> Answer:
    received = bytearray()
    room = bytearray(_LONGEST_HEAD)
    while (end := received.find(b"\r\n\r\n")) < 0:
        if len(received) >= _LONGEST_HEAD:
            raise _garbage(address, received)
        count = _receive(connection, memoryview(room), address, deadline)
        if not count:
            raise _broken_off(address, received)
        received += room[:count]
    status, headers = _head(bytes(received[:end]), address)
    length = headers.get("content-length", "")
    if not _LENGTH.fullmatch(length):
        raise _garbage(address, received)
    if int(length) > _LONGEST_BODY:
        raise ServerError(
            f"the answer of {address} has {length} bytes; more than {_LONGEST_BODY} are not read",
            status=status,
        )
    body = received[end + 4 :]
    _fill(connection, body, int(length), address, deadline)
    return Answer(status, headers, body)


def _head(head: bytes, address: Address) -> Tuple[int, Dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    status = _STATUS_LINE.fullmatch(first)
    fields = [line.partition(":") for line in lines]
    if status is None or not all(colon for _, colon, _ in fields):
        raise _garbage(address, head)
    return int(status[1]), {name.lower(): value.strip() for name, _, value in fields}


def _fill(
    connection: socket.socket, body: bytearray, length: int, address: Address, deadline: Deadline
) -> None:
    """Reads until ``body`` has ``length`` bytes. Memory grows with what has come, not with what is announced."""
    filled = min(len(body), length)
    del body[filled:]
    while filled < length:
        if filled == len(body):
            body.extend(bytes(min(length - filled, max(filled, _STEP))))
        with memoryview(body) as whole, whole[filled:] as room:
            count = _receive(connection, room, address, deadline)
        if not count:
            raise ServerError(f"the answer of {address} broke off after {filled} of {length} bytes")
        filled += count


def _receive(connection: socket.socket, room: memoryview, address: Address, deadline: Deadline) -> int:
    phase = f"waiting for the answer of {address}"
    connection.settimeout(deadline.left(phase))
    try:
        return connection.recv_into(room)
    except socket.timeout:
        raise deadline.passed(phase) from None
    except ConnectionResetError:
        return 0


def _broken_off(address: Address, received: bytearray) -> ServerError:
    if received:
        return ServerError(f"the answer of {address} broke off in its head, after {len(received)} bytes")
    return ServerError(
        f"{address} has closed the connection without an answer: the server ended, or does not speak uwsgi there (`wires`), or "
        "does not take this user (`socket.allow_users`); its log says why"
    )


def _garbage(address: Address, received: Union[bytes, bytearray]) -> ServerError:
    return ServerError(f"what answers at {address} is not predictd: {bytes(received[:80])!r}")
