"""The cure: the same site with its model in predictd, under everything that its author had to switch off, and elsewhere."""

import concurrent.futures
import os

import pytest
from servers import (
    Gunicorn,
    Nginx,
    Predictd,
    Runserver,
    Uwsgi,
    busy_workers,
    digit,
    samples,
    statistics_of,
    upstream,
    wait_until,
)

CLIENTS = 32
CORES = len(os.sched_getaffinity(0))

# All that uWSGI has to offer, and no lazy-apps.
EVERYTHING = [
    "master = true",
    "processes = 4",
    "cheaper = 1",
    "cheaper-initial = 2",
    "cheaper-overload = 1",
    "threads = 2",
    "enable-threads = true",
    "thunder-lock = true",
    "harakiri = 60",
    "max-requests = 50",
    "reload-mercy = 5",
]

SITES = {
    "uwsgi": lambda folder, **more: Uwsgi(folder, "after", EVERYTHING, **more),
    "uwsgi-single": lambda folder, **more: Uwsgi(folder, "after", ["processes = 1", "threads = 4"], **more),
    "gunicorn-sync": lambda folder, **more: Gunicorn(folder, "after", "--workers", "4", **more),
    "gunicorn-preload": lambda folder, **more: Gunicorn(folder, "after", "--workers", "4", "--preload", **more),
    "gunicorn-gthread": lambda folder, **more: Gunicorn(
        folder, "after", "--workers", "2", "--worker-class", "gthread", "--threads", "4", **more
    ),
    "gunicorn-uwsgi": lambda folder, **more: Gunicorn(folder, "after", "--workers", "4", wire="uwsgi", **more),
    "runserver": lambda folder, **more: Runserver(folder, "after", "--noreload", **more),
    "runserver-reloading": lambda folder, **more: Runserver(folder, "after", **more),
}


def location(site):
    if site.wire == "uwsgi":
        return "location / { include uwsgi_params; uwsgi_pass django; }"
    return "location / { proxy_pass http://django; proxy_set_header Host $host; }"


@pytest.mark.parametrize("name", SITES)
def test_32_clients_get_right_answers_and_everything_ends(name, folder, started):
    predictd = started(Predictd(folder))
    site = started(SITES[name](folder, PREDICTD_ADDRESS=predictd.address))
    nginx = started(Nginx(folder, location(site), upstream("django", site.address)))

    def client(number):
        wrong = []
        for turn in range(10):
            shown, picture = samples()[(number + turn) % 10]
            status, answer = nginx.upload("/read/", picture)
            if status != 200 or digit(answer) != shown:
                wrong.append((shown, status, answer))
            if turn % 5 == 0 and nginx.ask("GET", "/")[0] != 200:
                wrong.append("/")
        return wrong

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(client, number) for number in range(CLIENTS)]
        # Meanwhile both servers say what goes on.
        while not all(each.done() for each in clients):
            assert predictd.status()["ready"]
            assert len(statistics_of(predictd)["workers"]) >= CORES
            if isinstance(site, Uwsgi):
                assert len(statistics_of(site)["workers"]) == site.processes
            concurrent.futures.wait(clients, 0.2)
    assert [wrong for each in clients for wrong in each.result()] == []

    # Each picture was a row of some worker's run, and no core was left out, of as many as so few clients can fill.
    workers = predictd.status()["workers"]
    cores = {worker["cpu"] for worker in workers if worker["executions"] > 0}
    assert len(cores) >= min(CORES, 8), workers
    assert sum(worker["rows_total"] for worker in workers) >= 10 * CLIENTS
    if isinstance(site, Uwsgi):
        wait_until("nobody is busy", lambda: not busy_workers(site))
    nginx.stop()
    site.process.stop()
    assert predictd.process.stop() == 0
    assert not os.path.exists(predictd.socket)
