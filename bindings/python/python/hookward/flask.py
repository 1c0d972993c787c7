"""Flask: a decorator that runs a view for proven requests only.

    @app.post("/hooks/github")
    @hookward.flask.signed(verifier)
    def hook():
        event = json.loads(request.get_data())   # the very bytes that were proven
        g.hookward.id                            # the proof
        return "", 204
"""

from __future__ import annotations

import logging
from functools import wraps
from typing import Any, Callable, Optional

from flask import Response, g, request

from . import Text, Verifier
from ._web import DEFAULT_LIMIT, Answer, announced, judge, too_large, wsgi_url

__all__ = ["signed"]

_log = logging.getLogger("hookward")


def signed(
    verifier: Verifier, *, limit: int = DEFAULT_LIMIT, handshake_token: Optional[Text] = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Refusals are answered 401, always alike, and logged; longer bodies are answered 413. The proof is ``flask.g.hookward``."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def proven(*args: Any, **kwargs: Any) -> Any:
            outcome = _judge(verifier, limit, handshake_token)
            if isinstance(outcome, Answer):
                if outcome.refused is not None:
                    _log.warning("refused: %s (%s)", outcome.refused, outcome.refused.code)
                return Response(outcome.body, outcome.status, outcome.headers)
            g.hookward = outcome
            return view(*args, **kwargs)

        return proven

    return decorate


def _judge(verifier: Verifier, limit: int, token: Optional[Text]) -> Any:
    if announced(request.headers.get("Content-Length")) > limit:
        return too_large()
    if request.content_length is None:
        # Of unknown length: read one byte past the limit at most, and leave the rest where it is.
        body = _read_up_to(limit + 1)
        if len(body) > limit:
            return too_large()
        request._cached_data = body  # what `get_data` and `get_json` read from here on
    else:
        body = request.get_data(cache=True)
    return judge(verifier, request.method, wsgi_url(request.environ), request.headers, body, token)


def _read_up_to(most: int) -> bytes:
    chunks, left = [], most
    while left > 0:
        chunk = request.stream.read(left)
        if not chunk:
            break
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)
