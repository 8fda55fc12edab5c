"""predictd for a Django site: models by name, the address from the settings.

In the settings (each of them may be left out)::

    INSTALLED_APPS = [..., "predictd.django"]  # for the check; model() works without
    PREDICTD = {
        "ADDRESS": "unix:/run/predictd/predictd.sock",  # else PREDICTD_ADDRESS, else this
        "TIMEOUT": 30.0,  # seconds of each call in all
        "MODELS": ["digits"],  # `manage.py check` warns if one is missing
    }

In a view::

    from predictd.django import model

    model("digits").predict(x)
"""

from __future__ import annotations

from functools import lru_cache
from typing import Optional, Union

from predictd import Model, Server

from .settings import Settings

__all__ = ["model", "server"]


def model(name: str, *, version: Union[int, str, None] = None) -> Model:
    """The model of that name on the server that the settings name."""
    settings = Settings.read()
    return _model(name, settings.address, None if version is None else str(version), settings.timeout)


def server() -> Server:
    """The server that the settings name."""
    settings = Settings.read()
    return Server(settings.address, timeout=settings.timeout)


# A model's object knows what the model takes once it has asked. That is all: it may be shared by threads and over forks.
@lru_cache(maxsize=256)
def _model(name: str, address: Optional[str], version: Optional[str], timeout: float) -> Model:
    return Model(name, address, version=version, timeout=timeout)
