"""Django: a decorator that runs a view for proven requests only; it needs no CSRF token, since nobody is signed in.

    @hookward.django.signed(verifier)
    def hook(request):
        event = json.loads(request.body)         # the very bytes that were proven
        request.hookward.id                      # the proof
        return HttpResponse(status=204)
"""

from __future__ import annotations

import logging
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Callable, Optional, Union

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from . import Text, Verified, Verifier
from ._web import DEFAULT_LIMIT, Answer, announced, judge, too_large, wsgi_url

__all__ = ["signed"]

_log = logging.getLogger("hookward")


def signed(
    verifier: Verifier, *, limit: int = DEFAULT_LIMIT, handshake_token: Optional[Text] = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Refusals are answered 401, always alike, and logged; longer bodies, and those over ``DATA_UPLOAD_MAX_MEMORY_SIZE``, are
    answered 413. The proof is ``request.hookward``. The view may be ``async``."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        def prove(request: HttpRequest) -> Optional[HttpResponse]:
            outcome = _judge(request, verifier, limit, handshake_token)
            if isinstance(outcome, Verified):
                request.hookward = outcome
                return None
            if outcome.refused is not None:
                _log.warning("refused: %s (%s)", outcome.refused, outcome.refused.code)
            return HttpResponse(outcome.body, status=outcome.status, headers=dict(outcome.headers))

        if iscoroutinefunction(view):

            @wraps(view)
            async def proven(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                answer = prove(request)
                return await view(request, *args, **kwargs) if answer is None else answer
        else:

            @wraps(view)
            def proven(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                answer = prove(request)
                return view(request, *args, **kwargs) if answer is None else answer

        exempt: Callable[..., Any] = csrf_exempt(proven)
        return exempt

    return decorate


def _judge(
    request: HttpRequest, verifier: Verifier, limit: int, token: Optional[Text]
) -> Union[Verified, Answer]:
    if announced(request.META.get("CONTENT_LENGTH")) > limit:
        return too_large()
    try:
        body = request.body
    except RequestDataTooBig:
        return too_large()
    if len(body) > limit:
        return too_large()
    url = wsgi_url(request.META) if "wsgi.version" in request.META else request.get_full_path()
    return judge(verifier, request.method or "", url, request.headers, body, token)
