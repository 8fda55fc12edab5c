"""tritonclient's two clients with one way to call them, and what their calls are made of."""

import contextlib
import sys

import numpy as np
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype


from cases import contains, equal, run


class Blocking:
    """The blocking client, called as the asynchronous one is, so that one case serves both."""

    def __init__(self, url, **options):
        self.url = url
        self.blocking = tritonclient.http.InferenceServerClient(url, **options)

    def __getattr__(self, name):
        method = getattr(self.blocking, name)

        async def call(*positional, **named):
            return method(*positional, **named)

        return call


class Asynchronous(tritonclient.http.aio.InferenceServerClient):
    def __init__(self, url, **options):
        super().__init__(url, **options)
        self.url = url


@contextlib.asynccontextmanager
async def connected(kind, url):
    client = kind(url)
    try:
        yield client
    finally:
        await client.close()


def run_cases(url):
    """Runs all cases by both, and ends the program."""
    failed = run("blocking", lambda: connected(Blocking, url))
    failed += run("asynchronous", lambda: connected(Asynchronous, url))
    sys.exit(f"{failed} failed" if failed else 0)


def tensor(name, array, as_bytes=True):
    """An input for a request."""
    wanted = tritonclient.http.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    return wanted.set_data_from_numpy(array, binary_data=as_bytes)


def binary(name, array):
    return tensor(name, array, as_bytes=True)


def output(name, as_bytes=True, class_count=0):
    return tritonclient.http.InferRequestedOutput(name, binary_data=as_bytes, class_count=class_count)


def same(result, name, wanted):
    """The output must be `wanted` to the bit."""
    got = result.as_numpy(name)
    assert got is not None, f"there is no output {name} in {result.get_response()}"
    equal((got.shape, got.dtype), (wanted.shape, wanted.dtype), name)
    if wanted.dtype == np.object_:
        # Strings come as bytes or as text.
        as_bytes = [text.encode() if isinstance(text, str) else text for text in got.flatten()]
        equal(as_bytes, list(wanted.flatten()), name)
    else:
        equal(got.tobytes(), wanted.tobytes(), f"{name} = {got}, wanted {wanted}")


async def refused(status, words, call):
    """`call` must fail with `status` and say `words`."""
    try:
        answer = await call
    except InferenceServerException as error:
        equal(error.status(), str(status), error.message())
        contains(error.message(), *words)
    else:
        raise AssertionError(f"wanted {status}, got {answer!r}")
