"""FastAPI (and Starlette): a dependency that is the proof and the proven bytes.

    github = hookward.fastapi.Signed(verifier)

    @app.post("/hooks/github")
    async def hook(proven: Annotated[hookward.fastapi.Proven, Depends(github)]):
        event = json.loads(proven.body)          # the very bytes that were proven
        proven.verified.id
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from . import Refused, Verified, Verifier
from ._web import DEFAULT_LIMIT, REFUSED, announced

__all__ = ["Proven", "Signed"]

_log = logging.getLogger("hookward")


@dataclass(frozen=True)
class Proven:
    """The bytes that were proven, and the proof."""

    body: bytes
    verified: Verified

    def json(self) -> Any:
        """What they say."""
        import json

        return json.loads(self.body)


class Signed:
    """Refusals are answered 401, always alike, and logged; longer bodies are answered 413. A handshake is answered by
    :meth:`Verifier.handshake`, in a route of its own."""

    def __init__(self, verifier: Verifier, *, limit: int = DEFAULT_LIMIT) -> None:
        self._verifier = verifier
        self._limit = limit

    async def __call__(self, request: Request) -> Proven:
        body = await self._read(request)
        scope = request.scope
        query = scope.get("query_string", b"")
        path = scope.get("raw_path") or scope["path"].encode()
        url = (path.split(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")
        try:
            verified = self._verifier.verify(body, request.headers.raw, method=request.method, url=url)
        except Refused as refused:
            _log.warning("refused: %s (%s)", refused, refused.code)
            raise HTTPException(401, REFUSED.strip()) from None
        return Proven(body, verified)

    async def _read(self, request: Request) -> bytes:
        if announced(request.headers.get("content-length")) > self._limit:
            raise HTTPException(413)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._limit:
                raise HTTPException(413)
        return bytes(body)
