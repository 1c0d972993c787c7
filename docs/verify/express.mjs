// Proves GitHub's webhooks on Express, with Node's standard library.

import { createHmac, timingSafeEqual } from "node:crypto";
import express from "express";

const SECRET = process.env.WEBHOOK_SECRET;
if (!SECRET) throw new Error("WEBHOOK_SECRET is not set");

export function isAuthentic(body, header, secret = SECRET) {
  // Exactly 64 digits, so that 32 bytes are compared with 32, whatever somebody put into the header.
  const digits = /^sha256=([0-9a-f]{64})$/.exec(header ?? "");
  if (digits === null) return false;
  const expected = createHmac("sha256", secret).update(body).digest();
  return timingSafeEqual(Buffer.from(digits[1], "hex"), expected);
}

const app = express();

// The raw body, of whatever type. `express.json()` before this would leave nothing to prove.
app.post("/hooks/github", express.raw({ type: () => true, limit: "25mb" }), (req, res) => {
  const body = Buffer.isBuffer(req.body) ? req.body : Buffer.alloc(0); // there was none
  if (!isAuthentic(body, req.get("X-Hub-Signature-256"))) return res.sendStatus(401);
  const event = JSON.parse(body); // only now, and from the very bytes that were proven
  console.log(req.get("X-GitHub-Event"), event.action ?? event.ref);
  res.sendStatus(204);
});

const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`listening on ${server.address().port}`);
});
