// Verifies deliveries with the official packages: each throws for a request that is not to be believed.

import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";

/** Scheme `standard-webhooks`. */
export function standardWebhooks(body, headers, secret) {
  return new StandardWebhook(secret).verify(body, headers);
}

/** Scheme `svix`. */
export function svix(body, headers, secret) {
  return new SvixWebhook(secret).verify(body, headers);
}

/** Scheme `stripe`. */
export function stripe(body, headers, secret) {
  return Stripe.webhooks.constructEvent(body, headers["stripe-signature"], secret);
}
