"""Where the server is: addresses as predictd's ``listen`` has them, and connections to them."""

from __future__ import annotations

import os
import re
import socket
import time
from typing import Optional

from . import _unreachable
from ._deadline import Deadline
from ._errors import BadInput, Overloaded, PredictdError

VARIABLE = "PREDICTD_ADDRESS"
PACKAGED = "unix:/run/predictd/predictd.sock"

# Seconds between two attempts at a full backlog.
_SHORTEST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05


class Address:
    """``unix:/path``, ``unix:@abstract``, or ``HOST:PORT`` where the host is a name, IPv4, or IPv6 in brackets."""

    def __init__(self, text: Optional[str] = None) -> None:
        """Reads ``text``, or else the variable PREDICTD_ADDRESS, or else takes that of the packaged service."""
        said_by = ""
        if text is None:
            text, said_by = os.environ.get(VARIABLE) or None, f" (from {VARIABLE})"
        if text is None:
            text, said_by = PACKAGED, f" (the default: no address was given, and {VARIABLE} is not set)"
        if not isinstance(text, str):
            raise BadInput(f"an address is a text, got {text!r}")
        self.text = text
        # With where it was said, for who looks for a mistake.
        self.described = text + said_by
        self.path: Optional[str] = None
        self._host, self._port = b"", 0
        if text.startswith("unix:"):
            self.path = text[len("unix:") :]
            if not re.fullmatch(r"[/@][^\0]+", self.path):
                raise BadInput(
                    f"{text!r}{said_by} is no address: unix: is followed by a path from /, or by @ and a name"
                )
            return
        match = re.fullmatch(r"(?:\[([^\[\]\s]*:[^\[\]\s]*)\]|([^\[\]:/\s]+)):([0-9]{1,5})", text)
        if match is None or not 0 < int(match[3]) < 65536:
            expected = "unix:/path, unix:@name, 127.0.0.1:8090 or [::1]:8090"
            raise BadInput(f"{text!r}{said_by} is no address: expected {expected}")
        try:
            # Now, so that no call imports what knows of international names: see test_a_call_imports_nothing.
            self._host = (match[1] or match[2]).encode("idna")
        except UnicodeError as error:
            raise BadInput(f"{text!r}{said_by} is no address: {error}") from error
        self._port = int(match[3])

    def __str__(self) -> str:
        return self.text

    def connect(self, deadline: Deadline) -> socket.socket:
        """A new connection. Where the backlog is full, waits for a place in it, until the deadline."""
        try:
            if self.path is not None:
                return self._connect_unix(self.path, deadline)
            return self._connect_tcp(deadline)
        except PredictdError:
            # A Timeout is an OSError too.
            raise
        except socket.timeout:
            raise deadline.passed(f"connecting to {self}") from None
        except OSError as error:
            raise _unreachable.because(error, self.described, self.path) from error

    def _connect_unix(self, path: str, deadline: Deadline) -> socket.socket:
        if path.startswith("@"):
            path = "\0" + path[1:]
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # At once or not at all: these connections are never in progress, for which Python would take one whose
            # beginning a signal has interrupted.
            connection.setblocking(False)
            pause = _SHORTEST_PAUSE
            while True:
                try:
                    connection.connect(path)
                    return connection
                except BlockingIOError:
                    left = deadline.left()
                    if left <= 0:
                        raise _backlog_full(self, deadline) from None
                time.sleep(min(pause, left))
                pause = min(2 * pause, _LONGEST_PAUSE)
        except BaseException:
            connection.close()
            raise

    def _connect_tcp(self, deadline: Deadline) -> socket.socket:
        failed: Optional[OSError] = None
        # A name may have several addresses, of which the server may have one.
        for family, kind, protocol, _, address in socket.getaddrinfo(
            self._host, self._port, type=socket.SOCK_STREAM
        ):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(deadline.left_for(f"connecting to {self}"))
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.connect(address)
                return connection
            except BaseException as error:
                connection.close()
                if not isinstance(error, OSError) or isinstance(error, (socket.timeout, PredictdError)):
                    raise
                failed = error
        raise failed or OSError("the host has no address")


def _backlog_full(address: Address, deadline: Deadline) -> Overloaded:
    return Overloaded(
        f"{deadline.subject}: {address} has taken no connection for {deadline.timeout:g} s, and its backlog is full; "
        "`predictd doctor` says whether predictd has too much to do, or has stopped"
    )
