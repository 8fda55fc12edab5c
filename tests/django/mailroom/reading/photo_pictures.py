"""The view of photos when predictd reads them, too."""

from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from predictd.django import model


@csrf_exempt
@require_POST
def read(request):
    """Which of ImageNet's classes the uploaded photo shows; `?rows=` asks for so many copies of it at once."""
    photos = [request.FILES["picture"].read()] * int(request.GET.get("rows", "1"))
    best = model("efficientnet").classify(photos, top_k=1)[0][0]
    return JsonResponse({"label": str(best["index"]), "score": best["score"]})
