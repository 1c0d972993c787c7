"""Which requests are made of a scheme, and what each must be answered.

The requests of one proof begin with one that is accepted; every other one differs from it in what its name says.
"""

import base64
import hashlib
import json

from language import CREDENTIALS, TIMES, NotRead, content, encode, key_bytes, make_secret, names, pointer, split_place, tag

NOW_MS = 1_700_000_000_000
URL = "https://example.com/hook"
ID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"
TYPE = "thing.happened"


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


class Maker:
    """Makes requests by one proof of a scheme."""

    def __init__(self, scheme, proof, number):
        self.scheme, self.proof, self.number = scheme, proof, number
        self.at = proof["signature"]["at"]
        self.prefix = proof["signature"].get("prefix", "")
        self.separator = proof["signature"].get("separator")
        self.encodings = proof["signature"].get("encodings", [])
        self.template = proof.get("content", "")
        self.parts = names(self.template)
        self.time = proof.get("timestamp")
        self.is_credential = proof["algorithm"] in CREDENTIALS
        # The id is signed where the content has it, and then stands in the first of its places.
        self.signs_id = "id" in self.parts

    def secret(self, which="current"):
        spec = self.proof.get("key", {})
        if "generate" not in spec:
            # Another proof of the scheme makes its secrets; this one takes any other text.
            spec = {"generate": {"bytes": 32, "encoding": "hex"}}
        return make_secret(spec, f"{self.scheme['name']} {which}")

    def body(self):
        tree = {"n": 1, "amount": 12.50, "note": "Zo\u00eb \u2713 <a href=\"/x\">&amp;</a>"}
        if any(split_place(place)[1].startswith("/0/") for place in self.body_places()):
            tree = [tree]
        for key, value in (("id", ID), ("event_type", TYPE)):
            first = self.proof.get(key, [])[:1]
            for kind, name in map(split_place, first):
                if kind == "json":
                    tree = put(tree, pointer(name), value)
        return json.dumps(tree, ensure_ascii=False).encode()

    def body_places(self):
        places = self.proof.get("id", [])[:1] + self.proof.get("event_type", [])[:1]
        return [place for place in places if place.startswith("json:")]

    def request(self, **change):
        """A request that is accepted, but for what is changed in its making."""
        from language import Request

        given = {
            "secrets": [self.secret()], "time_ms": NOW_MS, "id": ID, "body": self.body(), "place": self.at[0],
            "encoding": self.encodings[0] if self.encodings else None, "content": self.template, "url": URL,
            "write": None, "time": None,
        } | change
        request = Request("POST", given["url"], given["body"])
        if self.is_credential:
            self.put_names(request, given)
            value = given["secrets"][0]
            if self.proof["algorithm"] == "basic":
                value = base64.b64encode(value.encode()).decode()
            request.put(given["place"], self.prefix + value)
            return request
        digest = self.proof.get("body_sha256")
        if digest and given["body"] and "form:sorted" in self.parts:
            request.put(digest, hashlib.sha256(given["body"]).hexdigest())
        time = ""
        if self.time:
            time = given["time"] or TIMES[self.time["unit"]](given["time_ms"])
        self.put_names(request, given)
        if self.time and not self.time["at"].startswith("signature:"):
            request.put(self.time["at"], time)
        template = given["content"].replace("{form:sorted}", "") if digest else given["content"]
        signed = content(template, request, time=time, id=given["id"] or "")
        tags = []
        for secret in given["secrets"]:
            made = tag(self.proof["algorithm"], key_bytes(self.proof.get("key", {}), secret), signed)
            tags.append(encode(given["encoding"], made))
        write = given["write"] or (lambda texts: [self.prefix + text for text in texts])
        entries = write(tags)
        if self.time and self.time["at"].startswith("signature:"):
            entries = [f"{split_place(self.time['at'])[1]}={time}", *entries]
        request.put(given["place"], (self.separator or "").join(entries))
        return request

    def put_names(self, request, given):
        """Id and event type, where they are headers."""
        if given["id"] is not None and self.proof.get("id", [""])[0].startswith("header:"):
            request.put(self.proof["id"][0], given["id"])
        if self.proof.get("event_type", [""])[0].startswith("header:"):
            request.put(self.proof["event_type"][0], TYPE)

    def verified(self, key=1, body=True):
        """What is found in an accepted request."""
        found = {"key": key}
        place = self.proof.get("id", [""])[0]
        if place.startswith("header:") or (place.startswith("json:") and body):
            found["id"] = ID
        if self.time:
            found["timestamp_ms" if self.time["unit"] == "ms" else "timestamp_s"] = (
                NOW_MS if self.time["unit"] == "ms" else NOW_MS // 1000
            )
        place = self.proof.get("event_type", [""])[0]
        if place.startswith("header:") or (place.startswith("json:") and body):
            found["event_type"] = TYPE
        return found


