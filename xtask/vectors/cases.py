"""Which requests are made of a scheme, and what each must be answered.

The requests of one proof begin with one that is accepted; every other one differs from it in what its name says.
"""

import base64
import gzip
import hashlib
import re

import batches
import pairs
import tokens
from language import CREDENTIALS, PLAIN, PLACES, TIMES, Request, content, encode, key_bytes, make_secret
from language import names, parse, put, pointer, split_place, tag

NOW_MS = 1_700_000_000_000
URL = "https://example.com/hook"
ID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"
TYPE = "thing.happened"


class Maker:
    """Makes requests by one proof of a scheme."""

    def __init__(self, scheme, proof, number):
        self.scheme, self.proof, self.number = scheme, proof, number
        self.signature = proof["signature"]
        self.at = self.signature["at"]
        self.separator = self.signature.get("separator")
        self.assign = self.signature.get("assign", "=")
        self.encodings = self.signature.get("encodings", [])
        self.template = proof.get("content", "")
        self.parts = names(self.template)
        self.time = proof.get("timestamp")
        self.is_credential = proof["algorithm"] in CREDENTIALS
        self.is_pair = not self.is_credential and proof["algorithm"].startswith(("ed25519", "ecdsa", "rsa"))
        # The id is signed where the content has it, and then stands in the first of its places.
        self.signs_id = "id" in self.parts
        self.signs_body = any(name.split(":")[-1] == "body" for name in self.parts)
        consts = [name[6:] for name in self.parts if name.startswith("const:")]
        self.parameters = {name: f"the-{name.replace('_', '-')}" for name in consts}
        self.prefix = self.signature.get("prefix", "")
        for name in re.findall(r"\{const:([^}]+)\}", self.prefix):
            self.parameters[name] = f"the-{name.replace('_', '-')}"
            self.prefix = self.prefix.replace(f"{{const:{name}}}", self.parameters[name])
        # What a signed value must be is mostly a parameter.
        self.must = {}
        for place, text in proof.get("must", {}).items():
            for name in re.findall(r"\{const:([^}]+)\}", text):
                self.parameters[name] = f"the-{name.replace('_', '-')}"
                text = text.replace(f"{{const:{name}}}", self.parameters[name])
            self.must[place] = text

    def secret(self, which="current"):
        """A secret as the operator enters it: of a pair the public half."""
        if self.is_pair:
            return self.key(which).public(self.proof.get("key", {}))
        spec = self.proof.get("key", {})
        if "generate" not in spec:
            # Another proof of the scheme makes its secrets; this one takes any other text.
            spec = {"generate": {"bytes": 32, "encoding": "hex"}}
        return make_secret(spec, f"{self.scheme['name']} {which}")

    def key(self, which="current"):
        """What signs."""
        if self.is_pair:
            return pairs.Pair(self.proof["algorithm"], f"{self.scheme['name']} {which}")
        return key_bytes(self.proof.get("key", {}), self.secret(which))

    def places(self):
        """What must stand where in a request besides the signature, in order."""
        found = {}
        for name in self.parts:
            if name.startswith("headers:"):
                listed = [name[8:], self.time["at"].partition(":")[2], self.proof["event_type"][0].partition(":")[2]]
                found[f"header:{name[8:]}"] = ",".join(sorted(one.lower() for one in listed))
        for key, value in (("id", ID), ("event_type", TYPE)):
            for place in self.proof.get(key, [])[:1]:
                found[place] = value
        for place, value in self.proof.get("when", {}).items():
            found[place] = "anything" if value == "*" else value
        found |= self.must
        for name in self.parts:
            rest = name
            while rest and not rest.startswith(PLACES):
                rest = rest.partition(":")[2]
            if rest:
                place = rest.replace("json-raw:", "json:")
                found.setdefault(place, f"value of {split_place(place)[1].strip('/')}".replace("/", " "))
        return found

    def body(self):
        """A body with what must be in it, before it is written out."""
        places = [*self.places(), *self.at, *([self.time["at"]] if self.time else [])]
        if any(place.startswith("form:") or place in ("form:sorted", "request:plivo") for place in [*places, *self.parts]):
            return [("note", "Zo\u00eb & <caf\u00e9>"), ("amount", "12.5")]
        tree = {"n": 1, "amount": 12.50, "note": "Zo\u00eb \u2713 <a href=\"/x\">&amp;</a>"}
        return [tree] if any(split_place(place)[1].startswith("/0/") for place in places if place.startswith("json:")) else tree

    def request(self, **change):
        """A request that is accepted, but for what is changed in its making."""
        given = {
            "keys": ["current"], "time_ms": NOW_MS, "id": ID, "body": self.body(), "place": self.at[0],
            "encoding": self.encodings[0] if self.encodings else None, "url": URL, "write": None, "time": None, "omit": (),
            "credential": None, "instead": {},
        } | change
        request = Request("POST", given["url"], given["body"])
        time = ""
        if self.time:
            time = given["time"] or TIMES[self.time["unit"]](given["time_ms"])
        self.put_places(request, given, time)
        if self.is_credential:
            value = given["credential"] or self.secret(given["keys"][0])
            if self.proof["algorithm"] == "basic":
                value = base64.b64encode(value.encode()).decode()
            if "signature" not in given["omit"]:
                request.put(given["place"], self.prefix + value)
            return self.close(request)
        digest = self.proof.get("body_sha256")
        template = self.template
        if digest:
            template = template.replace("{form:sorted}", "")
            if request.bytes():
                request.put(digest, hashlib.sha256(request.bytes()).hexdigest())
        entries = {}
        if self.time and self.time["at"].startswith("signature:"):
            entries[split_place(self.time["at"])[1]] = time
        for name in self.parts:
            if "signature:" in name:
                entries.setdefault(name.partition("signature:")[2], "an-entry")
        tags = []
        for which in given["keys"]:
            key = self.key(which)
            secret = key if self.proof["algorithm"] in PLAIN else b""
            signed = content(template, request, time=time, id=given["id"] or "", key=secret, entries=entries,
                             parameters=self.parameters)
            if self.proof.get("prehash"):
                signed = hashlib.new(self.proof["prehash"], signed).digest()
            tags.append(encode(given["encoding"], tag(self.proof["algorithm"], key, signed)))
        self.put_signatures(request, given, entries, tags)
        return self.close(request)

    def close(self, request):
        """Written out; a form says that it is one."""
        if isinstance(request.body, list) and request.body and isinstance(request.body[0], tuple):
            request.headers.append(("Content-Type", "application/x-www-form-urlencoded"))
        return request.close()

    def put_signatures(self, request, given, entries, tags):
        """Signatures and what stands in a list with them."""
        if "signature" in given["omit"]:
            return
        texts = (given["write"] or (lambda texts: [self.prefix + text for text in texts]))(tags)
        beside = [text if name.startswith("#") else f"{name}{self.assign}{text}" for name, text in entries.items()]
        if "{n}" in given["place"]:
            for number, text in enumerate(texts, 1):
                request.put(given["place"].replace("{n}", str(number)), text)
            return
        request.put(given["place"], (self.separator or "").join([*beside, *texts]))

    def put_places(self, request, given, time):
        """Id, event type and all else that must be there."""
        bare = isinstance(request.body, bytes)
        id_place = self.proof.get("id", [""])[0]
        for place, value in self.places().items():
            in_body = place.startswith(("json:", "form:"))
            if in_body and bare or place in given["omit"] or (self.time and place == self.time["at"]):
                continue
            value = given["id"] if place == id_place else given["instead"].get(place, value)
            if value is not None:
                request.put(place, value)
        if self.time and not self.time["at"].startswith("signature:") and self.time["at"] not in given["omit"]:
            if not (bare and self.time["at"].startswith(("json:", "form:"))):
                value = int(time) if self.time["at"].startswith("json:") and time.isdigit() and self.signs_body else time
                request.put(self.time["at"], value)

    def verified(self, key=1, body=True):
        """What is found in an accepted request."""
        found = {"key": key}
        for name, value in (("id", ID), ("event_type", TYPE)):
            place = self.proof.get(name, [""])[0]
            value = {"*": "anything"}.get(is_ := self.proof.get("when", {}).get(place, value), is_)
            if place and (body or not place.startswith(("json:", "form:"))):
                found[name] = value
        if self.time:
            in_ms = self.time["unit"] == "ms"
            found["timestamp_ms" if in_ms else "timestamp_s"] = NOW_MS if in_ms else NOW_MS // 1000
        return found

    def needs_body(self):
        """Whether what is signed or signs stands in the body."""
        places = [*self.at[:1], *self.proof.get("when", {}), *([self.time["at"]] if self.time else [])]
        places += [name for name in self.places() if name not in (self.proof.get("id", [])[:1] + self.proof.get("event_type", [])[:1])]
        inside = [place for place in places if place.startswith(("json:", "form:"))]
        signed = [name for name in self.parts if "json:" in name or "json-raw:" in name or "form:" in name]
        return bool(inside or [name for name in signed if name != "form:sorted"])


