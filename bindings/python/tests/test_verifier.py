"""The package itself: headers of every shape, signing, errors, files."""

import pickle
import threading
from email.message import Message
from pathlib import Path

import pytest

import hookward

NOW = 1_700_000_000
BODY = b'{"type":"a.b"}'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def svix():
    return hookward.Verifier("svix", SECRET)


def signed():
    return dict(svix().sign(BODY, id="msg_1", event_type="a.b", now=NOW).headers)


def shapes():
    headers = signed()
    yield headers
    yield {name.upper(): value for name, value in headers.items()}
    yield {name: [value] for name, value in headers.items()}
    yield {name: value.encode() for name, value in headers.items()}
    yield list(headers.items())
    yield iter(headers.items())
    yield [(name.encode(), value.encode()) for name, value in headers.items()]
    message = Message()
    for name, value in headers.items():
        message[name] = value
    yield message


@pytest.mark.parametrize("headers", list(shapes()))
def test_headers_of_every_shape(headers):
    verified = svix().verify(BODY, headers, now=NOW)
    assert (verified.id, verified.event_type, verified.timestamp) == ("msg_1", "a.b", NOW)
    assert verified.binds == hookward.Binds(body=True, time=True, url=False, id=True, unique=True)
    assert not verified.is_weak


def test_a_header_that_came_twice_is_seen_twice():
    for twice in ([*signed().items(), ("svix-id", "msg_2")], {**signed(), "svix-id": ["msg_1", "msg_2"]}):
        with pytest.raises(hookward.Refused) as refused:
            svix().verify(BODY, twice, now=NOW)
        assert refused.value.code == "id-repeated"


@pytest.mark.parametrize("value", ["\xe9", "\u20ac", b"\xff"])
def test_a_header_beyond_ascii_is_refused_and_not_an_error(value):
    with pytest.raises(hookward.Refused) as refused:
        svix().verify(BODY, {**signed(), "svix-signature": value}, now=NOW)
    assert refused.value.code == "signature-malformed"


def test_a_refusal_says_why_and_survives_pickling():
    with pytest.raises(hookward.Refused) as refused:
        svix().verify(BODY + b" ", signed(), now=NOW)
    again = pickle.loads(pickle.dumps(refused.value))
    assert again.code == "signature-mismatch"
    assert str(again).startswith("no signature matches a live secret")


def test_the_clock_is_the_systems_where_none_is_given():
    sent = svix().sign(BODY, id="msg_1")
    assert svix().verify(BODY, sent.headers).id == "msg_1"
    with pytest.raises(hookward.Refused) as refused:
        svix().verify(BODY, signed())
    assert refused.value.code == "timestamp-too-old"


def test_several_secrets_and_another_tolerance():
    both = hookward.Verifier("svix", [hookward.generate("svix"), SECRET], tolerance_s=10)
    assert both.verify(BODY, signed(), now=NOW + 10).key_version == 1
    with pytest.raises(hookward.Refused) as refused:
        both.verify(BODY, signed(), now=NOW + 11)
    assert refused.value.code == "timestamp-too-old"
    assert svix().sign(BODY, id="m", now=NOW).signed_by == [1]


def test_the_url_below_an_origin():
    twilio = hookward.Verifier("twilio", "token", origin="https://example.com")
    sent = twilio.sign(b"a=1", url="https://example.com/sms?x=%20", now=NOW)
    assert twilio.verify(b"a=1", sent.headers, url="/sms?x=%20").binds.url
    with pytest.raises(hookward.Refused):
        twilio.verify(b"a=1", sent.headers, url="/sms?x=+")


def test_what_a_scheme_leaves_to_be_said():
    shop = hookward.Verifier("tiktok-shop", "the app's secret", parameters={"app_key": "6a3f"})
    sent = shop.sign(BODY)
    assert shop.verify(BODY, sent.headers).binds.body
    other = hookward.Verifier("tiktok-shop", "the app's secret", parameters={"app_key": "6a3"})
    with pytest.raises(hookward.Refused):
        other.verify(BODY, sent.headers)
    with pytest.raises(ValueError, match="needs the parameter `app_key`: the app's key"):
        hookward.Verifier("tiktok-shop", "x")
    with pytest.raises(ValueError, match="did you mean `app_key`"):
        hookward.Verifier("tiktok-shop", "x", parameters={"app_kay": "6a3f"})
    registered = hookward.Verifier("twilio", "token", parameters={"url": "https://example.com/sms"})
    sent = hookward.Verifier("twilio", "token").sign(b"a=1", url="https://example.com/sms")
    assert not registered.verify(b"a=1", sent.headers, url="http://10.0.0.7:8080/sms").binds.url


def test_a_scheme_from_a_file(tmp_path: Path):
    file = tmp_path / "ours.toml"
    file.write_text(
        'name = "ours"\ntitle = "Ours"\n[[proof]]\nalgorithm = "hmac-sha256"\ncontent = "{body}"\n'
        'signature = { at = ["header:X-Ours"], encodings = ["hex"] }\n'
    )
    ours = hookward.Verifier.from_file(file, "secret")
    assert repr(ours) == "Verifier('ours', …)"
    assert ours.verify(BODY, ours.sign(BODY).headers).scheme == "ours"
    file.write_text('name = "ours"\ntitle = "Ours"\nprof = []\n')
    with pytest.raises(ValueError, match="line 3, column 1: .* did you mean `proof`"):
        hookward.Verifier.from_file(file, "secret")


@pytest.mark.parametrize(
    ("scheme", "secrets", "message"),
    [
        ("gihtub", "x", "did you mean `github`"),
        ("github", [], "needs a secret"),
        ("github", " ", "empty"),
        ("github", ["x", ""], "secret 2"),
    ],
)
def test_what_no_verifier_is_made_of(scheme, secrets, message):
    with pytest.raises(ValueError, match=message):
        hookward.Verifier(scheme, secrets)


def test_a_body_is_bytes():
    for parsed in ({"type": "a.b"}, BODY.decode()):
        with pytest.raises(TypeError):
            svix().verify(parsed, signed(), now=NOW)


def test_secrets_are_made_and_differ():
    made = {hookward.generate("github") for _ in range(20)}
    assert len(made) == 20
    assert hookward.generate("stripe").startswith("whsec_")
    with pytest.raises(ValueError):
        hookward.generate("nobody")


def test_the_catalog_can_be_read():
    assert 'name = "github"' in hookward.scheme_source("github")
    assert hookward.scheme_source("nobody") is None


def test_threads_share_one():
    verifier, sent, found = svix(), signed(), []
    threads = [threading.Thread(target=lambda: found.append(verifier.verify(BODY, sent, now=NOW).id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["msg_1"] * 8


def test_a_proof_that_stands_in_the_body():
    ours = hookward.Verifier.from_toml(
        'name = "ours"\ntitle = "Ours"\n[[proof]]\nalgorithm = "hmac-sha256"\ncontent = "{json:/ref}"\n'
        'signature = { at = ["json:/sig"], encodings = ["hex"] }\n',
        "secret",
    )
    sent = ours.sign(b'{"ref":"1"}')
    verified = ours.verify(sent.body, sent.headers)
    assert verified.binds.part_of_body and not verified.binds.body
    assert svix().sign(BODY, id="msg_1").body is None
