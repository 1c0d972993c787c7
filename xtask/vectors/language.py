"""An own reading of the scheme language: which bytes a scheme signs, and with what.

It is written from the language's description and shares no code with the library, so that the two can be held against each other.
Only Python's standard library is used, and the command `openssl` for public keys.
"""

import base64
import binascii
import datetime
import email.utils
import hashlib
import hmac
import json
import re
import urllib.parse

import pairs

HMACS = {"hmac-sha1": "sha1", "hmac-sha256": "sha256", "hmac-sha384": "sha384", "hmac-sha512": "sha512"}
PLAIN = ("md5", "sha1", "sha256", "sha384", "sha512")
CREDENTIALS = ("token", "basic")


class NotRead(Exception):
    """The scheme says something that this reading does not know."""


# Texts and bytes.

ENCODINGS = {
    "hex": lambda data: data.hex(),
    "hex-upper": lambda data: data.hex().upper(),
    "base64": lambda data: base64.b64encode(data).decode(),
    "base64-unpadded": lambda data: base64.b64encode(data).decode().rstrip("="),
    "base64url": lambda data: base64.urlsafe_b64encode(data).decode(),
    "base64url-unpadded": lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
    "base64-percent": lambda data: urllib.parse.quote(base64.b64encode(data).decode(), safe=""),
    "base64url-percent": lambda data: urllib.parse.quote(base64.urlsafe_b64encode(data).decode(), safe=""),
    "base64-hex": lambda data: base64.b64encode(data.hex().encode()).decode(),
}


def encode(encoding, data):
    """Bytes as a signature's text."""
    if encoding not in ENCODINGS:
        raise NotRead(f"unknown encoding {encoding}")
    return ENCODINGS[encoding](data)


def decode(encoding, text):
    """A secret's text as bytes."""
    if encoding is None:
        return text.encode()
    if encoding.startswith("hex"):
        return bytes.fromhex(text)
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    return base64.urlsafe_b64decode(padded) if "url" in encoding else base64.b64decode(padded)


def key_bytes(spec, secret):
    """The key that the text of a secret stands for."""
    prefix = spec.get("prefix", spec.get("optional_prefix", ""))
    if "prefix" in spec and not secret.startswith(prefix):
        raise NotRead(f"the secret does not begin with {prefix}")
    key = decode(spec.get("encoding"), secret.removeprefix(prefix))
    return hashlib.new(spec["hash"], key).digest() if "hash" in spec else key


def make_secret(spec, seed):
    """A secret in the provider's own format, the same for the same seed."""
    wanted = spec.get("generate")
    if wanted is None:
        raise NotRead("the scheme does not say what its secrets look like")
    data = hashlib.shake_256(f"hookward vectors {seed}".encode()).digest(wanted["bytes"])
    return wanted.get("prefix", "") + encode(wanted["encoding"], data)


def tag(algorithm, key, signed):
    """The signature's bytes. The key is bytes, or a pair."""
    if algorithm in HMACS:
        return hmac.new(key, signed, HMACS[algorithm]).digest()
    if algorithm in PLAIN:
        return hashlib.new(algorithm, signed).digest()
    return pairs.sign(algorithm, key, signed)


# Times.

def moment(ms):
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc)


