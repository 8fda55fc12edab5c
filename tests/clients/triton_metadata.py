"""What tritonclient asks of the server and of its models without running one."""

import asyncio

import numpy as np

from cases import case, contains, equal
from triton_clients import binary, refused

NOBODY = "nobody"


@case
async def server_is_live_and_ready(client):
    equal(await client.is_server_live(), True)
    equal(await client.is_server_ready(), True)


@case
async def model_is_ready_by_version(client):
    for asked, ready in [
        (("iris",), True),
        (("iris", "1"), True),
        (("iris", "2"), False),
        ((NOBODY,), False),
    ]:
        equal(await client.is_model_ready(*asked), ready, asked)


@case
async def server_has_metadata(client):
    metadata = await client.get_server_metadata()
    equal(metadata["name"], "predictd")
    assert metadata["version"], metadata
    for extension in ["binary_tensor_data", "classification", "model_configuration", "statistics"]:
        contains(metadata["extensions"], extension)


@case
async def model_has_metadata(client):
    for version in ["", "1"]:
        metadata = await client.get_model_metadata("add_sub", version)
        equal(metadata["name"], "add_sub")
        equal(metadata["versions"], ["1"])
        equal(metadata["platform"], "onnxruntime_onnx")
        tensor = lambda name: {"name": name, "datatype": "INT32", "shape": [-1, 16]}  # noqa: E731
        equal(metadata["inputs"], [tensor("a"), tensor("b")])
        equal(metadata["outputs"], [tensor("sum"), tensor("difference")])
    await refused(404, [NOBODY], client.get_model_metadata(NOBODY))
    await refused(404, ["iris", "2"], client.get_model_metadata("iris", "2"))


@case
async def model_has_a_configuration(client):
    for version in ["", "1"]:
        config = await client.get_model_config("add_sub", version)
        equal(config["name"], "add_sub")
        assert config["max_batch_size"] > 0, config
        # Where a model batches, the batch is no dimension of the tensors.
        tensor = {"data_type": "TYPE_INT32", "dims": [16]}
        for kind, names in [("input", ["a", "b"]), ("output", ["sum", "difference"])]:
            equal([one["name"] for one in config[kind]], names)
            for one in config[kind]:
                equal({key: one[key] for key in tensor}, tensor, one)
    fixed = await client.get_model_config("mul_1")
    equal(fixed.get("max_batch_size", 0), 0)
    equal([[int(dim) for dim in one["dims"]] for one in fixed["input"]], [[3, 2]])
    await refused(404, [NOBODY], client.get_model_config(NOBODY))
    await refused(404, ["iris", "2"], client.get_model_config("iris", "2"))


@case
async def statistics_count_what_was_asked(client):
    async def counted():
        everything = (await client.get_inference_statistics())["model_stats"]
        names = [one["name"] for one in everything]
        for name in ["iris", "half", "add_sub", "identity_string"]:
            equal(names.count(name), 1, name)
        (of_model,) = (await client.get_inference_statistics("half"))["model_stats"]
        (of_version,) = (await client.get_inference_statistics("half", "1"))["model_stats"]
        equal(of_model, of_version)
        equal(of_model, everything[names.index("half")])
        equal((of_model["name"], of_model["version"]), ("half", "1"))
        return of_model

    before = await counted()
    rows = np.ones((3, 8), np.float32)
    for _ in range(4):
        await client.infer("half", [binary("x", rows)])
    await refused(400, ["half"], client.infer("half", [binary("x", np.ones((3, 7), np.float32))]))
    # The answer may be there a moment before it is counted.
    for _ in range(100):
        after = await counted()
        if after["inference_count"] >= before["inference_count"] + 12:
            break
        await asyncio.sleep(0.02)
    difference = lambda key: after[key] - before[key]  # noqa: E731
    equal(difference("inference_count"), 12, "rows")
    equal(difference("execution_count"), 4, "runs")
    assert after["last_inference"] > before["last_inference"], after
    for part in ["success", "queue", "compute_input", "compute_infer", "compute_output"]:
        was, now = before["inference_stats"][part], after["inference_stats"][part]
        equal(now["count"] - was["count"], 4, part)
        # A small body is read before it is queued, and a queue may be empty.
        assert now["ns"] > was["ns"] or part in ["queue", "compute_input"], (part, was, now)
    for part in ["fail", "cache_hit", "cache_miss"]:
        contains(after["inference_stats"][part], "count", "ns")
    batches = {one["batch_size"]: one for one in after["batch_stats"]}
    assert batches[3]["compute_infer"]["count"] >= 4, batches
    await refused(404, [NOBODY], client.get_inference_statistics(NOBODY))
    await refused(404, ["half", "2"], client.get_inference_statistics("half", "2"))
