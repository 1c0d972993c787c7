"""Verifies deliveries with Python's standard library alone. Every function takes the raw body (bytes, never parsed JSON),
the request's headers (anything that has `get`, whatever the case of the name) and the secret, and says whether to
believe the request."""

import base64
import hashlib
import hmac
import re
import time


def qlens(body, headers, secret):
    """QualityPilot: `X-QLens-Signature: sha256=<hex>` of the body."""
    return _body_is_signed(body, headers.get("X-QLens-Signature"), secret)


def qualifio(body, headers, secret):
    """Qualifio: `X-Qualifio-Signature: sha256=<hex>` of the body."""
    return _body_is_signed(body, headers.get("X-Qualifio-Signature"), secret)


def _body_is_signed(body, header, secret):
    # Exactly 64 digits, so that 32 bytes are compared with 32: `compare_digest` raises for text that is not ASCII.
    digits = re.fullmatch("sha256=([0-9a-f]{64})", header or "")
    if digits is None:
        return False
    expected = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return hmac.compare_digest(bytes.fromhex(digits[1]), expected)


def qflow(body, headers, secret):
    """Q-Flow: `sha256=<base64>` of `{id}.{timestamp}.{body}`, one for each secret in force, the time in milliseconds."""
    request_id, timestamp = headers.get("Qflow-Request-Id"), headers.get("Qflow-TimeStamp")
    if not request_id or re.fullmatch("[0-9]{1,15}", timestamp or "") is None:
        return False
    if abs(time.time() * 1000 - int(timestamp)) > 5 * 60 * 1000:
        return False
    signed = f"{request_id}.{timestamp}.".encode() + body
    expected = hmac.new(base64.b64decode(secret), signed, hashlib.sha256).digest()
    for signature in (headers.get("Qflow-Signature") or "").split(","):
        text = re.fullmatch("sha256=([A-Za-z0-9+/]{43}=)", signature)
        if text is not None and hmac.compare_digest(base64.b64decode(text[1]), expected):
            return True
    return False
