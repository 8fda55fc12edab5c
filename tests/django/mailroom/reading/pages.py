"""Pages that need no model to be right, and one that reads what was uploaded before."""

import os
import re
import secrets
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from predictd.django import model

FORM = """\
<!doctype html><title>Mailroom</title><link rel="stylesheet" href="/static/mailroom.css">
<h1>Mailroom</h1>
<form action="/read/" method="post" enctype="multipart/form-data">
<input type="file" name="picture" accept="image/*"><button>Read this digit</button></form>
"""

# Media, but nobody's to fetch: nginx does not serve this folder of it.
KEPT = Path("for_models")


def home(request):
    """An ordinary page."""
    return HttpResponse(FORM + f"<!-- by process {os.getpid()} -->\n")


@csrf_exempt
@require_POST
def keep(request):
    """Keeps an uploaded picture for later, and says under which name."""
    folder = settings.MEDIA_ROOT / KEPT
    folder.mkdir(parents=True, exist_ok=True)
    name = secrets.token_hex(16)
    with open(folder / name, "wb") as file:
        for chunk in request.FILES["picture"].chunks():
            file.write(chunk)
    return JsonResponse({"name": name})


def read_kept(request, name):
    """What digit a kept picture shows."""
    if not re.fullmatch("[0-9a-f]{32}", name):
        raise Http404
    best = model("digits").classify(settings.MEDIA_ROOT / KEPT / name, top_k=1)[0]
    return JsonResponse({"label": best["label"], "score": best["score"]})
