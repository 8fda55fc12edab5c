"""The Django app: settings, models by name, and a check that warns and never stops."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

django = pytest.importorskip("django")

from django.conf import settings  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402
from django.test import override_settings  # noqa: E402

from .harness import ROOT, Peers, Running, request, takes  # noqa: E402

if not settings.configured:
    settings.configure(INSTALLED_APPS=["predictd.django"])
    django.setup()

import predictd.django  # noqa: E402
from django.core.checks import run_checks  # noqa: E402


def checked(said: Any) -> Dict[str, str]:
    """What the check says with these settings: all of it warnings."""
    with override_settings(PREDICTD=said):
        messages = run_checks(tags=["predictd"])
    assert not any(message.is_serious(40) for message in messages)
    return {str(message.id): message.msg for message in messages}


def test_a_model_has_its_address_and_timeout_from_the_settings(server: Running) -> None:
    with override_settings(PREDICTD={"ADDRESS": server.address, "TIMEOUT": 5}):
        model = predictd.django.model("half")
        assert model.predict([[1.0] * 8]).tolist() == [[0.5] * 8]
        assert (model.address, model.timeout) == (server.address, 5.0)
        # What it has learned of the model is kept.
        assert predictd.django.model("half") is model
        assert predictd.django.model("half", version=1).version == "1"
        assert predictd.django.server().ready()
    with override_settings(PREDICTD={"ADDRESS": server.address, "TIMEOUT": 6}):
        assert predictd.django.model("half").timeout == 6.0


def test_without_settings_there_are_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREDICTD_ADDRESS", raising=False)
    model = predictd.django.model("some")
    assert (model.address, model.timeout) == ("unix:/run/predictd/predictd.sock", 30.0)


WRONG: List[Any] = [
    ["ADDRESS"],
    {"ADRESS": "unix:/x"},
    {"ADDRESS": "nowhere"},
    {"ADDRESS": 8090},
    {"TIMEOUT": "30"},
    {"TIMEOUT": 0},
    {"TIMEOUT": None},
    {"MODELS": "digits"},
    {"MODELS": [1]},
]


@pytest.mark.parametrize("said", WRONG, ids=repr)
def test_settings_that_make_no_sense_are_told_and_are_no_error_of_the_check(said: Any) -> None:
    with override_settings(PREDICTD=said), pytest.raises(ImproperlyConfigured, match="PREDICTD"):
        predictd.django.model("digits")
    assert list(checked(said)) == ["predictd.W001"]


def test_the_check_warns_of_what_is_missing(server: Running) -> None:
    assert checked({"ADDRESS": server.address}) == {}
    assert checked({"ADDRESS": server.address, "MODELS": ["digits", "iris"]}) == {}
    missing = checked({"ADDRESS": server.address, "MODELS": ["digits", "nobody"]})
    assert missing == {"predictd.W003": "predictd: there is no model 'nobody'"}
    assert list(checked({"ADDRESS": server.address, "MODELS": ["a/b"]})) == ["predictd.W001"]
    gone = checked({"ADDRESS": "unix:/nowhere/x.sock", "MODELS": ["digits", "iris"]})
    assert list(gone) == ["predictd.W002"]
    assert "there is no socket at unix:/nowhere/x.sock" in gone["predictd.W002"]


def test_the_check_does_not_wait_long(peer: Peers) -> None:
    def script(connection: socket.socket) -> None:
        request(connection)
        connection.recv(1)

    with takes(1.0, 1.5):
        said = checked({"ADDRESS": peer(script).address, "MODELS": ["digits", "iris"]})
    assert list(said) == ["predictd.W002"]
    assert "timed out after 1 s" in said["predictd.W002"]


def test_a_site_starts_without_a_server(tmp_path: Path) -> None:
    (tmp_path / "site_settings.py").write_text(
        'SECRET_KEY = "x"\nINSTALLED_APPS = ["predictd.django"]\n'
        'PREDICTD = {"ADDRESS": "unix:/nowhere/x.sock", "MODELS": ["digits"]}\n'
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT / 'python'}:{tmp_path}",
        "DJANGO_SETTINGS_MODULE": "site_settings",
    }
    done = subprocess.run(
        [sys.executable, "-m", "django", "check"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert (
        "?: (predictd.W002) predictd: there is no socket at unix:/nowhere/x.sock" in done.stderr + done.stdout
    )