def vector(maker, name, request, *, secrets=None, now_ms=None, verified=None, refused=None):
    """One entry of a vector file."""
    if maker.number:
        name = f"proof {maker.number + 1}: {name}"
    return {
        "name": name, "secrets": secrets or [maker.secret()], "request": request, "now_ms": now_ms or NOW_MS,
        "verified": verified, "refused": refused, "parameters": maker.parameters, "is_pair": maker.is_pair,
    }


def credential_cases(maker):
    good, place = maker.request(), maker.at[0]
    is_outside = not place.startswith(("json:", "form:"))
    yield vector(maker, "accepted", good, verified=maker.verified())
    for second in maker.at[1:]:
        made = maker.request(place=second)
        if is_outside:
            yield vector(maker, f"accepted in {second}", made, verified=maker.verified())
            both = made.copy()
            both.put(place, maker.prefix + maker.secret())
            yield vector(maker, f"in {second} and elsewhere", both, refused="credential-repeated")
    if not maker.needs_body():
        bare = maker.request(body=b"")
        yield vector(maker, "an empty body", bare, verified=maker.verified(body=False))
    yield vector(maker, "the previous of two secrets", maker.request(keys=["old"]),
                 secrets=[maker.secret(), maker.secret("old")], verified=maker.verified())
    yield vector(maker, "another secret", maker.request(keys=["other"]), refused="credential-mismatch")
    longer = maker.request(credential=maker.secret() + "0")
    yield vector(maker, "a longer secret", longer, refused="credential-mismatch")
    yield vector(maker, "none", maker.request(omit=["signature"]), refused="credential-missing")
    if is_outside:
        twice = good.copy()
        twice.put(place, maker.prefix + maker.secret())
        yield vector(maker, "twice", twice, refused="credential-repeated")
        empty = good.without(place)
        empty.put(place, "")
        yield vector(maker, "an empty one", empty, refused="credential-malformed")
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
    if maker.encodings[0].startswith("hex"):
        other = str.lower if maker.encodings[0] == "hex-upper" else str.upper
        turned = maker.request(write=lambda texts: [maker.prefix + other(text) for text in texts])
        yield vector(maker, "accepted in letters of the other case", turned, verified=maker.verified())
    yield from body_cases(maker, good)
    if maker.scheme.get("gzip"):
        yield from gzip_cases(maker, good)
    yield vector(maker, "another secret", maker.request(keys=["other"]), refused=mismatch)
    yield vector(maker, "the previous of two secrets", maker.request(keys=["old"]),
                 secrets=[maker.secret(), maker.secret("old")], verified=maker.verified())
    yield vector(maker, "no signature", maker.request(omit=["signature"]), refused="signature-missing")
    is_outside = not place.startswith(("json:", "form:"))
    if not maker.signature.get("repeats") and is_outside:
        twice = good.copy()
        kind, name = split_place(place)
        if kind == "query":
            twice.url += "&" + twice.url.partition("?")[2]
        wanted = "Authorization" if kind == "authorization" else name.split("/")[0]
        twice.headers += [(known, value) for known, value in good.headers if known == wanted]
        yield vector(maker, "the signature twice", twice, refused="signature-repeated")
    if not maker.is_pair:
        cut = maker.request(write=lambda texts: [maker.prefix + text[:-1] for text in texts])
        yield vector(maker, "a signature without its last character", cut, refused=malformed)
    if maker.prefix:
        bare = maker.request(write=lambda texts: texts)
        yield vector(maker, "a signature without its prefix", bare, refused=malformed)
    if place.startswith("base64-json:"):
        header = split_place(place)[1].split("/")[0]
        for what, text in (("not JSON", "none"), ("JSON without a signature", '{"kid": "one"}')):
            wrong = maker.request(omit=["signature"])
            wrong.put(f"header:{header}", base64.b64encode(text.encode()).decode())
            yield vector(maker, f"a header that is {what}", wrong, refused=malformed)
    if maker.separator or "{n}" in place:
        both = maker.request(keys=["other", "current"])
        yield vector(maker, "the second of two signatures", both, verified=maker.verified())
    yield from time_cases(maker, good)
    yield from part_cases(maker, good)


