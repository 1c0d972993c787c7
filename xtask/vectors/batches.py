"""Which requests are made of a scheme that signs each item of a batch, which is a JSON array, and nothing else of the body."""

from language import NotRead, Request, content, encode, key_bytes, make_secret, parse, pointer, put, split_place, tag

NOW_MS = 1_700_000_000_000
URL = "https://example.com/hook"
VALUES = {"id": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", "event_type": "thing.happened"}


class Batches:
    """Makes requests by one proof of a scheme."""

    def __init__(self, scheme, proof):
        self.scheme, self.proof, self.spec = scheme, proof, proof.get("key", {})
        self.encoding, self.at = proof["signature"]["encodings"][0], proof["signature"]["at"][0]
        self.prefix = proof["signature"].get("prefix", "")
        self.named = {proof[name][0]: value for name, value in VALUES.items() if name in proof}
        pieces = parse(proof["content"])
        self.always = [self.place(piece[1]) for piece in pieces if piece[0] == "part"]
        self.optional = [self.place(inner[1]) for piece in pieces if piece[0] == "optional"
                         for inner in piece[1] if inner[0] == "part"]
        self.free = [place for piece in pieces if piece[0] == "part" and piece[1].startswith("free:")
                     for place in [self.place(piece[1])]]

    def place(self, name):
        name = name.removeprefix("free:")
        if not name.startswith("json:"):
            raise NotRead(f"an item of a batch has no {name}")
        return name

    def secret(self, which="current"):
        return make_secret(self.spec, f"{self.scheme['name']} {which}")

    def item(self, *, which="current", change=None, drop=(), optional=False, later=None, cut=0):
        """One item, rightly signed. `change` is made before that, `later` after it."""
        tree = {}
        for place in self.always + (self.optional if optional else []):
            value = self.named.get(place, f"value of {place.rpartition('/')[2]}")
            if place not in drop:
                tree = put(tree, pointer(split_place(place)[1]), (change or {}).get(place, value))
        if not drop:
            key = key_bytes(self.spec, self.secret(which))
            signed = content(self.proof["content"], Request("POST", URL, tree), time="", id="", key=b"", entries={}, parameters={})
            text = encode(self.encoding, tag(self.proof["algorithm"], key, signed))
            tree = put(tree, pointer(split_place(self.at)[1]), self.prefix + text[:len(text) - cut])
        else:
            tree = put(tree, pointer(split_place(self.at)[1]), self.prefix + encode(self.encoding, b"\0" * 32))
        for place, value in (later or {}).items():
            tree = put(tree, pointer(split_place(place)[1]), value)
        return tree

    def request(self, *items, **beside):
        """A batch with these items, and with other members beside them."""
        request = Request("POST", URL, put(dict(beside), pointer(self.proof["items"]), list(items)))
        request.headers.append(("Content-Type", "application/json"))
        return request.close()

    def verified(self, items=1):
        """What is found; of several items the id and the type are not those of the request."""
        found = {"key": 1}
        if items == 1:
            found |= {name: value for name, value in VALUES.items() if name in self.proof}
        return found


def cases(scheme, proof):
    """All requests of one proof with their verdicts."""
    maker = Batches(scheme, proof)

    def one(name, request, verified=None, refused=None, secrets=None):
        return {"name": name, "secrets": secrets or [maker.secret()], "request": request, "now_ms": NOW_MS,
                "verified": verified, "refused": refused, "parameters": {}}

    good, plain = maker.item(), [place for place in maker.always if place not in maker.named and place not in maker.free]
    yield one("accepted", maker.request(good), verified=maker.verified())
    yield one("with something beside the items, which is not signed", maker.request(good, live="true"), verified=maker.verified())
    yield one("two items", maker.request(good, maker.item(change={plain[0]: "another"})), verified=maker.verified(items=2))
    yield one("the second of two items by another secret", maker.request(good, maker.item(which="other")), refused="signature-mismatch")
    yield one("another secret", maker.request(maker.item(which="other")), refused="signature-mismatch")
    yield one("the previous of two secrets", maker.request(maker.item(which="old")),
              secrets=[maker.secret(), maker.secret("old")], verified=maker.verified())
    yield one("no items", maker.request(), refused="signature-missing")
    bare = Request("POST", URL, {"live": "true"})
    yield one("no array", bare.close(), refused="signature-missing")
    unsigned = maker.item(later={maker.at: None})
    yield one("an item without a signature", maker.request(good, unsigned), refused="signature-missing")
    yield one("a signature without its last character", maker.request(maker.item(cut=1)), refused="signature-malformed")
    if maker.optional:
        yield one("with what may be absent", maker.request(maker.item(optional=True)), verified=maker.verified())
        added = maker.item(later={maker.optional[0]: "put in"})
        yield one("with what may be absent put in later", maker.request(added), refused="signature-mismatch")
    for place in maker.always:
        name = place.rpartition("/")[2]
        yield one(f"another {name}", maker.request(maker.item(later={place: "another"})), refused="signature-mismatch")
        yield one(f"no {name}", maker.request(maker.item(drop=(place,))), refused="part-missing")
    border = next(piece for piece in parse(proof["content"]) if isinstance(piece, str))
    shifted = maker.item(change={maker.always[0]: f"a{border}b"})
    yield one("a value with the border in it", maker.request(shifted), refused="part-malformed")
    for place in maker.free:
        freely = maker.item(change={place: f"a{border}b"})
        yield one("a free value with the border in it", maker.request(freely), verified=maker.verified())