TIMES = {
    "s": lambda ms: str(ms // 1000),
    "ms": lambda ms: str(ms),
    "s-or-ms": lambda ms: str(ms // 1000),
    "rfc3339": lambda ms: moment(ms).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "iso8601": lambda ms: moment(ms).strftime("%Y-%m-%dT%H:%M:%S"),
    "http-date": lambda ms: email.utils.format_datetime(moment(ms), usegmt=True),
}


# Requests.

def split_place(place):
    kind, _, name = place.partition(":")
    return kind, name


def pointer(name):
    return [token.replace("~1", "/").replace("~0", "~") for token in name.split("/")[1:]]


def put(tree, tokens, value):
    """A JSON tree with a value at a pointer."""
    if not tokens:
        return value
    head, rest = tokens[0], tokens[1:]
    if head == "*" or head.isdigit():
        tree = tree if isinstance(tree, list) else []
        wanted = 2 if head == "*" else int(head) + 1
        tree = tree + [None] * (wanted - len(tree))
        for at in range(len(tree)) if head == "*" else [int(head)]:
            tree[at] = put(tree[at], rest, value)
        return tree
    tree = dict(tree) if isinstance(tree, dict) else {}
    tree[head] = put(tree.get(head), rest, value)
    return tree


def look_up(tree, tokens):
    """The value in a JSON tree at a pointer."""
    for token in tokens:
        tree = tree[int(token)] if isinstance(tree, list) else tree[token]
    return tree


class Request:
    """A request as it is sent. Its body is bytes, or a JSON tree or the fields of a form until it is closed."""

    def __init__(self, method, url, body):
        self.method, self.url, self.body = method, url, body
        self.headers = []

    def copy(self):
        other = Request(self.method, self.url, self.body)
        other.headers = list(self.headers)
        return other

    def close(self):
        """Writes the body out."""
        if isinstance(self.body, list) and self.body and isinstance(self.body[0], tuple):
            self.body = urllib.parse.urlencode(self.body).encode()
        elif not isinstance(self.body, bytes):
            self.body = json.dumps(self.body, ensure_ascii=False).encode()
        return self

    def put(self, place, value):
        """Writes a value into a place."""
        kind, name = split_place(place)
        if kind == "header":
            self.headers.append((name.replace("{n}", "1"), value))
        elif kind == "entry":
            header, _, entry = name.partition("/")
            before = [text + "; " for known, text in self.headers if known == header]
            text = f"{entry}={value}" if value.isdigit() else f'{entry}="{value}"'
            self.headers = [(known, other) for known, other in self.headers if known != header]
            self.headers.append((header, "".join(before) + text))
        elif kind == "base64-json":
            header, _, member = name.partition("/")
            self.headers.append((header, base64.b64encode(json.dumps({"kid": "one", member: value}).encode()).decode()))
        elif kind == "authorization":
            self.headers.append(("Authorization", f"{name} {value}"))
        elif kind == "query":
            self.url += ("&" if "?" in self.url else "?") + f"{name}={urllib.parse.quote(value, safe='')}"
        elif kind == "json" and not isinstance(self.body, bytes):
            self.body = put(self.body, pointer(name), value)
        elif kind == "form" and isinstance(self.body, list):
            self.body.append((name, value))
        else:
            raise NotRead(f"nothing is written into {place}")

    def without(self, place):
        """The same without what stands in a place outside the body."""
        kind, name = split_place(place)
        other = self.copy()
        if kind == "query":
            other.url = re.sub(rf"([?&]){re.escape(name)}=[^&]*&?", r"\1", other.url).rstrip("?&")
        else:
            name = "Authorization" if kind == "authorization" else name.replace("{n}", "1")
            other.headers = [(known, value) for known, value in other.headers if known.lower() != name.lower()]
        return other

    def read(self, place):
        """What stands in a place, as text."""
        kind, name = split_place(place)
        if kind == "header":
            return next(value for known, value in self.headers if known.lower() == name.lower())
        if kind == "entry":
            header, _, entry = name.partition("/")
            return re.search(rf'(?:^|[;,] *){entry}="?([^";,]*)', self.read(f"header:{header}"))[1]
        if kind == "query":
            return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.url).query))[name]
        if kind == "form":
            fields = self.body if isinstance(self.body, list) else urllib.parse.parse_qsl(self.body.decode())
            return dict(fields)[name]
        if kind in ("json", "json-raw"):
            tree = json.loads(self.body) if isinstance(self.body, bytes) else self.body
            value = look_up(tree, pointer(name))
            return value if isinstance(value, str) and kind == "json" else json.dumps(value, ensure_ascii=False)
        raise NotRead(f"nothing is read from {place}")

    def bytes(self):
        return self.body if isinstance(self.body, bytes) else self.copy().close().body


# Templates.

def parse(template):
    """The pieces of a template: texts, `("part", name)`, and `("optional", pieces)`."""
    pieces, stack, at = [], [], 0
    while at < len(template):
        one, two = template[at], template[at:at + 2]
        if two in ("{{", "}}", "[[", "]]"):
            pieces.append(one)
            at += 2
        elif one == "{":
            end = template.index("}", at)
            pieces.append(("part", template[at + 1:end]))
            at = end + 1
        elif one == "[":
            stack.append(pieces)
            pieces = []
            at += 1
        elif one == "]":
            inner, pieces = pieces, stack.pop()
            pieces.append(("optional", inner))
            at += 1
        else:
            pieces.append(one)
            at += 1
    return pieces


def names(template):
    """The names of all parts of a template."""
    found = []
    for piece in parse(template):
        if piece[0] == "part":
            found.append(piece[1])
        elif piece[0] == "optional":
            found += [inner[1] for inner in piece[1] if inner[0] == "part"]
    return found


FILTERS = {
    "sha256hex": lambda value: hashlib.sha256(value).hexdigest().encode(),
    "sha256raw": lambda value: hashlib.sha256(value).digest(),
    "sha256base64": lambda value: base64.b64encode(hashlib.sha256(value).digest()),
    "crc32": lambda value: str(binascii.crc32(value)).encode(),
    "lower": lambda value: value.lower(),
    "upper": lambda value: value.upper(),
    "base64": base64.b64encode,
    "base64url": lambda value: base64.urlsafe_b64encode(value).rstrip(b"="),
    "json-string": lambda value: json.dumps(value.decode(), ensure_ascii=False).encode(),
    "php-json": lambda value: json.dumps(json.loads(value), separators=(",", ":")).replace("/", "\\/").encode(),
    "unescape-hubspot": lambda value: re.sub(
        rb"%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", lambda found: bytes.fromhex(found[1].decode()), value, flags=re.I
    ),
    "free": lambda value: value,
}
PLACES = ("entry:", "header:", "query:", "form:", "json:", "json-raw:")