def body_cases(maker, good):
    if not maker.signs_body:
        return
    # openssl signs no empty text with Ed25519.
    is_nothing = maker.proof["algorithm"] == "ed25519" and maker.template == "{body}"
    if not maker.needs_body() and not is_nothing:
        yield vector(maker, "an empty body", maker.request(body=b""), verified=maker.verified(body=False))
    changed = good.copy()
    changed.body = changed.body.replace(b"12.5", b"12.6")
    yield vector(maker, "one byte of the body changed", changed, refused="signature-mismatch")
    longer = good.copy()
    longer.body += b"\n"
    yield vector(maker, "a newline after the body", longer, refused="signature-mismatch")


def gzip_cases(maker, good):
    """What is signed of a compressed body is what it was before, all of it and nothing else."""
    def compressed(*texts):
        made = good.copy()
        made.body = b"".join(gzip.compress(text, mtime=0) for text in texts)
        made.headers.append(("Content-Encoding", "gzip"))
        return made

    yield vector(maker, "compressed", compressed(good.body), verified=maker.verified())
    yield vector(maker, "compressed twice", compressed(gzip.compress(good.body, mtime=0)), refused="signature-mismatch")
    yield vector(maker, "something else after it", compressed(good.body, b"more"), refused="signature-mismatch")
    cut = compressed(good.body)
    cut.body = cut.body[:-1]
    yield vector(maker, "compressed and cut off", cut, refused="signature-mismatch")


