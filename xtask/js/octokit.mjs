// Every example payload that GitHub's own packages know, through the running gateway and back.
// Signed and verified only by @octokit/webhooks-methods; started by `cargo xtask octokit`, which owns the gateway.
//
// Prints the receiver's URL, reads one line of JSON ({ public, admin, apiKey, secret }), then does its work.

import { strict as assert } from "node:assert";
import { createHash, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { sign, verify } from "@octokit/webhooks-methods";

const require = createRequire(import.meta.url);
const SETS = ["api.github.com", "ghes-31", "ghes-32", "ghes-33", "ghes-34", "ghes-35"];
const PATIENCE_MS = 120_000;

/** What the gateway delivered: delivery id → requests. */
const delivered = new Map();
let deliveries = 0;

const receiver = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const id = request.headers["x-github-delivery"];
    const one = { body: Buffer.concat(chunks), signature: request.headers["x-hub-signature-256"] };
    delivered.set(id, [...(delivered.get(id) ?? []), one]);
    deliveries += 1;
    response.writeHead(204).end();
  });
});

await new Promise((listening) => receiver.listen(0, "127.0.0.1", listening));
console.log(`http://127.0.0.1:${receiver.address().port}/hooks`);
const [gateway] = await lines(1);
const { public: door, admin, apiKey, secret } = JSON.parse(gateway);

try {
  await run();
  process.exitCode = 0;
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  receiver.closeAllConnections();
  receiver.close();
}

async function run() {
  const payloads = SETS.flatMap((set) =>
    require(`@octokit/webhooks-examples/${set}/index.json`).flatMap(({ name, examples }) =>
      examples.map((example) => ({ set, name, body: Buffer.from(JSON.stringify(example)) })),
    ),
  );
  const originals = await acceptAll(payloads);
  const altered = await refuseAltered(payloads);
  const repeated = await repeatAll(originals);
  await checkDeliveries(originals);
  await checkStore(originals, payloads.length - originals.length + repeated, altered);
  const octets = payloads.reduce((sum, { body }) => sum + body.length, 0);
  console.log(
    `octokit: ${payloads.length} payloads (${octets} bytes) accepted or known: ${originals.length} distinct ones stored byte for byte, ` +
      `delivered once and verified; ${repeated} sent again were duplicates; ${altered} with one byte changed were refused`,
  );
}

/** Sends everything once. Equal bodies are the same event, so only the first of them is an original. */
async function acceptAll(payloads) {
  const seen = new Map();
  const originals = [];
  for (const { set, name, body } of payloads) {
    const id = randomUUID();
    const signature = await sign(secret, body.toString("utf8"));
    const answer = await post(name, id, signature, body);
    const digest = createHash("sha256").update(body).digest("hex");
    const known = seen.get(digest);
    const what = `${set} ${name}`;
    assert.equal(answer.status, known ? 200 : 202, `${what}: ${answer.text}`);
    const { status, eventId } = JSON.parse(answer.text);
    assert.equal(status, known ? "duplicate" : "accepted", what);
    if (known) continue;
    seen.set(digest, eventId);
    assert.deepEqual(await storedBody(eventId), body, `${what}: stored bytes differ`);
    originals.push({ what, name, id, signature, body, eventId });
  }
  return originals;
}

/** One byte changed, the signature not: the middle one, which no trimming can remove. */
async function refuseAltered(payloads) {
  for (const { set, name, body } of payloads) {
    const changed = Buffer.from(body);
    changed[changed.length >> 1] ^= 1;
    const answer = await post(name, `altered-${randomUUID()}`, await sign(secret, body.toString("utf8")), changed);
    assert.equal(answer.status, 401, `${set} ${name}: one byte changed was answered ${answer.status}`);
  }
  return payloads.length;
}

/** The same request again, and the same body under a fresh delivery id. */
async function repeatAll(originals) {
  for (const { what, name, id, signature, body, eventId } of originals) {
    for (const again of [id, randomUUID()]) {
      const answer = await post(name, again, signature, body);
      assert.equal(answer.status, 200, `${what}: ${answer.text}`);
      assert.deepEqual(JSON.parse(answer.text), { status: "duplicate", eventId }, what);
    }
  }
  return originals.length * 2;
}

async function checkDeliveries(originals) {
  const deadline = Date.now() + PATIENCE_MS;
  while (deliveries < originals.length || (await outstanding())) {
    assert.ok(Date.now() < deadline, `${deliveries} of ${originals.length} were delivered in time`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  for (const { what, id, body } of originals) {
    const received = delivered.get(id) ?? [];
    assert.equal(received.length, 1, `${what}: delivered ${received.length} times`);
    assert.deepEqual(received[0].body, body, `${what}: delivered bytes differ`);
    assert.ok(await verify(secret, received[0].body.toString("utf8"), received[0].signature), `${what}: does not verify`);
  }
  assert.equal(deliveries, originals.length, "something was delivered that is no original");
}

async function checkStore(originals, duplicates, altered) {
  const events = await list("/api/v1/events");
  const stored = events.filter((event) => event.duplicate_of === null);
  assert.equal(stored.length, originals.length, "originals in the store");
  assert.equal(events.length - stored.length, duplicates, "duplicates in the store");
  const wrong = events.filter((event) => event.delivery_id.startsWith("altered-"));
  assert.equal(wrong.length, 0, `${wrong.length} of ${altered} changed requests were stored`);
}

async function post(name, id, signature, body) {
  const response = await fetch(`http://${door}/in/github`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "X-GitHub-Event": name,
      "X-GitHub-Delivery": id,
      "X-Hub-Signature-256": signature,
    },
    body,
  });
  return { status: response.status, text: await response.text() };
}

function api(path) {
  return fetch(`http://${admin}${path}`, { headers: { Authorization: `Bearer ${apiKey}` } });
}

async function storedBody(eventId) {
  const response = await api(`/api/v1/events/${eventId}/body`);
  assert.equal(response.status, 200);
  return Buffer.from(await response.arrayBuffer());
}

async function outstanding() {
  for (const state of ["pending", "leased"]) {
    const { items } = await (await api(`/api/v1/deliveries?state=${state}&limit=1`)).json();
    if (items.length > 0) return true;
  }
  return false;
}

async function list(path) {
  const items = [];
  let cursor = null;
  do {
    const page = await (await api(`${path}?limit=250${cursor === null ? "" : `&cursor=${cursor}`}`)).json();
    items.push(...page.items);
    cursor = page.next;
  } while (cursor !== null);
  return items;
}

async function lines(count) {
  const found = [];
  const input = createInterface({ input: process.stdin });
  for await (const line of input) {
    found.push(line);
    if (found.length === count) break;
  }
  input.close();
  return found;
}
