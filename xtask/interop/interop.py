"""The same for the packages that providers publish on PyPI: which ones, and the check itself. One line of the table for each."""

import base64
import importlib.metadata
import json
import time
from datetime import datetime, timezone
from urllib.parse import parse_qsl

import razorpay
import slack_sdk.signature as slack
import standardwebhooks
import stripe
import svix
import twilio.request_validator as twilio
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sendgrid.helpers.eventwebhook import EventWebhook

import hookward

URL = "https://example.com/hooks?source=hookward"
BODY = '{"id":"evt_1","type":"thing.happened","n":1}'


def now():
    return int(time.time())


def at(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc)


def webhook_headers(family, webhook, body):
    seconds = now()
    signature = webhook.sign(msg_id="msg_1", timestamp=at(seconds), data=body)
    return {f"{family}-id": "msg_1", f"{family}-timestamp": str(seconds), f"{family}-signature": signature}


def stripe_signs(body, secret):
    # What the package's own tests do: the signature that it compares with.
    stamped = f"{now()}.{body}"
    signature = stripe.WebhookSignature._compute_signature(stamped, secret)
    return {"stripe-signature": f"t={stamped.split('.')[0]},v1={signature}"}


def slack_signs(body, secret):
    seconds = str(now())
    signature = slack.SignatureVerifier(secret).generate_signature(timestamp=seconds, body=body)
    return {"x-slack-request-timestamp": seconds, "x-slack-signature": signature}


SENDGRID, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))


def pem(key):
    formats = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, *formats).decode()


def shown(key):
    """The public half as the provider shows it."""
    formats = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(key.public_key().public_bytes(*formats)).decode()


def sendgrid_signs(body, _secret):
    # What the package's own tests verify: a signature of the library that it verifies with.
    seconds = str(now())
    signature = SENDGRID.sign((seconds + body).encode(), ec.ECDSA(hashes.SHA256()))
    return sendgrid_headers(base64.b64encode(signature).decode(), seconds)


def sendgrid_headers(signature, timestamp):
    family = "x-twilio-email-event-webhook"
    return {f"{family}-signature": signature, f"{family}-timestamp": timestamp}


def sendgrid_verifies(body, headers, key):
    signature, timestamp = (headers[name] for name in sendgrid_headers("", ""))
    return EventWebhook(key).verify_signature(body, signature, timestamp)


ADAPTERS = [
    {
        "scheme": "standard-webhooks",
        "package": "standardwebhooks",
        "verify": lambda body, headers, secret: standardwebhooks.Webhook(secret).verify(body, headers),
        "sign": lambda body, secret: webhook_headers("webhook", standardwebhooks.Webhook(secret), body),
    },
    {
        "scheme": "svix",
        "package": "svix",
        "verify": lambda body, headers, secret: svix.Webhook(secret).verify(body, headers),
        "sign": lambda body, secret: webhook_headers("svix", svix.Webhook(secret), body),
    },
    {
        "scheme": "stripe",
        "package": "stripe",
        "verify": lambda body, headers, secret: stripe.Webhook.construct_event(body, headers["stripe-signature"], secret),
        "sign": stripe_signs,
    },
    {
        "scheme": "slack",
        "package": "slack_sdk",
        "verify": lambda body, headers, secret: slack.SignatureVerifier(secret).is_valid_request(body, headers),
        "sign": slack_signs,
    },
    {
        "scheme": "twilio",
        "package": "twilio",
        "body": "AccountSid=AC1&Body=hi",
        "verify": lambda body, headers, secret: twilio.RequestValidator(secret).validate(
            URL, dict(parse_qsl(body)), headers["x-twilio-signature"]
        ),
        "sign": lambda body, secret: {
            "x-twilio-signature": twilio.RequestValidator(secret).compute_signature(URL, dict(parse_qsl(body)))
        },
    },
    {
        "scheme": "razorpay",
        "package": "razorpay",
        "verify": lambda body, headers, secret: razorpay.Utility().verify_webhook_signature(
            body, headers["x-razorpay-signature"], secret
        ),
    },
    {
        "scheme": "sendgrid",
        "package": "sendgrid",
        "body": '[{"sg_event_id":"1","event":"delivered","note":"na\u00efve"}]\r\n',
        "keys": (pem(SENDGRID), pem(OTHER), shown(SENDGRID)),
        "verify": sendgrid_verifies,
        "sign": sendgrid_signs,
    },
]


def holds(verify, *arguments):
    """Packages say no by an exception or by something false."""
    try:
        return verify(*arguments) is not False
    except Exception:
        return False


def believes(verifier, body, headers):
    try:
        verifier.verify(body.encode(), headers, url=URL)
        return True
    except hookward.Refused:
        return False


def check(adapter):
    scheme, verify, sign = adapter["scheme"], adapter["verify"], adapter.get("sign")
    body = adapter.get("body", BODY)
    altered = body.replace("1", "2", 1)
    # Of a pair of keys only the public half is the receiver's.
    signing, other, secret = adapter.get("keys") or (hookward.generate(scheme), hookward.generate(scheme), None)
    secret = secret or signing
    sender, ours, stranger = (hookward.Verifier(scheme, key) for key in (signing, secret, other))

    def signed(verifier):
        headers = verifier.sign(body.encode(), id="msg_1", event_type="thing.happened", url=URL).headers
        return {name.lower(): value for name, value in headers}

    headers = signed(sender)
    yield holds(verify, body, headers, secret), "they refuse what Hookward signs"
    yield believes(ours, body, headers), "Hookward refuses what it signs"
    yield not holds(verify, altered, headers, secret), "they accept an altered body"
    yield not believes(ours, altered, headers), "Hookward accepts an altered body"
    yield not holds(verify, body, signed(stranger), secret), "they accept another secret"
    yield not believes(ours, body, signed(stranger)), "Hookward accepts another secret"
    if sign is not None:
        made = sign(body, secret)
        yield believes(ours, body, made), "Hookward refuses what they sign"
        yield not believes(ours, altered, made), "Hookward accepts an altered body of theirs"
        yield not believes(stranger, body, made), "Hookward accepts what they sign with another secret"


for adapter in ADAPTERS:
    for held, otherwise in check(adapter):
        if not held:
            raise SystemExit(f"{adapter['package']}: {otherwise}")
    version = importlib.metadata.version(adapter["package"])
    accepted = True if "sign" in adapter else None
    finding = {"scheme": adapter["scheme"], "package": f"{adapter['package']} {version}", "language": "Python"}
    print(json.dumps({**finding, "accepts": True, "accepted": accepted}))
