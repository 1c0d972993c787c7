//! `cargo xtask rewrap`: every secret from a local key to a token and on to AWS's KMS, while requests come in and the
//! server is killed half-way. Owns the order; the token and the KMS that stand in for real ones are in `stand_ins`.

mod load;
mod stand_ins;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;
use systems::{Hookward, Request, Setup, world};

use crate::run::has_or_installs;
use load::Load;
use stand_ins::{Moto, SoftHsm};

/// What the senders sign with, and every other source's secret.
const SECRET: &str = "rewrap-test-secret";

/// How long one step of this may take.
const LIMIT: Duration = Duration::from_secs(600);

/// How much to rewrap.
#[derive(Args, Clone)]
pub(crate) struct Plan {
    /// Secrets
    #[arg(long, default_value_t = 10_000)]
    secrets: u32,
}

impl Plan {
    /// The short run of `cargo xtask ci`.
    pub(crate) fn short() -> Self {
        Self { secrets: 200 }
    }
}

/// Goes from key to key. The binary has to be one with both providers.
pub(crate) fn run_all(plan: &Plan) -> Result<()> {
    for (program, package) in [("softhsm2-util", "softhsm2"), ("python3", "python3-venv")] {
        if !has_or_installs("rewrap", program, package)? {
            return Ok(());
        }
    }
    let binary = systems::server::binary()?;
    let directory = tempfile::tempdir()?;
    let token = SoftHsm::new(directory.path())?;
    let moto = Moto::start(directory.path())?;
    let local = "provider = \"local\"\n".to_owned();
    let (in_token, in_aws) = (token.provider(), moto.provider());
    let world = World { directory: directory.path(), binary, secrets: plan.secrets, token };
    let load = Load::start(SECRET);
    let first = world.setup(&local, &[])?.start()?;
    load.aim(Some(first.public));
    let started = under(&first)?;
    ensure!(started.len() == 1 && started[0].0.starts_with("local:"), "at first: {started:?}");
    // Every secret, and the installation key.
    ensure!(started[0].1 == u64::from(plan.secrets) + 1, "at first: {started:?}");
    load.aim(None);
    first.kill()?;
    world.move_to(&load, &in_token, &local, "pkcs11:")?;
    world.move_to(&load, &in_aws, &in_token, "aws:")?;
    world.finish(&load, &in_aws)?;
    let answered = load.stop()?;
    println!("rewrap: {answered} requests were sent meanwhile, and each was accepted");
    Ok(())
}

struct World<'d> {
    directory: &'d Path,
    binary: PathBuf,
    secrets: u32,
    token: SoftHsm,
}

impl World<'_> {
    /// A server whose key is with `current`, and was with `previous`.
    fn setup(&self, current: &str, previous: &[&str]) -> Result<Setup> {
        let mut config = format!("[kms]\n{current}");
        for previous in previous {
            config += &format!("[[kms.previous]]\n{previous}");
        }
        config += "[[source]]\nname = \"github\"\nscheme = \"github\"\nsecret = \"env:REWRAP_SECRET\"\n";
        for n in 1..self.secrets {
            let name = format!("other-{n}");
            config += &format!("[[source]]\nname = \"{name}\"\nscheme = \"github\"\nsecret = \"env:REWRAP_SECRET\"\n");
        }
        let setup = Setup::new(self.directory, &config)?.program(&self.binary).patience(LIMIT);
        let setup = setup.env("REWRAP_SECRET", SECRET).env("HOOKWARD_LOG", "warn");
        Ok(stand_ins::environment(setup, &self.token))
    }

    /// Brings everything from `old` to `new`, with a kill half-way.
    fn move_to(&self, load: &Load, new: &str, old: &str, prefix: &str) -> Result<()> {
        let started = world::instant();
        let setup = self.setup(new, &[old])?;
        let server = setup.start()?;
        load.aim(Some(server.public));
        let total = u64::from(self.secrets) + 1;
        println!("rewrap: {}", server.cli_ok(&["kms", "test"], b"")?.trim());
        server.cli_ok(&["kms", "rewrap"], b"")?;
        wait(&server, |rewrap| rewrap["done"].as_u64() >= Some(total / 2))?;
        load.aim(None);
        server.kill()?;
        let server = setup.start()?;
        load.aim(Some(server.public));
        let at_restart = under(&server)?;
        let halves: u64 = at_restart.iter().map(|(_, count)| count).sum();
        ensure!(halves == total, "nothing is under no key: {at_restart:?}");
        let ended = wait(&server, |rewrap| rewrap["state"] == "done")?;
        ensure!(ended["skipped"] == 0, "everything opens: {ended}");
        let now = under(&server)?;
        ensure!(now.len() == 1 && now[0].0.starts_with(prefix) && now[0].1 == total, "afterwards: {now:?}");
        println!(
            "rewrap: {total} values came under `{}` in {:.1} s; after the kill the server found {at_restart:?}",
            now[0].0,
            started.elapsed().as_secs_f64()
        );
        load.aim(None);
        server.kill()
    }

    /// With nothing but the last key everything opens.
    fn finish(&self, load: &Load, current: &str) -> Result<()> {
        let server = self.setup(current, &[])?.start()?;
        load.aim(Some(server.public));
        let mut last = Value::Null;
        let all_open = world::until(LIMIT, || {
            world::pause(Duration::from_millis(50));
            last = server.get("/api/v1/kms").unwrap_or_default();
            last["open"].as_u64() == Some(u64::from(self.secrets)) && last["shut"] == 0
        });
        ensure!(all_open, "not every secret opens under the last key alone: {last}");
        for source in ["github".to_owned(), format!("other-{}", self.secrets - 1)] {
            let path = format!("/api/v1/sources/{source}/secrets/1/reveal");
            let request = Request::post(&path).header("Content-Type", "application/json");
            let answer = server.admin(request.body(br#"{"reason":"rewrap"}"#))?;
            ensure!(answer.json()["secret"] == SECRET, "`{source}` has another secret now");
        }
        println!("{}", server.cli_ok(&["kms", "status"], b"")?.trim());
        load.aim(None);
        ensure!(server.terminate()?.success(), "the server did not end in order");
        Ok(())
    }
}

/// How many values are under which key.
fn under(server: &Hookward) -> Result<Vec<(String, u64)>> {
    let kms = server.get("/api/v1/kms")?;
    let counts = kms["sealed"].as_object().with_context(|| format!("no counts: {kms}"))?;
    Ok(counts.iter().map(|(key_id, count)| (key_id.clone(), count.as_u64().unwrap_or_default())).collect())
}

/// Waits until the rewrap is as wanted.
fn wait(server: &Hookward, is_enough: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut last = Value::Null;
    let ended = world::until(LIMIT, || {
        world::pause(Duration::from_millis(5));
        last = server.get("/api/v1/kms/rewrap").unwrap_or_default();
        is_enough(&last)
    });
    ensure!(ended, "the rewrap stands still: {last}");
    Ok(last)
}
