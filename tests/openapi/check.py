#!/usr/bin/env python3
"""Whether a document is valid OpenAPI 3.1, its examples are what its schemas say, and so are a server's real answers.

On standard input {"document": ..., "exchanges": [{path, method, status, headers, body}, ...]}: paths as the document writes them,
bodies in base64. Says what is wrong, a line each, and exits 1; else says how much it has looked at.
"""

import base64
import copy
import json
import sys
from urllib.parse import quote

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

HERE = "urn:document"
METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"]


def main():
    given = json.load(sys.stdin)
    document, exchanges = given["document"], given["exchanges"]
    troubles = [f"{place(error.absolute_path)}: {error.message}" for error in problems(document)]
    troubles += must_fail(document)
    schemas = Schemas(document)
    examples = list(find_examples(schemas))
    for pointer, value in examples:
        troubles += schemas.check(pointer, value)
    for exchange in exchanges:
        troubles += check_exchange(schemas, exchange)
    asked = {(exchange["path"], exchange["method"]) for exchange in exchanges if exchange["status"] == 200}
    calls = {(path, method) for path, item in document["paths"].items() for method in METHODS if method in item}
    troubles += [f"{method} {path}: nobody has asked it" for path, method in sorted(calls - asked)]
    for trouble in troubles:
        print(trouble)
    print(f"{len(calls)} calls, {len(examples)} examples, {len(exchanges)} answers, {len(troubles)} troubles")
    return 1 if troubles or not examples else 0


def problems(document):
    return OpenAPIV31SpecValidator(document).iter_errors()


def must_fail(document):
    """The validator and the schemas are known to find something."""
    broken = copy.deepcopy(document)
    del broken["info"]["title"]
    if not list(problems(broken)):
        yield "the validator finds nothing in a document without a title"
    pointer = ["components", "schemas", "Error"]
    if not Schemas(document).check(pointer, {"error": "x", "more": 1}):
        yield "the schemas take an error with a member too many"


class Schemas:
    def __init__(self, document):
        self.document = document
        resource = DRAFT202012.create_resource(document)
        self.registry = Registry().with_resource(HERE, resource)

    def resolve(self, pointer):
        """The node at `pointer`, and where it really is, if it is a reference."""
        node = self.document
        for key in pointer:
            node = node[key]
        if isinstance(node, dict) and "$ref" in node:
            return self.resolve([part.replace("~1", "/").replace("~0", "~") for part in node["$ref"][2:].split("/")])
        return node, pointer

    def check(self, pointer, value):
        parts = [quote(str(part).replace("~", "~0").replace("/", "~1")) for part in pointer]
        schema = {"$ref": f"{HERE}#/{'/'.join(parts)}"}
        validator = Draft202012Validator(schema, registry=self.registry)
        return [f"{place(pointer)}: {place(error.absolute_path)} {error.message[:300]}" for error in validator.iter_errors(value)]


def place(path):
    return "/" + "/".join(str(part) for part in path)


def find_examples(schemas, pointer=()):
    """(where the schema is, an example of it), for all parameters and media types."""
    node, pointer = schemas.resolve(list(pointer))
    if isinstance(node, dict):
        if "schema" in node:
            if "example" in node:
                yield [*pointer, "schema"], node["example"]
            for example in node.get("examples", {}).values():
                yield [*pointer, "schema"], example["value"]
        inside = node.keys()
    elif isinstance(node, list):
        inside = range(len(node))
    else:
        return
    for key in inside:
        if key not in ("schema", "schemas", "example", "examples"):
            yield from find_examples(schemas, [*pointer, key])


def check_exchange(schemas, exchange):
    path, method, status = exchange["path"], exchange["method"], str(exchange["status"])
    body = base64.b64decode(exchange["body"])
    name = f"{status} to {method} {path}"
    operation = schemas.document["paths"][path][method]
    if status not in operation["responses"]:
        return [f"{name}: not documented: {body[:200]!r}"]
    response, pointer = schemas.resolve(["paths", path, method, "responses", status])
    troubles = []
    headers = exchange["headers"]
    for header in response.get("headers", {}):
        described, where = schemas.resolve([*pointer, "headers", header])
        value = headers.get(header.lower())
        if value is None:
            troubles += [f"{name}: no {header}"] if described.get("required") else []
        else:
            is_number = described["schema"].get("type") == "integer"
            troubles += schemas.check([*where, "schema"], int(value) if is_number else value)
    media_type = headers["content-type"]
    if media_type not in response["content"]:
        return [*troubles, f"{name}: {media_type} is not documented"]
    where = [*pointer, "content", media_type, "schema"]
    if media_type == "application/octet-stream":
        # JSON in front of the tensors, which is described where it is alone.
        body = body[: int(headers["inference-header-content-length"])]
        where = [*pointer, "content", "application/json", "schema"]
    return [f"{name}: {trouble}" for trouble in [*troubles, *schemas.check(where, json.loads(body))]]


if __name__ == "__main__":
    sys.exit(main())
