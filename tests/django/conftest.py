"""A folder for each set of servers, short enough for sockets, and said to be there where a test failed."""

import shutil

import pytest
import servers


@pytest.fixture
def folder():
    """A folder of its own."""
    path = servers.temporary_folder()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def started():
    """Takes what was started, and ends it in the other order where the test did not: with force, as it has failed."""
    things = []

    def start(thing):
        things.append(thing)
        return thing

    yield start
    for thing in reversed(things):
        thing.process.kill()
