// The packages that providers publish on npm, each as two functions: whether a request is authentic, and, where the package can or has a
// helper for tests that does, the headers of one that is. `verify` says no by an error, `false` or `{ valid: false }`.

import "@shopify/shopify-api/adapters/node";
import { generateKeyPairSync, sign as signWith } from "node:crypto";
import { verifyWebhook as clerk } from "@clerk/backend/webhooks";
import { validateSignature as line } from "@line/bot-sdk";
import { LinearWebhookClient } from "@linear/sdk/webhooks";
import Mux from "@mux/mux-node";
import * as octokit from "@octokit/webhooks-methods";
import { Environment, Paddle } from "@paddle/paddle-node-sdk";
import sendgrid from "@sendgrid/eventwebhook";
import { ApiVersion, shopifyApi } from "@shopify/shopify-api";
import discord from "discord-interactions";
import OpenAI from "openai";
import Razorpay from "razorpay";
import replicate from "replicate";
import { Resend } from "resend";
import { WebhooksHelper } from "square";
import { Webhook as StandardWebhook } from "standardwebhooks";
import starkbank from "starkbank-ecdsa";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";
import twilio from "twilio";

const seconds = () => Math.floor(Date.now() / 1000);

const shopify = (apiSecretKey) =>
  shopifyApi({ apiSecretKey, apiKey: "key", hostName: "example.com", isEmbeddedApp: false, apiVersion: ApiVersion.January25, logger: { level: 0 } });

/** A pair of keys: the private half, which signs, and the public one as the provider shows it. */
function pair(kind, options, shown) {
  const [one, other] = [1, 2].map(() => generateKeyPairSync(kind, options));
  const pem = ({ privateKey }) => privateKey.export({ type: "pkcs8", format: "pem" });
  return { key: one.privateKey, secret: pem(one), otherSecret: pem(other), publicKey: shown(one.publicKey.export({ type: "spki", format: "der" })) };
}

// Of an Ed25519 key the 32 bytes at the end are shown, of a P-256 key all that the file has.
const ofDiscord = pair("ed25519", {}, (der) => der.subarray(-32).toString("hex"));
const ofSendgrid = pair("ec", { namedCurve: "P-256" }, (der) => der.toString("base64"));
const sendgridKey = starkbank.PrivateKey.fromPem(ofSendgrid.key.export({ type: "sec1", format: "pem" }));

