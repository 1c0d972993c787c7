//! What Hookward is measured beside: nginx answering 200, and adnanh/webhook running `/bin/true`, both from Debian.
//! Unpacked below `target` and never installed, so that no service of the machine is touched.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use systems::world;

use super::load::Target;
use crate::run::{root, run_with};

/// A running rival; stopped when dropped.
pub(super) struct Rival {
    pub(super) name: &'static str,
    pub(super) target: Target,
    child: Child,
    serves: Serves,
}

/// Which processes a rival's memory is in.
enum Serves {
    /// Its own; children are the programs that it was asked to run.
    Itself,
    /// Its own and those of its workers.
    ByWorkers,
}

impl Rival {
    /// nginx: reads the request, answers 200, keeps nothing.
    pub(super) fn nginx(directory: &Path) -> Result<Self> {
        let address = free_address()?;
        let binary = unpacked("nginx")?.join("usr/sbin/nginx");
        std::fs::create_dir_all(directory.join("logs"))?;
        let config = directory.join("nginx.conf");
        std::fs::write(&config, nginx_config(directory, address))?;
        let child = Command::new(&binary)
            .args(["-e", "stderr", "-p"])
            .arg(directory)
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let target = Target { address, path: "/in/github".to_owned(), status: 200 };
        Self { name: "nginx", target, child, serves: Serves::ByWorkers }.when_listening()
    }

    /// adnanh/webhook: checks the same signature, then runs `/bin/true`.
    pub(super) fn webhook(directory: &Path, secret: &str) -> Result<Self> {
        let address = free_address()?;
        let binary = unpacked("webhook")?.join("usr/bin/webhook");
        let hooks = directory.join("hooks.json");
        let rule = serde_json::json!([{
            "id": "github",
            "execute-command": "/bin/true",
            "trigger-rule": { "match": {
                "type": "payload-hmac-sha256",
                "secret": secret,
                "parameter": { "source": "header", "name": "X-Hub-Signature-256" },
            }},
        }]);
        std::fs::write(&hooks, rule.to_string())?;
        let child = Command::new(&binary)
            .arg("-hooks")
            .arg(&hooks)
            .args(["-ip", "127.0.0.1", "-port", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let target = Target { address, path: "/hooks/github".to_owned(), status: 200 };
        Self { name: "adnanh/webhook", target, child, serves: Serves::Itself }.when_listening()
    }

    /// The most memory that it ever had, in KiB.
    pub(super) fn peak_kib(&self) -> u64 {
        let pid = self.child.id();
        let workers = match self.serves {
            Serves::Itself => String::new(),
            Serves::ByWorkers => {
                std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default()
            }
        };
        let pids = std::iter::once(pid).chain(workers.split_whitespace().filter_map(|pid| pid.parse().ok()));
        pids.filter_map(|pid| world::peak_kib(pid).ok()).sum()
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn when_listening(mut self) -> Result<Self> {
        let listening = world::until(Duration::from_secs(10), || TcpStream::connect(self.target.address).is_ok());
        ensure!(self.child.try_wait()?.is_none(), "{} ended at start", self.name);
        ensure!(listening, "{} does not listen", self.name);
        Ok(self)
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        // SIGTERM, not SIGKILL: nginx must end its workers too.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // It may have ended already; then there is nothing to stop.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        drop(self.child.wait());
    }
}

fn nginx_config(directory: &Path, address: SocketAddr) -> String {
    let directory = directory.display();
    format!(
        "daemon off;\npid {directory}/nginx.pid;\nworker_processes auto;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 100000000;\n  keepalive_timeout 75s;\n\
         client_body_buffer_size 64k;\n  client_body_in_single_buffer on;\n\
         client_body_temp_path {directory}/body;\n  proxy_temp_path {directory}/proxy;\n\
         fastcgi_temp_path {directory}/fastcgi;\n  uwsgi_temp_path {directory}/uwsgi;\n  scgi_temp_path {directory}/scgi;\n\
         server {{ listen {address}; location / {{ return 200; }} }}\n}}\n"
    )
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// Debian's package of this name, fetched with its ordinary client and unpacked.
fn unpacked(package: &str) -> Result<PathBuf> {
    let parent = root().join("target/xtask/debian");
    let directory = parent.join(package);
    if directory.join("usr").is_dir() {
        return Ok(directory);
    }
    std::fs::create_dir_all(&parent)?;
    let fetch = || run_with(Command::new("apt-get").args(["download", package]).current_dir(&parent));
    if fetch().is_err() {
        // The lists of packages may never have been fetched on this machine.
        run_with(Command::new("apt-get").arg("update"))?;
        fetch().with_context(|| format!("Debian's package `{package}` is needed for this benchmark"))?;
    }
    for entry in std::fs::read_dir(&parent)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(&format!("{package}_")) {
            run_with(Command::new("dpkg-deb").arg("-x").arg(&path).arg(&directory))?;
        }
    }
    Ok(directory)
}
