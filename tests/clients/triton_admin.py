#!/usr/bin/env python3
"""What only the admin address answers: tritonclient's model repository calls.

    tests/clients/triton_admin.py HOST:PORT

Exits with 1 if a case failed.
"""

import sys

import numpy as np

from cases import case, contains, equal
from triton_clients import binary, refused, run_cases, same

ROW = np.arange(8, dtype=np.float32).reshape(1, 8)


async def entry(client, name):
    (found,) = [one for one in await client.get_model_repository_index() if one["name"] == name]
    return found


@case
async def models_are_unloaded_and_loaded_again(client):
    contains((await client.get_server_metadata())["extensions"], "model_repository")
    equal(await entry(client, "half"), {"name": "half", "version": "1", "state": "READY"})
    await client.unload_model("half")
    equal(await client.is_model_ready("half"), False)
    equal((await entry(client, "half"))["state"], "UNAVAILABLE")
    await refused(404, ["half"], client.infer("half", [binary("x", ROW)]))
    await client.load_model("half")
    equal(await client.is_model_ready("half"), True)
    equal((await entry(client, "half"))["state"], "READY")
    same(await client.infer("half", [binary("x", ROW)]), "y", ROW / 2)
    # Once more changes nothing.
    await client.load_model("half")
    await client.unload_model("half", unload_dependents=True)
    await client.load_model("half")
    same(await client.infer("half", [binary("x", ROW)]), "y", ROW / 2)


@case
async def what_cannot_be_loaded_says_why(client):
    await refused(404, ["nobody"], client.load_model("nobody"))
    await refused(404, ["nobody"], client.unload_model("nobody"))
    await refused(400, ["parameters.config"], client.load_model("half", config="{}"))
    await refused(
        400, ["parameters."], client.load_model("half", config="{}", files={"file:1/model.onnx": b"x"})
    )
    same(await client.infer("half", [binary("x", ROW)]), "y", ROW / 2)


if __name__ == "__main__":
    run_cases(*sys.argv[1:])