export default [
  {
    scheme: "github",
    package: "@octokit/webhooks-methods",
    verify: ({ headers, body }, secret) => octokit.verify(secret, body, headers["x-hub-signature-256"]),
    sign: async ({ body }, secret) => ({ "x-hub-signature-256": await octokit.sign(secret, body) }),
  },
  {
    scheme: "standard-webhooks",
    package: "standardwebhooks",
    verify: ({ headers, body }, secret) => new StandardWebhook(secret).verify(body, headers),
    sign: ({ id, body }, secret) => ({
      "webhook-id": id,
      "webhook-timestamp": String(seconds()),
      "webhook-signature": new StandardWebhook(secret).sign(id, new Date(seconds() * 1000), body),
    }),
  },
  {
    scheme: "svix",
    package: "svix",
    verify: ({ headers, body }, secret) => new SvixWebhook(secret).verify(body, headers),
    sign: ({ id, body }, secret) => ({
      "svix-id": id,
      "svix-timestamp": String(seconds()),
      "svix-signature": new SvixWebhook(secret).sign(id, new Date(seconds() * 1000), body),
    }),
  },
  {
    scheme: "stripe",
    package: "stripe",
    verify: ({ headers, body }, secret) => Stripe.webhooks.constructEvent(body, headers["stripe-signature"], secret),
    sign: ({ body: payload }, secret) => ({ "stripe-signature": Stripe.webhooks.generateTestHeaderString({ payload, secret }) }),
  },
  {
    scheme: "shopify",
    package: "@shopify/shopify-api",
    more: {
      "x-shopify-api-version": "2025-01",
      "x-shopify-shop-domain": "example.myshopify.com",
      "x-shopify-topic": "orders/create",
      "x-shopify-webhook-id": "msg_1",
    },
    verify: ({ headers, body: rawBody }, secret) =>
      shopify(secret).webhooks.validate({ rawBody, rawRequest: { method: "POST", url: "/", headers }, rawResponse: {} }),
  },
  {
    scheme: "twilio",
    package: "twilio",
    body: "AccountSid=AC1&Body=hi",
    verify: ({ headers, url, body }, token) =>
      twilio.validateRequest(token, headers["x-twilio-signature"], url, Object.fromEntries(new URLSearchParams(body))),
    sign: ({ url, body }, token) => ({
      "x-twilio-signature": twilio.getExpectedTwilioSignature(token, url, Object.fromEntries(new URLSearchParams(body))),
    }),
  },
  {
    scheme: "clerk",
    package: "@clerk/backend",
    verify: ({ headers, url, body }, signingSecret) => clerk(new Request(url, { method: "POST", headers, body }), { signingSecret }),
  },
  {
    scheme: "mux",
    package: "@mux/mux-node",
    verify: ({ headers, body }, secret) => new Mux({ tokenId: "id", tokenSecret: "secret" }).webhooks.verifySignature(body, headers, secret),
  },
  {
    scheme: "openai",
    package: "openai",
    verify: ({ headers, body }, secret) => new OpenAI({ apiKey: "key" }).webhooks.unwrap(body, headers, secret),
  },
  {
    scheme: "paddle",
    package: "@paddle/paddle-node-sdk",
    verify: ({ headers, body }, secret) =>
      new Paddle("key", { environment: Environment.sandbox }).webhooks.isSignatureValid(body, secret, headers["paddle-signature"]),
  },
  {
    scheme: "razorpay",
    package: "razorpay",
    verify: ({ headers, body }, secret) => Razorpay.validateWebhookSignature(body, headers["x-razorpay-signature"], secret),
  },
  {
    scheme: "replicate",
    package: "replicate",
    verify: ({ headers, body }, secret) => replicate.validateWebhook({ headers, body }, secret),
  },
  {
    scheme: "resend",
    package: "resend",
    verify: ({ headers, body: payload }, webhookSecret) => {
      const [id, timestamp, signature] = ["id", "timestamp", "signature"].map((name) => headers[`svix-${name}`]);
      return new Resend("key").webhooks.verify({ payload, headers: { id, timestamp, signature }, webhookSecret });
    },
  },
  {
    scheme: "square",
    package: "square",
    verify: ({ headers, url, body }, signatureKey) =>
      WebhooksHelper.verifySignature({
        requestBody: body,
        signatureHeader: headers["x-square-hmacsha256-signature"],
        signatureKey,
        notificationUrl: url,
      }),
  },
  {
    ...ofDiscord,
    scheme: "discord",
    package: "discord-interactions",
    verify: ({ headers, body }, key) => discord.verifyKey(body, headers["x-signature-ed25519"], headers["x-signature-timestamp"], key),
    // What the package's own tests do: the platform's Ed25519.
    sign: ({ body }) => {
      const stamp = String(seconds());
      const signature = signWith(null, Buffer.from(stamp + body), ofDiscord.key).toString("hex");
      return { "x-signature-timestamp": stamp, "x-signature-ed25519": signature };
    },
  },
  {
    ...ofSendgrid,
    scheme: "sendgrid",
    package: "@sendgrid/eventwebhook",
    body: '[{"sg_event_id":"1","event":"delivered","note":"naïve"}]\r\n',
    verify: ({ headers, body }, key) => {
      const [signature, timestamp] = ["signature", "timestamp"].map((name) => headers[`x-twilio-email-event-webhook-${name}`]);
      const webhook = new sendgrid.EventWebhook();
      return webhook.verifySignature(webhook.convertPublicKeyToECDSA(key), body, signature, timestamp);
    },
    // The package verifies with starkbank-ecdsa, which signs as well.
    sign: ({ body }) => {
      const stamp = String(seconds());
      const signature = starkbank.Ecdsa.sign(stamp + body, sendgridKey).toBase64();
      return { "x-twilio-email-event-webhook-timestamp": stamp, "x-twilio-email-event-webhook-signature": signature };
    },
  },
  {
    scheme: "line",
    package: "@line/bot-sdk",
    body: '{"destination":"U1","events":[{"type":"message"}]}',
    verify: ({ headers, body }, secret) => line(body, secret, headers["x-line-signature"]),
  },
  {
    scheme: "linear",
    package: "@linear/sdk",
    verify: ({ headers, body }, secret) => new LinearWebhookClient(secret).verify(Buffer.from(body), headers["linear-signature"]),
  },
];
