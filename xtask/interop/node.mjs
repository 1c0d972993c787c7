// The packages that providers publish on npm, each as two functions: whether a request is authentic, and, where the package can or has a
// helper for tests that does, the headers of one that is. `verify` says no by an error, `false` or `{ valid: false }`.

import "@shopify/shopify-api/adapters/node";
import { verifyWebhook as clerk } from "@clerk/backend/webhooks";
import Mux from "@mux/mux-node";
import * as octokit from "@octokit/webhooks-methods";
import { Environment, Paddle } from "@paddle/paddle-node-sdk";
import { ApiVersion, shopifyApi } from "@shopify/shopify-api";
import OpenAI from "openai";
import Razorpay from "razorpay";
import replicate from "replicate";
import { Resend } from "resend";
import { WebhooksHelper } from "square";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";
import twilio from "twilio";

const seconds = () => Math.floor(Date.now() / 1000);

const shopify = (apiSecretKey) =>
  shopifyApi({ apiSecretKey, apiKey: "key", hostName: "example.com", isEmbeddedApp: false, apiVersion: ApiVersion.January25, logger: { level: 0 } });

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
];
