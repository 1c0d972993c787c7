//! Tests of `destination/command/checkout.rs`: where git connects to, and what is left. What it fetches is tested against a
//! real git server, in `tests/systems`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hookward_engine::destination::command::{Checkouts, CommandDestination, prepare};
use hookward_engine::destination::{InvalidDestination, Report};
use hookward_engine::egress::EgressPolicy;
use hookward_engine::model::{CheckoutSpec, CommandSpec, OUTPUT_BYTES, Outcome};
use tokio::io::AsyncWriteExt;

use crate::egress::connector::acceptor;
use crate::support::outbound::{AMPLE, FAIR, Received, Sample, Server, Told, nets, supervisor};

/// A destination that checks out below `directory`, may reach loopback, and knows names by `told`.
fn destination(
    directory: &Path,
    told: &Arc<Told>,
    base: Option<String>,
    timeout: Duration,
) -> Result<CommandDestination, InvalidDestination> {
    let resolver = Arc::clone(told) as _;
    build(Checkouts { directory: directory.to_owned(), egress: EgressPolicy::default(), resolver }, base, timeout)
}

fn build(
    checkouts: Checkouts,
    base: Option<String>,
    timeout: Duration,
) -> Result<CommandDestination, InvalidDestination> {
    let checkout =
        CheckoutSpec { url: None, commit: None, base, allow_addresses: nets(&["127.0.0.0/8"]), max_bytes: 1 << 20 };
    let spec = CommandSpec {
        argv: vec!["/bin/true".to_owned()],
        directory: None,
        environment: vec![],
        output_bytes: OUTPUT_BYTES,
        checkout: Some(Box::new(checkout)),
    };
    CommandDestination::new(&spec, timeout, supervisor(), &checkouts)
}

fn push() -> Sample {
    let commit = "a".repeat(40);
    Sample::new(format!(r#"{{"after":"{commit}","repository":{{"full_name":"acme/web"}}}}"#))
}

async fn attempt(told: &Arc<Told>, base: String) -> Report {
    let directory = tempfile::tempdir().unwrap();
    let report = destination(directory.path(), told, Some(base), AMPLE).unwrap().attempt(push().parcel()).await;
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{report:?}");
    assert_eq!(report.outcome, Outcome::Checkout);
    report
}

/// A server that answers every request 404.
async fn nothing_here() -> Server {
    let server = Server::start(|mut stream, _| async move {
        let _ = Received::read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    });
    server.await
}

#[tokio::test]
async fn git_dials_the_judged_address_and_does_not_look_the_name_up_again() {
    let server = nothing_here().await;
    // No resolver but this one knows the name.
    let told = Told::new(&[&["127.0.0.1"]]);
    let report = attempt(&told, format!("http://code.example.invalid:{}", server.address.port())).await;
    assert_eq!(report.detail, "`git fetch` exited with status 128");
    assert!(server.connections() > 0, "{:?}", report.excerpt);
    assert_eq!(told.asked(), ["code.example.invalid"]);
}

#[tokio::test]
async fn git_checks_certificates_and_trusts_the_extra_authorities() {
    let heads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&heads);
    let server = Server::start(move |stream, _| {
        let (acceptor, counted) = (acceptor(include_bytes!("../tls/server.pem")), Arc::clone(&counted));
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            if Received::read_head(&mut stream).await.is_some() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let server = server.await;
    let base = |host: &str| Some(format!("https://{host}:{}", server.address.port()));
    for (host, roots, heads_after) in [
        ("receiver.test", None, 0),
        ("another.test", Some(&include_bytes!("../tls/root.pem")[..]), 0),
        ("receiver.test", Some(&include_bytes!("../tls/root.pem")[..]), 1),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let egress = EgressPolicy { extra_roots_pem: roots.map(<[u8]>::to_vec), ..EgressPolicy::default() };
        let resolver = Told::new(&[&["127.0.0.1"]]);
        let checkouts = Checkouts { directory: directory.path().to_owned(), egress, resolver };
        prepare(&checkouts).unwrap();
        let report = build(checkouts, base(host), AMPLE).unwrap().attempt(push().parcel()).await;
        assert_eq!(report.outcome, Outcome::Checkout);
        assert_eq!(heads.load(Ordering::SeqCst), heads_after, "{host}: {:?}", report.excerpt);
    }
}

#[tokio::test]
async fn a_host_that_must_not_be_reached_is_never_dialled() {
    let server = nothing_here().await;
    let base = format!("http://code.example.invalid:{}", server.address.port());
    let both = attempt(&Told::new(&[&["127.0.0.1", "10.0.0.1"]]), base).await;
    assert!(both.detail.contains("`code.example.invalid` is refused"), "{}", both.detail);
    let public = attempt(&Told::new(&[&["93.184.216.34"]]), "http://code.example.invalid".to_owned()).await;
    assert!(public.detail.starts_with("plain http is only for"), "{}", public.detail);
    let unknown = attempt(&Told::new(&[]), "https://code.example.invalid".to_owned()).await;
    assert!(unknown.detail.contains("did not resolve"), "{}", unknown.detail);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_host_that_hangs_costs_no_longer_than_the_deadline_and_leaves_nothing() {
    let server = Server::start(|stream, _| async move {
        let () = std::future::pending().await;
        drop(stream);
    });
    let server = server.await;
    let directory = tempfile::tempdir().unwrap();
    let base = Some(format!("http://{}", server.address));
    let report =
        destination(directory.path(), &Told::new(&[]), base.clone(), FAIR).unwrap().attempt(push().parcel()).await;
    assert_eq!(
        (report.outcome, report.detail.as_str()),
        (Outcome::Timeout, "still running after 1s, ended by SIGTERM")
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);

    // An attempt that is given up leaves nothing either, a moment later.
    let destination = destination(directory.path(), &Told::new(&[]), base, AMPLE).unwrap();
    let sample = push();
    let begun = async {
        while server.connections() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        report = destination.attempt(sample.parcel()) => panic!("{report:?}"),
        () = begun => {}
    }
    let gone = async {
        while std::fs::read_dir(directory.path()).unwrap().count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(AMPLE, gone).await.expect("the checkout is still there");
}

#[test]
fn a_base_that_is_no_url_is_refused() {
    for bad in ["", "git.test", "file:///srv/git", "ssh://git.test", "https://user:pass@git.test"] {
        let refused = destination(Path::new("/nonexistent"), &Told::new(&[]), Some(bad.to_owned()), AMPLE);
        assert!(matches!(refused, Err(InvalidDestination::Url(_))), "{bad}: {refused:?}");
    }
}
