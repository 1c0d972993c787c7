//! Every route there is. The public listener reaches sources and two checks; everything else is the admin listener's.
//! Only paths and methods; what happens there is `ingest`, `health` and `api`.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use http::Request;
use hyper::body::Incoming;

use crate::answer::Whole;
use crate::api::problem::Code::{
    Forbidden, InvalidCursor, InvalidLimit, InvalidRequest, NotFound, NotPossible, PayloadRefused, SchemeRefused,
    SecondFactorNeeded, TooOften, Unauthorized,
};
use crate::api::{
    self, Api, audit, backup, batch, configuration, deliveries, destinations, event_types, events, feeds, jobs, keys,
    kms, leases, login, me, nodes, organizations, recovery, refusals, schemes, secrets, sources, users,
};
use crate::dashboard;
use crate::health;
use crate::ingest::Ingest;
use crate::openapi::{self, Routes};

/// The listener that the internet reaches.
pub(crate) async fn public(ingest: Arc<Ingest>, request: Request<Incoming>) -> Result<Whole, Infallible> {
    Ok(match request.uri().path() {
        "/healthz" => health::live(request.method()),
        "/readyz" => health::ready(request.method(), ingest.engine()).await,
        _ => ingest.answer(request).await,
    })
}

/// The listener for operators and scripts.
pub(crate) fn admin(api: Arc<Api>) -> Router {
    let (v1, open, document) = v1().finish();
    let v1 = v1
        .fallback(api::not_found)
        .method_not_allowed_fallback(api::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&api), api::authorize::authorize));
    Router::new()
        .route("/healthz", get(health::admin_live))
        .route("/readyz", get(health::admin_ready))
        .route("/metrics", get(health::metrics))
        .merge(openapi::documents(&document))
        .nest("/api/v1", v1.merge(open))
        .merge(dashboard::routes(&api))
        .fallback(api::not_found)
        .method_not_allowed_fallback(api::method_not_allowed)
        .layer(axum::middleware::map_response(api::harden))
        .with_state(api)
}

/// Everything here needs a key or a session, unless it is for whoever comes (`open_…`), and is in the API's document.
/// What a route may answer besides what its handler takes and gives stands behind it.
fn v1() -> Routes {
    records(secrets_and_leases(declared(accounts(Routes::below("/api/v1")))))
}

#[rustfmt::skip]
fn accounts(routes: Routes) -> Routes {
    routes
        .section("Signing in", "How people become known. Programs have keys.")
        .open_post("/login", login::login, "Signs in: a session, in a cookie for browsers and as a token for programs").or(Unauthorized).or(SecondFactorNeeded).or(Forbidden).or(TooOften)
        .open_post("/invitation", login::accept, "Accepts an invitation: with a first password").or(Unauthorized).or(Forbidden).or(TooOften)
        .post("/logout", login::logout, "Signs out: the session ends").or(NotFound)
        .section("Oneself", "One's own account.")
        .get("/me", me::show, "Shows who one is")
        .post("/me/password", me::change_password, "Changes one's password").or(TooOften)
        .post("/me/totp", me::start_totp, "Starts a second factor").or(TooOften).or(NotPossible)
        .post("/me/totp/confirm", me::confirm_totp, "Confirms the second factor").or(TooOften).or(NotPossible)
        .post("/me/totp/remove", me::remove_totp, "Removes the second factor").or(TooOften).or(NotPossible)
        .post("/me/recovery-codes", me::renew_recovery_codes, "Renews the recovery codes").or(TooOften).or(NotPossible)
        .get("/me/sessions", me::sessions, "Lists one's sessions")
        .delete("/me/sessions/{id}", me::end_session, "Ends one of one's sessions")
        .section("Users", "People who sign in.")
        .get("/users", users::list, "Lists users")
        .creates("/users", users::create, "Invites a user: with scopes that the caller has itself").or(NotPossible)
        .get("/users/{id}", users::show, "Shows a user")
        .patch("/users/{id}", users::change, "Changes a user").or(NotPossible)
        .post("/users/{id}/reset", users::reset, "Resets a user: who sets a new password then").or(NotPossible)
        .delete("/users/{id}", users::remove, "Removes a user").or(NotPossible)
        .section("Organizations", "Tenants. The first one operates the installation; each sees only what is its own.")
        .get("/organizations", organizations::list, "Lists organizations: all of them for who operates the installation, one's own for others")
        .creates("/organizations", organizations::create, "Makes an organization: with its first key").or(NotPossible)
        .patch("/organizations/{id}", organizations::change, "Changes an organization").or(NotPossible)
        .delete("/organizations/{id}", organizations::erase, "Erases an organization: everything of it, in small steps").or(NotPossible)
        .creates("/organizations/{id}/key", organizations::first_key, "Makes an organization's key: for one that nobody can administer any more").or(NotPossible)
        .section("Keys", "What programs prove themselves with. Shown once, kept as digests, revoked at once.")
        .get("/keys", keys::list, "Lists keys")
        .creates("/keys", keys::create, "Makes a key: with scopes that the caller has itself").or(NotPossible)
        .get("/keys/{id}", keys::show, "Shows a key: without what proves it")
        .delete("/keys/{id}", keys::revoke, "Revokes a key: it is refused from now on").or(NotPossible)
}

