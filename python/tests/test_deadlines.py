"""A call ends in time, whatever the other side does, and the work with it."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, Iterator, Optional

import numpy as np
import pytest
from predictd import Model, Overloaded, Server, Timeout

from .harness import PATIENCE, ROOT, Peers, Running, answer, request, takes

METADATA = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}], "outputs": []}


def test_a_peer_that_never_answers_takes_no_longer_than_the_timeout(peer: Peers) -> None:
    def script(connection: socket.socket) -> None:
        request(connection)
        connection.recv(1)

    address = peer(script).address
    expected = f"model 'iris': timed out after 0.2 s, waiting for the answer of {address}"
    with takes(0.2, 0.4), pytest.raises(Timeout) as caught:
        Model("iris", address, timeout=0.2).predict([1])
    assert str(caught.value) == expected
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.status is None
    with takes(0.1, 0.3), pytest.raises(Timeout):
        Model("iris", address).classify(b"x", timeout=0.1)
    with takes(0.1, 0.3), pytest.raises(Timeout, match="predictd at unix:"):
        Server(address).ready(timeout=0.1)


def test_a_peer_that_never_reads_takes_no_longer_than_the_timeout(peer: Peers) -> None:
    over = threading.Event()

    def script(_: socket.socket) -> None:
        over.wait(PATIENCE)

    address = peer(script).address
    try:
        with takes(0.2, 0.4), pytest.raises(Timeout, match="sending the request to"):
            Model("iris", address, timeout=0.2).classify(bytes(8_000_000))
    finally:
        over.set()


def test_the_timeout_is_for_all_of_an_answer_that_trickles(peer: Peers) -> None:
    def script(connection: socket.socket) -> None:
        request(connection)
        with contextlib.suppress(OSError):
            for byte in answer(bytes(100_000)):
                connection.sendall(bytes([byte]))
                time.sleep(0.01)

    with takes(0.3, 0.5), pytest.raises(Timeout):
        Model("iris", peer(script).address, timeout=0.3).metadata()


def test_the_timeout_is_for_all_connections_of_a_call(peer: Peers) -> None:
    def script(connection: socket.socket) -> None:
        if b"/infer" not in request(connection):
            time.sleep(0.15)
            connection.sendall(answer(json.dumps(METADATA).encode()))
        else:
            connection.recv(1)

    with takes(0.3, 0.4), pytest.raises(Timeout):
        Model("iris", peer(script).address, timeout=0.3).predict([1])


def test_a_time_that_has_passed_is_a_timeout_wherever_it_is_noticed(server: Running) -> None:
    for address in [server.address, "127.0.0.1:1"]:
        with pytest.raises(Timeout, match="timed out after 1e-09 s"):
            Model("iris", address, timeout=1e-9).predict([1])


def test_the_server_hears_how_much_time_is_left(peer: Peers) -> None:
    seen = []

    def script(connection: socket.socket) -> None:
        got = request(connection)
        seen.append(got)
        if b"/infer" in got or b"/predict" in got:
            connection.sendall(answer(b'{"error": "enough"}', "504 Gateway Timeout"))
        else:
            connection.sendall(answer(json.dumps(METADATA).encode()))

    model = Model("iris", peer(script).address, timeout=7)
    with pytest.raises(Timeout, match="enough") as caught:
        model.predict([1])
    assert caught.value.status == 504
    start = seen[-1].index(b'{"inputs"')
    # Behind it is one number.
    head = json.loads(seen[-1][start:-4])
    assert 6_000_000 < head["parameters"]["timeout"] <= 7_000_000
    with pytest.raises(Timeout):
        model.predict(b"picture", timeout=5)
    query = seen[-1].partition(b"timeout=")[2].partition(b"us")[0]
    assert 4_000_000 < int(query) <= 5_000_000


def test_a_model_that_is_slow_is_given_up_and_its_queue_stays_free(server: Running) -> None:
    model = Model("sleeper", server.address)
    for _ in range(12):
        with takes(0.05, 0.25), pytest.raises(Timeout):
            model.predict([[1.0]], timeout=0.05)


def test_the_models_own_deadline_is_told(server: Running) -> None:
    with (
        takes(0.1, 0.5),
        pytest.raises(Timeout, match="model 'impatient' gave no answer within 100 ms") as caught,
    ):
        Model("impatient", server.address).predict([[1.0]])
    assert caught.value.status == 504


def test_where_there_is_no_room_one_is_told_when_to_come_again(server: Running) -> None:
    model = Model("slow", server.address)
    model.predict([[0.0]])
    results: list[Any] = []

    def ask(number: int) -> None:
        try:
            results.append(model.predict([[float(number)]]).tolist())
        except Overloaded as error:
            results.append(error)

    threads = [threading.Thread(target=ask, args=[number]) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    refused = [result for result in results if isinstance(result, Overloaded)]
    assert len(results) == 40
    assert 0 < len(refused) < 40
    assert all((error.status, error.retry_after) == (503, 1.0) for error in refused)
    assert all("model 'slow'" in str(error) for error in refused)


@contextlib.contextmanager
def full_backlog(path: Path) -> Iterator[socket.socket]:
    """A listener with no room left."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(str(path))
        yield listener


def test_a_full_backlog_is_waited_for_until_the_deadline(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with (
        full_backlog(path),
        takes(0.2, 0.4),
        pytest.raises(Overloaded, match="its backlog is full") as caught,
    ):
        Model("iris", f"unix:{path}", timeout=0.2).ready()
    assert caught.value.retry_after == 1.0


def test_a_place_in_the_backlog_is_taken_when_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with full_backlog(path) as listener:

        def serve() -> None:
            time.sleep(0.1)
            # The first one only waits.
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(AssertionError):
                    connection.setblocking(True)
                    connection.settimeout(0.05)
                    with contextlib.suppress(socket.timeout):
                        request(connection)
                        connection.sendall(answer(b"{}"))
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        assert Model("iris", f"unix:{path}", timeout=PATIENCE).ready()
        thread.join(PATIENCE)


def test_signals_do_not_disturb_a_call(server: Running, tmp_path: Path) -> None:
    count = 0

    def handler(_: int, __: Optional[FrameType]) -> None:
        nonlocal count
        count += 1

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        assert Model("slow", server.address).predict([[1.5]]).tolist() == [[1.5]]
        x = np.ones((2000, 1000), np.float32)
        np.testing.assert_array_equal(Model("identity_float", server.address).predict(x), x)
        assert (
            Model("digits", server.address).predict(ROOT / "models/digits/samples/7.png")[0]["label"] == "7"
        )
        with full_backlog(tmp_path / "x.sock"), takes(0.2, 0.4), pytest.raises(Overloaded):
            Model("iris", f"unix:{tmp_path}/x.sock", timeout=0.2).ready()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert count > 50
