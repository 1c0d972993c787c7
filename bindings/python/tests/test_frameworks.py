"""Flask, FastAPI and Django answer alike: proven, refused, altered, too large, and a handshake."""

import asyncio
import json
from typing import Annotated

import django
import django.conf
import fastapi as web
import flask
import pytest
from fastapi.testclient import TestClient

import hookward
import hookward.fastapi
import hookward.flask

if not django.conf.settings.configured:
    django.conf.settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of a test", DEBUG=False)
    django.setup()

import hookward.django  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.test import AsyncClient, Client  # noqa: E402
from django.urls import path  # noqa: E402

SLACK = hookward.Verifier("slack", "8f742231b10e8888abcd99yyyzzz85a5")
LIMIT = 1000


def told(body, verified):
    return f"{len(body)} {json.loads(body)['type']} {verified.scheme}"


def flask_client():
    app = flask.Flask(__name__)

    @app.post("/hook")
    @hookward.flask.signed(SLACK, limit=LIMIT)
    def hook():
        return told(flask.request.get_data(), flask.g.hookward)

    def post(body, headers):
        answer = app.test_client().post("/hook", data=body, headers=headers)
        return answer.status_code, answer.text

    return post


def fastapi_client():
    app = web.FastAPI()
    slack = hookward.fastapi.Signed(SLACK, limit=LIMIT)

    @app.post("/hook")
    async def hook(proven: Annotated[hookward.fastapi.Proven, web.Depends(slack)]):
        assert proven.json() == json.loads(proven.body)
        return web.Response(told(proven.body, proven.verified))

    def post(body, headers):
        answer = TestClient(app).post("/hook", content=body, headers=headers)
        return answer.status_code, answer.text

    return post


@hookward.django.signed(SLACK, limit=LIMIT)
def plain(request):
    return HttpResponse(told(request.body, request.hookward))


@hookward.django.signed(SLACK, limit=LIMIT)
async def waiting(request):
    return HttpResponse(told(request.body, request.hookward))


urlpatterns = [path("hook", plain), path("waiting", waiting)]


def django_client():
    def post(body, headers):
        client = Client(enforce_csrf_checks=True)
        answer = client.post("/hook", data=body, content_type="application/json", headers=headers)
        return answer.status_code, answer.content.decode()

    return post


def async_django_client():
    def post(body, headers):
        request = AsyncClient().post("/waiting", data=body, content_type="application/json", headers=headers)
        answer = asyncio.run(request)
        return answer.status_code, answer.content.decode()

    return post


CLIENTS = [flask_client, fastapi_client, django_client, async_django_client]


@pytest.fixture(params=CLIENTS, ids=lambda client: client.__name__)
def post(request):
    return request.param()


def headers(body):
    return dict(SLACK.sign(body).headers)


BODY = b'{"type": "event_callback"}'


def test_what_is_proven_arrives(post):
    assert post(BODY, headers(BODY)) == (200, "26 event_callback slack")


def test_what_is_not_is_refused_alike(post, caplog):
    old = dict(SLACK.sign(BODY, now=1).headers)
    answers = {post(BODY + b" ", headers(BODY)), post(BODY, {}), post(BODY, old)}
    assert {status for status, _ in answers} == {401}
    assert len(answers) == 1
    codes = {record.getMessage().rsplit("(", 1)[1].rstrip(")") for record in caplog.records if record.name == "hookward"}
    assert codes == {"signature-mismatch", "signature-missing", "timestamp-too-old"}


def test_a_body_may_be_as_long_as_the_limit(post):
    fits = json.dumps({"type": "x" * (LIMIT - 12)}).encode()
    assert len(fits) == LIMIT
    assert post(fits, headers(fits))[0] == 200
    assert post(fits + b" ", headers(fits + b" "))[0] == 413


def test_a_handshake_is_answered_once_it_is_proven():
    body = b'{"type":"url_verification","challenge":"abc"}'
    for client in (flask_client, django_client, async_django_client):
        assert client()(body, headers(body)) == (200, "abc")
        assert client()(body, {})[0] == 401


def test_chunks_are_counted_as_they_come():
    app = web.FastAPI()
    slack = hookward.fastapi.Signed(SLACK, limit=LIMIT)

    @app.post("/hook")
    async def hook(proven: Annotated[hookward.fastapi.Proven, web.Depends(slack)]):
        return len(proven.body)

    chunks = (b" " * 400 for _ in range(3))
    assert TestClient(app).post("/hook", content=chunks).status_code == 413

    flask_app = flask.Flask(__name__)
    flask_app.post("/hook")(hookward.flask.signed(SLACK, limit=LIMIT)(lambda: flask.request.get_data()))

    import io

    def chunked(body):
        environ = {"wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
        return flask_app.test_client().post("/hook", environ_overrides=environ, headers=headers(body))

    assert chunked(b" " * (LIMIT + 1)).status_code == 413
    answer = chunked(BODY)
    assert (answer.status_code, answer.data) == (200, BODY)


def test_the_url_is_the_one_that_came():
    twilio = hookward.Verifier("twilio", "token", origin="https://example.com")
    app = flask.Flask(__name__)
    app.post("/s/<name>")(hookward.flask.signed(twilio)(lambda name: name))
    url = "/s/a%20b?x=%2B&y=+"
    sent = dict(twilio.sign(b"a=1", url="https://example.com" + url).headers)
    form = "application/x-www-form-urlencoded"
    assert app.test_client().post(url, data=b"a=1", content_type=form, headers=sent).text == "a b"

    fast = web.FastAPI()
    proven = hookward.fastapi.Signed(twilio)

    @fast.post("/s/{name}")
    async def hook(name: str, _: Annotated[hookward.fastapi.Proven, web.Depends(proven)]):
        return name

    answer = TestClient(fast).post(url, content=b"a=1", headers={**sent, "content-type": form})
    assert answer.json() == "a b"
