"""The same requests with known answers as the Rust tests, so that the languages cannot drift apart."""

import base64
import tomllib
from pathlib import Path

import pytest

import hookward

SCHEMES = Path(__file__).parents[3] / "crates" / "hookward" / "schemes"


def tables(kind):
    for file in sorted(SCHEMES.glob("*.vectors.toml")):
        scheme = file.name.removesuffix(".vectors.toml")
        for table in tomllib.loads(file.read_text(encoding="utf-8")).get(kind, []):
            yield pytest.param(scheme, table, id=f"{scheme}: {table['name']}")


def parts(table):
    now = table["now_ms"] / 1000 if "now_ms" in table else table.get("now_s", 0)
    body = base64.b64decode(table["body_base64"]) if "body_base64" in table else table["body"].encode()
    # Pairs, since a header may come twice; each value as the bytes that stand in the file.
    headers = [(name, value.encode()) for name, value in table["headers"]]
    where = {"method": table.get("method", "POST"), "url": table.get("url", "https://example.com/hook"), "now": now}
    return body, headers, where


@pytest.mark.parametrize(("scheme", "vector"), list(tables("vector")))
def test_vector(scheme, vector):
    if not vector["secrets"]:
        assert vector["refused"] == "no-usable-secret"
        with pytest.raises(ValueError, match="needs a secret"):
            hookward.Verifier(scheme, [])
        return
    verifier = hookward.Verifier(scheme, vector["secrets"], parameters=vector.get("parameters"))
    body, headers, where = parts(vector)
    if "refused" in vector:
        with pytest.raises(hookward.Refused) as refused:
            verifier.verify(body, headers, **where)
        assert refused.value.code == vector["refused"]
        return
    expected = vector["verified"]
    verified = verifier.verify(body, headers, **where)
    assert (verified.scheme, verified.key_version) == (scheme, expected["key"])
    assert (verified.id, verified.event_type) == (expected.get("id"), expected.get("event_type"))
    seconds = expected["timestamp_ms"] / 1000 if "timestamp_ms" in expected else expected.get("timestamp_s")
    assert verified.timestamp == seconds


@pytest.mark.parametrize(("scheme", "vector"), list(tables("handshake")))
def test_handshake(scheme, vector):
    # A request that comes before there is any secret is asked under one that signs nothing of it.
    secrets = vector["secrets"] or [hookward.generate(scheme)]
    verifier = hookward.Verifier(scheme, secrets)
    body, headers, where = parts(vector)
    token = {"token": vector["token"]} if "token" in vector else {}
    if "refused" in vector:
        if not vector["secrets"] and vector["refused"] == "no-usable-secret":
            return  # a verifier always has a secret
        with pytest.raises(hookward.Refused) as refused:
            verifier.handshake(body, headers, **where, **token)
        assert refused.value.code == vector["refused"]
        return
    answer = verifier.handshake(body, headers, **where, **token)
    if "event" in vector:
        assert answer is None
        return
    expected = vector["answer"]
    assert answer.content_type == expected.get("content_type")
    assert [list(header) for header in answer.headers] == expected.get("headers", [])
    assert answer.body == expected.get("body", "")
    assert answer.adopts == (expected["adopts"].encode() if "adopts" in expected else None)


def test_every_scheme_of_the_catalog_has_vectors():
    with_vectors = {param.values[0] for param in tables("vector")}
    assert set(hookward.schemes()) == with_vectors
