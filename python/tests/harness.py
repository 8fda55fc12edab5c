"""What the tests have in common: a real server with well-known models, peers that misbehave by script, and time."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
PROGRAM = TARGET / "debug/predictd"
PATIENCE = 20.0


def until(what: str, done: Callable[[], bool]) -> None:
    """Waits for it."""
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, f"{what}: still not so"
        time.sleep(0.005)


class Running:
    """A predictd of our own, with the sample models, those of the tests' data, and fakes.

    Its folder is not deep, as a socket's path is short; more models may be put into ``models`` there.
    """

    def __init__(self, config: str, fakes: Dict[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="predictd-"))
        self.models = self.folder / "models"
        self.models.mkdir()
        self.socket = self.folder / "predictd.sock"
        self.address = f"unix:{self.socket}"
        self.log = self.folder / "log"
        for name, behaviour in fakes.items():
            self.add_fake(name, behaviour)
        self.process = self._start(config)

    def add_fake(self, name: str, behaviour: str) -> None:
        folder = self.models / name
        folder.mkdir()
        (folder / "model.toml").write_text(f"kind = 'fake'\nbatch.queue = 4\n{behaviour}\n")

    def add(self, name: str, model: bytes, settings: str = "") -> None:
        """Puts it there, or in the place of another, at once."""
        folder = self.models / name
        folder.mkdir(exist_ok=True)
        (folder / "model.toml").write_text(settings)
        (folder / "new").write_bytes(model)
        (folder / "new").rename(folder / "model.onnx")

    def reload(self) -> int:
        """Waits for what has become of all models; 0 if all is well."""
        admin = f"unix:{self.folder / 'admin.sock'}"
        return subprocess.run(
            [str(PROGRAM), "reload", "--admin", admin], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode

    def _start(self, config: str) -> subprocess.Popen[bytes]:
        (self.folder / "predictd.toml").write_text(config)
        command = [str(PROGRAM), "serve", "--config", str(self.folder / "predictd.toml"), "--allow-fake"]
        command += ["--listen", self.address, "--admin", f"unix:{self.folder / 'admin.sock'}"]
        command += ["--models", str(self.models)]
        for path in [ROOT / "models/digits", ROOT / "models/iris", *(ROOT / "tests/data/models").iterdir()]:
            command += ["--model", f"{path.name}={path}"]
        with self.log.open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until("predictd listens", lambda: self._listens(process))
        return process

    def _listens(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, self.log.read_text()
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(str(self.socket)) == 0

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)
        shutil.rmtree(self.folder)


@contextlib.contextmanager
def running(config: str = "", fakes: Optional[Dict[str, str]] = None) -> Iterator[Running]:
    server = Running(config, fakes or {})
    try:
        yield server
    finally:
        server.stop()


Script = Callable[[socket.socket], Any]


class Peer:
    """Something that listens where predictd should, and treats each connection by its script, one after another."""

    def __init__(self, script: Script, path: Path) -> None:
        self.address = f"unix:{path}"
        self._script = script
        self._over = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError):
                connection, _ = self._listener.accept()
                with connection:
                    connection.settimeout(PATIENCE)
                    self._script(connection)

    def stop(self) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


Peers = Callable[[Script], Peer]


def request(connection: socket.socket) -> bytes:
    """Reads a request: its head, and as much body as that says."""
    head = exactly(connection, 4)
    block = exactly(connection, int.from_bytes(head[1:3], "little"))
    name = b"\x0e\x00CONTENT_LENGTH"
    at = block.index(name) + len(name)
    size = int.from_bytes(block[at : at + 2], "little")
    length = int(block[at + 2 : at + 2 + size])
    return head + block + exactly(connection, length)


def exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more, "the client is gone"
        data += more
    return data


def answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    """What predictd would say."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


@contextlib.contextmanager
def takes(least: float, most: float) -> Iterator[None]:
    """That it takes so many seconds, by the same clock; five times as much where others use the machine too."""
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    assert least <= took < most * (5 if "CI" in os.environ else 1), f"{took} s"


class Forward:
    """A way to a server by TCP: copies bytes both ways, for one connection after another."""

    def __init__(self, server: Running, host: str) -> None:
        self._server = server
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        self._listener = socket.socket(family)
        try:
            self._listener.bind((host.strip("[]"), 0))
        except OSError:
            self._listener.close()
            raise
        self._listener.listen(128)
        self.address = f"{host}:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Forward:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, socket.socket(socket.AF_UNIX) as server:
                    server.connect(str(self._server.socket))
                    there = threading.Thread(target=self._copy, args=[client, server])
                    there.start()
                    self._copy(server, client)
                    there.join(PATIENCE)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
