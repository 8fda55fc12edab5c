"""The view of photos with the model in predictd: the same view."""

import predictd
from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from .picture import photo

model = predictd.Model("efficientnet")


@csrf_exempt
@require_POST
def read(request):
    """Which of ImageNet's classes the uploaded photo shows; `?rows=` makes a long run of it."""
    x = photo(request.FILES["picture"]).repeat(int(request.GET.get("rows", "1")), axis=0)
    scores = model.predict(x)[0]
    label = int(scores.argmax())
    return JsonResponse({"label": str(label), "score": float(scores[label])})
