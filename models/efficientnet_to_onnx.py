"""EfficientNet-Lite0: the weights as torch saved them, turned into an ONNX model.

Uses the standard library alone, so that fetch.py needs neither torch nor numpy nor onnx. The model
takes images uint8 [batch,224,224,3] (plain RGB pixels) and gives probabilities float32 [batch,1000], or
images float32 [batch,3,224,224] of (pixel - 127) / 128 and gives logits.
Every step is exact or correctly rounded, so the same weights give the same bytes on every machine.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
from array import array
from typing import NamedTuple

# repeats, stride, expansion, channels in, channels out (the kernels' sizes are in the weights)
BLOCKS = (
    (1, 1, 1, 32, 16),
    (2, 2, 6, 16, 24),
    (2, 2, 6, 24, 40),
    (3, 2, 6, 40, 80),
    (3, 1, 6, 80, 112),
    (4, 2, 6, 112, 192),
    (1, 1, 6, 192, 320),
)
SIZE = 224
TYPECODES = {"FloatStorage": "f", "LongStorage": "q"}  # torch's name, array's
BATCH_NORM_EPSILON = 1e-3

FLOAT, UINT8 = 1, 2  # TensorProto.DataType
INT_ATTRIBUTE, INTS_ATTRIBUTE = 2, 7  # AttributeProto.AttributeType
IR_VERSION, OPSET = 8, 17


class Tensor(NamedTuple):
    shape: tuple[int, ...]
    values: array


class _StateDict(pickle.Unpickler):
    """Unpickles tensors as (storage key, shape, strides); refuses every name that these do not need."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.typecodes: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, _offset, shape, strides, *_: (storage, shape, strides)
        if module == "torch" and name in TYPECODES:
            return TYPECODES[name]
        raise pickle.UnpicklingError(f"refused: {module}.{name}")

    def persistent_load(self, pid: tuple) -> str:
        _, typecode, key, *_ = pid
        self.typecodes[key] = typecode
        return key


def read_state_dict(data: bytes) -> dict[str, Tensor]:
    """Reads torch's format of before 1.6: five pickles, then each storage as a count and its elements.

    Each tensor of this file has a storage of its own, but many are transposed in it.
    """
    file = io.BytesIO(data)
    for _ in ("magic number", "protocol version", "system"):
        _StateDict(file).load()
    unpickler = _StateDict(file)
    tensors = unpickler.load()
    storages = {}
    for key in _StateDict(file).load():
        values = storages[key] = array(unpickler.typecodes[key])
        count = int.from_bytes(file.read(8), "little")
        values.frombytes(file.read(count * values.itemsize))
    return {
        name.replace("module.", "", 1): Tensor(shape, _row_major(storages[key], shape, strides))
        for name, (key, shape, strides) in tensors.items()
    }


def _row_major(values: array, shape: tuple[int, ...], strides: tuple[int, ...]) -> array:
    places = [0]
    for length, stride in zip(shape, strides):
        places = [place + i * stride for place in places for i in range(length)]
    return array(values.typecode, (values[place] for place in places))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, str):
        value = value.encode()
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _message(*fields: tuple[int, int | str | bytes]) -> bytes:
    """A protocol buffers message. The field numbers in this file are those of onnx.proto."""
    return b"".join(_field(number, value) for number, value in fields)


def _value_info(name: str, element: int, shape: tuple[int | str, ...]) -> bytes:
    dims = _message(*((1, _field(1 if isinstance(d, int) else 2, d)) for d in shape))
    return _message((1, name), (2, _field(1, _message((1, element), (2, dims)))))


class Graph:
    """Collects nodes and weights; adding one returns the name to refer to it by."""

    def __init__(self) -> None:
        self.nodes: list[tuple[int, bytes]] = []
        self.initializers: list[tuple[int, bytes]] = []

    def weight(self, name: str, values: array, shape: tuple[int, ...] = ()) -> str:
        dims = ((1, d) for d in shape)
        self.initializers.append((5, _message(*dims, (2, FLOAT), (8, name), (9, values.tobytes()))))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: int | list[int]) -> str:
        encoded = []
        for name, value in sorted(attributes.items()):
            if isinstance(value, int):
                encoded.append(_message((1, name), (3, value), (20, INT_ATTRIBUTE)))
            else:
                encoded.append(_message((1, name), *((8, v) for v in value), (20, INTS_ATTRIBUTE)))
        self.nodes.append(
            (1, _message(*((1, i) for i in inputs), (2, output), (4, op), *((5, a) for a in encoded)))
        )
        return output

    def model(self, name: str, graph_input: bytes, graph_output: bytes) -> bytes:
        graph = _message(*self.nodes, (2, name), *self.initializers, (11, graph_input), (12, graph_output))
        return _message((1, IR_VERSION), (2, "predictd"), (7, graph), (8, _message((1, ""), (2, OPSET))))


