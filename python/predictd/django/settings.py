"""The setting ``PREDICTD``, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Tuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from predictd._address import Address
from predictd._deadline import seconds
from predictd._errors import BadInput

_KEYS = ("ADDRESS", "TIMEOUT", "MODELS")


@dataclass(frozen=True)
class Settings:
    """What ``PREDICTD`` says, and the defaults of what it does not."""

    address: Optional[str]
    timeout: float
    models: Tuple[str, ...]

    @staticmethod
    def read() -> Settings:
        """As they are now, since tests override them.

        Raises:
            ImproperlyConfigured: if they make no sense.
        """
        said: Any = getattr(settings, "PREDICTD", {})
        if not isinstance(said, dict):
            raise ImproperlyConfigured(f"PREDICTD must be a dict with {', '.join(_KEYS)}, got {said!r}")
        for key in said:
            if key not in _KEYS:
                raise ImproperlyConfigured(f"PREDICTD has no {key!r}; there are {', '.join(_KEYS)}")
        models = said.get("MODELS", ())
        if not isinstance(models, (list, tuple)) or not all(isinstance(name, str) for name in models):
            raise ImproperlyConfigured(f"PREDICTD['MODELS'] must be a list of names, got {models!r}")
        try:
            address = said.get("ADDRESS")
            Address(address)
            return Settings(address, seconds(said.get("TIMEOUT", 30.0)), tuple(models))
        except BadInput as error:
            raise ImproperlyConfigured(f"PREDICTD: {error}") from error
