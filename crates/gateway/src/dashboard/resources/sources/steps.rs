//! How a provider is told to send to a source: step by step, with the values to paste. What its pages are called is the
//! provider's, and is checked against its own description when it changes.

use hookward::{RecipeAlgorithm, RecipePlace, Scheme};

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) says: String,
    /// What to paste there.
    pub(super) value: Option<String>,
}

/// What is to be pasted.
#[derive(Clone, Copy)]
enum Paste {
    Nothing,
    Url,
    Text(&'static str),
}

use Paste::{Nothing, Text, Url};

type Steps = &'static [(&'static str, Paste)];

const OWN: &str = "Reveal the newest secret below and paste it as the secret.";

const GITHUB: Steps = &[
    ("On GitHub open Settings → Webhooks of the repository or the organization, and choose Add webhook.", Nothing),
    ("As Payload URL paste:", Url),
    ("As Content type choose:", Text("application/json")),
    (OWN, Nothing),
    ("Choose the events that you want, and save. GitHub sends a ping at once.", Nothing),
];

const GITLAB: Steps = &[
    ("In GitLab open Settings → Webhooks of the project or the group, and choose Add new webhook.", Nothing),
    ("As URL paste:", Url),
    (
        "Reveal the newest secret below. One that begins with whsec_ belongs into Signing token, any other into Secret token.",
        Nothing,
    ),
    ("Choose the triggers, save, and send a test from the list of webhooks.", Nothing),
];

const STRIPE: Steps = &[
    ("In Stripe's Workbench open Webhooks and add a destination of the kind webhook endpoint.", Nothing),
    ("As Endpoint URL paste:", Url),
    ("Choose the events that you want, and create it.", Nothing),
    ("Stripe makes the secret: reveal its signing secret there, and set it as a value below.", Nothing),
    (
        "Send a test event, for instance with Stripe's own command line:",
        Text("stripe trigger payment_intent.succeeded"),
    ),
];

const SLACK: Steps = &[
    (
        "Open your app among Slack's apps, and on Basic Information reveal its Signing Secret. Set it as a value below.",
        Nothing,
    ),
    ("On Event Subscriptions switch events on, and as Request URL paste:", Url),
    ("Slack asks the URL a question at once, which is answered here. Then subscribe to events and save.", Nothing),
];

const SHOPIFY: Steps = &[
    ("In Shopify's admin open Settings → Notifications → Webhooks, and create one with the format JSON.", Nothing),
    ("As URL paste:", Url),
    (
        "Below the list Shopify shows with what it signs: set that as a value below. An app's webhooks are signed with the app's client secret.",
        Nothing,
    ),
    ("Send a test notification.", Nothing),
];

const TWILIO: Steps = &[
    ("The secret is the Auth Token of your account: set it as a value below.", Nothing),
    ("As the webhook's URL, with HTTP POST, paste this exactly. Twilio signs the URL as it calls it:", Url),
    ("Send a message or make a call.", Nothing),
];

const ZOOM: Steps = &[
    (
        "Open your app in Zoom's App Marketplace. Its Secret Token stands with its features: set it as a value below, first.",
        Nothing,
    ),
    ("Add an event subscription, and as Event notification endpoint URL paste:", Url),
    ("Choose Validate: Zoom's question is answered here. Then choose events and save.", Nothing),
];

const META: Steps = &[
    ("The secret is the App Secret of your app, on its basic settings: set it as a value below.", Nothing),
    ("In the app's Webhooks product subscribe to an object, and as Callback URL paste:", Url),
    ("As Verify token give what this source's handshake_token stands for in the configuration file.", Nothing),
    ("Verify and save, then subscribe to fields and send a test.", Nothing),
];

const DROPBOX: Steps = &[
    ("Open your app in the App Console. Its App secret is the secret: set it as a value below.", Nothing),
    ("Under Webhooks add this as URI; Dropbox asks it a question at once, which is answered here:", Url),
    ("Change a file in a folder that the app may see.", Nothing),
];

const OKTA: Steps = &[
    ("In Okta's Admin Console open Workflow → Event Hooks and create one.", Nothing),
    ("As endpoint URL paste:", Url),
    ("As Authentication field write:", Text("Authorization")),
    ("Reveal the newest secret below and paste it as Authentication secret.", Nothing),
    ("Subscribe to events, save, and choose Verify: Okta's question is answered here.", Nothing),
];

