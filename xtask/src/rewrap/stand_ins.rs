//! A token that is files (SoftHSM) and a KMS that is a Python process (moto): installed, started, given a key.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use systems::{Request, Setup, http, world};

use crate::run::{root, run_with};

/// The version of moto that this was written against.
const MOTO: &str = "moto[server]==5.1.22";

const PIN: &str = "1234";

/// A token in files.
pub(super) struct SoftHsm {
    config: PathBuf,
    module: PathBuf,
}

impl SoftHsm {
    /// A token `hookward` with a key `hookward`.
    pub(super) fn new(directory: &Path) -> Result<Self> {
        let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
        let module = places.iter().map(PathBuf::from).find(|path| path.is_file());
        let module = module.context("softhsm2 brought no libsofthsm2.so")?;
        let tokens = directory.join("tokens");
        std::fs::create_dir(&tokens)?;
        let config = directory.join("softhsm2.conf");
        std::fs::write(&config, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display()))?;
        let key = directory.join("aes.key");
        // As text: softhsm2-util reads a key file up to its first zero byte.
        let mut random = [0; 16];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut random)?;
        std::fs::write(&key, hex::encode(random))?;
        let util = |arguments: &[&str]| {
            run_with(Command::new("softhsm2-util").args(arguments).env("SOFTHSM2_CONF", &config).stdout(Stdio::null()))
        };
        util(&["--init-token", "--free", "--label", "hookward", "--so-pin", "12345678", "--pin", PIN])?;
        let file = key.to_str().context("a path that is text")?;
        util(&["--import", file, "--aes", "--token", "hookward", "--label", "hookward", "--id", "01", "--pin", PIN])?;
        std::fs::remove_file(&key)?;
        Ok(Self { config, module })
    }

    /// What a configuration says of it.
    pub(super) fn provider(&self) -> String {
        let module = self.module.display();
        format!(
            "provider = \"pkcs11\"\nmodule = \"{module}\"\ntoken = \"hookward\"\nkey_label = \"hookward\"\n\
             pin = \"env:REWRAP_PIN\"\n"
        )
    }
}

/// What both need in the server's environment.
pub(super) fn environment(setup: Setup, token: &SoftHsm) -> Setup {
    setup
        .env("SOFTHSM2_CONF", &token.config.display().to_string())
        .env("REWRAP_PIN", PIN)
        .env("AWS_ACCESS_KEY_ID", "stand-in")
        .env("AWS_SECRET_ACCESS_KEY", "stand-in")
}

/// A KMS in a process of its own, which ends with this.
pub(super) struct Moto {
    process: Child,
    address: SocketAddr,
    key_id: String,
}

impl Moto {
    /// Installs it below `target` unless it is there, starts it, and makes a key.
    pub(super) fn start(directory: &Path) -> Result<Self> {
        let environment = root().join("target/xtask/moto");
        let program = environment.join("bin/moto_server");
        if !std::fs::read_to_string(environment.join("installed")).is_ok_and(|installed| installed == MOTO) {
            run_with(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
            let pip = environment.join("bin/pip");
            run_with(Command::new(pip).args(["install", "--quiet", "--disable-pip-version-check", MOTO]))?;
            std::fs::write(environment.join("installed"), MOTO)?;
        }
        // Free a moment ago; a test machine gives the same port to nobody else that fast.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = std::fs::File::create(directory.join("moto.log"))?;
        let process = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start moto_server")?;
        let mut moto = Self { process, address, key_id: String::new() };
        let mut made = None;
        let ready = world::until(Duration::from_secs(60), || {
            made = create_key(address).ok();
            made.is_some()
        });
        ensure!(ready, "moto did not make a key");
        moto.key_id = made.unwrap_or_default();
        Ok(moto)
    }

    /// What a configuration says of it.
    pub(super) fn provider(&self) -> String {
        let Self { address, key_id, .. } = self;
        format!(
            "provider = \"aws\"\nkey_id = \"{key_id}\"\nregion = \"eu-central-1\"\nendpoint = \"http://{address}\"\n"
        )
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn create_key(address: SocketAddr) -> Result<String> {
    let credential = "stand-in/20260101/eu-central-1/kms/aws4_request";
    let request = Request::post("/")
        .header("Content-Type", "application/x-amz-json-1.1")
        .header("X-Amz-Target", "TrentService.CreateKey")
        .header("Authorization", &format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"))
        .body(b"{}");
    let answer = http::send(address, &request)?;
    let made = answer.json();
    let key_id = made["KeyMetadata"]["KeyId"].as_str().with_context(|| format!("no key: {made}"))?;
    Ok(key_id.to_owned())
}
