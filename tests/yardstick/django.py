#!/usr/bin/env python3
"""The same Django site four ways, side by side: its model in the web process, as far as that works, and in predictd.

    scripts/setup.sh nginx wrk cc python-headers onnxruntime django && models/fetch.py efficientnet -d target/models
    cargo build --release --bin predictd
    target/tools/bin/python -B tests/yardstick/django.py

EfficientNet-Lite0 on a photo of 31 kB, through nginx. Prints a table in Markdown: pictures a second, how long they take, how
long an ordinary page takes meanwhile, memory, and what becomes of both while two predictions are slow. Rounds are
interleaved, and their order is turned every other time, since machines drift: read the ratios, not the rates.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from load import SUMMARY, wrk

ROOT = Path(__file__).resolve().parents[2]
# Not this folder, whose name for this file is Django's, too.
sys.path[0] = str(ROOT / "tests/django")
# As it is installed, and not as it is tested.
os.environ.setdefault("PREDICTD", str(Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"), "release/predictd")))

from servers import TARGET, Gunicorn, Nginx, Predictd, Uwsgi, upstream  # noqa: E402

PHOTO = ROOT / "tests/data/photos/cat.jpg"
LABEL = b'"285"'
CORES = len(os.sched_getaffinity(0))
EVERYTHING = ["master = true", "processes = 4", "threads = 2", "enable-threads = true", "thunder-lock = true"]
BOUNDARY = "b-o-u-n-d-a-r-y"

# What is measured: name, version of the view, how it is served.
WAYS = {
    "uWSGI, 1 process without master, 4 threads": (
        "photo_before",
        lambda *to, **env: Uwsgi(*to, ["processes = 1", "threads = 4"], stats=False, **env),
    ),
    f"uWSGI, lazy-apps, {CORES} processes": (
        "photo_before",
        lambda *to, **env: Uwsgi(*to, ["master = true", f"processes = {CORES}", "lazy-apps = true"], **env),
    ),
    f"gunicorn, {CORES} workers": (
        "photo_before",
        lambda *to, **env: Gunicorn(*to, "--workers", str(CORES), wire="uwsgi", **env),
    ),
    "uWSGI + predictd, by one line": ("photo_after", lambda *to, **env: Uwsgi(*to, EVERYTHING, **env)),
    "the same, which reads the picture, too": ("photo_pictures", lambda *to, **env: Uwsgi(*to, EVERYTHING, **env)),
}

SCRIPT = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "multipart/form-data; boundary=%s"
local file = io.open("%s", "rb")
wrk.body = file:read("*a")
file:close()
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--slow-rows", type=int, default=50, help="photos of a slow prediction")
    parser.add_argument("--models", type=Path, default=TARGET / "models", help="where efficientnet is")
    options = parser.parse_args()
    if not (options.models / "efficientnet/model.onnx").is_file():
        sys.exit(f"no efficientnet in {options.models}: models/fetch.py efficientnet -d {options.models}")
    busy = os.getloadavg()[0]
    if busy > CORES / 4:
        print(f"django: the machine is busy (load {busy:.1f} on {CORES} cores): no figure will be worth much", file=sys.stderr)

    results = {name: [] for name in WAYS}
    for number in range(options.rounds):
        for name in list(WAYS)[:: 1 if number % 2 == 0 else -1]:
            print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr)
            results[name].append(measured(name, options))

    photo = f"a photo of {PHOTO.stat().st_size // 1000} kB"
    print(f"EfficientNet-Lite0, {photo}, {options.clients} clients, {CORES} cores;", end=" ")
    print(f"medians of {options.rounds} rounds of {options.seconds} s;", end=" ")
    print(f"slow: meanwhile 2 clients with {options.slow_rows} photos a request\n")
    print("| | pictures/s | p50 | p99 | page p99 | memory | slow: picture p99 | slow: page p99 | bad |")
    print("|---|---|---|---|---|---|---|---|---|")
    bad = 0
    for name, rounds in results.items():
        median = {key: statistics.median(result[key] for result in rounds) for key in rounds[0]}
        wrong = sum(result["bad"] for result in rounds)
        times = {key: f"{median[key]:.0f} ms" for key in ("p50", "p99", "page", "slow_picture", "slow_page")}
        row = [name, f"{median['rate']:.1f}", times["p50"], times["p99"], times["page"], f"{median['memory']:.0f} MB"]
        print("|", " | ".join([*row, times["slow_picture"], times["slow_page"], str(wrong)]), "|")
        bad += wrong
    if bad:
        sys.exit("django: there were bad answers, so the figures mean nothing")


def measured(name, options):
    """Starts one way, and measures it."""
    reading, start = WAYS[name]
    folder = Path(tempfile.mkdtemp(prefix="predictd-django.", dir="/tmp"))
    running = []
    try:
        environment = {"MODELS": str(options.models)}
        if reading != "photo_before":
            running.append(Predictd(folder, models=[options.models / "efficientnet"]))
            environment["PREDICTD_ADDRESS"] = running[0].address
        site = start(folder, reading, **environment)
        running.append(site)
        location = "location / { include uwsgi_params; uwsgi_pass django; uwsgi_read_timeout 120s; client_max_body_size 8m; }"
        nginx = Nginx(folder, location, upstream("django", site.address))
        running.append(nginx)
        form = folder / "form"
        form.write_bytes(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="picture"; filename="x"\r\n\r\n'.encode()
            + PHOTO.read_bytes()
            + f"\r\n--{BOUNDARY}--\r\n".encode()
        )
        (folder / "post.lua").write_text(SCRIPT % (BOUNDARY, form) + SUMMARY)

        # Each process has its first time, which is nobody's measure.
        load(nginx, folder, options.clients, 3)
        asked = Asker(nginx, "GET", "/", None)
        result = load(nginx, folder, options.clients, options.seconds)
        result["page"] = asked.p99(result)
        result["memory"] = sum(memory(each.process) for each in running if each is not nginx)

        slow = [Asker(nginx, "POST", f"/read/?rows={options.slow_rows}", form, 0) for _ in range(2)]
        picture, page = Asker(nginx, "POST", "/read/", form), Asker(nginx, "GET", "/", None)
        time.sleep(options.seconds)
        result["slow_picture"], result["slow_page"] = picture.p99(result), page.p99(result)
        for each in slow:
            each.p99(result)
        return result
    finally:
        for each in reversed(running):
            each.process.kill()
        shutil.rmtree(folder)


def load(nginx, folder, clients, seconds):
    """What wrk says of so many clients that do nothing but send the photo."""
    options = ["-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "-s", folder / "post.lua"]
    return wrk(*options, f"http://127.0.0.1:{nginx.port}/read/")


class Asker:
    """One client that asks again and again, with pauses, in a thread of its own."""

    def __init__(self, nginx, method, path, form, pause=0.02):
        self.ended, self.times, self.bad = threading.Event(), [], 0
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"} if form else {}
        body = form.read_bytes() if form else b""

        def ask():
            while not self.ended.is_set():
                begun = time.monotonic()
                status, _, answer = nginx.ask(method, path, body, headers, patience=120)
                self.times.append((time.monotonic() - begun) * 1e3)
                self.bad += status != 200 or (form is not None and LABEL not in answer)
                self.ended.wait(pause)

        self.thread = threading.Thread(target=ask, daemon=True)
        self.thread.start()

    def p99(self, result):
        """Ends it: how long 99 of 100 took no longer than, in ms. Bad answers count in `result`."""
        self.ended.set()
        self.thread.join()
        result["bad"] += self.bad
        return sorted(self.times)[-(len(self.times) // 100) - 1]


def memory(process):
    """MB that are a server's own, with its part of what is shared."""
    total = 0
    for pid in process.members():
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:")))
    return total / 1e3


if __name__ == "__main__":
    main()
