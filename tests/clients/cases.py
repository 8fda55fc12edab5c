"""Cases, and how they run: each on a connection of its own, with a line of its own, and within a minute."""

import asyncio
import faulthandler
import sys
import time
import traceback
from pathlib import Path

PATIENCE = 60

_cases = []


def case(function):
    """Registers `async def function(client)`."""
    _cases.append((function, None))
    return function


def case_of(kind):
    """The same for one kind of client only."""

    def register(function):
        _cases.append((function, kind))
        return function

    return register


def run(kind, connect):
    """Runs the cases with what `connect()` gives for each, an asynchronous context. Gives the number that failed."""
    return sum(not _passes(kind, function, connect) for function, only in _cases if only in (None, kind))


def _passes(kind, function, connect):
    async def with_client():
        async with connect() as client:
            await function(client)

    started = time.monotonic()
    # A client that hangs is ended, after it has said where.
    faulthandler.dump_traceback_later(PATIENCE, exit=True, file=sys.stdout)
    try:
        asyncio.run(with_client())
    except Exception as error:
        print(
            f"FAILED {kind} {function.__name__}: {type(error).__name__}: {error}\n{_where(error)}", flush=True
        )
        return False
    finally:
        faulthandler.cancel_dump_traceback_later()
    print(f"ok     {kind} {function.__name__} in {time.monotonic() - started:.2f} s", flush=True)
    return True


def _where(error):
    """The lines of the cases themselves that led there."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [
        frame
        for frame in frames
        if Path(frame.filename).parent == Path(__file__).parent and frame.filename != __file__
    ]
    return "".join(traceback.format_list(ours))


def equal(got, wanted, what=""):
    assert got == wanted, f"{what}: got {got!r}, wanted {wanted!r}"


def contains(text, *words):
    for word in words:
        assert word in text, f"{word!r} is not in {text!r}"
