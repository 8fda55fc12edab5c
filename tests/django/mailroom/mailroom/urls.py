"""The site's pages."""

from importlib import import_module

from django.conf import settings
from django.urls import path
from reading import pages, permission

reading = import_module(f"reading.{settings.READING}")

urlpatterns = [
    path("", pages.home),
    path("read/", reading.read),
    path("keep/", pages.keep),
    path("kept/<str:name>/", pages.read_kept),
    path("members/read/", permission.hand_over),
    path("may-predict/", permission.may_predict),
]
