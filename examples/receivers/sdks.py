"""Verifies deliveries with the official packages: each raises an exception for a request that is not to be believed."""

import standardwebhooks
import stripe as stripe_sdk
import svix as svix_sdk


def standard_webhooks(body, headers, secret):
    """Scheme `standard-webhooks`."""
    return standardwebhooks.Webhook(secret).verify(body, headers)


def svix(body, headers, secret):
    """Scheme `svix`."""
    return svix_sdk.Webhook(secret).verify(body, headers)


def stripe(body, headers, secret):
    """Scheme `stripe`."""
    return stripe_sdk.Webhook.construct_event(body, headers["Stripe-Signature"], secret)
