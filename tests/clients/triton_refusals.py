"""What tritonclient says when predictd says no."""

import numpy as np

from cases import case, equal
from triton_clients import binary, output, refused, same, tensor

ROW = np.arange(8, dtype=np.float32).reshape(1, 8)


@case
async def mistakes_are_told_with_their_status(client):
    for sent in [True, False]:
        x = lambda array: [tensor("x", array, sent)]  # noqa: E731,B023
        await refused(404, ["'nobody'"], client.infer("nobody", x(ROW)))
        await refused(404, ["half", "7"], client.infer("half", x(ROW), model_version="7"))
        await refused(400, ["half", "'x'", "FP32", "INT32"], client.infer("half", x(ROW.astype(np.int32))))
        await refused(400, ["half", "'x'", "8", "7"], client.infer("half", x(ROW[:, :7].copy())))
        await refused(400, ["half", "'x'"], client.infer("half", x(ROW[0])))
        await refused(400, ["half", "'q'", "'x'"], client.infer("half", [tensor("q", ROW, sent)]))
        await refused(400, ["'x'"], client.infer("half", x(ROW) + x(ROW)))
        integers = np.ones((1, 16), np.int32)
        await refused(400, ["add_sub", "'b'"], client.infer("add_sub", [tensor("a", integers, sent)]))
        await refused(400, ["half", "'z'"], client.infer("half", x(ROW), outputs=[output("z", sent)]))
        await refused(500, ["fail_at_run"], client.infer("fail_at_run", x(np.ones((1, 3), np.float32))))
    same(await client.infer("half", [binary("x", ROW)]), "y", ROW / 2)


@case
async def data_and_shape_must_agree(client):
    """The client does not look: a shape that is set after the data goes out as it is."""
    shapes = [([2, 8], "'x'"), ([1, 4], "'x'"), ([2**40, 8], "'x'"), ([-1, 8], "dimension")]
    for shape, word in shapes:
        for sent in [True, False]:
            await refused(400, [word], client.infer("half", [tensor("x", ROW, sent).set_shape(shape)]))


@case
async def what_only_triton_has_is_not_found(client):
    """Its repository calls are for predictd's admin address, never for the public one."""
    await refused(404, ["/v2/repository/index"], client.get_model_repository_index())
    await refused(404, ["/v2/repository/models/half/load"], client.load_model("half"))
    await refused(404, ["/v2/repository/models/half/unload"], client.unload_model("half"))
    await refused(404, ["/v2/trace/setting"], client.get_trace_settings())
    await refused(404, ["/v2/logging"], client.get_log_settings())
    await refused(404, ["/v2/systemsharedmemory"], client.get_system_shared_memory_status())
    equal(await client.is_model_ready("half"), True)


@case
async def shared_memory_is_refused(client):
    x = tensor("x", ROW)
    x.set_shared_memory("region", ROW.nbytes)
    await refused(400, ["'x'"], client.infer("half", [x]))
