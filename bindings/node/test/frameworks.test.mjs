// Express and Fastify answer alike: proven, refused, altered, too large, a handshake, a URL that is signed.

import assert from "node:assert/strict";
import http from "node:http";
import { after, test } from "node:test";
import express from "express";
import fastify from "fastify";
import * as hookward from "hookward";

const LIMIT = 1000;
const BODY = '{"type": "event_callback"}';
const slack = new hookward.Verifier("slack", "8f742231b10e8888abcd99yyyzzz85a5");
const stops = [];
after(() => Promise.all(stops.map((stop) => stop())));

const told = (body, { scheme }) => `${body.length} ${JSON.parse(body).type} ${scheme}`;

async function onExpress(verifier, handler = told, options = {}) {
  const app = express();
  app.all("/hook", hookward.express(verifier, { limit: LIMIT, ...options }), (req, res) => res.send(handler(req.body, req.hookward)));
  app.use((error, _req, res, _next) => res.status(500).send(error.message));
  return listen(app);
}

async function listen(app) {
  const server = http.createServer(app);
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  stops.push(() => new Promise((done) => (server.closeAllConnections(), server.close(done))));
  return `http://127.0.0.1:${server.address().port}`;
}

async function onFastify(verifier, handler = told, options = {}) {
  const app = fastify();
  await app.register(async (hooks) => {
    await hooks.register(hookward.fastify, { verifier, limit: LIMIT, ...options });
    hooks.route({ method: ["GET", "POST"], url: "/hook", handler: async (request) => handler(request.body, request.hookward) });
  });
  // Beside it JSON is still JSON.
  app.post("/other", async (request) => request.body.n + 1);
  stops.push(() => app.close());
  return app.listen({ host: "127.0.0.1", port: 0 });
}

const headersOf = (body, more = {}) => ({ ...Object.fromEntries(slack.sign(body).headers), "content-type": "application/json", ...more });

async function post(base, body, headers, url = "/hook") {
  const answer = await fetch(base + url, { method: "POST", body, headers });
  return [answer.status, await answer.text()];
}

for (const [name, on] of Object.entries({ express: onExpress, fastify: onFastify })) {
  test(`${name}: what is proven arrives`, async () => {
    const base = await on(slack);
    for (const type of ["application/json", "application/x-www-form-urlencoded", "text/plain"]) {
      assert.deepEqual(await post(base, BODY, headersOf(BODY, { "content-type": type })), [200, "26 event_callback slack"]);
    }
  });

  test(`${name}: what is not is refused alike, and the operator is told why`, async () => {
    const codes = [];
    const base = await on(slack, told, { onRefused: (refused) => codes.push(refused.code) });
    const old = Object.fromEntries(slack.sign(BODY, { now: 1 }).headers);
    const refusals = [await post(base, `${BODY} `, headersOf(BODY)), await post(base, BODY, {}), await post(base, BODY, old)];
    for (const refusal of refusals) assert.deepEqual(refusal, [401, "not authentic\n"]);
    assert.deepEqual(codes, ["signature-mismatch", "signature-missing", "timestamp-too-old"]);
  });

  test(`${name}: a body may be as long as the limit`, async () => {
    const base = await on(slack);
    const fits = JSON.stringify({ type: "x".repeat(LIMIT - 11) });
    assert.equal(fits.length, LIMIT);
    assert.equal((await post(base, fits, headersOf(fits)))[0], 200);
    assert.equal((await post(base, `${fits} `, headersOf(`${fits} `)))[0], 413);
    const chunked = new ReadableStream({
      start(controller) {
        for (let n = 0; n < 3; n += 1) controller.enqueue(new Uint8Array(400));
        controller.close();
      },
    });
    const answer = await fetch(`${base}/hook`, { method: "POST", body: chunked, duplex: "half", headers: { "content-type": "text/plain" } });
    assert.equal(answer.status, 413);
  });

  test(`${name}: handshakes are answered`, async () => {
    const base = await on(slack);
    const asks = '{"type":"url_verification","challenge":"abc"}';
    assert.deepEqual(await post(base, asks, headersOf(asks)), [200, "abc"]);
    assert.equal((await post(base, asks, {}))[0], 401);
    const meta = await on(new hookward.Verifier("meta", "secret"), told, { handshakeToken: "agreed" });
    const ask = (token) => fetch(`${meta}/hook?hub.mode=subscribe&hub.verify_token=${token}&hub.challenge=1158201444`);
    assert.equal(await (await ask("agreed")).text(), "1158201444");
    assert.equal((await ask("guessed")).status, 401);
  });

  test(`${name}: the URL is the one that came`, async () => {
    const twilio = new hookward.Verifier("twilio", "token", { origin: "https://example.com" });
    const base = await on(twilio, () => "proven");
    const url = "/hook?x=%2B&y=+";
    const headers = Object.fromEntries(twilio.sign("a=1", { url: `https://example.com${url}` }).headers);
    const form = { ...headers, "content-type": "application/x-www-form-urlencoded" };
    assert.deepEqual(await post(base, "a=1", form, url), [200, "proven"]);
    assert.equal((await post(base, "a=1", form, "/hook?x=%2B&y=%20"))[0], 401);
  });
}

test("express: a body that something read already is an error with its cause, and raw bytes are not", async () => {
  const app = express();
  app.post("/parsed", express.json(), hookward.express(slack), (_req, res) => res.send("reached"));
  app.post("/raw", express.raw({ type: () => true }), hookward.express(slack), (req, res) => res.send(told(req.body, req.hookward)));
  app.use((error, _req, res, _next) => res.status(500).send(error.message));
  const base = await listen(app);
  const [status, text] = await post(base, BODY, headersOf(BODY), "/parsed");
  assert.equal(status, 500);
  assert.match(text, /before express\.json\(\)/);
  assert.deepEqual(await post(base, BODY, headersOf(BODY), "/raw"), [200, "26 event_callback slack"]);
});

test("fastify: beside the hook JSON is still JSON", async () => {
  const base = await onFastify(slack);
  assert.deepEqual(await post(base, '{"n": 1}', { "content-type": "application/json" }, "/other"), [200, "2"]);
});
