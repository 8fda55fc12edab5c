"""Why there is no connection, and what helps: read from what the system says and from the rights of the socket."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import stat
from typing import Optional

from ._errors import BadInput, PredictdError, Unreachable

_RUNNING = "is predictd running? It says at its start where it listens"


def because(error: OSError, address: str, path: Optional[str]) -> PredictdError:
    """The error for whoever asked for a connection to ``address``, whose socket is at ``path`` if it is a Unix one."""
    if isinstance(error, socket.gaierror):
        return Unreachable(f"the host of {address} cannot be looked up: {error.strerror}")
    if error.errno is None and path is not None:
        # Python itself does not take it.
        return BadInput(f"{address} is no address: {error}, which may have 107 bytes")
    if error.errno == errno.ENOENT:
        return Unreachable(f"there is no socket at {address}: {_RUNNING}")
    if error.errno == errno.ECONNREFUSED and path is not None and path.startswith("/"):
        return Unreachable(
            f"nobody listens at {address}: predictd is starting, or has ended without removing its socket"
        )
    if error.errno == errno.ECONNREFUSED:
        return Unreachable(f"nobody listens at {address}: {_RUNNING}")
    if error.errno in (errno.EACCES, errno.EPERM) and path is not None and path.startswith("/"):
        return Unreachable(f"user {_user(os.geteuid())} may not connect to {address}: {_barrier(path)}")
    return Unreachable(f"cannot connect to {address}: {error.strerror or error}")


def _barrier(path: str) -> str:
    """What keeps us from the socket: the first folder that we may not enter, or its own mode."""
    effective = os.access in os.supports_effective_ids
    folders = [path[:at] or "/" for at, character in enumerate(path) if character == "/"]
    for folder in folders:
        if not os.access(folder, os.X_OK, effective_ids=effective):
            return (
                f"it may not enter the folder {folder}; allow it to (chmod o+x {folder}), or move the socket"
            )
    try:
        status = os.stat(path)
    except OSError as error:
        return f"{error.strerror}"
    owner, group, mode = _user(status.st_uid), _group(status.st_gid), stat.S_IMODE(status.st_mode)
    return (
        f"the socket is {owner}:{group}'s with mode {mode:04o}. Set socket.group in predictd's configuration to a group of "
        f"that user, or add it to this one (usermod -aG {group} {_user(os.geteuid())}) and start this program again"
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
