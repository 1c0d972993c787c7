//! The binary `hookward` as a child process: started on free ports with its own data directory, killed when dropped.

use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::http::{self, Request, Response};
use crate::{database, world};

/// The bootstrap API key that every started server gets.
pub const API_KEY: &str = "hw_black-box-key-0123456789abcdef";

/// How long a server may take to become ready before a test fails.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How a server is to be started; the same setup can be started again on the same data.
#[derive(Debug, Clone)]
pub struct Setup {
    binary: PathBuf,
    config: PathBuf,
    data: PathBuf,
    log: PathBuf,
    address: IpAddr,
    environment: Vec<(String, String)>,
    file_limit_kib: Option<u32>,
    start_limit: Duration,
}

impl Setup {
    /// A server with this configuration text and a data directory, log and config file below `directory`.
    pub fn new(directory: &Path, config: &str) -> Result<Self> {
        let path = directory.join("hookward.toml");
        fs::write(&path, config).with_context(|| format!("cannot write {}", path.display()))?;
        Self::with_config_file(directory, &path)
    }

    /// The same with a configuration file that exists elsewhere.
    pub fn with_config_file(directory: &Path, config: &Path) -> Result<Self> {
        Ok(Self {
            binary: binary()?,
            config: config.to_owned(),
            data: directory.join("data"),
            log: directory.join("server.log"),
            address: Ipv4Addr::LOCALHOST.into(),
            environment: Vec::new(),
            file_limit_kib: None,
            start_limit: START_LIMIT,
        })
    }

    /// With one more environment variable; a later one of the same name wins.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a bound on the size of any file that the server writes: to it, the disk is full beyond that.
    #[must_use]
    pub fn file_limit_kib(mut self, kib: u32) -> Self {
        self.file_limit_kib = Some(kib);
        self
    }

    /// With another binary than [`binary`].
    #[must_use]
    pub fn program(mut self, binary: &Path) -> Self {
        binary.clone_into(&mut self.binary);
        self
    }

    /// With listeners at another address than loopback's.
    #[must_use]
    pub fn at(mut self, address: IpAddr) -> Self {
        self.address = address;
        self
    }

