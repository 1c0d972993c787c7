// The package itself: headers of every shape, signing, errors, files, Fetch requests.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Refused, Verifier, generate, schemeSource } from "hookward";

const NOW = 1_700_000_000_000;
const BODY = '{"type":"a.b"}';
const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const svix = new Verifier("svix", SECRET);
const pairs = svix.sign(BODY, { id: "msg_1", now: NOW }).headers;
const refused = (code) => (error) => error instanceof Refused && error instanceof Error && (assert.equal(error.code, code), true);

test("headers of every shape", () => {
  const object = Object.fromEntries(pairs);
  const upper = Object.fromEntries(pairs.map(([name, value]) => [name.toUpperCase(), value]));
  const lists = Object.fromEntries(pairs.map(([name, value]) => [name, [value]]));
  for (const headers of [pairs, object, upper, lists, new Headers(pairs), new Map(pairs), pairs.flat()]) {
    const found = svix.verify(BODY, headers, { now: NOW });
    assert.deepEqual([found.id, found.eventType, found.timestamp], ["msg_1", "a.b", NOW]);
    assert.deepEqual(found.binds, { body: true, time: true, url: false, id: true, partOfBody: false, unique: true });
  }
});

test("bodies of every shape, but none that was parsed", () => {
  const bytes = new TextEncoder().encode(BODY);
  const inside = new Uint8Array([0, ...bytes, 0]).subarray(1, bytes.length + 1);
  for (const body of [BODY, bytes, inside, bytes.buffer, Buffer.from(BODY)]) {
    assert.equal(svix.verify(body, pairs, { now: NOW }).id, "msg_1");
  }
  assert.throws(() => svix.verify(JSON.parse(BODY), pairs, { now: NOW }), /before anything parsed them/);
});

test("a header that came twice is seen twice", () => {
  const twice = { ...Object.fromEntries(pairs), "svix-id": ["msg_1", "msg_2"] };
  for (const headers of [twice, [...pairs, ["Svix-Id", "msg_2"]], [...pairs.flat(), "SVIX-ID", "msg_2"]]) {
    assert.throws(() => svix.verify(BODY, headers, { now: NOW }), refused("id-repeated"));
  }
});

test("a header beyond ASCII is refused and not an error", () => {
  for (const value of ["\xe9", "€"]) {
    const headers = { ...Object.fromEntries(pairs), "svix-signature": value };
    assert.throws(() => svix.verify(BODY, headers, { now: NOW }), refused("signature-malformed"));
  }
});

test("the clock is the system's where none is given, and no number is no time", () => {
  const { headers } = svix.sign(BODY, { id: "msg_1" });
  assert.equal(svix.verify(BODY, headers).id, "msg_1");
  assert.throws(() => svix.verify(BODY, pairs), refused("timestamp-too-old"));
  assert.throws(() => svix.verify(BODY, pairs, { now: Number.NaN }), refused("timestamp-too-new"));
});

test("several secrets and another tolerance", () => {
  const both = new Verifier("svix", [generate("svix"), SECRET], { toleranceS: 10 });
  assert.equal(both.verify(BODY, pairs, { now: NOW + 10_000 }).keyVersion, 1);
  assert.throws(() => both.verify(BODY, pairs, { now: NOW + 11_000 }), refused("timestamp-too-old"));
});

test("a Fetch request, with the bytes that were proven", async () => {
  const twilio = new Verifier("twilio", "token");
  const url = "https://example.com/sms?x=%20";
  const headers = [...twilio.sign("a=1", { url }).headers, ["content-type", "application/x-www-form-urlencoded"]];
  const request = new Request(url, { method: "POST", headers, body: "a=1" });
  const { binds, body } = await twilio.verifyRequest(request);
  assert.ok(binds.url);
  assert.equal(body.toString(), "a=1");
  const altered = new Request(url, { method: "POST", headers, body: "a=2" });
  await assert.rejects(twilio.verifyRequest(altered), refused("signature-mismatch"));
});

test("a scheme from a file", () => {
  const directory = mkdtempSync(path.join(tmpdir(), "hookward-"));
  const file = path.join(directory, "ours.toml");
  writeFileSync(
    file,
    `name = "ours"\ntitle = "Ours"\n[[proof]]\nalgorithm = "hmac-sha256"\ncontent = "{body}"\n` +
      `signature = { at = ["header:X-Ours"], encodings = ["hex"] }\n`,
  );
  const ours = Verifier.fromFile(file, "secret");
  assert.equal(ours.scheme, "ours");
  assert.equal(ours.verify(BODY, ours.sign(BODY).headers).scheme, "ours");
  writeFileSync(file, `name = "ours"\ntitle = "Ours"\nprof = []\n`);
  assert.throws(() => Verifier.fromFile(file, "secret"), /line 3, column 1: .* did you mean `proof`/);
  rmSync(directory, { recursive: true });
});

test("a proof that stands in the body", () => {
  const text =
    `name = "ours"\ntitle = "Ours"\n[[proof]]\nalgorithm = "hmac-sha256"\ncontent = "{json:/ref}"\n` +
    `signature = { at = ["json:/sig"], encodings = ["hex"] }\n`;
  const ours = Verifier.fromToml(text, "secret");
  const sent = ours.sign('{"ref":"1"}');
  const { binds } = ours.verify(sent.body, sent.headers);
  assert.ok(binds.partOfBody && !binds.body);
});

test("what a scheme leaves to be said", () => {
  const shop = new Verifier("tiktok-shop", "the app's secret", { parameters: { app_key: "6a3f" } });
  const sent = shop.sign(BODY);
  assert.ok(shop.verify(BODY, sent.headers).binds.body);
  const other = new Verifier("tiktok-shop", "the app's secret", { parameters: { app_key: "6a3" } });
  assert.throws(() => other.verify(BODY, sent.headers), Refused);
  assert.throws(() => new Verifier("tiktok-shop", "x"), /needs the parameter `app_key`: the app's key/);
  assert.throws(() => new Verifier("tiktok-shop", "x", { parameters: { app_kay: "6a3f" } }), /did you mean `app_key`/);
  const registered = new Verifier("twilio", "token", { parameters: { url: "https://example.com/sms" } });
  const text = new Verifier("twilio", "token").sign("a=1", { url: "https://example.com/sms" });
  assert.equal(registered.verify("a=1", text.headers, { url: "http://10.0.0.7:8080/sms" }).binds.url, false);
});

test("what no verifier is made of", () => {
  assert.throws(() => new Verifier("gihtub", "x"), /did you mean `github`/);
  assert.throws(() => new Verifier("github", []), /needs a secret/);
  assert.throws(() => new Verifier("github", " "), /empty/);
  assert.throws(() => new Verifier("github", ["x", ""]), /secret 2/);
  assert.throws(() => new Verifier("twilio", "x", { origin: "example.com" }), /an origin is written/);
});

test("secrets are made and differ, and the catalog can be read", () => {
  assert.equal(new Set(Array.from({ length: 20 }, () => generate("github"))).size, 20);
  assert.throws(() => generate("nobody"), /no scheme is called/);
  assert.match(schemeSource("github"), /name = "github"/);
  assert.equal(schemeSource("nobody") ?? undefined, undefined);
});

test("it can be required too", () => {
  const required = createRequire(import.meta.url)("hookward");
  assert.equal(required.Verifier, Verifier);
});
