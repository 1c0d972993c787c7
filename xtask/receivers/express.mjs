// A receiver as a customer writes it, on Express: `express.raw`, one path for each scheme, 204 for what it believes.
// Started by `cargo xtask receivers`, which owns it. What verifies is in `examples/receivers`.
//
// Prints its URL, then one line of JSON for each request that came ({ path, status, headers, body }). Reads lines of JSON
// that say how a path is to behave from now on ({ path, secret, basic, answer }), and answers each with an empty line.

import { createInterface } from "node:readline";
import express from "express";
import { standardWebhooks, stripe, svix } from "./sdks.mjs";
import { qflow, qlens, qualifio } from "./standard-library.mjs";

/** The packages throw where the others say no. */
const throwing = (verify) => (body, headers, secret) => {
  try {
    verify(body, headers, secret);
    return true;
  } catch (error) {
    // Whatever else goes wrong is a fault of the receiver, and seen as one.
    if (!/^(Stripe|Webhook)\w*VerificationError$/.test(error.constructor.name)) throw error;
    return false;
  }
};

const schemes = {
  qlens,
  qualifio,
  qflow,
  "standard-webhooks": throwing(standardWebhooks),
  svix: throwing(svix),
  stripe: throwing(stripe),
};

const behaviour = new Map();
const app = express();

app.post("/:scheme", express.raw({ type: () => true, limit: "30mb" }), (request, response) => {
  const path = request.params.scheme;
  const { secret, basic, answer } = behaviour.get(path) ?? {};
  let status = 500;
  try {
    status = answer ?? (believes(path, request, secret, basic) ? 204 : 401);
  } finally {
    const headers = request.headers;
    console.log(JSON.stringify({ path, status, headers, body: request.body.toString("base64") }));
    response.status(status).end();
  }
});

function believes(path, { body, headers }, secret, basic) {
  if (basic !== undefined && headers.authorization !== `Basic ${Buffer.from(basic).toString("base64")}`) return false;
  return secret === undefined || schemes[path](body, headers, secret);
}

const server = app.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));

for await (const line of createInterface({ input: process.stdin })) {
  const { path, ...rest } = JSON.parse(line);
  behaviour.set(path, rest);
  console.log("");
}
process.exit(0);
