"""What a call of tritonclient may carry beside its tensors."""

import urllib.request

import numpy as np
import tritonclient.http

from cases import case, contains, equal
from triton_clients import binary, output, refused, same, tensor

ROW = np.arange(8, dtype=np.float32).reshape(1, 8)
LARGE = np.tile(ROW, (8 * 1024, 1))


@case
async def a_request_id_comes_back(client):
    for request_id in ["1", "b-2/\u00fc", "x" * 200]:
        result = await client.infer("half", [binary("x", ROW)], request_id=request_id)
        equal(result.get_response()["id"], request_id)
    assert not (await client.infer("half", [binary("x", ROW)])).get_response().get("id")


@case
async def answers_name_model_and_version(client):
    for version in ["", "1"]:
        response = (await client.infer("half", [binary("x", ROW)], model_version=version)).get_response()
        equal((response["model_name"], response["model_version"]), ("half", "1"))


@case
async def a_timeout_in_microseconds_ends_a_run(client):
    busy = [
        binary("x", np.full((1, 256), 0.5, np.float32)),
        binary("rounds", np.array(2_000_000_000, np.int64)),
    ]
    await refused(504, ["busy", "200 ms"], client.infer("busy", busy, timeout=200_000))
    same(await client.infer("half", [binary("x", ROW)], timeout=30_000_000), "y", ROW / 2)


@case
async def parameters_that_nobody_knows_do_no_harm(client):
    parameters = {"text": "\u00fc", "number": 3, "flag": True, "fraction": 0.5}
    same(await client.infer("half", [binary("x", ROW)], parameters=parameters, priority=1), "y", ROW / 2)
    same(
        await client.infer("half", [binary("x", ROW)], sequence_id=7, sequence_start=True, sequence_end=True),
        "y",
        ROW / 2,
    )


@case
async def headers_and_queries_go_along(client):
    # tests/server/inference_clients finds it in the log.
    headers = {"X-Request-Id": "by-tritonclient", "X-Other": "a, b"}
    query = {"top_k": "0", "of": ["x", "y z&"], "\u00fc": "%"}
    equal(await client.is_server_live(headers, query), True)
    equal(await client.is_model_ready("half", "1", headers, query), True)
    equal((await client.get_server_metadata(headers, query))["name"], "predictd")
    equal((await client.get_model_metadata("half", "", headers, query))["name"], "half")
    equal((await client.get_model_config("half", "", headers, query))["name"], "half")
    equal(len((await client.get_inference_statistics("half", "", headers, query))["model_stats"]), 1)
    result = await client.infer("half", [binary("x", ROW)], headers=dict(headers), query_params=query)
    same(result, "y", ROW / 2)


@case
async def bodies_may_be_compressed_both_ways(client):
    for array in [ROW, LARGE]:
        for sent in [True, False]:
            for received in [True, False]:
                for request in [None, "gzip", "deflate"]:
                    for response in [None, "gzip", "deflate"]:
                        result = await client.infer(
                            "half",
                            [tensor("x", array, sent)],
                            outputs=[output("y", received)],
                            request_compression_algorithm=request,
                            response_compression_algorithm=response,
                        )
                        same(result, "y", array / 2)


@case
async def errors_are_read_whatever_the_compression(client):
    for algorithm in ["gzip", "deflate"]:
        for array, status, words in [
            (LARGE[:, :7].copy(), 400, ["half", "'x'", "8", "7"]),
            (LARGE, 404, ["nobody"]),
        ]:
            model = "half" if status == 400 else "nobody"
            call = client.infer(
                model,
                [binary("x", array)],
                request_compression_algorithm=algorithm,
                response_compression_algorithm=algorithm,
            )
            await refused(status, words, call)
    garbled = {"Content-Encoding": "gzip"}
    await refused(400, ["gzip"], client.infer("half", [binary("x", ROW)], headers=garbled))
    await refused(415, ["br"], client.infer("half", [binary("x", ROW)], headers={"Content-Encoding": "br"}))


@case
async def bodies_may_be_made_and_read_apart_from_the_call(client):
    static = tritonclient.http.InferenceServerClient
    for encoding in [None, "gzip", "deflate"]:
        body, json_size = static.generate_request_body([binary("x", LARGE)], request_id="apart")
        request = urllib.request.Request(f"http://{client.url}/v2/models/half/infer", body)
        request.add_header("Content-Type", "application/octet-stream")
        request.add_header("Inference-Header-Content-Length", str(json_size))
        if encoding:
            request.add_header("Accept-Encoding", encoding)
        with urllib.request.urlopen(request, timeout=30) as answer:
            body, headers = answer.read(), answer.headers
        equal(headers["Content-Encoding"], encoding)
        equal(headers["Content-Type"], "application/octet-stream")
        equal(headers.get_all("Content-Length"), [str(len(body))])
        assert encoding is None or len(body) < LARGE.nbytes // 2, "it is no smaller"
        length = int(headers["Inference-Header-Content-Length"])
        result = static.parse_response_body(body, header_length=length, content_encoding=encoding)
        equal(result.get_response()["id"], "apart")
        same(result, "y", LARGE / 2)
    body, json_size = static.generate_request_body([tensor("x", ROW, False)], outputs=[output("y", False)])
    equal(json_size, None)
    request = urllib.request.Request(f"http://{client.url}/v2/models/half/infer", body)
    with urllib.request.urlopen(request, timeout=30) as answer:
        contains(answer.headers["Content-Type"], "application/json")
        same(static.parse_response_body(answer.read()), "y", ROW / 2)
