"""Is this webhook authentic? Sign this one. Every provider's scheme as data.

    import hookward

    github = hookward.Verifier("github", "the secret")
    try:
        verified = github.verify(body, headers)   # the raw bytes, as they came
    except hookward.Refused as refused:
        log(refused.code)                         # the sender hears 401 and nothing else

For frameworks there are ``hookward.flask``, ``hookward.fastapi`` and ``hookward.django``.
"""

from __future__ import annotations

import os
import time as _time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from . import _native

__all__ = ["Binds", "Handshake", "Refused", "Signed", "Verified", "Verifier", "generate", "scheme_source", "schemes"]

Text = Union[str, bytes]
#: A mapping, or pairs; a mapping's value may be a list of values.
Headers = Union[Mapping[str, Any], Iterable[Tuple[Text, Text]]]


class Refused(Exception):
    """A request is not believed. ``code`` is stable (``signature-mismatch``); the sentence is for the operator's log."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code

    def __reduce__(self) -> Tuple[Any, ...]:
        return type(self), (self.code, str(self))


@dataclass(frozen=True)
class Binds:
    """What a proof covers. What it does not cover can be changed by whoever captures the request."""

    body: bool
    time: bool
    url: bool
    id: bool
    #: Some values of the body, where it is not covered as a whole.
    part_of_body: bool = False
    #: What tells a repeat: an id that is covered, or a body that no two honest requests share.
    unique: bool = False


@dataclass(frozen=True)
class Verified:
    """Who signed. Of several secrets the last given has ``key_version`` 1, the newest the highest."""

    scheme: str
    key_version: int
    id: Optional[str]
    event_type: Optional[str]
    #: Unix time in seconds, where the scheme signs one.
    timestamp: Optional[float]
    binds: Binds
    #: Of a kind that experts could make without the secret.
    is_weak: bool = False


@dataclass(frozen=True)
class Handshake:
    """What to answer, with status 200, a provider that makes sure of an endpoint."""

    content_type: Optional[str]
    headers: List[Tuple[str, str]]
    body: str
    #: The secret from now on. Nothing proves it: only for an endpoint that has never had one.
    adopts: Optional[bytes] = None


@dataclass(frozen=True)
class Signed:
    """What to add to a request so that it proves itself."""

    headers: List[Tuple[str, str]]
    query: List[Tuple[str, str]]
    signed_by: List[int]
    #: The body to send instead, for a scheme whose proof stands in it.
    body: Optional[bytes] = None


class Verifier:
    """A scheme with its secrets, the newest first. Make it once; it may be used by several threads.

    ``scheme`` is a name of the catalog (:func:`schemes`); :meth:`from_file` reads one of your own. ``tolerance_s`` replaces the
    provider's. ``origin`` (``https://example.com``) is where the program is called, for providers that sign the URL.
    ``parameters`` is what a scheme leaves to be said for each endpoint: ``{"app_key": "…"}``, or as ``url`` the URL that the
    provider has, where the program is called under another one. A missing one is a :class:`ValueError` that says what it is.
    """

    def __init__(
        self,
        scheme: str,
        secrets: Union[Text, Sequence[Text]],
        *,
        tolerance_s: Optional[int] = None,
        origin: Optional[str] = None,
        parameters: Optional[Mapping[str, str]] = None,
    ) -> None:
        self._native = _native.Verifier(
            scheme, None, _secrets(secrets), tolerance_s, origin, list((parameters or {}).items())
        )

    @classmethod
    def from_toml(
        cls,
        text: str,
        secrets: Union[Text, Sequence[Text]],
        *,
        tolerance_s: Optional[int] = None,
        origin: Optional[str] = None,
        parameters: Optional[Mapping[str, str]] = None,
    ) -> Verifier:
        """By a scheme of your own, given as the text of its file."""
        made = cls.__new__(cls)
        made._native = _native.Verifier(
            "", text, _secrets(secrets), tolerance_s, origin, list((parameters or {}).items())
        )
        return made

    @classmethod
    def from_file(
        cls,
        path: Union[str, "os.PathLike[str]"],
        secrets: Union[Text, Sequence[Text]],
        *,
        tolerance_s: Optional[int] = None,
        origin: Optional[str] = None,
        parameters: Optional[Mapping[str, str]] = None,
    ) -> Verifier:
        """By the scheme in a file. An error in it is a :class:`ValueError` with line, column and the nearest known name."""
        return cls.from_toml(
            Path(path).read_text(encoding="utf-8"),
            secrets,
            tolerance_s=tolerance_s,
            origin=origin,
            parameters=parameters,
        )

    @property
    def scheme(self) -> str:
        """The scheme's name."""
        return self._native.scheme()

    def verify(
        self,
        body: bytes,
        headers: Headers,
        *,
        method: str = "POST",
        url: str = "/",
        now: Optional[float] = None,
    ) -> Verified:
        """Returns who signed, or raises :class:`Refused`.

        ``body`` is the raw bytes, before anything parsed them. ``url`` matters where the scheme signs it or reads its query. ``now`` is
        Unix time in seconds.
        """
        verdict, refusal = self._native.verify(method, url, _pairs(headers), body, _ms(now))
        if verdict is None:
            raise Refused(*(refusal or ("", "")))
        scheme, key_version, id, event_type, timestamp_ms, binds, is_weak = verdict
        timestamp = None if timestamp_ms is None else timestamp_ms / 1000
        return Verified(scheme, key_version, id, event_type, timestamp, Binds(*binds), is_weak)

    def handshake(
        self,
        body: bytes,
        headers: Headers,
        *,
        method: str,
        url: str = "/",
        token: Optional[Text] = None,
        now: Optional[float] = None,
    ) -> Optional[Handshake]:
        """The answer to a request that is a handshake, ``None`` for any other. One that is not to be answered is :class:`Refused`."""
        known = None if token is None else _bytes(token)
        answer, refusal = self._native.handshake(method, url, _pairs(headers), body, _ms(now), known)
        if refusal is not None:
            raise Refused(*refusal)
        return None if answer is None else Handshake(*answer)

    def sign(
        self,
        body: bytes,
        *,
        url: str = "https://localhost/",
        id: str = "",
        event_type: str = "",
        method: str = "POST",
        now: Optional[float] = None,
    ) -> Signed:
        """Signs what is going to be sent. ``id`` is the delivery's, the same for every retry."""
        return Signed(*self._native.sign(method, url, id, event_type, body, _ms(now)))

    def __repr__(self) -> str:
        return f"Verifier({self.scheme!r}, …)"


