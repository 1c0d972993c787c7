// Hookward and the packages that providers publish, held against each other: what Hookward signs they accept, what they sign Hookward
// accepts, and one changed byte, or another secret, is refused by both. Prints a line of the table for each; which packages: node.mjs.

import { readFileSync } from "node:fs";
import { Refused, Verifier, generate } from "hookward";
import adapters from "./node.mjs";

const URL_CALLED = "https://example.com/hooks?source=hookward";

for (const adapter of adapters) {
  const findings = await check({ url: URL_CALLED, body: '{"id":"evt_1","type":"thing.happened","n":1}', ...adapter }).catch((error) => {
    throw new Error(`${adapter.package}: ${error.message}`, { cause: error });
  });
  const { version } = JSON.parse(readFileSync(new URL(`node_modules/${adapter.package}/package.json`, import.meta.url)));
  console.log(JSON.stringify({ scheme: adapter.scheme, package: `${adapter.package} ${version}`, language: "Node", ...findings }));
}

async function check(adapter) {
  const { scheme, url, body, more = {} } = adapter;
  const secret = adapter.secret ?? generate(scheme);
  const [hookward, stranger] = [secret, adapter.otherSecret ?? generate(scheme)].map((text) => new Verifier(scheme, text));
  // Of a pair of keys only the public half is the receiver's.
  const receiver = adapter.publicKey ? new Verifier(scheme, adapter.publicKey) : hookward;
  const theirs = (request, key = adapter.publicKey ?? secret) => holds(() => adapter.verify({ url, ...request }, key));
  const ours = ({ headers, body }, verifier = receiver) => {
    try {
      return verifier.verify(body, Object.entries(headers), { url }).scheme === scheme;
    } catch (error) {
      if (error instanceof Refused) return false;
      throw error;
    }
  };
  const alter = (text) => text.replace("1", "2");
  // What is sent: the body too, where the scheme writes something into it.
  const signed = (verifier) => {
    const made = verifier.sign(body, { id: "msg_1", eventType: "thing.happened", url });
    return { headers: { ...more, ...lower(made.headers) }, body: made.body?.toString() ?? body };
  };

  const sent = signed(hookward);
  const altered = { ...sent, body: alter(sent.body) };
  expect(await theirs(sent), "they refuse what Hookward signs");
  expect(ours(sent), "Hookward refuses what it signs");
  expect(!(await theirs(altered)), "they accept an altered body");
  expect(!ours(altered), "Hookward accepts an altered body");
  expect(!(await theirs(signed(stranger))), "they accept another secret");
  expect(!ours(signed(stranger)), "Hookward accepts another secret");
  if (!adapter.sign) return { accepts: true, accepted: null };

  const made = { ...more, ...lower(Object.entries(await adapter.sign({ id: "msg_1", url, body }, secret))) };
  expect(ours({ headers: made, body }), "Hookward refuses what they sign");
  expect(!ours({ headers: made, body: alter(body) }), "Hookward accepts an altered body of theirs");
  expect(!ours({ headers: made, body }, stranger), "Hookward accepts what they sign with another secret");
  return { accepts: true, accepted: true };
}

/** Packages say no by an error, by `false`, or by an object. */
async function holds(verify) {
  try {
    const answer = await verify();
    return answer !== false && answer?.valid !== false;
  } catch {
    return false;
  }
}

function lower(headers) {
  return Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]));
}

function expect(holds, otherwise) {
  if (!holds) throw new Error(otherwise);
}
