#!/usr/bin/env python3
"""`make bench`: what predictd costs by each of its wires, beside a server that does nothing (null.c, by uwsgi).

The iris model by JSON: the cheapest request there is, so that the server is measured and not the model. Rounds are
interleaved and their order is reversed every other time, since machines drift; read the ratios, not the rates.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from load import SUMMARY, wrk

ROOT = Path(__file__).resolve().parent.parent.parent
REQUEST = b'{"inputs":[{"name":"measurements","shape":[1,4],"datatype":"FP32","data":[5.1,3.5,1.4,0.2]}]}'
PATH = "/v2/models/iris/infer"

NGINX_CONF = """\
{user}
daemon    off;
pid       nginx.pid;
error_log stderr crit;
events {{ }}
http {{
    access_log off;
    client_body_temp_path tmp_body;
    proxy_temp_path       tmp_proxy;
    fastcgi_temp_path     tmp_fastcgi;
    uwsgi_temp_path       tmp_uwsgi;
    scgi_temp_path        tmp_scgi;
    upstream predictd {{ server unix:{socket}; {keepalive} }}
    server {{
        listen 127.0.0.1:{port};
        include {wire}.conf;
    }}
}}
"""

WRK_LUA = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [[%s]]
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement, after half of it to warm up")
    parser.add_argument("--clients", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--access-log", action="store_true", help="let predictd write its access log (to a file)")
    options = parser.parse_args()

    os.environ["PATH"] += ":/usr/sbin:/sbin"
    cores, busy = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    if busy > cores / 4:
        print(f"bench: the machine is busy (load {busy:.1f} on {cores} cores): no figure will be worth much", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="predictd-bench.", dir="/tmp") as folder:
        servers = []
        try:
            measure(Path(folder), servers, options)
        finally:
            for server in servers:
                server.stop()


def measure(folder, servers, options):
    log, script, answer = folder / "log", folder / "post.lua", folder / "answer"
    script.write_text(WRK_LUA % REQUEST.decode() + SUMMARY)

    environment = {**os.environ, "PREDICTD_LOG__ACCESS": str(options.access_log).lower()}
    for wire in ("uwsgi", "fastcgi", "http"):
        address = folder / f"{wire}.sock"
        command = [target() / "release" / "predictd", "serve", "--listen", f"unix:{address}", "--admin", ""]
        servers.append(Server(wire, [*command, "--models", ROOT / "models"], address, log, environment, wire))

    # The same bytes from all, so that nginx has the same work.
    answer.write_bytes(ask(folder / "uwsgi.sock"))
    require_right(answer.read_bytes())
    null = folder / "null.sock"
    subprocess.run(["cc", "-O2", "-o", folder / "null", ROOT / "tests/yardstick/null.c"], check=True)
    servers.insert(0, Server("null C", [folder / "null", null, answer], null, log))

    print(f"POST {PATH}, nginx {nginx_version()}, {len(os.sched_getaffinity(0))} cores, ", end="")
    print(f"{options.rounds} rounds of {options.seconds} s: medians [min..max]")
    print(row("clients", "server", "req/s", "ratio", "server us", "nginx us", "p50 ms", "p99 ms", "bad"))
    bad = 0
    for clients in options.clients:
        rounds = []
        for number in range(options.rounds):
            progress(f"{clients} clients, round {number + 1} of {options.rounds}")
            order = servers if number % 2 == 0 else servers[::-1]
            rounds.append({server.name: load(server, script, clients, options.seconds) for server in order})
        progress("")
        for server in servers:
            results = [results[server.name] for results in rounds]
            ratios = [results[server.name]["rate"] / results["null C"]["rate"] for results in rounds]
            rates = [result["rate"] / 1000 for result in results]
            median = {key: statistics.median(result[key] for result in results) for key in results[0]}
            wrong = sum(result["bad"] for result in results)
            print(row(
                clients, server.name, spread(rates, ".1f", "k"), spread(ratios, ".2f"), f"{median['server']:.1f}",
                f"{median['nginx']:.1f}", f"{median['p50']:.2f}", f"{median['p99']:.2f}", wrong,
            ), flush=True)  # fmt: skip
            bad += wrong
    if bad:
        sys.exit(f"bench: there were bad answers, so the figures mean nothing\n{tail(log)}")


class Server:
    """A server on a Unix socket, and an nginx of its own in front of it."""

    def __init__(self, name, command, address, log, environment=None, wire="uwsgi"):
        self.name, self.log, self.port, self.wire, self.processes = name, log, free_port(), wire, []
        try:
            self.start(command, environment)
            self.wait_for(address.exists)
            self.start(["nginx", "-p", f"{self.nginx_prefix(address)}/", "-c", "nginx.conf", "-e", "stderr"])
            self.wait_for(lambda: listens(self.port))
        except BaseException:
            self.stop()
            raise

    def nginx_prefix(self, address):
        prefix = self.log.parent / f"nginx-{self.port}"
        prefix.mkdir()
        shutil.copy(ROOT / "nginx" / f"{self.wire}.conf", prefix)
        for params in ("uwsgi_params", "fastcgi_params"):
            shutil.copy(f"/etc/nginx/{params}", prefix)
        keepalive = "" if self.wire == "uwsgi" else "keepalive 128;"
        # Workers of a master that is root would become somebody who may not open the socket.
        user = "user root;" if os.geteuid() == 0 else ""
        conf = NGINX_CONF.format(user=user, socket=address, port=self.port, keepalive=keepalive, wire=self.wire)
        (prefix / "nginx.conf").write_text(conf)
        return prefix

    def start(self, command, environment=None):
        with open(self.log, "ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self.processes.append(process)

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

    def wait_for(self, condition):
        end = time.monotonic() + 60
        while not condition():
            if time.monotonic() > end or any(process.poll() is not None for process in self.processes):
                sys.exit(f"bench: {self.name} does not start:\n{tail(self.log)}")
            time.sleep(0.05)

    def cpu(self):
        """Seconds on a CPU so far: of the server, of its nginx."""
        return [sum(on_cpu(pid) for pid in (process.pid, *children(process.pid))) for process in self.processes]


def load(server, script, clients, seconds):
    options = ["-t1", f"-c{clients}", "-s", script, f"http://127.0.0.1:{server.port}{PATH}"]
    wrk(*options, f"-d{max(1, seconds // 2)}s")
    before = server.cpu()
    said = wrk(*options, f"-d{seconds}s")
    after = server.cpu()
    cpu = [1e6 * (b - a) / max(1, said["requests"]) for a, b in zip(before, after)]
    return {**said, "server": cpu[0], "nginx": cpu[1]}


def on_cpu(pid):
    """Of all its threads: /proc/PID/schedstat is the first one's only."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ask(address):
    """One request straight to the socket; the whole answer, head and body."""
    variables = {
        "REQUEST_METHOD": "POST",
        "REQUEST_URI": PATH,
        "PATH_INFO": PATH,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(REQUEST)),
        "HTTP_HOST": "127.0.0.1",
    }
    texts = [text.encode() for pair in variables.items() for text in pair]
    block = b"".join(len(text).to_bytes(2, "little") + text for text in texts)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect(str(address))
        peer.sendall(b"\0" + len(block).to_bytes(2, "little") + b"\0" + block + REQUEST)
        answer = b""
        while more := peer.recv(65536):
            answer += more
    return answer


def require_right(answer):
    """An iris setosa, to both outputs of the model."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.split()[1:2] != [b"200"]:
        sys.exit(f"bench: predictd answers {answer.decode(errors='replace')}")
    outputs = {output["name"]: output["data"] for output in json.loads(body)["outputs"]}
    if outputs["species"] != [0]:
        sys.exit(f"bench: predictd's answer is wrong: {outputs}")


def row(*cells, form="{:>7}  {:<9}{:>21}{:>19}{:>11}{:>10}{:>8}{:>8}{:>5}"):
    return form.format(*cells)


def spread(values, form, unit=""):
    middle, low, high = (format(value, form) for value in (statistics.median(values), min(values), max(values)))
    return f"{middle}{unit} [{low}..{high}]"


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def tail(log):
    return log.read_text(errors="replace")[-2000:]


def target():
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target")


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def nginx_version():
    return subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip().rpartition("/")[2]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
