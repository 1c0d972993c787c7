"""A receiver as a customer writes it, on Flask: `request.get_data()`, one path for each scheme, 204 for what it believes.
Started by `cargo xtask receivers`, which owns it. What verifies is in `examples/receivers`.

Prints its URL, then one line of JSON for each request that came ({ path, status, headers, body }). Reads lines of JSON that
say how a path is to behave from now on ({ path, secret, basic, answer }), and answers each with an empty line."""

import base64
import json
import logging
import sys
import threading

import flask
import standardwebhooks
import stripe
import svix
from werkzeug.serving import WSGIRequestHandler, make_server

import sdks
import standard_library

REFUSALS = (
    standardwebhooks.WebhookVerificationError,
    svix.WebhookVerificationError,
    stripe.SignatureVerificationError,
)


def throwing(verify):
    """The packages raise where the others say no. Whatever else goes wrong is a fault of the receiver, and seen as one."""

    def verified(body, headers, secret):
        try:
            verify(body, headers, secret)
            return True
        except REFUSALS:
            return False

    return verified


SCHEMES = {
    "qlens": standard_library.qlens,
    "qualifio": standard_library.qualifio,
    "qflow": standard_library.qflow,
    "standard-webhooks": throwing(sdks.standard_webhooks),
    "svix": throwing(sdks.svix),
    "stripe": throwing(sdks.stripe),
}

behaviour = {}
writing = threading.Lock()
app = flask.Flask(__name__)


def say(line):
    with writing:
        print(line, flush=True)


@app.post("/<scheme>")
def hook(scheme):
    body = flask.request.get_data()
    status = 500
    try:
        status = behaviour.get(scheme, {}).get("answer") or (204 if believes(scheme, body) else 401)
    finally:
        headers = {name.lower(): value for name, value in flask.request.headers}
        encoded = base64.b64encode(body).decode()
        say(json.dumps({"path": scheme, "status": status, "headers": headers, "body": encoded}))
    return "", status


def believes(scheme, body):
    wanted = behaviour.get(scheme, {})
    headers = flask.request.headers
    if "basic" in wanted:
        credential = base64.b64encode(wanted["basic"].encode()).decode()
        if headers.get("Authorization") != f"Basic {credential}":
            return False
    return "secret" not in wanted or SCHEMES[scheme](body, headers, wanted["secret"])


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"


logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
say(f"http://127.0.0.1:{server.port}")
for line in sys.stdin:
    command = json.loads(line)
    behaviour[command.pop("path")] = command
    say("")
