"""The package as its users have it: an sdist, a wheel made of that, and an environment with the extra ``server``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Iterator

import pytest

from .harness import PATIENCE, ROOT, TARGET, until

pytestmark = pytest.mark.package

# Of requirements.txt, what `predictd[server]` needs.
NEEDED = {"flatbuffers", "numpy", "onnxruntime", "packaging", "protobuf"}


def run(*command: object, **environment: str) -> str:
    """What it says; nothing of this program's environment is the package's."""
    done = subprocess.run(
        list(map(str, command)),
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def folder() -> Path:
    """One for what is built, below the target folder, where cargo's settings are those of the source."""
    folder = TARGET / "python/package"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("predictd-*"):
        old.unlink()
    return folder


@pytest.fixture(scope="module")
def sdist(folder: Path) -> Path:
    run(sys.executable, "-m", "maturin", "sdist", "-m", ROOT / "Cargo.toml", "-o", folder)
    (sdist,) = folder.glob("predictd-*.tar.gz")
    return sdist


@pytest.fixture(scope="module")
def wheel(folder: Path, sdist: Path) -> Path:
    # As quick as can be: without optimisation, on top of what has been built before, by the tools at hand.
    environment = {
        name: value for name, value in os.environ.items() if name.startswith(("CARGO_", "RUSTUP_", "PIP_"))
    }
    environment.update(
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        TMPDIR=str(folder),
        CARGO_TARGET_DIR=str(TARGET.resolve()),
        # Not --locked: a source distribution has fewer crates, and cargo takes the others out of its lock.
        MATURIN_PEP517_ARGS="--profile dev",
    )
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    run(*pip, "--wheel-dir", folder, sdist, **environment)
    (wheel,) = folder.glob("predictd-*.whl")
    return wheel


class Environment:
    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self.bin = folder / "bin"

    def pip(self, *arguments: object) -> None:
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        run(self.bin / "python", "-m", "pip", "install", "--quiet", *arguments, **pip)

    def python(self, program: str, **environment: str) -> str:
        return run(self.bin / "python", "-I", "-c", program, **environment)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("environment")
    environment = Environment(folder)
    text = (ROOT / "python/tests/requirements.txt").read_text()
    blocks = re.findall(r"^([\w.-]+)==\S+(?: \\\n +--hash=\S+)+", text, re.MULTILINE)
    assert set(blocks) > NEEDED
    needed = re.compile(rf"^(?:{'|'.join(NEEDED)})==\S+(?: \\\n +--hash=\S+)+\n", re.MULTILINE)
    (folder / "needed.txt").write_text("".join(needed.findall(text)))
    environment.pip("--no-deps", "--require-hashes", "-r", folder / "needed.txt")
    # Nothing more is wanted: what the wheel says that it needs is there.
    environment.pip("--no-index", f"{wheel}[server]")
    return environment


@pytest.fixture
def serving(environment: Environment, tmp_path: Path) -> Iterator[str]:
    """The address of the installed server, started as from a shell that knows nothing of the environment."""
    socket = tmp_path / "predictd.sock"
    command = [environment.bin / "predictd", "serve", "--listen", f"unix:{socket}", "--admin", ""]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*map(str, command), "--models", str(ROOT / "models")],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            stdout=log,
            stderr=log,
        )
    try:
        until("it listens", lambda: socket.exists() or process.poll() is not None)
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield f"unix:{socket}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def test_the_wheel_holds_the_program_the_client_and_the_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [re.sub(r"^predictd-[^/]*\.", ".", name) for name in archive.namelist()]
    for expected in [
        ".data/scripts/predictd",
        "predictd/__init__.py",
        "predictd/django/apps.py",
        "predictd/py.typed",
        ".dist-info/licenses/LICENSE-APACHE",
        ".dist-info/licenses/LICENSE-MIT",
    ]:
        assert expected in names
    assert not [name for name in names if "test" in name or "__pycache__" in name]
    assert "-py3-none-" in wheel.name


def test_the_sdist_holds_what_was_tracked_and_nothing_else(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    for expected in [
        "Cargo.lock",
        "src/main.rs",
        "protocol/Cargo.toml",
        "python/predictd/__init__.py",
        "LICENSE-MIT",
    ]:
        assert expected in names
    assert not [name for name in names if name.startswith("target/") or "__pycache__" in name]
    assert sdist.stat().st_size < 5_000_000


def test_program_and_client_are_of_one_version(environment: Environment) -> None:
    program = run(environment.bin / "predictd", "--version").split()
    client = environment.python("import predictd; print(predictd.__version__)").strip()
    assert program == ["predictd", client]


def test_the_program_finds_onnx_runtime_and_the_client_gets_its_answer(
    environment: Environment, serving: str
) -> None:
    sample = ROOT / "models/digits/samples/7.png"
    client = f"""
import pathlib, numpy, predictd
print(predictd.Model("digits").predict(pathlib.Path({str(sample)!r}))[0]["label"])
print(predictd.Model("iris").predict(numpy.array([[5.1, 3.5, 1.4, 0.2]]))["species"])
"""
    assert environment.python(client, PREDICTD_ADDRESS=serving) == "7\n[0]\n"


def test_without_the_extra_the_program_says_how_to_get_the_library(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    environment.pip("--no-deps", "--no-index", wheel)
    done = subprocess.run(
        [environment.bin / "predictd", "check"], cwd=ROOT, env={}, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 69
    assert "pip install 'onnxruntime" in done.stderr