def generate(scheme: str) -> str:
    """A new secret in the format of a scheme of the catalog."""
    return _native.generate(scheme, None)


def schemes() -> List[str]:
    """The names of the catalog."""
    return _native.schemes()


def scheme_source(scheme: str) -> Optional[str]:
    """The file of a scheme of the catalog, to start one of your own from."""
    return _native.scheme_source(scheme)


def _ms(now: Optional[float]) -> int:
    return _time.time_ns() // 1_000_000 if now is None else round(now * 1000)


def _bytes(text: Text) -> bytes:
    return text.encode() if isinstance(text, str) else bytes(text)


def _secrets(secrets: Union[Text, Sequence[Text]]) -> List[bytes]:
    given = [secrets] if isinstance(secrets, (str, bytes)) else secrets
    return [_bytes(secret) for secret in given]


def _pairs(headers: Headers) -> List[Tuple[str, bytes]]:
    """Every value of every header, those that came twice too."""
    items: Iterable[Any] = headers.items() if hasattr(headers, "items") else headers
    pairs = []
    for name, value in items:
        text = name.decode("latin-1") if isinstance(name, bytes) else name
        for one in value if isinstance(value, (list, tuple)) else [value]:
            pairs.append((text, _header_bytes(one)))
    return pairs


def _header_bytes(value: Text) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return value.encode("latin-1")  # how servers decode the bytes of a header
    except UnicodeEncodeError:
        return value.encode()
