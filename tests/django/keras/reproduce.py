#!/usr/bin/env python3
"""The failure with TensorFlow itself, and its cure: README.md beside this file says what it takes.

Prints what each way to run the site does with a picture, or three. Exit code 1 where that is not as expected.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from servers import Nginx, Predictd, Uwsgi, busy_workers, cpu_seconds, digit, samples, upstream

MASTER = ["master = true", "processes = 2"]
EVERYTHING = ["master = true", "processes = 4", "threads = 2", "cheaper = 1", "thunder-lock = true", "harakiri = 60"]
# What is run, whether with uWSGI's statistics, and whether it should answer.
WAYS = [
    ("keras_before", MASTER, True, False),
    ("keras_before", [*MASTER, "enable-threads = true"], True, False),
    ("keras_before", ["processes = 1"], True, False),
    ("keras_before", ["processes = 1"], False, True),
    ("keras_before", [*MASTER, "lazy-apps = true"], True, True),
    ("keras_after", EVERYTHING, True, True),
]
# Seconds that nginx gives a page that will not come, and one that will: it waits for a worker to load TensorFlow.
LIMITS = {False: 15, True: 120}


def main():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    unexpected = 0
    with tempfile.TemporaryDirectory(prefix="predictd-keras.", dir="/tmp") as name:
        folder = Path(name)
        subprocess.run([sys.executable, HERE / "make_model.py", folder], check=True, stderr=subprocess.DEVNULL)
        for reading, options, stats, expected in WAYS:
            print(f"{reading:13} {', '.join([*options, 'stats = ...'] if stats else options)}:", end=" ", flush=True)
            said, as_expected = ask(folder, reading, options, stats, expected)
            print(said, "" if as_expected else "  <-- not as expected", flush=True)
            unexpected += not as_expected
    sys.exit(unexpected > 0)


def ask(folder, reading, options, stats, expected):
    predictd = Predictd(folder, models=[folder / "keras_digits"])
    lines = [f"chdir = {folder}", *options]
    site = Uwsgi(folder, reading, lines, stats=stats, PREDICTD_ADDRESS=predictd.address)
    location = f"location / {{ include uwsgi_params; uwsgi_pass django; uwsgi_read_timeout {LIMITS[expected]}s; }}"
    nginx = Nginx(folder, location, upstream("django", site.address))
    try:
        said, right = [], 0
        for shown, picture in samples()[7:10] if expected else samples()[7:8]:
            begun = time.monotonic()
            status, answer = nginx.upload("/read/", picture, patience=2 * LIMITS[expected])
            took = time.monotonic() - begun
            said.append(f"{status} in {took:.2f} s")
            right += status == 200 and digit(answer) == shown
        if not expected:
            said += [f"worker busy, {waits_in(worker['pid'])}" for worker in busy_workers(site)]
        return "; ".join(said), right == 3 if expected else right == 0
    finally:
        for process in (nginx.process, site.process, predictd.process):
            process.kill()


def waits_in(pid):
    """What its first thread does: the kernel's name for where it sleeps, or how much of a second it is running."""
    before = cpu_seconds(pid)
    time.sleep(1)
    used = cpu_seconds(pid) - before
    return f"{used:.1f} s CPU a second, sleeps in {Path(f'/proc/{pid}/wchan').read_text()}"


if __name__ == "__main__":
    main()
