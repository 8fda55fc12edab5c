#!/usr/bin/env python3
"""README's first screen as a newcomer has it: `make run`, the three printed curl lines pasted, Ctrl-C.

Fails unless the answers are right, and no process, no folder and no listener are left behind.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARK = f"FIRST_SCREEN={uuid.uuid4()}"


def main():
    port = free_port()
    # A session of its own, so that Ctrl-C goes to the whole of it and not to us.
    run = subprocess.Popen(
        ["env", MARK, f"PORT={port}", "make", "run"],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        digit, iris, metadata = (paste(line) for line in printed_lines(run))
        folder = private_folder()
        expect(digit["results"][0]["classes"][0]["label"] == "7", f"the digit is a 7: {digit}")
        expect(iris["model"] == "iris" and len(iris["results"]) == 1, f"one row of iris: {iris}")
        expect(metadata["name"] == "digits" and metadata["inputs"], f"the metadata of digits: {metadata}")
        expect(folder.exists(), f"{folder} is there")
        if os.geteuid() == 0:
            expect(0 not in {owner(pid) for pid in processes(folder)}, "nothing runs as root")
    finally:
        press_ctrl_c(run)
    expect(not folder.exists(), f"{folder} is gone")
    expect(not processes(folder), f"the processes are gone: {processes(folder)}")
    with socket.socket() as probe:
        expect(probe.connect_ex(("127.0.0.1", port)) != 0, f"nobody listens on port {port}")
    print("first screen: three right answers, nothing left behind")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def printed_lines(run):
    lines = []
    for line in run.stdout:
        print(line, end="", flush=True)
        if line.startswith("curl "):
            lines.append(line.strip())
        if len(lines) == 3:
            return lines
    sys.exit(f"first screen: make run ended with exit code {run.wait()}")


def paste(line):
    answer = subprocess.run(["bash", "-c", line], cwd="/", capture_output=True, text=True, timeout=60).stdout
    print(f"  {answer}")
    return json.loads(answer)


def private_folder():
    """predictd inherited our mark, and its command line names its socket."""
    for process in Path("/proc").glob("[0-9]*"):
        found = re.search(r"unix:(/tmp/predictd-run\.\w+)/", read(process / "cmdline"))
        if found and MARK in read(process / "environ"):
            return Path(found[1])
    sys.exit("first screen: predictd does not listen on a Unix socket in a private folder")


def processes(folder):
    return [p.name for p in Path("/proc").glob("[0-9]*") if str(folder) in read(p / "cmdline")]


def owner(pid):
    return os.stat(f"/proc/{pid}").st_uid


def read(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def press_ctrl_c(run):
    if run.poll() is None:
        os.killpg(run.pid, signal.SIGINT)
    started = time.monotonic()
    try:
        run.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        sys.exit("first screen: still running a minute after Ctrl-C")
    print(f"  stopped in {time.monotonic() - started:.1f} s")


def expect(condition, what):
    if not condition:
        sys.exit(f"first screen: expected: {what}")


if __name__ == "__main__":
    main()
