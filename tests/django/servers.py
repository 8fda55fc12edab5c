"""The servers of a site, each a real one in a folder of its own: uWSGI, gunicorn, runserver, predictd, nginx.

Whatever is started here is ended here, and `stop` fails where a process is left behind.
"""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "tests/django/mailroom"
SAMPLES = ROOT / "models/digits/samples"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PROGRAM = Path(os.environ.get("PREDICTD", TARGET / "debug/predictd"))
# Where pip has put uwsgi and gunicorn, too.
BIN = Path(sys.executable).parent
# Of everything that is bound to come: CI's machine may be busy.
PATIENCE = 60

UWSGI_PARAMS = Path("/etc/nginx/uwsgi_params")


def wait_until(what, done, patience=PATIENCE):
    """Waits for what is bound to come, and gives it."""
    end = time.monotonic() + patience
    while True:
        result = done()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"{patience} s in vain: {what}")
        time.sleep(0.01)


def free_port():
    """A TCP port that nobody has now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def temporary_folder():
    """A folder whose path is short enough for sockets in it."""
    return Path(tempfile.mkdtemp(prefix="predictd-django.", dir="/tmp"))


class Process:
    """A server, with all processes that it starts: they are a session of their own, by which they are found."""

    def __init__(self, command, log, environment=None, cwd=None):
        self.log = Path(log)
        with open(self.log, "ab") as output:
            self.popen = subprocess.Popen(
                [str(argument) for argument in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=cwd,
                start_new_session=True,
            )

    def members(self):
        """The ids of all its processes that live."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                state = stat(entry.name)
                if state and int(state[3]) == self.popen.pid and state[0] not in "ZX":
                    found.append(int(entry.name))
        return sorted(found)

    def wait_for(self, what, done):
        """Waits while it lives."""

        def done_or_dead():
            if self.popen.poll() is not None:
                raise AssertionError(f"exit code {self.popen.returncode} before {what}:\n{self.said()}")
            return done()

        try:
            return wait_until(what, done_or_dead)
        except BaseException:
            self.kill()
            raise

    def said(self):
        """What it wrote."""
        return self.log.read_text(errors="replace")

    def stop(self, signum=signal.SIGTERM):
        """Ends it as its own service would be ended: nothing may be left. Gives the exit code."""
        self.popen.send_signal(signum)
        try:
            code = self.popen.wait(PATIENCE)
            wait_until("all of its processes end", lambda: not self.members(), 5)
        except (subprocess.TimeoutExpired, AssertionError):
            left = [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in self.members()]
            raise AssertionError(f"left behind: {left}\n{self.said()}") from None
        finally:
            self.kill()
        return code

    def kill(self):
        """Ends what is still there, and what that starts meanwhile."""

        def none_left():
            members = self.members()
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not members

        wait_until("all of its processes are killed", none_left)
        self.popen.wait()


def stat(pid, thread=None):
    """The fields of /proc/PID/stat after the name, beginning with the state; None where it has gone."""
    path = f"/proc/{pid}/stat" if thread is None else f"/proc/{pid}/task/{thread}/stat"
    try:
        return Path(path).read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def cpu_seconds(pid, thread=None):
    """User and system time that it has had."""
    fields = stat(pid, thread)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listens(address):
    """Whether somebody accepts connections there."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(1)
        try:
            client.connect(address)
        except OSError:
            return False
        return True


class Predictd:
    """predictd, with the models named, and its admin address."""

    def __init__(self, folder, *more, models=("digits",), name="predictd", settings=None):
        self.socket, self.admin = str(folder / f"{name}.sock"), str(folder / f"{name}-admin.sock")
        self.stats_socket = str(folder / f"{name}-stats.sock")
        self.address = f"unix:{self.socket}"
        command = [PROGRAM, "serve", "--listen", self.address, "--admin", f"unix:{self.admin}", *more]
        for model in models:
            path = ROOT / "models" / model if isinstance(model, str) else model
            command += ["--model", f"{path.name}={path}"]
        settings = {"PREDICTD_UWSGI_STATS": f"unix:{self.stats_socket}", **(settings or {})}
        self.process = Process(command, folder / f"{name}.log", settings)
        self.process.wait_for("predictd listens", lambda: listens(self.socket) and listens(self.admin))

    def status(self):
        """What `GET /status` on the admin address says."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(self.admin)
            client.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = http.client.HTTPResponse(client)
            answer.begin()
            return json.load(answer)


