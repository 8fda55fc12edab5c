"""The view with the model in predictd: the same view, and cannot hang."""

import predictd
from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from .picture import array

model = predictd.Model("digits")


@csrf_exempt
@require_POST
def read(request):
    """What digit the uploaded picture shows."""
    scores = model.predict(array(request.FILES["picture"]))["probabilities"][0]
    label = int(scores.argmax())
    return JsonResponse({"label": str(label), "score": float(scores[label])})
