"""The view when predictd reads the picture, too: by the recipe in the model's model.toml, outside the web process."""

from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from predictd import BadInput, PredictdError
from predictd.django import model


@csrf_exempt
@require_POST
def read(request):
    """What digit the uploaded picture shows, or why that cannot be said."""
    try:
        best = model("digits").classify(request.FILES["picture"], top_k=1)[0]
    except BadInput as error:
        return JsonResponse({"error": str(error)}, status=422)
    except PredictdError as error:
        # Overloaded, too slow, or not there: whichever it is, it has been said in time, and this process is free again.
        return JsonResponse({"error": str(error)}, status=503)
    return JsonResponse({"label": best["label"], "score": best["score"]})
