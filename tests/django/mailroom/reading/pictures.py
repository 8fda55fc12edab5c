"""The view when predictd reads the picture, too: by the recipe in the model's model.toml, outside the web process."""

from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from predictd import BadInput
from predictd.django import model


@csrf_exempt
@require_POST
def read(request):
    """What digit the uploaded picture shows."""
    try:
        best = model("digits").classify(request.FILES["picture"], top_k=1)[0]
    except BadInput as error:
        return JsonResponse({"error": str(error)}, status=422)
    return JsonResponse({"label": best["label"], "score": best["score"]})