    /// With more time for a start that has much to do.
    #[must_use]
    pub fn patience(mut self, limit: Duration) -> Self {
        self.start_limit = limit;
        self
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Everything that servers of this setup printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Starts the server and waits until it is ready.
    pub fn start(&self) -> Result<Hookward> {
        let addresses = self.data.join("addresses.json");
        // A killed server leaves its file behind; what is read below must be the new one's.
        if addresses.exists() {
            fs::remove_file(&addresses)?;
        }
        let log = File::options().create(true).append(true).open(&self.log)?;
        let any_port = SocketAddr::from((self.address, 0)).to_string();
        let started = world::instant();
        let child = self
            .command()
            .args(["serve", "--public", &any_port, "--admin", &any_port, "--config"])
            .arg(&self.config)
            .arg("--data")
            .arg(&self.data)
            .args(database::address(&self.data)?.iter().flat_map(|address| ["--database", address]))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        let mut server = Hookward {
            child,
            setup: self.clone(),
            public: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            ready_after: Duration::ZERO,
        };
        server.wait_until_ready(&addresses)?;
        server.ready_after = started.elapsed();
        Ok(server)
    }

    /// The binary with a bare environment: only what this setup gives it, and where programs are.
    pub fn command(&self) -> Command {
        let mut command = match self.file_limit_kib {
            None => Command::new(&self.binary),
            Some(kib) => limited(&self.binary, kib),
        };
        command.env_clear().env("HOOKWARD_API_KEY", API_KEY);
        if let Some(path) = world::var("PATH") {
            command.env("PATH", path);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A running server.
#[derive(Debug)]
pub struct Hookward {
    child: Child,
    setup: Setup,
    /// The listener that the internet reaches.
    pub public: SocketAddr,
    /// The listener of the API.
    pub admin: SocketAddr,
    /// From starting the process to its first `200` on `/readyz`.
    pub ready_after: Duration,
}

impl Hookward {
    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it like a power cut, as far as a process can be.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to drain and waits for its end.
    pub fn terminate(mut self) -> Result<ExitStatus> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, Signal::SIGTERM)?;
        let mut status = None;
        world::until(Duration::from_secs(35), || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        });
        status.context("the server did not end within 35 s of SIGTERM")
    }

    /// Sends a request to the public listener on a connection of its own.
    pub fn public(&self, request: &Request) -> Result<Response> {
        http::send(self.public, request).with_context(|| format!("{} {}", request.method, request.target))
    }

    /// Sends a request with the API key to the admin listener.
    pub fn admin(&self, request: Request) -> Result<Response> {
        let request = request.header("Authorization", &format!("Bearer {API_KEY}"));
        http::send(self.admin, &request).with_context(|| format!("{} {}", request.method, request.target))
    }

    /// Sends a request with another credential, or with none if that is empty, to the admin listener.
    pub fn send_as(&self, credential: &str, request: Request) -> Result<Response> {
        let request = match credential {
            "" => request,
            credential => request.header("Authorization", &format!("Bearer {credential}")),
        };
        http::send(self.admin, &request).with_context(|| format!("{} {}", request.method, request.target))
    }

    /// Reads something from the API, which must be there.
    pub fn get(&self, path: &str) -> Result<Value> {
        let response = self.admin(Request::get(path))?;
        ensure!(response.status == 200, "GET {path}: {} {}", response.status, response.text());
        Ok(response.json())
    }

    /// Every item of a list, newest first, page by page.
    pub fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let cursor_part = cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let mut page = self.get(&format!("{path}{joint}limit=250{cursor_part}"))?;
            let Value::Array(found) = page["items"].take() else { bail!("GET {path}: no items") };
            items.extend(found);
            match page["next"].take() {
                Value::String(next) => cursor = Some(next),
                _ => return Ok(items),
            }
        }
    }

    /// Runs the command line against this server.
    pub fn cli(&self, arguments: &[&str], input: &[u8]) -> Result<Output> {
        let mut child = self
            .setup
            .command()
            .args(arguments)
            .env("HOOKWARD_URL", format!("http://{}", self.admin))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // A command that reads no input may have closed it already; that is its right.
        drop(child.stdin.take().context("standard input was asked for")?.write_all(input));
        Ok(child.wait_with_output()?)
    }

    /// Runs the command line, which must succeed, and gives its standard output.
    pub fn cli_ok(&self, arguments: &[&str], input: &[u8]) -> Result<String> {
        let output = self.cli(arguments, input)?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "hookward {}: {}\n{error}", arguments.join(" "), output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    fn wait_until_ready(&mut self, addresses: &Path) -> Result<()> {
        let mut known = false;
        let mut ended = None;
        let ready = world::until(self.setup.start_limit, || {
            ended = self.child.try_wait().ok().flatten();
            known = known || self.read_addresses(addresses);
            ended.is_some() || (known && self.is_ready())
        });
        if ready && ended.is_none() {
            return Ok(());
        }
        let log = fs::read_to_string(&self.setup.log).unwrap_or_default();
        match ended {
            Some(status) => bail!("the server ended at start: {status}\n{log}"),
            None => bail!("the server was not ready within {:?}\n{log}", self.setup.start_limit),
        }
    }

    fn read_addresses(&mut self, path: &Path) -> bool {
        let parsed: Option<Value> = fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let address = |name: &str| parsed.as_ref()?.get(name)?.as_str()?.parse().ok();
        let (Some(public), Some(admin)) = (address("public"), address("admin")) else { return false };
        (self.public, self.admin) = (public, admin);
        true
    }

    fn is_ready(&self) -> bool {
        http::send(self.public, &Request::get("/readyz")).is_ok_and(|response| response.status == 200)
    }
}

impl Drop for Hookward {
    fn drop(&mut self) {
        // Already ended when `kill` or `terminate` was called; then these do nothing.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The program under a file size limit. Writing past it is an error to the program, not its end.
fn limited(program: &Path, kib: u32) -> Command {
    let mut command = Command::new("sh");
    // The shell counts in blocks of 512 bytes.
    command
        .args(["-c", r#"trap "" XFSZ; ulimit -f "$1"; shift; exec "$@""#, "sh", &(kib * 2).to_string()])
        .arg(program);
    command
}

/// The binary beside the running program: `target/<profile>/hookward`, or what `HOOKWARD_BIN` names.
pub fn binary() -> Result<PathBuf> {
    let path = match world::var("HOOKWARD_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            let mut directory = std::env::current_exe()?;
            directory.pop();
            if directory.ends_with("deps") {
                directory.pop();
            }
            directory.join("hookward")
        }
    };
    ensure!(path.is_file(), "{} is missing: `cargo build --workspace` makes it", path.display());
    Ok(path)
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
