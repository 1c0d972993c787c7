// The same requests with known answers as the Rust tests, so that the languages cannot drift apart.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { parse } from "smol-toml";
import { Refused, Verifier, generate, schemes } from "hookward";

const directory = new URL(process.env.HOOKWARD_SCHEMES ?? "../../../crates/hookward/schemes/", import.meta.url);
const files = readdirSync(directory).filter((file) => file.endsWith(".vectors.toml"));

function parts(table) {
  const now = Number(table.now_ms ?? (table.now_s ?? 0) * 1000);
  const body = table.body_base64 === undefined ? Buffer.from(table.body) : Buffer.from(table.body_base64, "base64");
  // A value's characters are bytes for Node, and the file's text is UTF-8.
  const headers = table.headers.map(([name, value]) => [name, Buffer.from(value).toString("latin1")]);
  const { method = "POST", url = "https://example.com/hook" } = table;
  return [body, headers, { method, url, now }];
}

const isRefused = (code) => (error) => error instanceof Refused && (assert.equal(error.code, code), true);

for (const file of files) {
  const scheme = file.replace(".vectors.toml", "");
  const { vector: vectors = [], handshake: handshakes = [] } = parse(readFileSync(new URL(file, directory), "utf8"));
  test(`${scheme}: ${vectors.length} vectors, ${handshakes.length} handshakes`, () => {
    for (const vector of vectors) {
      if (vector.secrets.length === 0) {
        assert.equal(vector.refused, "no-usable-secret");
        assert.throws(() => new Verifier(scheme, []), /needs a secret/);
        continue;
      }
      const verifier = new Verifier(scheme, vector.secrets, { parameters: vector.parameters });
      if (vector.refused !== undefined) {
        assert.throws(() => verifier.verify(...parts(vector)), isRefused(vector.refused), vector.name);
        continue;
      }
      const { key, id, event_type: eventType, timestamp_s, timestamp_ms } = vector.verified;
      const found = verifier.verify(...parts(vector));
      const timestamp = timestamp_ms ?? (timestamp_s === undefined ? undefined : timestamp_s * 1000);
      const { binds, isWeak, ...rest } = found;
      const expected = { scheme, keyVersion: key, id, eventType, timestamp };
      assert.deepEqual({ id: undefined, eventType: undefined, timestamp: undefined, ...rest }, expected, vector.name);
    }
    for (const vector of handshakes) {
      // A request that comes before there is any secret is asked under one that signs nothing of it.
      if (vector.secrets.length === 0 && vector.refused === "no-usable-secret") continue;
      const verifier = new Verifier(scheme, vector.secrets.length > 0 ? vector.secrets : [generate(scheme)]);
      const [body, headers, where] = parts(vector);
      const ask = () => verifier.handshake(body, headers, { ...where, token: vector.token });
      if (vector.refused !== undefined) {
        assert.throws(ask, isRefused(vector.refused), vector.name);
        continue;
      }
      const answer = ask();
      if (vector.event !== undefined) {
        assert.equal(answer, undefined, vector.name);
        continue;
      }
      const { content_type: contentType, headers: extra = [], body: text = "", adopts } = vector.answer;
      assert.deepEqual(
        [answer.contentType, answer.headers, answer.body, answer.adopts?.toString()],
        [contentType, extra, text, adopts],
        vector.name,
      );
    }
  });
}

test("every scheme of the catalog has vectors", () => {
  assert.deepEqual(schemes().toSorted(), files.map((file) => file.replace(".vectors.toml", "")).toSorted());
});
