"""The failure, as the site's author meets it: uWSGI forks a process that has loaded a model.

ONNX Runtime in ORT_PARALLEL mode stands for Keras here, which does the same and is a hundred times as large: see keras/.
"""

import difflib
import os
import socket
import time

import pytest
from servers import (
    PATIENCE,
    SITE,
    Client,
    Gunicorn,
    Nginx,
    Uwsgi,
    busy_workers,
    cpu_seconds,
    digit,
    free_port,
    samples,
    statistics_of,
    upstream,
    wait_until,
)

# What the author has; and what was found to cure it, at the price of a copy of the model in each process.
OPTIONS = ["master = true", "processes = 2", "enable-threads = true", "thunder-lock = true"]
LAZY = [*OPTIONS, "lazy-apps = true"]
# nginx's own time-out is a minute. Sooner, where it is what we wait for.
LOCATION = "location / { include uwsgi_params; uwsgi_pass django; }"
SOON = "uwsgi_read_timeout 3s;"
CLOSE_WAIT = "08"


def test_the_model_in_the_web_process_never_answers_under_uwsgi(folder, started):
    uwsgi = started(Uwsgi(folder, "before", OPTIONS, tcp=True))
    nginx = started(Nginx(folder, SOON + LOCATION, upstream("django", uwsgi.address)))
    picture = samples()[7][1]
    assert nginx.ask("GET", "/")[0] == 200, "an ordinary page"

    # The client waits for longer than nginx does, which gives up.
    begun = time.monotonic()
    status, _ = nginx.upload("/read/", picture)
    assert status == 504
    assert 2.5 < time.monotonic() - begun < PATIENCE
    assert "upstream timed out" in nginx.process.said()

    # uwsgitop shows what the author saw: the worker is busy, with a request that nobody waits for any more.
    busy = wait_until("a worker is busy", lambda: busy_workers(uwsgi))
    assert len(busy) == 1
    in_request = [core for core in busy[0]["cores"] if core["in_request"]]
    assert any(variable.endswith("/read/") for core in in_request for variable in core["vars"])
    # And nginx has hung up on it.
    wait_until("a connection in CLOSE_WAIT", lambda: CLOSE_WAIT in states_of_connections(uwsgi.address[1]))

    # Why: the threads of the model's runtime are in the master, which loaded it, and no fork has them.
    pid = busy[0]["pid"]
    master = uwsgi.process.popen.pid
    assert len(threads(master)) > len(threads(pid)) == 1
    # So the request waits for what cannot come. (TensorFlow's sleeps.)
    assert never_ends(pid) in ("turning round", "asleep on a futex")
    assert [worker["requests"] for worker in busy_workers(uwsgi)] == [busy[0]["requests"]]

    # It stays so, and the next picture takes the other worker. Then there is nobody left for any page.
    assert nginx.upload("/read/", picture)[0] == 504
    assert {worker["pid"] for worker in wait_until("both are busy", lambda: all_busy(uwsgi))} >= {pid}
    assert nginx.ask("GET", "/")[0] == 504
    nginx.stop()
    uwsgi.process.kill()


def test_without_nginx_between_it_is_the_client_that_waits(folder, started):
    port = free_port()
    uwsgi = started(Uwsgi(folder, "before", [*OPTIONS, f"http-socket = 127.0.0.1:{port}"]))
    client = Client(port)
    assert client.ask("GET", "/")[0] == 200
    with pytest.raises(socket.timeout):
        client.upload("/read/", samples()[7][1], patience=3)
    assert wait_until("a worker is busy", lambda: busy_workers(uwsgi))
    uwsgi.process.kill()


def test_gunicorn_does_so_too_where_it_loads_before_it_forks(folder, started):
    gunicorn = started(Gunicorn(folder, "before", "--workers", "2", "--preload", wire="uwsgi"))
    nginx = started(Nginx(folder, SOON + LOCATION, upstream("django", gunicorn.address)))
    assert nginx.ask("GET", "/")[0] == 200
    assert nginx.upload("/read/", samples()[7][1])[0] == 504
    nginx.stop()
    gunicorn.process.kill()


@pytest.mark.parametrize(
    ("options", "more"),
    [
        pytest.param(LAZY, {}, id="lazy-apps: a copy of the model in each process"),
        pytest.param(["processes = 1"], {"stats": False}, id="one process: no master, no statistics"),
        pytest.param(OPTIONS, {"LOAD_AT_START": "no"}, id="a view that Django imports with the first request"),
        pytest.param(OPTIONS, {"EXECUTION": "sequential"}, id="a session that has no threads between operators"),
    ],
)
def test_it_is_the_fork(options, more, folder, started):
    """The same site answers where no thread of the model's runtime is left on the other side of a fork."""
    uwsgi = started(Uwsgi(folder, "before", options, tcp=True, **more))
    nginx = started(Nginx(folder, LOCATION, upstream("django", uwsgi.address)))
    for shown, picture in samples():
        status, answer = nginx.upload("/read/", picture)
        assert status == 200, answer
        assert digit(answer) == shown
    nginx.stop()
    uwsgi.process.stop()


def test_statistics_bring_the_master_and_with_it_the_fork(folder, started):
    """Why uwsgitop had to go as well: one process, no word of a master, and it hangs again."""
    uwsgi = started(Uwsgi(folder, "before", ["processes = 1"]))
    assert len(uwsgi.process.members()) == 2
    nginx = started(Nginx(folder, SOON + LOCATION, upstream("django", uwsgi.address)))
    assert nginx.upload("/read/", samples()[7][1])[0] == 504
    assert busy_workers(uwsgi)
    nginx.stop()
    uwsgi.process.kill()


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        (
            "",
            [
                "+ import predictd",
                "- from . import network",
                "- model = network.digits()",
                '+ model = predictd.Model("digits")',
            ],
        ),
        (
            "keras_",
            [
                "- import keras",
                "+ import predictd",
                '- model = keras.saving.load_model("keras_digits.keras")',
                '+ model = predictd.Model("keras_digits")',
            ],
        ),
    ],
)
def test_the_cure_is_one_line(kind, changed):
    """And its import. The first line says which version it is."""
    names = (f"{kind}before.py", f"{kind}after.py")
    before, after = ((SITE / "reading" / name).read_text().splitlines()[1:] for name in names)
    assert [line for line in difflib.ndiff(before, after) if line[0] in "+-"] == changed


def all_busy(uwsgi):
    workers = statistics_of(uwsgi)["workers"]
    return workers if all(worker["status"] == "busy" for worker in workers) else []


def threads(pid):
    return os.listdir(f"/proc/{pid}/task")


def never_ends(pid):
    """Waits until it is clear that the process does nothing but wait for another thread, and says how."""
    before, asleep = cpu_seconds(pid), 0

    def how():
        nonlocal asleep
        with open(f"/proc/{pid}/syscall") as file:
            asleep = asleep + 1 if file.read().split()[0] == FUTEX else 0
        if cpu_seconds(pid) - before > 0.5:
            return "turning round"
        return "asleep on a futex" if asleep == 100 else None

    return wait_until("it neither turns round nor sleeps", how)


FUTEX = {"x86_64": "202", "aarch64": "98"}[os.uname().machine]


def states_of_connections(port):
    """The states in which the kernel has the connections to that port of ours."""
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return [row[3] for row in rows if row[1].endswith(f":{port:04X}")]
