"""A small site: what `django-admin startproject` writes, without a database.

The environment says what differs from one run to the next: DATA, the folder of what is uploaded and collected; READING, which
version of the view answers; PREDICTD_ADDRESS, which the client reads by itself.
"""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("DATA", "/tmp/mailroom"))

# Nobody signs anything here.
SECRET_KEY = os.environ.get("SECRET_KEY", "not a secret: this site has no sessions")
DEBUG = bool(os.environ.get("DEBUG"))
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

INSTALLED_APPS = [
    "django.contrib.staticfiles",
    "predictd.django",
    "reading",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
ROOT_URLCONF = "mailroom.urls"
WSGI_APPLICATION = "mailroom.wsgi.application"
DATABASES = {}
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA / "static"
MEDIA_URL = "/media/"
MEDIA_ROOT = DATA / "media"

# The module of the view that answers at /read/: before, after, pictures, ...
READING = os.environ.get("READING", "after")
# Or else with the first request, as Django does with views.
LOAD_AT_START = os.environ.get("LOAD_AT_START", "yes") == "yes"
# Where models are that this process loads itself.
MODELS = Path(os.environ.get("MODELS", BASE_DIR.parents[2] / "models"))

PREDICTD = {"TIMEOUT": float(os.environ.get("PREDICTD_TIMEOUT", "10"))}
