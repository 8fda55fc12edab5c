"""The setting ``PREDICTD``, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Tuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

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
        unknown = [key for key in said if key not in _KEYS]
        if unknown:
            raise ImproperlyConfigured(f"PREDICTD has no {unknown[0]!r}; there are {', '.join(_KEYS)}")
        address, timeout, models = said.get("ADDRESS"), said.get("TIMEOUT", 30.0), said.get("MODELS", ())
        if address is not None and not isinstance(address, str):
            raise ImproperlyConfigured(f"PREDICTD['ADDRESS'] must be a text, got {address!r}")
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
            raise ImproperlyConfigured(f"PREDICTD['TIMEOUT'] must be seconds above 0, got {timeout!r}")
        if not isinstance(models, (list, tuple)) or not all(isinstance(name, str) for name in models):
            raise ImproperlyConfigured(f"PREDICTD['MODELS'] must be a list of names, got {models!r}")
        return Settings(address or None, float(timeout), tuple(models))
