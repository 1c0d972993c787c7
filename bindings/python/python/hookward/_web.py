"""What the helpers for frameworks share: one request in, a proof or an answer out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Mapping, Optional, Tuple, Union
from urllib.parse import quote

from . import Headers, Refused, Text, Verified, Verifier

#: The longest body that is read where nothing else is said.
DEFAULT_LIMIT = 1024 * 1024

#: What every refusal says, so that it tells a stranger nothing.
REFUSED = "not authentic\n"


@dataclass(frozen=True)
class Answer:
    """What is answered in place of the handler."""

    status: int
    body: str
    headers: List[Tuple[str, str]]
    #: For the operator's log.
    refused: Optional[Refused] = None


def judge(
    verifier: Verifier, method: str, url: str, headers: Headers, body: bytes, token: Optional[Text] = None
) -> Union[Verified, Answer]:
    """The proof, or what to answer."""
    try:
        handshake = verifier.handshake(body, headers, method=method, url=url, token=token)
        if handshake is None:
            return verifier.verify(body, headers, method=method, url=url)
        if handshake.adopts is not None:
            raise Refused("no-usable-secret", "a secret came by handshake, and there is nowhere to keep it")
    except Refused as refused:
        return Answer(401, REFUSED, [("Content-Type", "text/plain")], refused)
    content_type = [("Content-Type", handshake.content_type)] if handshake.content_type else []
    return Answer(200, handshake.body, [*content_type, ("X-Content-Type-Options", "nosniff"), *handshake.headers])


def too_large() -> Answer:
    """For a body over the limit."""
    return Answer(413, "too large\n", [("Content-Type", "text/plain")])


def announced(length: Optional[str]) -> int:
    """The length that a request announces."""
    return int(length) if length is not None and length.isascii() and length.isdigit() else 0


def wsgi_url(environ: Mapping[str, str]) -> str:
    """The path and query as they were sent, if the server tells, else written again."""
    for name in ("RAW_URI", "REQUEST_URI"):
        raw = environ.get(name, "")
        if raw.startswith("/"):
            return raw
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1", "replace")
    query = environ.get("QUERY_STRING", "")
    return quote(path, safe="/:@!$&'()*+,;=~-._") + (f"?{query}" if query else "")
