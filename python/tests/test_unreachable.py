"""Addresses, and why there is nobody at them: the text says what helps."""

from __future__ import annotations

import errno
import os
import pickle
import pwd
import socket
from pathlib import Path
from typing import Any

import predictd
import pytest
from predictd import BadInput, Model, Overloaded, Server, Timeout, Unreachable
from predictd import _unreachable as unreachable

from .harness import Forward, Running


def why(address: str) -> str:
    with pytest.raises(Unreachable) as caught:
        Model("iris", address).predict([[0.0] * 4])
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value.__cause__, OSError)
    return str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "unix:",
        "unix:@",
        "unix:relative",
        "unix:/a\0b",
        "/run/predictd.sock",
        "http://127.0.0.1:8090",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:\uff18\uff10",
        "::1:8090",
        "[::1]",
        "[localhost]:80",
        ":8090",
        7,
    ],
)
def test_what_is_no_address_is_refused_at_once(address: Any) -> None:
    with pytest.raises(BadInput, match="address"):
        Model("iris", address)
    with pytest.raises(ValueError, match="address"):
        Server(address)


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, server: Running) -> None:
    monkeypatch.setenv("PREDICTD_ADDRESS", server.address)
    assert Model("iris").address == server.address
    assert Model("iris").ready()
    assert Model("iris", "127.0.0.1:1").address == "127.0.0.1:1"
    monkeypatch.setenv("PREDICTD_ADDRESS", "nowhere")
    with pytest.raises(BadInput, match=r"'nowhere' \(from PREDICTD_ADDRESS\) is no address"):
        Model("iris")
    monkeypatch.setenv("PREDICTD_ADDRESS", "unix:/nowhere/x.sock")
    with pytest.raises(
        Unreachable, match=r"there is no socket at unix:/nowhere/x.sock \(from PREDICTD_ADDRESS\): is"
    ):
        Model("iris").ready()
    monkeypatch.setenv("PREDICTD_ADDRESS", "")
    assert Model("iris").address == "unix:/run/predictd/predictd.sock"
    monkeypatch.setattr("predictd._address.PACKAGED", "unix:/nowhere/y.sock")
    with pytest.raises(
        Unreachable, match=r"y.sock \(the default: no address was given, and PREDICTD_ADDRESS is not set\)"
    ):
        Model("iris").ready()


def test_nobody_there_is_told_from_nobody_any_more(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    assert why(f"unix:{path}") == (
        f"there is no socket at unix:{path}: is predictd running? It says at its start where it listens"
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    assert "predictd is starting, or has ended without removing its socket" in why(f"unix:{path}")
    assert "nobody listens at unix:@predictd-nobody: is predictd running?" in why("unix:@predictd-nobody")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert f"nobody listens at 127.0.0.1:{port}: is predictd running?" in why(f"127.0.0.1:{port}")
    (tmp_path / "file").touch()
    assert "nobody listens" in why(f"unix:{tmp_path}/file")
    assert "cannot connect" in why(f"unix:{tmp_path}/file/x.sock")


def test_a_name_that_nobody_knows_is_unreachable() -> None:
    assert "the host of nobody.invalid:80 cannot be looked up: " in why("nobody.invalid:80")
    with pytest.raises(BadInput, match="is no address"):
        Model("iris", f"{'x' * 70}:80")


def test_a_path_that_is_too_long_for_a_socket_is_bad_input() -> None:
    with pytest.raises(BadInput, match="107 bytes"):
        Model("iris", "unix:/" + "x" * 108).ready()


def test_a_peer_on_tcp_is_reached_by_name_and_both_families(server: Running) -> None:
    for host in ["127.0.0.1", "localhost", "[::1]", "[0:0::1]"]:
        try:
            forward = Forward(server, host)
        except OSError as error:
            # Not every machine has IPv6.
            if host.startswith("[") and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue
            raise
        with forward:
            assert Model("half", forward.address).predict([[2.0] * 8]).tolist() == [[1.0] * 8]
            x = [[1.0] * 8] * 50_000
            assert Model("half", forward.address).predict(x).shape == (50_000, 8)


def test_a_user_who_may_not_is_told_which_and_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    path.chmod(0o600)
    denied = PermissionError(errno.EACCES, "Permission denied")
    me = pwd.getpwuid(os.geteuid()).pw_name
    text = str(unreachable.because(denied, f"unix:{path}", str(path)))
    assert text.startswith(f"user {me} may not connect to unix:{path}: the socket is {me}:")
    assert "with mode 0600. Set socket.group in predictd's configuration" in text
    assert "usermod -aG" in text

    def access(folder: str, _: int, **__: bool) -> bool:
        return folder != str(tmp_path)

    monkeypatch.setattr(os, "access", access)
    text = str(unreachable.because(denied, f"unix:{path}", str(path)))
    assert f"it may not enter the folder {tmp_path}; allow it to (chmod o+x {tmp_path})" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_sees_the_same_for_real(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o660)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(47110)
                os.setuid(47110)
                Model("iris", f"unix:{path}").ready()
            except Unreachable as error:
                os.write(writing, str(error).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            text = pipe.read().decode()
        os.waitpid(child, 0)
    assert text.startswith(
        f"user 47110 may not connect to unix:{path}: the socket is root:root's with mode 0660."
    )


def test_errors_can_be_pickled_and_keep_what_they_know() -> None:
    for kind in [predictd.PredictdError, BadInput, Timeout, Unreachable]:
        again = pickle.loads(pickle.dumps(kind("text", status=418, request_id="abc")))
        assert (type(again), str(again), again.status, again.request_id) == (kind, "text", 418, "abc")
    again = pickle.loads(pickle.dumps(Overloaded("text", status=503, retry_after=7)))
    assert (str(again), again.status, again.retry_after) == ("text", 503, 7)


def test_errors_are_what_code_without_this_package_catches() -> None:
    bases = {
        BadInput: ValueError,
        predictd.NotFound: LookupError,
        Timeout: TimeoutError,
        Unreachable: ConnectionError,
    }
    for kind, base in bases.items():
        assert issubclass(kind, base)
    for name in ["BadInput", "NotFound", "Overloaded", "ServerError", "Timeout", "Unreachable"]:
        assert issubclass(getattr(predictd, name), predictd.PredictdError)
