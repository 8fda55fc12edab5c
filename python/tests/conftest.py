"""The fixtures: a real server, and peers that do as they are told."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from pathlib import Path
from typing import Iterator

import pytest

from .harness import Peer, Peers, Running, Script, running

# Each has two dynamic dimensions of FP32, and answers what it was sent.
FAKES = {
    "slow": "fake.sleep = '200ms'",
    "sleeper": "fake.sleep = '60s'",
    "impatient": "deadline = '100ms'\nfake.sleep = '60s'",
    "panicking": "fake.panic = true",
}


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    with running(fakes=FAKES) as server:
        yield server


@pytest.fixture
def peer() -> Iterator[Peers]:
    """Starts peers."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="predictd-")))
        numbers = itertools.count()

        def start(script: Script) -> Peer:
            peer = Peer(script, folder / f"{next(numbers)}.sock")
            stack.callback(peer.stop)
            return peer

        yield start
