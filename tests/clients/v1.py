#!/usr/bin/env python3
"""What clients of TensorFlow Serving and of KServe's first protocol ask, by Python's own urllib.

    tests/clients/v1.py HOST:PORT

Exits with 1 if a case failed.
"""

import base64
import contextlib
import json
import sys
import urllib.error
import urllib.request


from cases import case, contains, equal, run


class Client:
    def __init__(self, url):
        self.url = url

    def ask(self, path, body=None, status=200):
        """The JSON that answers a GET, or a POST of `body`."""
        request = urllib.request.Request(
            f"http://{self.url}{path}", headers={"Content-Type": "application/json"}
        )
        request.data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                got, text, headers = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            got, text, headers = error.code, error.read(), error.headers
        equal(got, status, f"{path}: {text[:300]!r}")
        equal(headers.get_content_type(), "application/json")
        return json.loads(text)

    def predict(self, model, body, status=200):
        return self.ask(f"/v1/models/{model}:predict", body, status)


def sums(*numbers):
    """Rows of add_sub, there and back."""
    asked = [{"a": [number] * 16, "b": [7] * 16} for number in numbers]
    answered = [{"sum": [number + 7] * 16, "difference": [number - 7] * 16} for number in numbers]
    return asked, answered


def columns(rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


@case
async def rows_come_back_as_predictions(client):
    row = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    wanted = {"predictions": [[number / 2 for number in row]] * 3}
    for model in ["half", "half/versions/1"]:
        equal(client.predict(model, {"instances": [row] * 3}), wanted)
        equal(client.predict(model, {"instances": [{"x": row}] * 3}), wanted)
    equal(client.predict("half", {"signature_name": "serving_default", "instances": [row] * 3}), wanted)
    asked, answered = sums(1, -5)
    equal(client.predict("add_sub", {"instances": asked}), {"predictions": answered})


@case
async def columns_come_back_as_outputs(client):
    row = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    wanted = {"outputs": [[number / 2 for number in row]] * 3}
    equal(client.predict("half", {"inputs": [row] * 3}), wanted)
    equal(client.predict("half", {"inputs": {"x": [row] * 3}}), wanted)
    asked, answered = sums(1, -5)
    equal(client.predict("add_sub", {"inputs": columns(asked)}), {"outputs": columns(answered)})


@case
async def strings_may_come_in_base64(client):
    texts = ["plain", "gr\u00f6\u00dfer \u6f22\u5b57", ""]
    in_base64 = [{"b64": base64.b64encode(text.encode()).decode()} for text in texts]
    for strings in [texts, in_base64]:
        equal(
            client.predict("identity_string", {"instances": [strings, strings]}),
            {"predictions": [texts, texts]},
        )
        equal(client.predict("identity_string", {"inputs": [strings]}), {"outputs": [texts]})


@case
async def numbers_that_are_none_have_tokens(client):
    answer = client.predict(
        "identity_float", {"instances": [[float("nan"), float("inf"), float("-inf"), 1.5]]}
    )
    # What Python's json writes and reads, as TensorFlow Serving does.
    equal(repr(answer), "{'predictions': [[nan, inf, -inf, 1.5]]}")


@case
async def a_body_of_megabytes_is_answered(client):
    rows = [[float(row), 0.5, 0.25, 0.0, -1.0, -0.5, 2.0, 4.0] for row in range(20_000)]
    answer = client.predict("half", {"instances": rows})["predictions"]
    equal(answer, [[number / 2 for number in row] for row in rows])


@case
async def the_status_of_a_model_suits_both_kinds_of_clients(client):
    for path in ["/v1/models/half", "/v1/models/half/versions/1"]:
        answer = client.ask(path)
        version = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        equal(answer["model_version_status"], [version])
        equal((answer["name"], answer["ready"]), ("half", True))
    models = client.ask("/v1/models")["models"]
    for model in ["half", "iris", "digits", "add_sub"]:
        equal(models.count(model), 1, models)


@case
async def mistakes_are_told_with_their_status(client):
    def error(model, body, status, *words):
        answer = client.predict(model, body, status)
        equal(list(answer), ["error"])
        contains(answer["error"], *words)

    row = [0.5] * 8
    error("nobody", {"instances": [row]}, 404, "nobody")
    error("half/versions/7", {"instances": [row]}, 404, "half", "7")
    error("half", {"instances": [row[:7]]}, 400, "half", "x", "8", "7")
    error("half", {"instances": [row, row[:7]]}, 400)
    error("half", {"instances": [["text"] * 8]}, 400)
    error("half", {"instances": [row], "inputs": [row]}, 400, "instances", "inputs")
    error("half", {}, 400, "instances", "inputs")
    error("add_sub", {"instances": [row]}, 400, "add_sub")
    error("add_sub", {"inputs": {"a": [[1] * 16]}}, 400, "b")
    contains(client.ask("/v1/models/nobody", status=404)["error"], "nobody")


def main():
    (url,) = sys.argv[1:]

    @contextlib.asynccontextmanager
    async def connected():
        yield Client(url)

    failed = run("urllib", connected)
    sys.exit(f"{failed} failed" if failed else 0)


if __name__ == "__main__":
    main()
