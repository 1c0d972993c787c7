//! Compares the address judge with verdicts from elsewhere: lines of an address and `public` or `refused` on standard
//! input; each difference becomes a line of output. What makes the verdicts is `cargo xtask addresses`.

use std::io::{BufRead, Write};
use std::net::IpAddr;

use hookward_engine::egress::judge;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let (mut public, mut refused, mut differences) = (0_u64, 0_u64, 0_u64);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (address, expected) = line.split_once(' ').expect("an address and a verdict");
        let address: IpAddr = address.parse().expect("an address");
        let verdict = judge(address, &[]);
        let said = if verdict.is_ok() { "public" } else { "refused" };
        *if verdict.is_ok() { &mut public } else { &mut refused } += 1;
        if said != expected {
            differences += 1;
            let reason = verdict.err().map(|blocked| format!(" ({})", blocked.reason)).unwrap_or_default();
            writeln!(out, "difference {address}: {said}{reason} here, {expected} there")?;
        }
    }
    writeln!(out, "{} addresses: {public} public, {refused} refused, {differences} differences", public + refused)
}
