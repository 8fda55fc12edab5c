"""The files of nginx/ for a site: what is Django's, what is predictd's, and who decides."""

import concurrent.futures
import json
import os
import re
import signal
import subprocess
import time

import pytest
from servers import (
    PATIENCE,
    PROGRAM,
    ROOT,
    Nginx,
    Predictd,
    Uwsgi,
    busy_workers,
    digit,
    samples,
    upstream,
    wait_until,
)

OPTIONS = ["master = true", "processes = 2", "threads = 2", "enable-threads = true", "harakiri = 30"]
OPTIONS.append("log-format = %(method) %(uri) with %(cl) bytes: %(status)")
SHARED = ["pass.conf", "errors.conf", "head.conf"]
FILES = ["django.conf", "models.conf", "accel_redirect.conf", "auth_request.conf", *SHARED]
MEMBER = {"Cookie": "member=ada"}


def seven():
    return dict(samples())["7"]


@pytest.fixture
def start(folder, started):
    """Starts predictd, the site and nginx with these files for its server block."""

    def start(*included, reading="pictures", **environment):
        predictd = started(Predictd(folder))
        site = started(Uwsgi(folder, reading, OPTIONS, PREDICTD_ADDRESS=predictd.address, **environment))
        site.collect_static()
        nginx = started(
            Nginx(
                folder,
                "\n".join(f"include predictd/{file};" for file in included),
                upstream("django", site.address) + upstream("predictd", predictd.socket),
                files=FILES,
                edit=lambda text: text.replace("/srv/mailroom/", f"{folder}/"),
            )
        )
        return nginx, site, predictd

    return start


def label(answer):
    """The best class that predictd's own answer names."""
    return json.loads(answer)["results"][0]["classes"][0]["label"]


def error(answer):
    """The text of a JSON error."""
    return json.loads(answer)["error"]


def test_each_url_is_answered_by_whose_it_is(start):
    nginx, site, predictd = start("django.conf", "models.conf")
    assert b"<h1>Mailroom</h1>" in nginx.ask("GET", "/")[2]
    assert b"font-family" in nginx.ask("GET", "/static/mailroom.css")[2]
    for shown, picture in samples():
        status, answer = nginx.upload("/read/", picture)
        assert (status, digit(answer)) == (200, shown), "the view, by the client"
        status, headers, answer = nginx.ask("POST", "/predict/digits?top_k=1", picture, {"X-Request-Id": "mine"})
        assert (status, label(answer)) == (200, shown), "straight"
        assert headers["X-Request-Id"] == "mine"
    assert json.loads(nginx.ask("GET", "/v2/models/digits")[2])["name"] == "digits"
    # What has to stay inside: other names, and what only the admin address has.
    for path in ("/metrics", "/status", "/v2/repository/index"):
        assert nginx.ask("GET", path)[0] in (404, 405), path
    for each in (nginx, site.process, predictd.process):
        each.stop()


@pytest.mark.parametrize("beside", [["models.conf"], ["auth_request.conf"], ["errors.conf", "accel_redirect.conf"]])
def test_the_doctor_finds_nothing_in_them(beside, start, folder):
    _, _, predictd = start("django.conf", *beside)
    command = [PROGRAM, "doctor", "--listen", predictd.address, "--admin", f"unix:{predictd.admin}"]
    command += ["--models", ROOT / "models", "--nginx", folder / "nginx.conf"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"nginx          {folder}/nginx.conf" in done.stdout
    # Of this machine it may say what it likes.
    assert f"{folder}/predictd/" not in done.stdout, done.stdout


def test_media_that_models_read_are_served_by_nobody(start, folder):
    nginx, _, _ = start("django.conf", "models.conf")
    status, answer = nginx.upload("/keep/", seven())
    name = json.loads(answer)["name"]
    assert (folder / "media/for_models" / name).is_file()
    status, _, answer = nginx.ask("GET", f"/kept/{name}/")
    assert (status, digit(answer)) == (200, "7")
    for path in (
        f"/media/for_models/{name}",
        f"/media//for_models/{name}",
        f"/media/./for_models/{name}",
        f"/media/x/../for_models/{name}",
        f"/media/for%5fmodels/{name}",
    ):
        assert nginx.ask("GET", path)[0] == 404, path
    # Other media are.
    (folder / "media/logo").write_bytes(b"a logo")
    assert nginx.ask("GET", "/media/logo")[2] == b"a logo"


def test_what_nginx_says_itself_of_a_model_is_json(start):
    nginx, _, predictd = start("django.conf", "models.conf")
    status, headers, answer = nginx.ask("POST", "/predict/digits", b"x" * (64 * 2**20 + 1))
    assert (status, headers["Content-Type"]) == (413, "application/json")
    assert "client_max_body_size" in error(answer)
    predictd.process.stop()
    status, headers, answer = nginx.ask("POST", "/predict/digits", seven())
    assert (status, headers["Content-Type"]) == (502, "application/json")
    assert error(answer) == "predictd does not answer: the error log of nginx says why"
    assert headers["X-Request-Id"]
    # The view says so in its own words, and all other pages are there.
    status, answer = nginx.upload("/read/", seven())
    assert status == 503
    assert "predictd" in error(answer)
    assert nginx.ask("GET", "/")[0] == 200


def test_a_server_that_stops_moving_costs_a_view_its_timeout_and_no_worker(start):
    nginx, site, predictd = start("django.conf", PREDICTD_TIMEOUT="1")
    os.kill(predictd.process.popen.pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: nginx.upload("/read/", seven()), range(8)))
        # Two at a time in each of two processes.
        assert [status for status, _ in answers] == [503] * 8
        assert time.monotonic() - begun < 30
        assert nginx.ask("GET", "/")[0] == 200
        wait_until("all workers are free", lambda: not busy_workers(site))
    finally:
        os.kill(predictd.process.popen.pid, signal.SIGCONT)
    status, answer = nginx.upload("/read/", seven())
    assert (status, digit(answer)) == (200, "7")
    assert "HARAKIRI" not in site.process.said()