def sorted_form(body):
    """The distinct pairs of a form in order, without borders."""
    pairs = urllib.parse.parse_qsl(body.decode(), keep_blank_values=True)
    return "".join(name + value for name, value in sorted(set(pairs))).encode()


def vonage_query(url):
    """As Vonage signs a query: in order, without `sig`, and with `_` for `&` and `=` in values."""
    pairs = urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query, keep_blank_values=True)
    kept = sorted((name, value) for name, value in pairs if name != "sig")
    return "".join(f"&{name}={re.sub('[&=]', '_', value)}" for name, value in kept).encode()


def atlassian_request(request):
    """The canonical request of Atlassian Connect."""
    split = urllib.parse.urlsplit(request.url)
    quoted = lambda text: urllib.parse.quote(text, safe="-._~")
    found = {}
    for name, value in urllib.parse.parse_qsl(split.query, keep_blank_values=True):
        if name != "jwt":
            found.setdefault(quoted(name), []).append(quoted(value))
    query = "&".join(f"{name}={','.join(sorted(values))}" for name, values in sorted(found.items()))
    return f"{request.method}&{split.path.rstrip('/') or '/'}&{query}".encode()


def plivo_request(request):
    """The URL and the form as Plivo signs them."""
    split = urllib.parse.urlsplit(request.url)
    ordered = lambda text: sorted(urllib.parse.parse_qsl(text, keep_blank_values=True))
    query = "&".join(f"{name}={value}" for name, value in ordered(split.query))
    fields = "".join(name + value for name, value in ordered(request.bytes().decode()))
    mark = "?" if query or fields else ""
    dot = "." if query and fields else ""
    return f"{split.scheme}://{split.netloc}{split.path}{mark}{query}{dot}{fields}".encode()


def listed(request, name):
    """The headers that one lists."""
    names = request.read(f"header:{name}").split(",")
    return ";".join(f"{one}:{request.read(f'header:{one}')}" for one in names).encode()


def path_and_query(url):
    return re.sub(r"^https?://[^/?#]*", "", url).split("#")[0]


def source(name, request, given):
    """The bytes of a part without filters; nothing for a name that is none."""
    fixed = {
        "body": request.bytes,
        "timestamp": lambda: given["time"].encode(),
        "id": lambda: given["id"].encode(),
        "method": lambda: request.method.encode(),
        "url": lambda: request.url.encode(),
        "url:any-port": lambda: request.url.encode(),
        "host": lambda: urllib.parse.urlsplit(request.url).netloc.encode(),
        "path": lambda: path_and_query(request.url).split("?")[0].encode(),
        "path_and_query": lambda: path_and_query(request.url).encode(),
        "query:sorted": lambda: "&".join(sorted(urllib.parse.urlsplit(request.url).query.split("&"))).encode(),
        "form:sorted": lambda: sorted_form(request.bytes()),
        "form:json": lambda: json.dumps(dict(urllib.parse.parse_qsl(request.bytes().decode()))).encode(),
        "query:vonage": lambda: vonage_query(request.url),
        "request:atlassian": lambda: atlassian_request(request),
        "request:plivo": lambda: plivo_request(request),
        "secret": lambda: given["key"],
    }
    if name in fixed:
        return fixed[name]
    if name.startswith("headers:"):
        return lambda: listed(request, name[8:])
    if name.startswith("const:"):
        return lambda: given["parameters"][name[6:]].encode()
    if name.startswith("signature:"):
        return lambda: given["entries"][name[10:]].encode()
    if name.startswith(PLACES):
        return lambda: request.read(name).encode()
    return None


def part(name, request, given):
    """The bytes of a part, filters and all."""
    found = source(name, request, given)
    if found:
        return found()
    head, _, rest = name.partition(":")
    if head in FILTERS and rest:
        return FILTERS[head](part(rest, request, given))
    raise NotRead(f"unknown part {{{name}}}")


def content(template, request, **given):
    """The signed bytes."""
    def write(pieces):
        out = b""
        for piece in pieces:
            if isinstance(piece, str):
                out += piece.encode()
            elif piece[0] == "part":
                out += part(piece[1], request, given)
            else:
                try:
                    out += write(piece[1])
                except (KeyError, StopIteration, IndexError):
                    pass
        return out

    return write(parse(template))
