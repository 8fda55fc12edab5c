"""How many connections tritonclient needs, and many calls at once."""

import asyncio
import os
from pathlib import Path

import numpy as np
import tritonclient.http

from cases import case, case_of, equal
from triton_clients import binary, refused, same

ESTABLISHED = "01"


def connections(url):
    """The local ports of this process's connections to `url`, as the kernel has them."""
    port = int(url.rsplit(":", 1)[1])
    inodes = set()
    for file in Path("/proc/self/fd").iterdir():
        try:
            inodes.add(os.readlink(file))
        except FileNotFoundError:
            pass  # the listing's own
    ports = set()
    for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = words = line.split()
        if (
            state == ESTABLISHED
            and int(remote.split(":")[1], 16) == port
            and f"socket:[{words[9]}]" in inodes
        ):
            ports.add(int(local.split(":")[1], 16))
    return ports


def numbered(number):
    return np.full((1, 16), number, np.int32), np.full((1, 16), 1000, np.int32)


def check(result, number):
    a, b = numbered(number)
    same(result, "sum", a + b)
    same(result, "difference", a - b)


@case
async def one_connection_serves_all_calls(client):
    await client.is_server_live()
    first = connections(client.url)
    equal(len(first), 1)
    for number in range(20):
        a, b = numbered(number)
        check(await client.infer("add_sub", [binary("a", a), binary("b", b)]), number)
        equal(await client.is_model_ready("nobody"), False)
        await refused(404, ["nobody"], client.infer("nobody", [binary("a", a)]))
        await refused(400, ["add_sub"], client.infer("add_sub", [binary("a", a)]))
        await client.get_model_metadata("iris")
    equal(connections(client.url), first)


@case_of("blocking")
async def eight_greenlets_get_each_its_own_answer(client):
    blocking = tritonclient.http.InferenceServerClient(client.url, concurrency=8)
    for _ in range(2):
        under_way = []
        for number in range(32):
            a, b = numbered(number)
            under_way.append(blocking.async_infer("add_sub", [binary("a", a), binary("b", b)]))
        for number, request in enumerate(under_way):
            check(request.get_result(), number)
    kept = len(connections(client.url))
    assert 1 <= kept <= 8, kept
    blocking.close()


@case_of("asynchronous")
async def thirty_two_at_once_get_each_its_own_answer(client):
    async def ask(number):
        a, b = numbered(number)
        check(await client.infer("add_sub", [binary("a", a), binary("b", b)]), number)

    for _ in range(4):
        await asyncio.gather(*(ask(number) for number in range(32)))
    kept = len(connections(client.url))
    assert 1 <= kept <= 32, kept
