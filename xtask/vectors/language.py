"""An own reading of the scheme language: from a scheme file and a secret to a signed request.

It is written from the language's description and shares no code with the library, so that the two can be held against each other.
Only Python's standard library is used, and the command `openssl` for public keys.
"""

import base64
import hashlib
import hmac
import re
import urllib.parse

HASHES = {"hmac-sha1": "sha1", "hmac-sha256": "sha256", "hmac-sha512": "sha512"}
CREDENTIALS = ("token", "basic")


class NotRead(Exception):
    """The scheme says something that this reading does not know."""


def encode(encoding, data):
    """Bytes as a signature's text."""
    return {
        "hex": lambda: data.hex(),
        "base64": lambda: base64.b64encode(data).decode(),
        "base64-unpadded": lambda: base64.b64encode(data).decode().rstrip("="),
        "base64url": lambda: base64.urlsafe_b64encode(data).decode(),
        "base64url-unpadded": lambda: base64.urlsafe_b64encode(data).decode().rstrip("="),
    }[encoding]()


def decode(encoding, text):
    """A secret's text as bytes."""
    if encoding is None:
        return text.encode()
    if encoding == "hex":
        return bytes.fromhex(text)
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    return base64.urlsafe_b64decode(padded) if "url" in encoding else base64.b64decode(padded)


def key_bytes(spec, secret):
    """The key that the text of a secret stands for."""
    prefix = spec.get("prefix", spec.get("optional_prefix", ""))
    if "prefix" in spec and not secret.startswith(prefix):
        raise NotRead(f"the secret does not begin with {prefix}")
    return decode(spec.get("encoding"), secret.removeprefix(prefix))


def make_secret(spec, seed):
    """A secret in the provider's own format, the same for the same seed."""
    wanted = spec.get("generate")
    if wanted is None:
        raise NotRead("the scheme does not say what its secrets look like")
    data = hashlib.shake_256(f"hookward vectors {seed}".encode()).digest(wanted["bytes"])
    return wanted.get("prefix", "") + encode(wanted["encoding"], data)


def split_place(place):
    kind, _, name = place.partition(":")
    return kind, name


def pointer(name):
    return [token.replace("~1", "/").replace("~0", "~") for token in name.split("/")[1:]]


class Request:
    """A request as it is sent."""

    def __init__(self, method, url, body):
        self.method, self.url, self.body = method, url, body
        self.headers = []

    def copy(self):
        other = Request(self.method, self.url, self.body)
        other.headers = list(self.headers)
        return other

    def put(self, place, value):
        """Writes a value into a place outside the body."""
        kind, name = split_place(place)
        if kind == "header":
            self.headers.append((name, value))
        elif kind == "authorization":
            self.headers.append(("Authorization", f"{name} {value}"))
        elif kind == "query":
            self.url += ("&" if "?" in self.url else "?") + f"{name}={urllib.parse.quote(value, safe='')}"
        else:
            raise NotRead(f"nothing is written into {place}")

    def without(self, place):
        """The same without what stands in a place outside the body."""
        kind, name = split_place(place)
        other = self.copy()
        if kind == "query":
            other.url = re.sub(rf"[?&]{re.escape(name)}=[^&]*", "", other.url)
        else:
            name = "Authorization" if kind == "authorization" else name
            other.headers = [(known, value) for known, value in other.headers if known.lower() != name.lower()]
        return other


TIMES = {
    "s": lambda ms: str(ms // 1000),
    "ms": lambda ms: str(ms),
}


def sorted_form(body):
    """The distinct pairs of a form in order, without borders."""
    pairs = urllib.parse.parse_qsl(body.decode(), keep_blank_values=True)
    return "".join(name + value for name, value in sorted(set(pairs))).encode()


def content(template, request, *, time="", id=""):
    """The signed bytes."""
    parts = {
        "body": lambda: request.body,
        "timestamp": lambda: time.encode(),
        "id": lambda: id.encode(),
        "method": lambda: request.method.encode(),
        "url": lambda: request.url.encode(),
        "url:any-port": lambda: request.url.encode(),
        "form:sorted": lambda: sorted_form(request.body),
    }
    out = b""
    for literal, name in re.findall(r"([^{}]+)|\{([^{}]*)\}", template):
        if literal:
            out += literal.encode()
        elif name in parts:
            out += parts[name]()
        else:
            raise NotRead(f"unknown part {{{name}}}")
    return out


def names(template):
    """The parts of a template."""
    return re.findall(r"\{([^{}]*)\}", template)


def tag(algorithm, key, signed):
    """The signature's bytes."""
    if algorithm in HASHES:
        return hmac.new(key, signed, HASHES[algorithm]).digest()
    raise NotRead(f"unknown algorithm {algorithm}")