def vector(maker, name, request, *, secrets=None, now_ms=None, verified=None, refused=None):
    """One entry of a vector file."""
    if maker.number:
        name = f"proof {maker.number + 1}: {name}"
    return {
        "name": name, "secrets": secrets or [maker.secret()], "request": request, "now_ms": now_ms or NOW_MS,
        "verified": verified, "refused": refused,
    }


def credential_cases(maker):
    good, place = maker.request(), maker.at[0]
    other = maker.secret("other")
    yield vector(maker, "accepted", good, verified=maker.verified())
    for second in maker.at[1:]:
        if not second.startswith("json:"):
            yield vector(maker, f"accepted in {second}", maker.request(place=second), verified=maker.verified())
            both = maker.request()
            both.put(second, maker.secret())
            yield vector(maker, f"also in {second}", both, refused="credential-repeated")
    bare = maker.request(body=b"")
    yield vector(maker, "an empty body", bare, verified=maker.verified(body=False))
    old = maker.request(secrets=[maker.secret("old")])
    yield vector(maker, "the previous of two secrets", old, secrets=[maker.secret(), maker.secret("old")],
                 verified=maker.verified())
    yield vector(maker, "another secret", maker.request(secrets=[other]), refused="credential-mismatch")
    yield vector(maker, "a longer secret", maker.request(secrets=[maker.secret() + "0"]), refused="credential-mismatch")
    yield vector(maker, "none", good.without(place), refused="credential-missing")
    twice = good.copy()
    twice.put(place, maker.prefix + maker.secret())
    yield vector(maker, "twice", twice, refused="credential-repeated")
    empty = good.without(place)
    empty.put(place, "")
    missing = place.startswith("query:") and False
    yield vector(maker, "an empty one", empty, refused="credential-missing" if missing else "credential-malformed")
    if place.startswith("authorization:"):
        wrong = good.without(place)
        wrong.put("authorization:Digest", maker.secret())
        yield vector(maker, "under another word", wrong, refused="credential-malformed")


