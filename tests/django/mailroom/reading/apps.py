"""The app, which loads its view when the site starts."""

from importlib import import_module

from django.apps import AppConfig
from django.conf import settings


class ReadingConfig(AppConfig):
    """Loads the model once, at the start, as the advice goes: else the first visitor would wait for it."""

    name = "reading"

    def ready(self):
        """Imports the view, and what it needs with it: under uWSGI's master, before the fork."""
        if settings.LOAD_AT_START:
            import_module(f"reading.{settings.READING}")