#[rustfmt::skip]
fn declared(routes: Routes) -> Routes {
    routes
        .section("Sources", "Doors in: a path, a scheme, secrets, a dedup policy, answers.")
        .get("/sources", sources::list, "Lists sources")
        .creates("/sources", sources::create, "Makes a source: from the settings that a `[[source]]` table has").or(NotPossible)
        .get("/sources/{name}", sources::show, "Shows a source")
        .patch("/sources/{name}", sources::change, "Changes a source: the settings given, and no others; null takes one away").or(NotPossible)
        .delete("/sources/{name}", sources::remove, "Removes a source: its events stay, and are delivered").or(NotPossible)
        .section("Destinations", "Ways out: what each hears, how it is signed, when it is tried again.")
        .get("/destinations", destinations::list, "Lists destinations")
        .creates("/destinations", destinations::create, "Makes a destination: from the settings that a `[[destination]]` table has").or(NotPossible)
        .get("/destinations/{name}", destinations::show, "Shows a destination")
        .patch("/destinations/{name}", destinations::change, "Changes a destination: the settings given, and no others; null takes one away").or(NotPossible)
        .delete("/destinations/{name}", destinations::remove, "Removes a destination").or(NotPossible)
        .post("/destinations/{name}/pause", destinations::pause, "Pauses a destination: what it is owed is held").or(NotPossible)
        .post("/destinations/{name}/resume", destinations::resume, "Resumes a destination: what was held is due at once, at a rate, or dropped").or(NotPossible)
        .section("Event types", "What an organization publishes: for people who receive it, and with a schema for who sends it.")
        .get("/event-types", event_types::list, "Lists event types")
        .creates("/event-types", event_types::create, "Makes an event type: from the settings that an `[[event_type]]` table has").or(NotPossible)
        .post("/event-types/check", event_types::check, "Checks a payload: whether it fits its type; nothing is published").or(NotFound)
        .get("/event-types/{name}", event_types::show, "Shows an event type")
        .patch("/event-types/{name}", event_types::change, "Changes an event type: the settings given, and no others; null takes one away").or(NotPossible)
        .delete("/event-types/{name}", event_types::remove, "Removes an event type: events of it are like those of any type that nobody declared").or(NotPossible)
        .section("Schemes", "How providers sign, as data: those of the catalog, and an organization's own.")
        .get("/schemes", schemes::list, "Lists schemes: private ones first, then the catalog's")
        .get("/schemes/{name}", schemes::show, "Shows a scheme: with its file, and what uses it")
        .put("/schemes/{name}", schemes::put, "Puts a private scheme in force: a new one, or one that is there, for all that use it at once").or(NotPossible).or(SchemeRefused)
        .delete("/schemes/{name}", schemes::remove, "Removes a private scheme: one that nothing uses").or(NotPossible)
        .section("Configuration", "A whole file at once: what it would change, changing it, and taking out what there is.")
        .post("/config/plan", configuration::plan, "Plans a configuration: what applying it would change").or(NotPossible)
        .post("/config/apply", configuration::apply, "Applies a configuration: what it does not have is removed, unless the API made it").or(NotPossible)
        .get("/config/export", configuration::export, "Exports the configuration: everything there is, without a credential")
}

#[rustfmt::skip]
fn secrets_and_leases(routes: Routes) -> Routes {
    routes
        .section("Leases", "How a consumer works through what a `pull` destination is owed.")
        .post("/destinations/{name}/lease", leases::lease, "Leases deliveries: they are the consumer's until it ends the leases or these run out")
        .post("/leases/ack", leases::acknowledge, "Acknowledges leases: their deliveries are done")
        .post("/leases/extend", leases::extend, "Extends leases")
        .post("/leases/release", leases::release, "Releases leases: their deliveries are due again")
        .section("Secrets", "The keyring of a source or a destination: several versions, each with its validity and its uses.")
        .get("/{owners}/{name}/secrets", secrets::list, "Lists secrets: every version, without its value")
        .creates("/{owners}/{name}/secrets", secrets::set, "Sets a secret: a new version of the caller's; the ones before end after the grace").or(NotPossible)
        .creates("/{owners}/{name}/secrets/rotate", secrets::rotate, "Rotates a secret: a new version, generated unless given; the ones before end after the grace").or(NotPossible)
        .patch("/{owners}/{name}/secrets/{version}", secrets::set_end, "Sets a secret's end: one in use ends sooner only with `force`").or(NotPossible)
        .post("/{owners}/{name}/secrets/{version}/reveal", secrets::reveal, "Reveals a secret: its value, after the audit log has it")
        .post("/{owners}/{name}/secrets/{version}/revoke", secrets::revoke, "Revokes a secret: it ends now; one in use only with `force`").or(NotPossible)
}