def time_cases(maker, good):
    if not maker.time:
        return
    place, write = maker.time["at"], TIMES[maker.time["unit"]]
    if "tolerance_s" in maker.time:
        tolerance = maker.time["tolerance_s"] * 1000
        step = 1000 if maker.time["unit"] in ("s", "http-date") else 1
        ahead = NOW_MS - tolerance
        yield vector(maker, "as old as may be", good, now_ms=NOW_MS + tolerance, verified=maker.verified())
        yield vector(maker, "too old", good, now_ms=NOW_MS + tolerance + step, refused="timestamp-too-old")
        yield vector(maker, "as new as may be", good, now_ms=ahead, verified=maker.verified())
        yield vector(maker, "too new", good, now_ms=ahead - step, refused="timestamp-too-new")
    wrong = maker.request(time=write(NOW_MS) + "x")
    yield vector(maker, "a time that is none", wrong, refused="timestamp-malformed")
    if place.startswith("header:"):
        later = good.without(place)
        yield vector(maker, "no time", later, refused="timestamp-missing")
        later = later.copy()
        later.put(place, write(NOW_MS + 1000))
        yield vector(maker, "another time", later, refused="signature-mismatch")


def part_cases(maker, good):
    """What else is signed."""
    for place in maker.must:
        other = maker.request(instead={place: "another one's"})
        yield vector(maker, f"rightly signed with another {place}", other, refused="part-mismatch")
    if maker.signs_id:
        place = maker.proof["id"][0]
        other = good.without(place)
        yield vector(maker, "no id", other, refused="id-missing")
        other = other.copy()
        other.put(place, "msg_2KWPBgLlAfxdpx2AI54pPJ85f4X")
        yield vector(maker, "another id", other, refused="signature-mismatch")
    if "url" in maker.parts or "url:any-port" in maker.parts:
        moved = good.copy()
        moved.url = moved.url.replace("/hook", "/other", 1)
        yield vector(maker, "another url", moved, refused="signature-mismatch")
        path = good.copy()
        path.url = path.url.removeprefix("https://example.com")
        yield vector(maker, "only the path of the url", path, refused="url-not-absolute")
    if "method" in maker.parts:
        other = good.copy()
        other.method = "PUT"
        yield vector(maker, "another method", other, refused="signature-mismatch")
    if "request:plivo" in maker.parts:
        yield from plivo_cases(maker, good)
    if any(name.startswith("headers:") for name in maker.parts):
        yield from list_cases(maker, good)
    for place in [one for one in maker.places() if one.startswith("entry:") and one in maker.parts]:
        header, _, entry = split_place(place)[1].partition("/")
        for what, change, refused in (("another", lambda text: text.replace(f'{entry}="', f'{entry}="x'), "signature-mismatch"),
                                      ("repeated", lambda text: f'{text}, {entry}="one"', "part-repeated"),
                                      ("no", lambda text: text.replace(f"{entry}=", "other="), "part-missing")):
            other = good.copy()
            other.headers = [(name, change(text) if name == header else text) for name, text in other.headers]
            yield vector(maker, f"{what} {place}", other, refused=refused)
    for place in maker.places():
        if place.startswith("header:") and place in maker.parts:
            other = good.without(place)
            optional = any(piece[0] == "optional" and ("part", place) in piece[1] for piece in parse(maker.template))
            yield vector(maker, f"no {place}", other, refused="signature-mismatch" if optional else "part-missing")
            other = other.copy()
            other.put(place, "another")
            yield vector(maker, f"another {place}", other, refused="signature-mismatch")


