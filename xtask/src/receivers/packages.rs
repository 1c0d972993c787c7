//! The official packages `standardwebhooks`, `svix` and `stripe` believe what the schemes of their names send, with whichever
//! of two secrets they have during a rotation, and nothing that was altered.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use systems::{MovableClock, Setup, world};

use super::course::{HOUR, on, publish, rotate};
use super::party::{Arrival, Party};
use super::tampering;

const SCHEMES: [&str; 3] = ["standard-webhooks", "svix", "stripe"];

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// All three at once, since every event goes to all of them.
pub(super) fn run(party: &mut Party, clock: &mut MovableClock, directory: &Path) -> Result<()> {
    let mut config = String::new();
    for scheme in SCHEMES {
        let url = party.url(scheme);
        write!(
            config,
            "[[destination]]\nname = \"{scheme}\"\ntype = \"http\"\nurl = \"{url}\"\ngrace = \"24h\"\n\
             sign = {{ scheme = \"{scheme}\", secret = \"env:PACKAGES_SECRET\" }}\nallow_addresses = [\"127.0.0.0/8\"]\n"
        )?;
    }
    let place = directory.join("packages");
    std::fs::create_dir_all(&place)?;
    let server = on(clock, Setup::new(&place, &config)?.env("PACKAGES_SECRET", OLD)).start()?;
    let mut number = 0;
    let mut deliver = |party: &mut Party, believed: &str, answer: u16| -> Result<Vec<Arrival>> {
        for scheme in SCHEMES {
            party.behave(scheme, json!({ "secret": believed }))?;
        }
        number += 1;
        let event = publish(&server, number)?;
        let arrivals = SCHEMES.map(|scheme| party.take(scheme, 1));
        let list = || server.list(&format!("/api/v1/deliveries?event={event}")).unwrap_or_default();
        let wanted = if answer == 204 { "delivered" } else { "pending" };
        let settled = || list().iter().all(|delivery| delivery["state"] == wanted);
        ensure!(world::until(std::time::Duration::from_secs(30), settled), "not {wanted}: {:#?}", list());
        SCHEMES.iter().zip(arrivals).map(|(scheme, arrivals)| one(arrivals?, answer).context(*scheme)).collect()
    };

    let first = deliver(party, OLD, 204)?;
    for (scheme, arrival) in SCHEMES.iter().zip(&first) {
        tampering::alter(party, scheme, arrival).context(*scheme)?;
    }
    for scheme in SCHEMES {
        rotate(&server, scheme, &json!({ "secret": NEW }))?;
    }
    for ahead in [0, 23] {
        clock.advance(ahead * HOUR)?;
        for believed in [OLD, NEW] {
            deliver(party, believed, 204)?;
        }
    }
    for (scheme, arrival) in SCHEMES.iter().zip(&first) {
        tampering::too_late(party, scheme, arrival).context(*scheme)?;
    }
    clock.advance(2 * HOUR)?;
    deliver(party, NEW, 204)?;
    deliver(party, OLD, 401)?;
    Ok(())
}

fn one(mut arrivals: Vec<Arrival>, answer: u16) -> Result<Arrival> {
    let came: Vec<u16> = arrivals.iter().map(|arrival| arrival.status).collect();
    ensure!(came == [answer], "answered {came:?} and not {answer}");
    Ok(arrivals.remove(0))
}