#[rustfmt::skip]
fn records(routes: Routes) -> Routes {
    routes
        .section("Events", "Accepted, committed, immutable facts.")
        .get("/events", events::list, "Lists events").or(NotFound)
        .post("/events", events::publish, "Publishes an event: it is on disk when this is answered").or(NotPossible).or(PayloadRefused)
        .post("/events/batch", batch::publish, "Publishes many events: each is judged by itself; 207 when not all of them were published")
        .get("/events/{id}", events::show, "Shows an event: with what it owes and whom it passed over")
        .get("/events/{id}/body", events::body, "Gives an event's body: the exact bytes")
        .creates("/events/{id}/redeliver", events::redeliver, "Redelivers an event: to everyone who hears such events today, or to one destination")
        .section("Feeds", "Following what happens, in the order in which it was committed; whoever follows keeps the position.")
        .get("/feeds/events", feeds::events, "Follows events: oldest first, those after a position").or(NotFound).or(InvalidCursor).or(InvalidLimit).or(InvalidRequest)
        .get("/feeds/attempts", feeds::attempts, "Follows attempts: in the order in which they ended").or(NotFound).or(InvalidCursor).or(InvalidLimit).or(InvalidRequest)
        .section("Deliveries", "One event owed to one destination, and each try of it.")
        .get("/deliveries", deliveries::list, "Lists deliveries").or(NotFound)
        .get("/deliveries/{id}", deliveries::show, "Shows a delivery: with its attempts")
        .get("/deliveries/{id}/output", deliveries::output, "Gives what a program wrote: of the attempt under way or the last one that ran")
        .post("/deliveries/{id}/cancel", deliveries::cancel, "Cancels a delivery: at once when it waits, else when its attempt has ended").or(NotPossible)
        .section("Redeliveries", "All events that match a filter, redelivered in small steps at a pace.")
        .get("/redeliveries", jobs::list, "Lists redelivery jobs")
        .creates("/redeliveries", jobs::create, "Makes a redelivery job: or counts what it would be about").or(NotFound)
        .get("/redeliveries/{id}", jobs::show, "Shows a redelivery job")
        .post("/redeliveries/{id}/pause", jobs::pause, "Pauses a redelivery job").or(NotPossible)
        .post("/redeliveries/{id}/resume", jobs::resume, "Resumes a redelivery job").or(NotPossible)
        .post("/redeliveries/{id}/cancel", jobs::cancel, "Cancels a redelivery job").or(NotPossible)
        .creates("/destinations/{name}/recover", recovery::recover, "Recovers what a destination failed to take or never got: makes a redelivery job, or counts what it would be about")
        .section("Refusals", "Requests that were not believed, for finding out why.")
        .get("/refusals", refusals::list, "Lists refused requests").or(NotFound)
        .get("/refusals/{id}", refusals::show, "Shows a refused request: with its headers and the start of its body")
        .section("Audit", "Every accepted and refused request and every administrative act.")
        .get("/audit", audit::list, "Lists audit entries")
        .get("/audit/head", audit::head, "Shows the head of the audit log's chain")
        .get("/audit/export", audit::export, "Exports the audit log: a line of JSON for each row, oldest first")
        .section("Installation", "For who operates it.")
        .get("/nodes", nodes::list, "Lists nodes: the processes that serve it, and how each is")
        .get("/kms", kms::show, "Shows the keys that seal all secrets: which wraps what, and which secrets are not open")
        .post("/kms/test", kms::test, "Tests the key service: a wrap and an unwrap")
        .get("/kms/rewrap", kms::rewrap, "Shows the last rewrap").or(NotFound)
        .post("/kms/rewrap", kms::start_rewrap, "Starts a rewrap: or says how far the one under way is").or(NotPossible)
        .post("/backup", backup::take, "Takes a backup: everything as it is now, in one answer")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// Operations that answer whoever asks. Nothing comes here without a reason.
    const OPEN: [&str; 2] = ["login.accept", "login.login"];

    fn operations(document: &Value) -> Vec<&Value> {
        let paths = document["paths"].as_object().unwrap().values();
        paths.flat_map(|path| path.as_object().unwrap().values()).collect()
    }

    #[test]
    fn the_document_is_the_one_checked_in() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        let is_same = openapi::text(&v1().finish().2) == kept;
        assert!(
            is_same,
            "the API changed: run `cargo xtask openapi`, read what it changes in docs/openapi.json, commit it"
        );
    }

    #[test]
    fn every_operation_says_what_it_is_and_what_it_needs() {
        let (_, _, document) = v1().finish();
        let mut ids = BTreeSet::new();
        for operation in operations(&document) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "two operations are called {id}");
            assert!(!operation["summary"].as_str().unwrap().is_empty() && operation["tags"][0] != "", "{id}");
            let is_open = operation["security"].as_array().unwrap().is_empty();
            assert_eq!(is_open, OPEN.contains(&id), "{id}: a handler without a `Caller` answers anyone");
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.keys().any(|status| status.starts_with('2')), "{id} has no success");
        }
    }
}
