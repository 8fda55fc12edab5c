"""The bodies of Open Inference requests and answers: JSON, and the tensors' bytes behind it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from numpy.typing import ArrayLike, NDArray

from ._answers import unreadable
from ._connection import Buffer
from ._errors import BadInput, ServerError
from ._tensors import Encoded, Spec, decode, encode, from_json
from ._uwsgi import Answer

LENGTH = "inference-header-content-length"


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives."""

    inputs: Tuple[Spec, ...]
    outputs: Tuple[Spec, ...]

    @staticmethod
    def of(metadata: Mapping[str, Any], subject: str) -> Signature:
        """Reads it from a model's metadata."""
        try:
            return Signature(*(tuple(map(_spec, metadata[part])) for part in ("inputs", "outputs")))
        except (LookupError, TypeError, ValueError) as error:
            raise ServerError(f"{subject}: its metadata cannot be read: {error!r}") from error

    def by_order(self, x: Any) -> bool:
        """Whether nothing but its order says which input is which."""
        return len(self.inputs) > 1 and not isinstance(x, Mapping)

    def arrange(self, x: Any, subject: str) -> Mapping[str, ArrayLike]:
        """``x`` by the inputs' names: it may be that already, or all inputs in order, or the only one."""
        if isinstance(x, Mapping):
            return x
        names = [spec.name for spec in self.inputs]
        if len(names) == 1:
            return {names[0]: x}
        if isinstance(x, (list, tuple)) and len(x) == len(names):
            return dict(zip(names, x))
        raise BadInput(
            f"{subject} has {len(names)} inputs ({', '.join(names)}): give a dict of them, or a list in this order"
        )

    def encode(self, inputs: Mapping[str, ArrayLike], subject: str) -> List[Tuple[Spec, Encoded]]:
        """Each as the datatype that the model takes there."""
        known = {spec.name: spec for spec in self.inputs}
        for name in inputs:
            if name not in known:
                raise BadInput(f"{subject} has no input {name!r}; it has {', '.join(map(repr, known))}")
        # What is missing, the server will say.
        return [(known[name], encode(values, known[name], subject)) for name, values in inputs.items()]

    def from_json(self, outputs: Mapping[str, Any]) -> Dict[str, NDArray[Any]]:
        """Outputs that came as nested lists."""
        datatypes = {spec.name: spec.datatype for spec in self.outputs}
        return {name: from_json(datatypes[name], values) for name, values in outputs.items()}


def _spec(tensor: Mapping[str, Any]) -> Spec:
    return Spec(str(tensor["name"]), str(tensor["datatype"]), tuple(map(int, tensor["shape"])))


def request(
    tensors: Sequence[Tuple[Spec, Encoded]], outputs: Optional[Sequence[str]], timeout: float
) -> Tuple[Dict[str, str], List[Buffer]]:
    """Headers and body of a request for the outputs named, or for all of them, within ``timeout`` seconds."""
    document: Dict[str, Any] = {
        "inputs": [
            {
                "name": spec.name,
                "datatype": spec.datatype,
                "shape": tensor.shape,
                "parameters": {"binary_data_size": len(tensor.data)},
            }
            for spec, tensor in tensors
        ],
        # In microseconds; 0 would be none.
        "parameters": {"binary_data_output": True, "timeout": max(1, int(timeout * 1e6))},
    }
    if outputs is not None:
        document["outputs"] = [{"name": name} for name in outputs]
    head = json.dumps(document).encode()
    headers = {"Content-Type": "application/octet-stream", LENGTH: str(len(head))}
    return headers, [head, *(tensor.data for _, tensor in tensors)]


def outputs(answer: Answer, subject: str) -> Dict[str, NDArray[Any]]:
    """The tensors of an answer, by their names and in its order."""
    body = memoryview(answer.body)
    tensors: Dict[str, NDArray[Any]] = {}
    try:
        end = int(answer.headers.get(LENGTH, len(body)))
        for output in json.loads(bytes(body[:end]))["outputs"]:
            size = output["parameters"]["binary_data_size"]
            if not 0 <= size <= len(body) - end:
                raise ValueError(f"{size} bytes are announced, and {len(body) - end} left")
            tensors[output["name"]] = decode(output["datatype"], output["shape"], body[end : end + size])
            end += size
        if end != len(body):
            raise ValueError(f"{len(body) - end} bytes are left over")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise unreadable(answer, subject, repr(error)) from error
    return tensors