const X: Steps = &[
    ("The secret is your app's API key secret (consumer secret): set it as a value below, first.", Nothing),
    ("Register the webhook with X's API, with this URL. X asks it a question at once, which is answered here:", Url),
    ("Subscribe to the accounts whose activity you want.", Nothing),
];

const ASANA: Steps = &[
    ("Create the webhook with Asana's API, with the resource that you want and this as target:", Url),
    ("Asana's first request brings the secret along; it is kept here. There is nothing to paste.", Nothing),
    ("Change a task in that resource.", Nothing),
];

const GRAPH: Steps = &[
    ("Create a subscription with Microsoft Graph, and as notificationUrl give:", Url),
    ("Reveal the newest secret below and give it as clientState.", Nothing),
    (
        "Graph asks the URL a question at once, which is answered here. Then change something that you subscribed to.",
        Nothing,
    ),
];

const GIVEN_OR_MADE: Steps = &[
    ("Where the sender is told whom to call, paste:", Url),
    (
        "If the sender made a secret, set it as a value below. Otherwise make one here, reveal it, and give it to the sender.",
        Nothing,
    ),
    ("Send something, or run the quick check.", Nothing),
];

const FETCHED: Steps = &[
    ("Where the sender is told whom to call, paste:", Url),
    (
        "There is no secret to set: the sender's public keys are fetched from where it publishes them. A key that is set below is used instead.",
        Nothing,
    ),
    ("Send something, or run the quick check.", Nothing),
];

const UNSIGNED: Steps = &[
    ("Where the sender is told whom to call, paste:", Url),
    (
        "Nothing proves who calls: whoever knows the URL is believed. Give the source a scheme as soon as the sender can sign.",
        Nothing,
    ),
];

/// Of the schemes whose providers have pages of their own.
const PROVIDERS: [(&str, Steps); 15] = [
    ("github", GITHUB),
    ("github-sha1", GITHUB),
    ("gitlab", GITLAB),
    ("gitlab-token", GITLAB),
    ("stripe", STRIPE),
    ("slack", SLACK),
    ("shopify", SHOPIFY),
    ("twilio", TWILIO),
    ("zoom", ZOOM),
    ("meta", META),
    ("dropbox", DROPBOX),
    ("okta", OKTA),
    ("x", X),
    ("asana", ASANA),
    ("microsoft-graph", GRAPH),
];

/// What to do so that the sender comes to `url`.
pub(super) fn steps(scheme: Option<&Scheme>, url: &str) -> Vec<Step> {
    let of = |steps: Steps| {
        let step = |(says, paste): &(&str, Paste)| Step {
            says: (*says).to_owned(),
            value: match paste {
                Nothing => None,
                Url => Some(url.to_owned()),
                Text(text) => Some((*text).to_owned()),
            },
        };
        steps.iter().map(step).collect::<Vec<_>>()
    };
    let Some(scheme) = scheme else { return of(UNSIGNED) };
    if let Some((_, steps)) = PROVIDERS.iter().find(|(name, _)| *name == scheme.name()) {
        return of(steps);
    }
    let recipe = scheme.recipe();
    let header = match (recipe.algorithm, recipe.place) {
        (RecipeAlgorithm::Basic, _) => {
            "Each request has the secret, user:password, as HTTP Basic authentication.".to_owned()
        }
        (RecipeAlgorithm::Token, RecipePlace::Authorization(word)) => {
            format!("Each request has the secret in a header: Authorization: {word} …")
        }
        (RecipeAlgorithm::Token, RecipePlace::Header(name)) => {
            format!("Each request has the secret in the header {name}.")
        }
        (_, RecipePlace::Header(name)) => format!("The sender signs each request, in the header {name}."),
        (_, RecipePlace::Authorization(_) | RecipePlace::Query(_) | RecipePlace::Body) => {
            "The sender proves each request.".to_owned()
        }
    };
    let mut steps = of(if scheme.publishes_keys() { FETCHED } else { GIVEN_OR_MADE });
    steps.insert(2, Step { says: header, value: None });
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_has_steps_with_the_url_in_them() {
        let url = "https://hooks.example.com/in/x";
        for name in hookward::catalog::names() {
            let steps = steps(hookward::catalog::find(name), url);
            assert!(steps.iter().any(|step| step.value.as_deref() == Some(url)), "{name}");
        }
        for (name, _) in PROVIDERS {
            assert!(hookward::catalog::find(name).is_some(), "{name} is in the catalog");
        }
        assert_eq!(steps(None, url)[0].value.as_deref(), Some(url));
    }
}
