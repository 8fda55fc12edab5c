"""The view with the model in the web process: right under runserver, and hangs under uWSGI."""

from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from . import network
from .picture import array

model = network.digits()


@csrf_exempt
@require_POST
def read(request):
    """What digit the uploaded picture shows."""
    scores = model.predict(array(request.FILES["picture"]))["probabilities"][0]
    label = int(scores.argmax())
    return JsonResponse({"label": str(label), "score": float(scores[label])})