class _Network:
    """The layers in order: `x` is the latest activation, `size` its height and width."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self.graph = Graph()
        self.weights = weights
        self.x = "images"
        self.size = SIZE
        self.relu6 = [self.constant("relu6_min", 0), self.constant("relu6_max", 6)]

    def constant(self, name: str, value: float) -> str:
        return self.graph.weight(name, array("f", [value]))

    def apply(self, op: str, output: str, *inputs: str, **attributes: int | list[int]) -> None:
        self.x = self.graph.node(op, [self.x, *inputs], output, **attributes)

    def convolution(
        self, name: str, source: str, batch_norm: str, stride: int = 1, groups: int = 1, activate: bool = True
    ) -> None:
        """A convolution with its batch normalisation folded in, padded as TensorFlow's SAME does it."""
        shape, values = self.weights[f"{source}.weight"]
        gamma, beta, mean, variance = (
            self.weights[f"{batch_norm}.{p}"].values
            for p in ("weight", "bias", "running_mean", "running_var")
        )
        scale = [g / math.sqrt(v + BATCH_NORM_EPSILON) for g, v in zip(gamma, variance)]
        per_channel = len(values) // shape[0]
        folded = array("f", (v * scale[i // per_channel] for i, v in enumerate(values)))
        bias = array("f", (b - m * s for b, m, s in zip(beta, mean, scale)))

        kernel = shape[2]
        size = -(-self.size // stride)
        padding = max((size - 1) * stride + kernel - self.size, 0)
        before, after = padding // 2, padding - padding // 2
        self.apply(
            "Conv",
            f"{name}_out",
            self.graph.weight(f"{name}.w", folded, shape),
            self.graph.weight(f"{name}.b", bias, (shape[0],)),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=groups,
        )
        self.size = size
        if activate:
            self.apply("Clip", f"{name}_relu6", *self.relu6)

    def block(self, number: int, stride: int, expansion: int, channels: int, channels_out: int) -> None:
        """Expand, filter each channel alone, project back; plus the input where the shapes agree."""
        source, name, skipped = f"_blocks.{number}", f"block{number}", self.x
        if expansion != 1:
            self.convolution(f"{name}_expand", f"{source}._expand_conv", f"{source}._bn0")
        self.convolution(
            f"{name}_depthwise", f"{source}._depthwise_conv", f"{source}._bn1", stride, channels * expansion
        )
        self.convolution(f"{name}_project", f"{source}._project_conv", f"{source}._bn2", activate=False)
        if stride == 1 and channels == channels_out:
            self.apply("Add", f"{name}_sum", skipped)


def convert(state_dict: bytes, of_pixels: bool = True) -> bytes:
    """The bytes of the weights' file to those of model.onnx; takes some seconds."""
    weights = read_state_dict(state_dict)
    net = _Network(weights)

    if of_pixels:
        net.apply("Cast", "float", to=FLOAT)
        net.apply("Sub", "centred", net.constant("mean", 127))
        net.apply("Mul", "scaled", net.constant("inverse_std", 1 / 128))
        net.apply("Transpose", "nchw", perm=[0, 3, 1, 2])

    net.convolution("stem", "_conv_stem", "_bn0", stride=2)
    number = 0
    for repeats, stride, expansion, channels, channels_out in BLOCKS:
        for repeat in range(repeats):
            if repeat == 0:
                net.block(number, stride, expansion, channels, channels_out)
            else:
                net.block(number, 1, expansion, channels_out, channels_out)
            number += 1
    net.convolution("head", "_conv_head", "_bn1")

    net.apply("GlobalAveragePool", "pooled")
    net.apply("Flatten", "features", axis=1)
    shape, values = weights["_fc.weight"]
    bias = weights["_fc.bias"]
    fc = net.graph.weight("fc.w", values, shape), net.graph.weight("fc.b", bias.values, bias.shape)
    net.apply("Gemm", "logits", *fc, transB=1)
    if of_pixels:
        net.apply("Softmax", "probabilities", axis=1)

    images = (UINT8, ("batch", SIZE, SIZE, 3)) if of_pixels else (FLOAT, ("batch", 3, SIZE, SIZE))
    return net.graph.model(
        "efficientnet_lite0", _value_info("images", *images), _value_info(net.x, FLOAT, ("batch", 1000))
    )
