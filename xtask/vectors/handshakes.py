"""Which questions are asked of a scheme that answers some, and what each must be answered."""

import hashlib
import json
import urllib.parse

from cases import NOW_MS, URL, Maker
from language import Request, encode, key_bytes, pointer, put, split_place, tag

CHALLENGE = "c0ffee-9f1d.A_b~7"
TOKEN = "the agreed text"


def answer(maker, rule):
    """What the question is answered with."""
    def fill(text):
        text = text.replace("{challenge}", CHALLENGE)
        for encoding in ("hex", "base64"):
            if f"{{hmac:{encoding}}}" in text:
                key = key_bytes(maker.proof.get("key", {}), maker.secret())
                text = text.replace(f"{{hmac:{encoding}}}", encode(encoding, tag(maker.proof["algorithm"], key, CHALLENGE.encode())))
        digest = hashlib.sha256(f"{CHALLENGE}{TOKEN}{URL}".encode()).hexdigest()
        return text.replace("{sha256:hex}", digest)

    wanted = rule.get("answer", {})
    found = {}
    if "text" in wanted:
        found = {"content_type": "text/plain", "body": fill(wanted["text"])}
    elif "json" in wanted:
        members = {name: fill(value) if isinstance(value, str) else value for name, value in sorted(wanted["json"].items())}
        found = {"content_type": "application/json", "body": json.dumps(members, separators=(",", ":"))}
    elif "header" in wanted:
        found = {"headers": [[name, fill(text)] for name, text in sorted(wanted["header"].items())]}
    if rule.get("adopt"):
        found["adopts"] = CHALLENGE
    return found


def question(maker, rule, *, challenge=CHALLENGE, token=TOKEN, when=True, signed=True):
    """The request that asks."""
    places = {}
    if when:
        places.update({place: "anything" if is_ == "*" else is_ for place, is_ in rule.get("when", {}).items()})
    if challenge is not None and "challenge" in rule:
        places[rule["challenge"]] = challenge
    if token is not None and "token" in rule:
        places[rule["token"]] = token
    tree, fields = {}, []
    for place, value in places.items():
        kind, name = split_place(place)
        if kind == "json":
            tree = [] if name.startswith("/0/") and not tree else tree
            tree = put(tree, pointer(name), value)
        elif kind == "form":
            fields.append((name, value))
    body = json.dumps(tree).encode() if tree else urllib.parse.urlencode(fields).encode()
    body = places.pop("body", "").encode() or body
    if rule.get("signed") and signed:
        request = maker.request(body=body)
    else:
        request = Request(rule["method"], "https://example.com/hook", body)
    for place, value in places.items():
        if not place.startswith(("json:", "form:")):
            request.put(place, value)
    if fields:
        request.headers.append(("Content-Type", "application/x-www-form-urlencoded"))
    return request


def handshakes(scheme):
    """All questions of a scheme with their answers."""
    maker = Maker(scheme, scheme["proof"][0], 0)
    none = "credential-missing" if maker.is_credential else "signature-missing"
    for number, rule in enumerate(scheme.get("handshake", [])):
        if "visit" in rule:
            # What is to be visited is no part of an answer.
            continue
        def one(name, request, **outcome):
            name = f"question {number + 1}: {name}" if number else name
            token = TOKEN if "token" in rule or "{sha256:" in str(rule.get("answer")) else None
            return {"name": name, "secrets": [maker.secret()], "token": token, "request": request,
                    "now_ms": NOW_MS} | outcome

        yield one("asked", question(maker, rule), answer=answer(maker, rule))
        asks = "challenge" in rule
        if rule.get("signed"):
            yield one("asked without a signature", question(maker, rule, signed=False), event=none)
            if asks:
                yield one("asked for nothing", question(maker, rule, challenge=None), event="verified")
            continue
        if not asks:
            if rule.get("when"):
                other = question(maker, rule, when=False)
                other.body = other.body or b"{}"
                yield one("asked for something else", other, event=none)
            else:
                other = question(maker, rule)
                other.method = "POST"
                yield one("asked by another method", other, event=none)
            continue
        yield one("asked for nothing", question(maker, rule, challenge=None), event=none)
        # A value of such a length in a body is nobody's.
        long = {"event": none} if rule["challenge"].startswith(("json:", "form:")) else {"refused": "challenge-malformed"}
        yield one("asked for more than is answered", question(maker, rule, challenge="c" * 1025), **long)
        if any("{hmac:" in text for kind in rule.get("answer", {}).values() for text in (kind.values() if isinstance(kind, dict) else [kind]) if isinstance(text, str)):
            yield one("asked to sign what could be an event", question(maker, rule, challenge='{"n":1}'), refused="challenge-malformed")
        if "token" in rule:
            yield one("asked with another token", question(maker, rule, token=TOKEN + "s"), refused="credential-mismatch")
            yield one("asked without the token", question(maker, rule, token=None), refused="credential-missing")
        if rule.get("when"):
            yield one("asked for something else", question(maker, rule, when=False), event=none)
