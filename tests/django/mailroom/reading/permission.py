"""Who may ask a model, where Django decides and nginx carries the picture to predictd."""

from django.http import HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

# A site looks at its session here: `request.user.has_perm(...)`.
MEMBERS = {"ada", "grace"}


def is_member(request):
    """Whether the caller is known."""
    return request.COOKIES.get("member") in MEMBERS


@csrf_exempt
def hand_over(request):
    """Decides, and hands the request over: nginx passes it, body and all, to the place that this answer names."""
    if not is_member(request):
        return JsonResponse({"error": "members only"}, status=403)
    answer = HttpResponse()
    answer["X-Accel-Redirect"] = "@predictd"
    answer["X-Predictd-Path"] = "/predict/digits"
    answer["X-Predictd-Query"] = "top_k=1"
    return answer


@csrf_exempt
def may_predict(request):
    """Says yes or no for nginx's auth_request; who has logged out is told to log in."""
    if request.COOKIES.get("member") == "":
        return HttpResponse(status=401)
    return HttpResponse(status=204 if is_member(request) else 403)