class Site:
    """The Django site in one of its versions, under a server that speaks `wire` on `address`."""

    def __init__(self, folder, reading, environment):
        self.folder = folder
        self.environment = {
            "DATA": str(folder),
            "READING": reading,
            "DJANGO_SETTINGS_MODULE": "mailroom.settings",
            "PYTHONPATH": os.pathsep.join([str(SITE), str(ROOT / "python")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        }
        self.wire = "uwsgi"

    def collect_static(self):
        """What a deployment does."""
        command = [sys.executable, SITE / "manage.py", "collectstatic", "--noinput"]
        subprocess.run(command, env={**os.environ, **self.environment}, check=True, stdout=subprocess.DEVNULL)


class Uwsgi(Site):
    """uWSGI with these lines in its configuration. The statistics bring its master with them, whatever the lines say."""

    def __init__(self, folder, reading, lines, tcp=False, stats=True, **environment):
        super().__init__(folder, reading, environment)
        port = free_port()
        self.address = ("127.0.0.1", port) if tcp else str(folder / "uwsgi.sock")
        self.processes = next(int(line.split("=")[1]) for line in lines if line.startswith("processes"))
        self.stats_socket = str(folder / "uwsgi-stats.sock")
        config = [
            "[uwsgi]",
            f"socket = 127.0.0.1:{port}" if tcp else f"socket = {self.address}",
            "chmod-socket = 666",
            *([f"stats = {self.stats_socket}"] if stats else []),
            "module = mailroom.wsgi",
            "need-app = true",
            # SIGTERM ends it, as it ends every other service.
            "die-on-term = true",
            *lines,
        ]
        (folder / "uwsgi.ini").write_text("\n".join(config) + "\n")
        self.process = Process([BIN / "uwsgi", folder / "uwsgi.ini"], folder / "uwsgi.log", self.environment)
        listening = [self.address, self.stats_socket] if stats else [self.address]
        self.process.wait_for(
            "uWSGI is ready", lambda: "spawned uWSGI worker" in self.process.said() and all(map(listens, listening))
        )


def statistics_of(server):
    """What its stats socket says, which is what uwsgitop shows: uWSGI's and predictd's alike."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(server.stats_socket)
        return json.loads(b"".join(iter(lambda: client.recv(65536), b"")))


def busy_workers(uwsgi):
    """What uWSGI says of those that are in a request."""
    return [worker for worker in statistics_of(uwsgi)["workers"] if worker["status"] == "busy"]


class Gunicorn(Site):
    """gunicorn, by HTTP or by the uwsgi protocol."""

    def __init__(self, folder, reading, *arguments, wire="http", **environment):
        super().__init__(folder, reading, environment)
        self.wire = wire
        self.address = str(folder / "gunicorn.sock")
        if wire == "uwsgi":
            arguments = ["--protocol", "uwsgi", "--uwsgi-allow-from", "*", *arguments]
        command = [BIN / "gunicorn", "--bind", f"unix:{self.address}", *arguments, "mailroom.wsgi"]
        self.process = Process(command, folder / "gunicorn.log", self.environment)
        self.process.wait_for("gunicorn is ready", lambda: "Booting worker" in self.process.said() and listens(self.address))


class Runserver(Site):
    """Django's own, as everybody begins."""

    def __init__(self, folder, reading, *arguments, **environment):
        super().__init__(folder, reading, {"DEBUG": "1", **environment})
        self.wire = "http"
        port = free_port()
        self.address = ("127.0.0.1", port)
        command = [sys.executable, SITE / "manage.py", "runserver", *arguments, f"127.0.0.1:{port}"]
        self.process = Process(command, folder / "runserver.log", self.environment)
        self.process.wait_for("runserver is ready", lambda: listens(self.address))


class Client:
    """Browsers, which ask at a port."""

    def __init__(self, port):
        self.port = port

    def ask(self, method, path, body=b"", headers=None, patience=PATIENCE):
        """One request on a connection of its own: status, headers and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patience)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def upload(self, path, picture, patience=PATIENCE, **headers):
        """Sends a form with one picture, as a browser does: status and body of the answer."""
        boundary = uuid.uuid4().hex
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="picture"; filename="x"\r\n\r\n'
        body = head.encode() + picture + f"\r\n--{boundary}--\r\n".encode()
        headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
        status, _, answer = self.ask("POST", path, body, headers, patience)
        return status, answer


class Nginx(Client):
    """nginx before a site and predictd, with these files of nginx/ where /etc/nginx/predictd has them."""

    def __init__(self, folder, server, http="", files=(), edit=lambda text: text):
        super().__init__(free_port())
        shipped = folder / "predictd"
        shutil.rmtree(shipped, ignore_errors=True)
        shipped.mkdir()
        for file in files:
            (shipped / file).write_text(edit((ROOT / "nginx" / file).read_text()))
        (folder / "uwsgi_params").write_bytes(UWSGI_PARAMS.read_bytes())
        temporary = "".join(f"{kind}_temp_path tmp_{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(f"""\
daemon off;
{"user root;" if os.geteuid() == 0 else ""}
pid nginx.pid;
error_log stderr warn;
worker_processes 2;
events {{ worker_connections 1024; }}
http {{
types {{ text/html html; text/css css; }}
access_log off;
{temporary}
{http}
server {{
listen 127.0.0.1:{self.port};
{server}
}}
}}
""")
        program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        self.process = Process([program, "-p", folder, "-c", "nginx.conf", "-e", "stderr"], folder / "nginx.log")
        self.process.wait_for("nginx listens", lambda: listens(("127.0.0.1", self.port)))

    def stop(self):
        """Ends it at once."""
        self.process.stop(signal.SIGTERM)


def upstream(name, address, more=""):
    """nginx's block of that name, for one server."""
    server = f"unix:{address}" if isinstance(address, str) else f"{address[0]}:{address[1]}"
    return f"upstream {name} {{ server {server}; {more} }}\n"


def samples():
    """Pictures of which we know what they show: (digit, bytes)."""
    return [(str(digit), (SAMPLES / f"{digit}.png").read_bytes()) for digit in range(10)]


def digit(answer):
    """The digit that a view's answer names."""
    return re.search(rb'"label": ?"(\d)"', answer)[1].decode()
