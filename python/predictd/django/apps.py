"""The app: it has nothing but its check."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks

from .checking import check_server


class PredictdConfig(AppConfig):
    """``INSTALLED_APPS = [..., "predictd.django"]``"""

    name = "predictd.django"
    label = "predictd"
    verbose_name = "predictd"

    def ready(self) -> None:
        """Registers the check. Nothing is asked here: a site starts whether or not the server is there."""
        checks.register(check_server, "predictd")
