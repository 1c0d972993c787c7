// Verifies deliveries with Node's standard library alone. Every function takes the raw body (a Buffer, never parsed JSON),
// the request's headers as Node gives them (lower-case names) and the secret, and says whether to believe the request.

import { createHmac, timingSafeEqual } from "node:crypto";

/** QualityPilot: `X-QLens-Signature: sha256=<hex>` of the body. */
export function qlens(body, headers, secret) {
  return bodyIsSigned(body, headers["x-qlens-signature"], secret);
}

/** Qualifio: `X-Qualifio-Signature: sha256=<hex>` of the body. */
export function qualifio(body, headers, secret) {
  return bodyIsSigned(body, headers["x-qualifio-signature"], secret);
}

function bodyIsSigned(body, header, secret) {
  // Exactly 64 digits, so that 32 bytes are compared with 32, whatever somebody put into the header.
  const digits = /^sha256=([0-9a-f]{64})$/.exec(header ?? "");
  if (digits === null) return false;
  const expected = createHmac("sha256", secret).update(body).digest();
  return timingSafeEqual(Buffer.from(digits[1], "hex"), expected);
}

/** Q-Flow: `sha256=<base64>` of `{id}.{timestamp}.{body}`, one for each secret in force, the time in milliseconds. */
export function qflow(body, headers, secret) {
  const { "qflow-request-id": id, "qflow-timestamp": timestamp, "qflow-signature": signatures = "" } = headers;
  if (!id || !/^[0-9]{1,15}$/.test(timestamp ?? "")) return false;
  if (Math.abs(Date.now() - Number(timestamp)) > 5 * 60 * 1000) return false;
  const hmac = createHmac("sha256", Buffer.from(secret, "base64"));
  const expected = hmac.update(`${id}.${timestamp}.`).update(body).digest();
  return signatures.split(",").some((signature) => {
    const text = /^sha256=([A-Za-z0-9+/]{43}=)$/.exec(signature);
    return text !== null && timingSafeEqual(Buffer.from(text[1], "base64"), expected);
  });
}
