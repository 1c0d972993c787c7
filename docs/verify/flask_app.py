"""Proves GitHub's webhooks on Flask, with Python's standard library."""

import hashlib
import hmac
import json
import os
import re

from flask import Flask, request

SECRET = os.environ["WEBHOOK_SECRET"].encode()
if not SECRET.strip():
    raise SystemExit("WEBHOOK_SECRET is empty")

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 25 * 1024 * 1024


def is_authentic(body, header, secret=SECRET):
    # Exactly 64 digits, so that 32 bytes are compared with 32: `compare_digest` raises for text that is not ASCII.
    digits = re.fullmatch("sha256=([0-9a-f]{64})", header or "")
    if digits is None:
        return False
    expected = hmac.new(secret, body, hashlib.sha256).digest()
    return hmac.compare_digest(bytes.fromhex(digits[1]), expected)


@app.post("/hooks/github")
def hook():
    body = request.get_data()  # the raw bytes; `get_json` would have parsed them
    if not is_authentic(body, request.headers.get("X-Hub-Signature-256")):
        return "", 401
    event = json.loads(body)  # only now, and from the very bytes that were proven
    print(request.headers.get("X-GitHub-Event"), event.get("action") or event.get("ref"))
    return "", 204


if __name__ == "__main__":
    app.run("127.0.0.1", int(os.environ.get("PORT", "3000")))
