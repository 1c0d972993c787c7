//! What verification costs beside a bare HMAC of the same bytes and beside two other verifiers, in interleaved rounds of one run.
//! Fails when the library's promise is broken: a scheme that signs the body alone stays at
//! 1 KiB within 10 % of the bare HMAC plus 100 ns.

mod contenders;
mod doctor;

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};

use contenders::{Contender, contenders};

const SIZES: [usize; 3] = [1 << 10, 8 << 10, 64 << 10];

/// Many short rounds, so that whatever else the machine does meets every contender alike.
const ROUNDS: usize = 301;

/// How long one measurement lasts, about.
const ROUND_NS: f64 = 300_000.0;

/// The promise: this share of the bare HMAC, and this much more.
const PROMISED_SHARE: f64 = 1.10;
const PROMISED_NS: f64 = 100.0;

fn main() -> Result<()> {
    let mut broken = Vec::new();
    for size in SIZES {
        let contenders = contenders(size)?;
        let medians = measure(&contenders);
        let naive = medians[contenders::BARE_NAIVE];
        println!("{} KiB, medians of {ROUNDS} interleaved rounds", size >> 10);
        println!("{:<44} {:>10} {:>16} {:>14}", "", "ns", "of naive HMAC", "MiB/s");
        for (contender, ns) in contenders.iter().zip(&medians) {
            let rate = size as f64 / ns * 1e9 / f64::from(1 << 20);
            println!("{:<44} {ns:>10.0} {:>16.3} {rate:>14.0}", contender.name, ns / naive);
        }
        println!();
        if size == SIZES[0] {
            let promised = naive * PROMISED_SHARE + PROMISED_NS;
            let promises = contenders.iter().zip(&medians).filter(|(contender, _)| contender.is_promised);
            broken.extend(promises.filter(|(_, ns)| **ns > promised).map(|(contender, ns)| {
                format!("{} takes {ns:.0} ns at 1 KiB, more than the promised {promised:.0} ns", contender.name)
            }));
        }
    }
    broken.extend(doctor::run()?);
    ensure!(broken.is_empty(), "{}", broken.join("; "));
    Ok(())
}

/// The median time of one operation of each contender, in nanoseconds.
fn measure(contenders: &[Contender]) -> Vec<f64> {
    let repeats: Vec<u32> = contenders.iter().map(repeats).collect();
    let mut times = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    for round in 0..ROUNDS {
        for step in 0..contenders.len() {
            // Another one begins each round, so that none always follows the same.
            let at = (step + round) % contenders.len();
            times[at].push(time(&contenders[at], repeats[at]));
        }
    }
    times.into_iter().map(median).collect()
}

/// How many operations make up a round.
fn repeats(contender: &Contender) -> u32 {
    let once = time(contender, 200);
    (ROUND_NS / once).ceil().max(1.0) as u32
}

fn time(contender: &Contender, repeats: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..repeats {
        assert!(black_box((contender.verify)()), "{} refused an authentic request", contender.name);
    }
    start.elapsed().as_nanos() as f64 / f64::from(repeats)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
