"""Where the server is: addresses as predictd's ``listen`` and nginx's ``uwsgi_pass`` write them, connections to them, and
why there is none.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
import socket
import stat
import time
from typing import Optional

from ._deadline import Deadline
from ._errors import BadInput, Overloaded, Unreachable

VARIABLE = "PREDICTD_ADDRESS"
PACKAGED = "unix:/run/predictd/predictd.sock"

# Between two attempts at a full backlog.
_PAUSE = 0.001
_LONGEST_PAUSE = 0.05


class Address:
    """``unix:/path``, ``unix:@abstract``, or ``HOST:PORT`` with the host a name, an IPv4 or a ``[bracketed]`` IPv6 address."""

    def __init__(self, text: Optional[str] = None) -> None:
        """Reads ``text``, or else the variable PREDICTD_ADDRESS, or else takes that of the packaged server."""
        self.origin = ""
        if text is None:
            text = os.environ.get(VARIABLE, "")
            self.origin = f" (from {VARIABLE})"
        if not text:
            text = PACKAGED
            self.origin = (
                f" (the default; set {VARIABLE}, or name the address, if the server listens elsewhere)"
            )
        self.text = text
        self._path: Optional[str] = None
        self._host, self._port = "", 0
        if text.startswith("unix:"):
            self._path = text[len("unix:") :]
            if not re.fullmatch(r"[/@][^\0]+", self._path):
                raise BadInput(
                    f"{text!r} is no address: unix: is followed by a path from /, or by @ and a name"
                )
            return
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            host = ""
        if not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise BadInput(
                f"{text!r} is no address: expected unix:/path, unix:@name, 127.0.0.1:8090 or [::1]:8090"
            )
        self._host, self._port = host, int(port)

    def __str__(self) -> str:
        return self.text

    def connect(self, deadline: Deadline) -> socket.socket:
        """A new connection. Where the backlog is full, waits for a place in it, until the deadline."""
        try:
            return self._connect_tcp(deadline) if self._path is None else self._connect_unix(deadline)
        except socket.timeout:
            raise deadline.passed(f"connecting to {self}") from None
        except socket.gaierror as error:
            raise Unreachable(
                f"the host of {self}{self.origin} cannot be looked up: {error.strerror}"
            ) from error
        except UnicodeError as error:
            raise BadInput(f"the host of {self}{self.origin} is no name: {error}") from error
        except OSError as error:
            if "too long" in str(error) and error.errno is None:
                raise BadInput(
                    f"the path of {self}{self.origin} is too long for a socket: 107 bytes at most"
                ) from error
            raise Unreachable(self._why(error)) from error

    def _connect_tcp(self, deadline: Deadline) -> socket.socket:
        phase = f"connecting to {self}"
        failed: Optional[OSError] = None
        # A name may have several addresses, of which the server may have one.
        for family, kind, protocol, _, address in socket.getaddrinfo(
            self._host, self._port, type=socket.SOCK_STREAM
        ):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(deadline.left(phase))
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.connect(address)
                return connection
            except socket.timeout:
                connection.close()
                raise
            except OSError as error:
                connection.close()
                failed = error
            except BaseException:
                connection.close()
                raise
        assert failed is not None, "getaddrinfo gives an address, or raises"
        raise failed

    def _connect_unix(self, deadline: Deadline) -> socket.socket:
        assert self._path is not None
        path = "\0" + self._path[1:] if self._path.startswith("@") else self._path
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # At once or not at all: connections of this kind are never in progress, and a blocking attempt that a signal
            # interrupts could be taken for one.
            connection.setblocking(False)
            pause = _PAUSE
            while True:
                try:
                    connection.connect(path)
                    return connection
                except BlockingIOError:
                    left = deadline.seconds_left()
                    if left <= 0:
                        raise Overloaded(
                            f"{self} has taken no connection for {deadline.seconds:g} s: its backlog is full; predictd is "
                            "overloaded or has stopped, and `predictd doctor` says which"
                        ) from None
                    time.sleep(min(pause, left))
                    pause = min(2 * pause, _LONGEST_PAUSE)
        except BaseException:
            connection.close()
            raise

    def _why(self, error: OSError) -> str:
        """What is wrong, and what helps."""
        where = f"{self}{self.origin}"
        if self._path is None or self._path.startswith("@"):
            if error.errno == errno.ECONNREFUSED:
                return (
                    f"nobody listens at {where}: is predictd running? It says at its start where it listens"
                )
            return f"cannot connect to {where}: {error.strerror or error}"
        if error.errno == errno.ENOENT:
            return (
                f"there is no socket at {where}: is predictd running? It says at its start where it listens"
            )
        if error.errno == errno.ECONNREFUSED:
            return (
                f"nobody listens at {where}: predictd is starting, or has ended without removing its socket"
            )
        if error.errno in (errno.EACCES, errno.EPERM):
            return f"{_us()} may not connect to {where}: {_barrier(self._path)}"
        return f"cannot connect to {where}: {error.strerror or error}"


def _us() -> str:
    uid = os.geteuid()
    try:
        return f"user {pwd.getpwuid(uid).pw_name!r}"
    except KeyError:
        return f"user {uid}"


def _barrier(path: str) -> str:
    """What keeps us from the socket at ``path``: the first folder that we may not enter, or its own mode."""
    path = os.path.abspath(path)
    parts = path.split("/")
    for folder in ("/".join(parts[:count]) or "/" for count in range(1, len(parts))):
        if not os.access(folder, os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            return f"it may not enter the folder {folder}; let it (chmod o+x {folder}), or move the socket"
    try:
        status = os.stat(path)
    except OSError as error:
        return f"{error.strerror}"
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    try:
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        owner = str(status.st_uid)
    mode = stat.S_IMODE(status.st_mode)
    return (
        f"the socket is {owner}:{group}'s with mode {mode:04o}; add the user to the group (usermod -aG {group} USER, then "
        "start this program again), or set socket.group and socket.mode in predictd's configuration"
    )
