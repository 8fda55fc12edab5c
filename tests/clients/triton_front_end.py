#!/usr/bin/env python3
"""What tritonclient makes of an answer that predictd's front end gives by itself.

    tests/clients/triton_front_end.py HOST:PORT STATUS TEXT

Asks for what a front end answers with STATUS, and exits with 1 if the exception has not that status and TEXT.
"""

import asyncio
import sys

import numpy as np

from triton_clients import Asynchronous, Blocking, binary, connected, refused


def request(status):
    if status == 504:
        return "busy", [
            binary("x", np.full((1, 256), 0.5, np.float32)),
            binary("rounds", np.array(2_000_000_000, np.int64)),
        ]
    mebibytes = {413: 65, 500: 2}.get(status, 1 / 1024)
    return "identity_float", [binary("x", np.zeros((int(mebibytes * 1024), 256), np.float32))]


async def check(kind, url, status, text):
    async with connected(kind, url) as client:
        model, inputs = request(status)
        await refused(status, [text], client.infer(model, inputs))


def main():
    url, status, text = sys.argv[1:]
    for kind in [Blocking, Asynchronous]:
        asyncio.run(check(kind, url, int(status), text))


if __name__ == "__main__":
    main()
