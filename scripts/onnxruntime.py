#!/usr/bin/env python3
"""Fetch ONNX Runtime's shared library and put it where predictd finds it.

    scripts/onnxruntime.py [DIR]            default: target/lib
    scripts/onnxruntime.py --check [DIR]    exit 0 if DIR or the cache has it already, else 1

The library is taken out of the Python package `onnxruntime` by pip (no Python is needed to run it), checked
against the size and sha256 below, kept in ~/.cache/predictd, and copied to DIR with its licences and a `.sha256`
file that predictd checks before it opens the library.
"""

import argparse
import hashlib
import io
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# The last version without a telemetry uploader.
VERSION = "1.28.0"
LIBRARY = f"libonnxruntime.so.{VERSION}"
# The same in the packages for every version of Python.
PINNED = {
    "x86_64": (24272944, "aa4079d18f4ea7a5f3a94d80cd4bbe0f2740436626622d64d793803a20381083"),
    "aarch64": (20657248, "23a37c2994bc273e1d59a4f49af6cba5bf1cfbc29f04907ec27df375aba50a7d"),
}
LICENCES = {
    "onnxruntime.LICENSE.txt": "onnxruntime/LICENSE",
    "onnxruntime.ThirdPartyNotices.txt": "onnxruntime/ThirdPartyNotices.txt",
}
UNAVAILABLE = 69


def main():
    root = Path(__file__).resolve().parent.parent
    target = root / os.environ.get("CARGO_TARGET_DIR", "target")
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="only say (by exit code) whether it is at hand")
    parser.add_argument("dir", nargs="?", type=Path, default=target / "lib", metavar="DIR")
    options = parser.parse_args()

    machine = platform.machine()
    if sys.platform != "linux" or machine not in PINNED:
        fail(f"no pinned library for {sys.platform} on {machine}; build one and name it in ORT_DYLIB_PATH")
    pinned = PINNED[machine]
    cache = cache_folder()
    if options.check:
        sys.exit(0 if is_right(options.dir, pinned) or is_right(cache, pinned) else 1)
    if is_right(options.dir, pinned):
        # A copy that was put there by hand has no side file yet.
        return write_side_file(options.dir, pinned)
    if is_right(cache, pinned):
        return install(cache, options.dir, pinned)
    with tempfile.TemporaryDirectory(prefix="predictd-onnxruntime.") as temporary:
        fetched = Path(temporary)
        unpack(download(fetched, machine), fetched)
        if not is_right(fetched, pinned):
            fail(f"the fetched {LIBRARY} is not the one expected (size {pinned[0]}, sha256 {pinned[1]})")
        try:
            install(fetched, cache, pinned)
        except OSError as error:
            say(f"not kept for next time: {error}")
        install(fetched, options.dir, pinned)
    say(f"{options.dir / LIBRARY}: {pinned[0] / 1e6:.1f} MB, sha256 as pinned")


def cache_folder():
    # The specification of XDG_CACHE_HOME: a relative path is as good as none.
    base = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return base / "predictd" / "onnxruntime" / VERSION


def is_right(folder, pinned):
    size, sha256 = pinned
    try:
        with open(folder / LIBRARY, "rb") as file:
            if os.fstat(file.fileno()).st_size != size:
                return False
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return False
    return digest.hexdigest() == sha256


def download(folder, machine):
    say(f"fetching ONNX Runtime {VERSION} for {machine} (about 19 MB) by pip")
    # pip draws its own progress bar on a terminal; elsewhere it only gets in the way of a log.
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    # Any version of Python will do, as it is not Python that loads the library: so the one this script runs
    # under does not matter.
    wanted = ["--python-version", "3.12", "--implementation", "cp", "--platform", f"manylinux_2_27_{machine}"]
    command = pip(folder) + ["download", *quiet, "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    command += [*wanted, "--dest", str(folder), f"onnxruntime=={VERSION}"]
    # pip reports to stdout, which belongs to whoever called us.
    if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode != 0:
        fail(
            f"pip could not fetch onnxruntime {VERSION}; it says why above.\n"
            f"Without a network: name a {LIBRARY} in ORT_DYLIB_PATH, or copy one into {cache_folder()}."
        )
    return next(folder.glob("onnxruntime-*.whl"))


def pip(folder):
    own = [sys.executable, "-m", "pip"]
    if runs(own + ["--version"]):
        return own
    if runs([sys.executable, "-m", "venv", str(folder / "venv")]):
        return [str(folder / "venv" / "bin" / "python"), "-m", "pip"]
    fail("neither pip nor venv is here; on Debian: apt-get install python3-venv")


def runs(command):
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.run(command, **quiet).returncode == 0


def unpack(wheel, folder):
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, member in [(LIBRARY, f"onnxruntime/capi/{LIBRARY}"), *LICENCES.items()]:
                with archive.open(member) as source, open(folder / name, "wb") as file:
                    shutil.copyfileobj(source, file)
    except (KeyError, zipfile.BadZipFile) as error:
        fail(f"{wheel.name}: {error}")


def install(source, folder, pinned):
    folder.mkdir(parents=True, exist_ok=True)
    for name in [*LICENCES, LIBRARY]:
        # A library put into the cache by hand comes without its licences.
        if name == LIBRARY or (source / name).exists():
            with open(source / name, "rb") as file:
                put(folder, name, file)
    write_side_file(folder, pinned)


def write_side_file(folder, pinned):
    """As `sha256sum` writes it, so that `sha256sum -c` can read it."""
    _, sha256 = pinned
    text = f"{sha256}  {LIBRARY}\n".encode()
    name = f"{LIBRARY}.sha256"
    if not (folder / name).exists() or (folder / name).read_bytes() != text:
        put(folder, name, io.BytesIO(text))


def put(folder, name, source):
    """Whole or not at all, and never into a file that a running server has mapped."""
    # The leading dot keeps a half-written copy out of predictd's search.
    handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with open(handle, "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
            os.fchmod(file.fileno(), 0o644)
        os.replace(temporary, folder / name)
    except BaseException:
        os.unlink(temporary)
        raise


def say(text):
    print(f"onnxruntime: {text}", file=sys.stderr, flush=True)


def fail(text):
    say(text)
    sys.exit(UNAVAILABLE)


if __name__ == "__main__":
    # As an exception, so that the temporary folder goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, RuntimeError) as error:
        fail(str(error))