def plivo_cases(maker, good):
    """The URL and the form, as Plivo signs them."""
    asked = maker.request(url=URL + "?b=2&a=1+2&b=1")
    yield vector(maker, "with a query", asked, verified=maker.verified())
    yield vector(maker, "neither form nor query", maker.request(body=b""), verified=maker.verified())
    other = good.copy()
    other.body = other.body.replace(b"12.5", b"12.6")
    yield vector(maker, "another field", other, refused="signature-mismatch")
    moved = asked.copy()
    moved.url = moved.url.replace("b=1", "b=3")
    yield vector(maker, "another query", moved, refused="signature-mismatch")
    text = good.copy()
    text.headers = [(name, "text/plain" if name == "Content-Type" else value) for name, value in text.headers]
    yield vector(maker, "no form", text, refused="part-malformed")
    # The end of the last field is moved into the nonce.
    place = "header:X-Plivo-Signature-V3-Nonce"
    note = maker.request(body=[("Text", "pay 10.50")])
    shifted = note.without(place)
    shifted.body = b"Text=pay+10"
    shifted.put(place, "50." + maker.places()[place])
    yield vector(maker, "a dot in the nonce", shifted, refused="part-malformed")


def list_cases(maker, good):
    """Headers that one lists."""
    event = maker.proof["event_type"][0]
    list_ = next(f"header:{name[8:]}" for name in maker.parts if name.startswith("headers:"))
    yield vector(maker, "a listed header is absent", good.without(event), refused="part-missing")
    other = good.without(event)
    other.put(event, "another.thing")
    yield vector(maker, "another listed header", other, refused="signature-mismatch")
    shorter = good.without(list_)
    shorter.put(list_, list_.partition(":")[2])
    yield vector(maker, "the time is not listed", shorter, refused="part-missing")
    yield vector(maker, "no list", good.without(list_), refused="part-missing")
    more = good.copy()
    more.put("header:X-Other", "not signed")
    yield vector(maker, "a header besides", more, verified=maker.verified())


def cases(scheme):
    """All requests of a scheme with their verdicts."""
    for number, proof in enumerate(scheme["proof"]):
        if proof["algorithm"] in ("jwt", "jws"):
            yield from tokens.cases(scheme, proof)
            continue
        if "items" in proof:
            yield from batches.cases(scheme, proof)
            continue
        maker = Maker(scheme, proof, number)
        made = credential_cases(maker) if maker.is_credential else signature_cases(maker)
        if number:
            # What is sent besides the first is only held to what tells it from the others.
            made = [one for one in made if one["name"].split(": ", 1)[1] in ("accepted", "another secret")]
        yield from made
