//! What it costs to find out that nothing explains a refusal: the dearest answer, for a body of 8 KiB that can be written in many ways.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result};
use hookward::explain::{Explanation, KnownSecret, MAX_HMACS, Standing, explain};
use hookward::{Draft, Message, UnixTime, catalog};

const ROUNDS: usize = 31;

/// The promise for 8 KiB, in milliseconds.
const PROMISED_MS: f64 = 50.0;

const BODY: usize = 8 << 10;

/// Prints the median for a few schemes; returns what is slower than promised.
pub(crate) fn run() -> Result<Vec<String>> {
    println!("8 KiB that nothing explains, medians of {ROUNDS} explanations");
    println!("{:<44} {:>10} {:>16}", "", "ms", "HMACs");
    let body = body();
    let mut broken = Vec::new();
    for name in ["github", "stripe", "standard-webhooks", "standard-webhooks-ed25519"] {
        let (ms, hmacs) = measure(name, &body)?;
        println!("{name:<44} {ms:>10.1} {hmacs:>16}");
        if ms > PROMISED_MS || hmacs > MAX_HMACS {
            broken.push(format!("explaining {name} takes {ms:.1} ms and {hmacs} hmacs, more than promised"));
        }
    }
    println!();
    Ok(broken)
}

fn measure(name: &str, body: &str) -> Result<(f64, u32)> {
    let scheme = catalog::find(name).context("it is in the catalog")?;
    let secret = |seed: u8| scheme.generate(&mut |bytes| bytes.iter_mut().zip(seed..).for_each(|(byte, n)| *byte = n));
    let now = UnixTime::from_secs(1_700_000_000);
    let (signer, held) = (secret(100)?, secret(1)?);
    let draft = Draft { id: "msg_1", event_type: "", method: "POST", url: "https://example.com/", body: b"another" };
    let headers = scheme.sign(&draft, &[scheme.key(1, &signer)?], now)?.headers;
    let message = Message { method: draft.method, url: draft.url, headers: &headers, body: body.as_bytes() };
    let known = [KnownSecret { label: "held", secret: &held, standing: Standing::InForce }];
    let mut times = Vec::with_capacity(ROUNDS);
    let mut hmacs = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let explanation: Explanation = black_box(explain(scheme, &message, &known, now));
        times.push(start.elapsed().as_secs_f64() * 1e3);
        hmacs = explanation.hmacs();
    }
    times.sort_by(f64::total_cmp);
    Ok((times[ROUNDS / 2], hmacs))
}

/// JSON with everything that programs write differently.
fn body() -> String {
    let mut body = "{".to_owned();
    for n in 0.. {
        let member = format!(
            "\"z{}\": {{\"url\": \"https://é.example/<{n}>&\", \"price\": {n}.50, \"tags\": [1, \"a'b\"]}}, ",
            1000 - n
        );
        if body.len() + member.len() > BODY - 20 {
            break;
        }
        body += &member;
    }
    body + "\"end\": null}"
}