def test_django_decides_and_nginx_hands_the_body_over(start):
    nginx, site, _ = start("django.conf", "errors.conf", "accel_redirect.conf")
    # Small ones, and one that goes through a file, since it is larger than the buffer.
    large = seven() + b"\0" * (3 * 2**20)
    for picture in (seven(), large):
        status, headers, answer = nginx.ask("POST", "/members/read/", picture, MEMBER)
        assert (status, label(answer)) == (200, "7"), answer
        assert len(json.loads(answer)["results"][0]["classes"]) == 1, "the view's top_k"
        assert headers["X-Request-Id"]
        assert "X-Predictd-Path" not in headers
    for headers in ({}, {"Cookie": "member=eve"}, {"X-Accel-Redirect": "@predictd", "X-Predictd-Path": "/predict/digits"}):
        status, _, answer = nginx.ask("POST", "/members/read/", seven(), headers)
        assert (status, error(answer)) == (403, "members only")
    # predictd's own errors pass.
    status, _, answer = nginx.ask("POST", "/members/read/", b"no picture", {**MEMBER, "Content-Type": "image/png"})
    assert status == 422
    assert "picture" in error(answer)
    assert nginx.ask("POST", "/members/read/", b"x" * (64 * 2**20 + 1), MEMBER)[0] == 413
    # Django had the heads alone.
    assert "POST /members/read/ with 0 bytes" in site.process.said()
    assert not re.search("/members/read/ with [1-9]", site.process.said())


def test_a_chunked_upload_is_handed_over_whole(start):
    nginx, _, _ = start("django.conf", "models.conf", "accel_redirect.conf")
    status, _, answer = nginx.ask("POST", "/members/read/", iter([seven()[:100], seven()[100:]]), MEMBER)
    assert (status, label(answer)) == (200, "7"), answer


def test_django_says_who_may_ask(start):
    nginx, site, _ = start("django.conf", "auth_request.conf")
    for shown, picture in samples():
        status, _, answer = nginx.ask("POST", "/predict/digits", picture, MEMBER)
        assert (status, label(answer)) == (200, shown)
    status, headers, answer = nginx.ask("POST", "/predict/digits", seven())
    assert (status, headers["Content-Type"]) == (403, "application/json")
    assert error(answer) == "you may not do this"
    status, _, answer = nginx.ask("POST", "/predict/digits", seven(), {"Cookie": "member="})
    assert (status, error(answer)) == (401, "log in first")
    assert nginx.ask("GET", "/v2/models/digits")[0] == 403
    assert nginx.ask("GET", "/v2/models/digits", headers=MEMBER)[0] == 200
    assert nginx.ask("GET", "/_may_predict")[0] == 404, "nobody asks that"
    assert nginx.ask("GET", "/")[0] == 200
    # Where nobody can say who may, nobody may.
    site.process.stop()
    status, headers, answer = nginx.ask("POST", "/predict/digits", seven(), MEMBER)
    assert (status, headers["Content-Type"]) == (500, "application/json")


def test_of_several_instances_one_may_go(folder, started):
    instances = [started(Predictd(folder, name=f"predictd-{number}")) for number in range(2)]

    def edit(text):
        for number, instance in enumerate(instances):
            text = text.replace(f"/run/predictd-{number}/predictd.sock", instance.socket)
        return text

    nginx = started(
        Nginx(
            folder,
            "include predictd/errors.conf; location / { include predictd/pass.conf; }",
            "include predictd/instances.conf;",
            files=["instances.conf", *SHARED],
            edit=edit,
        )
    )

    def ask(number):
        shown, picture = samples()[number % 10]
        status, _, answer = nginx.ask("POST", "/predict/digits", picture)
        return status == 200 and label(answer) == shown

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(200)))
        rows = [executions(instance) for instance in instances]
        assert min(rows) > 0, rows
        # Outright, in the middle of it.
        answers = [pool.submit(ask, number) for number in range(200)]
        instances[0].process.kill()
        assert all(answer.result() for answer in answers)
        assert all(pool.map(ask, range(50)))
    assert executions(instances[1]) > rows[1]


def executions(instance):
    return sum(worker["rows_total"] for worker in instance.status()["workers"])
