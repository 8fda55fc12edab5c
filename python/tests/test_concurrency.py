"""Forks, threads and greenlets: nothing is shared, so nothing can be left locked or mixed up."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from predictd import Model, Timeout

from .harness import PATIENCE, ROOT, Forward, Peers, Running, request

PYTHON = {"PYTHONPATH": str(ROOT / "python"), "PATH": os.environ["PATH"]}


def test_each_thread_gets_its_own_answers(server: Running) -> None:
    model = Model("half", server.address)

    def ask(number: int) -> bool:
        x = np.full((1 + number % 3, 8), number, np.float32)
        return bool(np.array_equal(model.predict(x), x / 2))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(400)))


@pytest.mark.parametrize("by_tcp", [False, True])
def test_a_model_is_used_on_both_sides_of_a_fork_while_threads_use_it(server: Running, by_tcp: bool) -> None:
    with Forward(server, "localhost") if by_tcp else contextlib.nullcontext(server) as reached:
        fork_while_threads_ask(reached.address)


def fork_while_threads_ask(address: str) -> None:
    # In a program of its own, since this one has threads of pytest's. The first calls are a part of it: that is when
    # Python and numpy import what they have put off.
    program = f"""
import os, signal, threading, numpy as np, predictd
signal.alarm({int(PATIENCE)})
model = predictd.Model("half", {address!r})
over = threading.Event()
failed = []

def ask():
    x = np.ones((4, 8))
    while not over.is_set():
        try:
            assert (model.predict(x) == 0.5).all()
        except BaseException as error:
            failed.append(error)
            raise

threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads:
    thread.start()
children = []
for _ in range(30):
    child = os.fork()
    if child == 0:
        signal.alarm({int(PATIENCE)})
        ok = all((model.predict(np.ones((2, 8))) == 0.5).all() for _ in range(5))
        os._exit(0 if ok else 1)
    children.append(child)
statuses = [os.waitpid(child, 0)[1] for child in children]
over.set()
for thread in threads:
    thread.join()
assert not failed, failed
assert statuses == [0] * 30, statuses
"""
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], check=True, env=PYTHON, timeout=2 * PATIENCE
    )


def test_a_call_imports_nothing(server: Running) -> None:
    # A fork while another thread imports leaves the module half imported in the child, and locked for ever. What a call may
    # need is imported with the package.
    program = f"""
import pathlib, sys, numpy as np, predictd
half, text, digits, bits = (
    predictd.Model(name, {server.address!r}) for name in ["half", "identity_string", "digits", "identity_bfloat16"]
)
by_tcp = predictd.Model("half", "127.0.0.1:1")
before = set(sys.modules)
half.predict(np.ones((2, 8)))
half.predict([[1] * 8])
half.predict(np.ones((0, 8)))
text.predict([["a", b"b"]])
bits.predict([[1.5]])
digits.classify(pathlib.Path({str(ROOT / "models/digits/samples/7.png")!r}))
digits.classify([pathlib.Path({str(ROOT / "models/digits/samples/7.png")!r})] * 2)
try:
    by_tcp.predict([1])
except predictd.Unreachable:
    pass
print(set(sys.modules) - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, env=PYTHON, timeout=2 * PATIENCE, stdout=subprocess.PIPE
    )
    assert done.stdout == b"set()\n"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_who_gives_up_is_gone_for_the_server_even_if_a_fork_holds_the_connection(peer: Peers) -> None:
    waiting, gone = threading.Event(), threading.Event()

    def script(connection: socket.socket) -> None:
        request(connection)
        waiting.set()
        assert connection.recv(1) == b""
        gone.set()

    address = peer(script).address
    errors = []

    def ask() -> None:
        try:
            Model("iris", address, timeout=0.5).metadata()
        except Timeout as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert waiting.wait(PATIENCE)
    child = os.fork()
    if child == 0:
        # It has the connection's descriptor as well, and lives on.
        time.sleep(2 * PATIENCE)
        os._exit(0)
    try:
        thread.join(PATIENCE)
        assert len(errors) == 1
        assert gone.wait(PATIENCE / 2)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_no_descriptor_is_left_open(server: Running, tmp_path: Path) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    for _ in range(20):
        Model("half", server.address).predict(np.ones((1, 8)))
        for name, address in [
            ("nobody", server.address),
            ("half", f"unix:{tmp_path}/x"),
            ("half", "127.0.0.1:1"),
        ]:
            with pytest.raises(OSError if address != server.address else LookupError):
                Model(name, address).predict([1])
        with pytest.raises(Timeout):
            Model("sleeper", server.address).predict([[1.0]], timeout=0.01)
    assert descriptors() == before


def test_greenlets_wait_side_by_side_and_time_out(server: Running, peer: Peers) -> None:
    pytest.importorskip("gevent")

    def script(connection: socket.socket) -> None:
        request(connection)
        connection.recv(1)

    program = f"""
from gevent import monkey
monkey.patch_all()
import socket, time, gevent, numpy as np, predictd
from gevent.pool import Pool

ticks = 0

def tick():
    global ticks
    while True:
        gevent.sleep(0.005)
        ticks += 1

ticking = gevent.spawn(tick)
model = predictd.Model("slow", {server.address!r})
assert model.predict([[1.0]]).tolist() == [[1.0]]
# Most of the 200 ms that the model sleeps.
assert ticks > 10, ticks

def ask(number):
    x = np.full((1, 8), number, np.float32)
    return np.array_equal(predictd.Model("half", {server.address!r}).predict(x), x / 2)

assert all(Pool(16).map(ask, range(200)))

ticks = 0
begun = time.monotonic()
try:
    predictd.Model("iris", {peer(script).address!r}, timeout=0.2).predict([1])
except predictd.Timeout:
    took = time.monotonic() - begun
assert 0.2 <= took < 2 and ticks > 10, (took, ticks)

# A full backlog is waited for without keeping others waiting.
listener = socket.socket(socket.AF_UNIX)
listener.bind("\\0predictd-test-%d" % __import__("os").getpid())
listener.listen(0)
waiting = []
try:
    while True:
        waiting.append(socket.socket(socket.AF_UNIX))
        waiting[-1].setblocking(False)
        waiting[-1].connect(listener.getsockname())
except BlockingIOError:
    pass
ticks = 0
try:
    predictd.Model("iris", "unix:@" + listener.getsockname()[1:].decode(), timeout=0.2).predict([1])
except predictd.Overloaded:
    assert ticks > 10, ticks
    print("done")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, env=PYTHON, timeout=2 * PATIENCE, stdout=subprocess.PIPE
    )
    assert done.stdout == b"done\n"
