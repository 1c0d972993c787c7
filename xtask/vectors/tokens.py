"""Which requests are made of a scheme whose proof is a JSON Web Token, or a JSON Web Signature without its payload."""

import base64
import json

import pairs
from language import TIMES, Request, content, key_bytes, make_secret, split_place, tag

ALGORITHMS = {
    "HS256": "hmac-sha256", "HS384": "hmac-sha384", "HS512": "hmac-sha512", "RS256": "rsa-sha256", "RS512": "rsa-sha512",
    "ES256": "ecdsa-p256-raw", "EdDSA": "ed25519",
}
NOW_S = 1_700_000_000
NOW_MS = NOW_S * 1000
URL = "https://example.com/hook?b=2&a=1"
VALUES = {"id": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", "event_type": "thing.happened"}
BODY = '{"n": 1, "note": "Zo\u00eb & <caf\u00e9>"}'.encode()


def encoded(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Tokens:
    """Makes requests by one proof of a scheme."""

    def __init__(self, scheme, proof):
        self.scheme, self.proof, self.spec = scheme, proof, proof.get("key", {})
        self.place = proof["signature"]["at"][0]
        self.claims = proof.get("claims", {})
        self.time = proof.get("timestamp")
        self.is_detached = proof["algorithm"] == "jws"
        self.names = {name: split_place(place)[1] for name in ("id", "event_type")
                      for place in proof.get(name, [])[:1] if place.startswith("claim:")}
        self.headers = {name: place for name in ("id", "event_type")
                        for place in proof.get(name, [])[:1] if place.startswith("header:")}
        consts = [text[7:-1] for text in self.claims.values() if text.startswith("{const:")]
        self.parameters = {name: f"the-{name.replace('_', '-')}" for name in consts}

    def key(self, alg, which):
        algorithm = ALGORITHMS[alg]
        seed = f"{self.scheme['name']} {which}"
        return key_bytes(self.spec, self.secret(which)) if alg.startswith("HS") else pairs.Pair(algorithm, seed)

    def secret(self, which="current"):
        alg = self.proof["alg"][0]
        if alg.startswith("HS"):
            return make_secret(self.spec, f"{self.scheme['name']} {which}")
        return self.key(alg, which).public(self.spec)

    def request(self, *, alg=None, header=None, which="current", body=BODY, url=URL, drop=(), change=None, time_s=NOW_S, sent=None):
        """A request that is accepted, but for what is changed in its making. `sent` is what it has in the end instead."""
        alg = alg or self.proof["alg"][0]
        request = Request("POST", url, body)
        for name, place in self.headers.items():
            request.put(place, VALUES[name])
        time = ""
        if self.is_detached:
            if self.time:
                time = TIMES[self.time["unit"]](time_s * 1000)
                request.put(self.time["at"], time)
            payload = content(self.proof["content"], request, time=time, id="", key=b"", entries={}, parameters=self.parameters)
        else:
            payload = json.dumps(self.claims_of(request, time_s, drop, change or {})).encode()
        head = encoded(json.dumps(header or {"alg": alg, "typ": "JWT"}).encode())
        signed = f"{head}.{encoded(payload)}"
        made = encoded(tag(ALGORITHMS[alg], self.key(alg, which), signed.encode())) if not header else ""
        token = f"{head}.{'' if self.is_detached else encoded(payload)}.{made}"
        for name, value in (sent or {}).items():
            setattr(request, name, value)
        if self.place == "body":
            request.body = token.encode()
        elif "token" not in drop:
            request.put(self.place, token)
        return request

    def claims_of(self, request, time_s, drop, change):
        claims = {"iat": time_s, "exp": time_s + 300}
        for name, template in self.claims.items():
            claims[name] = content(template, request, time="", id="", key=b"", entries={}, parameters=self.parameters).decode()
        for name in self.names:
            claims[self.names[name]] = VALUES[name]
        return {name: value for name, value in (claims | change).items() if name not in drop}

    def verified(self):
        found = {"key": 1}
        for name, value in VALUES.items():
            if name in self.names or name in self.headers:
                found[name] = value
        if self.time:
            in_ms = self.time["unit"] == "ms"
            found["timestamp_ms" if in_ms else "timestamp_s"] = NOW_MS if in_ms else NOW_S
        return found


def cases(scheme, proof):
    """All requests of one proof with their verdicts."""
    maker = Tokens(scheme, proof)

    def one(name, request, verified=None, refused=None):
        return {"name": name, "secrets": [maker.secret()], "request": request, "now_ms": NOW_MS, "verified": verified,
                "refused": refused, "parameters": maker.parameters}

    yield one("accepted", maker.request(), verified=maker.verified())
    for alg in proof["alg"][1:]:
        yield one(f"accepted with {alg}", maker.request(alg=alg), verified=maker.verified())
    yield one("another secret", maker.request(which="other"), refused="signature-mismatch")
    yield one("the algorithm none", maker.request(header={"alg": "none"}), refused="algorithm-refused")
    if maker.place == "body":
        yield one("no token", Request("POST", URL, BODY), refused="signature-malformed")
    else:
        yield one("no token", maker.request(drop=("token",)), refused="signature-missing")
    if maker.is_detached:
        yield one("another body", maker.request(sent={"body": BODY + b" "}), refused="signature-mismatch")
    else:
        yield one("a minute after its end", maker.request(time_s=NOW_S - 360), refused="timestamp-too-old")
        ahead_s = 61 if not maker.time else maker.time["tolerance_s"] + 1
        yield one("from a time to come", maker.request(time_s=NOW_S + ahead_s), refused="timestamp-too-new")
    if maker.time and maker.time.get("tolerance_s"):
        late = maker.request(time_s=NOW_S - maker.time["tolerance_s"] - 1)
        yield one("older than the tolerance", late, refused="timestamp-too-old")
    for name, template in maker.claims.items():
        of_body = "body}" in template
        missing = "body-digest-missing" if of_body else "claim-missing"
        yield one(f"without the claim {name}", maker.request(drop=(name,)), refused=missing)
        if of_body:
            yield one("another body", maker.request(sent={"body": BODY + b" "}), refused="body-digest-mismatch")
            bare = maker.request(body=b"", drop=(name,))
            yield one(f"no body and no claim {name}", bare, verified=maker.verified())
        elif ":url}" in template:
            yield one("another url", maker.request(sent={"url": URL + "0"}), refused="url-digest-mismatch")
        else:
            yield one(f"another {name}", maker.request(change={name: "another"}), refused="claim-mismatch")