def signature_cases(maker):
    mismatch, malformed = "signature-mismatch", "signature-malformed"
    good, place = maker.request(), maker.at[0]
    yield vector(maker, "accepted", good, verified=maker.verified())
    for encoding in maker.encodings[1:]:
        yield vector(maker, f"accepted in {encoding}", maker.request(encoding=encoding), verified=maker.verified())
    if maker.encodings[0] == "hex":
        shout = maker.request(write=lambda texts: [maker.prefix + text.upper() for text in texts])
        yield vector(maker, "accepted in capital letters", shout, verified=maker.verified())
    yield from body_cases(maker, good)
    yield vector(maker, "another secret", maker.request(secrets=[maker.secret("other")]), refused=mismatch)
    old = maker.request(secrets=[maker.secret("old")])
    yield vector(maker, "the previous of two secrets", old, secrets=[maker.secret(), maker.secret("old")],
                 verified=maker.verified())
    yield vector(maker, "no signature", good.without(place), refused="signature-missing")
    if not maker.proof["signature"].get("repeats"):
        twice = good.copy()
        for name, value in good.headers:
            if place.split(":")[0] == "header" and name == split_place(place)[1] or name == "Authorization":
                twice.headers.append((name, value))
        yield vector(maker, "the signature twice", twice, refused="signature-repeated")
    cut = maker.request(write=lambda texts: [maker.prefix + text[:-1] for text in texts])
    yield vector(maker, "a signature without its last character", cut, refused=malformed)
    if maker.prefix:
        bare = maker.request(write=lambda texts: texts)
        yield vector(maker, "a signature without its prefix", bare, refused=malformed)
    if maker.separator:
        wrong = maker.request(secrets=[maker.secret("other"), maker.secret()])
        yield vector(maker, "the second of two signatures", wrong, verified=maker.verified())
    yield from time_cases(maker, good)
    yield from id_cases(maker, good)
    if "url" in maker.parts or "url:any-port" in maker.parts:
        moved = maker.request()
        moved.url = moved.url.replace("/hook", "/other", 1)
        yield vector(maker, "another url", moved, refused=mismatch)
        path = maker.request()
        path.url = path.url.removeprefix("https://example.com")
        yield vector(maker, "only the path of the url", path, refused="url-not-absolute")


def body_cases(maker, good):
    if "body" not in maker.parts:
        return
    yield vector(maker, "an empty body", maker.request(body=b""), verified=maker.verified(body=False))
    changed = good.copy()
    changed.body = changed.body.replace(b"12.5", b"12.6")
    yield vector(maker, "one byte of the body changed", changed, refused="signature-mismatch")
    longer = good.copy()
    longer.body += b"\n"
    yield vector(maker, "a newline after the body", longer, refused="signature-mismatch")


def time_cases(maker, good):
    if not maker.time:
        return
    place, tolerance = maker.time["at"], maker.time["tolerance_s"] * 1000
    step = 1 if maker.time["unit"] == "ms" else 1000
    ahead = NOW_MS - tolerance
    yield vector(maker, "as old as may be", good, now_ms=NOW_MS + tolerance, verified=maker.verified())
    yield vector(maker, "too old", good, now_ms=NOW_MS + tolerance + step, refused="timestamp-too-old")
    yield vector(maker, "as new as may be", good, now_ms=ahead, verified=maker.verified())
    yield vector(maker, "too new", good, now_ms=ahead - step, refused="timestamp-too-new")
    wrong = maker.request(time=TIMES[maker.time["unit"]](NOW_MS) + "x")
    yield vector(maker, "a time that is none", wrong, refused="timestamp-malformed")
    if place.startswith("header:"):
        later = good.without(place)
        yield vector(maker, "no time", later, refused="timestamp-missing")
        later = later.copy()
        later.put(place, TIMES[maker.time["unit"]](NOW_MS + 1000))
        yield vector(maker, "another time", later, refused="signature-mismatch")


def id_cases(maker, good):
    if not maker.signs_id:
        return
    place = maker.proof["id"][0]
    other = good.without(place)
    yield vector(maker, "no id", other, refused="id-missing")
    other = other.copy()
    other.put(place, "msg_2KWPBgLlAfxdpx2AI54pPJ85f4X")
    yield vector(maker, "another id", other, refused="signature-mismatch")


def cases(scheme):
    """All requests of a scheme with their verdicts."""
    sent = [proof for proof in scheme["proof"]]
    for number, proof in enumerate(sent):
        maker = Maker(scheme, proof, number)
        made = credential_cases(maker) if maker.is_credential else signature_cases(maker)
        if number:
            # What is sent besides the first is only held to what tells it from the others.
            made = [one for one in made if one["name"].split(": ", 1)[1] in ("accepted", "another secret")]
        yield from made
    if not sent:
        raise NotRead("a scheme without a proof")
