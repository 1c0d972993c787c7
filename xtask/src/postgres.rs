//! A PostgreSQL cluster for as long as a check runs: Debian's programs, a directory of its own, a private socket, and no network
//! but one that a check has made for itself.
//! Owns its start and its end, and what may befall it meanwhile; what databases are made in it is the tests' business.

use std::fs::{self, File};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::statvfs::statvfs;
use nix::unistd::{Pid, Uid, User};

use crate::run::{has_or_installs, output_of, run_with};

/// Where PostgreSQL listens unless it is told otherwise.
pub(crate) const PORT: u16 = 5432;

/// How many this process started.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// Where a cluster listens, besides its socket, and to whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listens {
    pub(crate) at: IpAddr,
    /// The socket has it, too.
    pub(crate) port: u16,
    /// Who is trusted, as PostgreSQL writes a range.
    pub(crate) trusted: &'static str,
}

/// A cluster that runs.
pub(crate) struct Cluster {
    programs: PathBuf,
    directory: PathBuf,
    port: u16,
}

impl Cluster {
    /// Starts one, unless PostgreSQL is not there and may not be installed, which is said aloud.
    pub(crate) fn start(check: &str) -> Result<Option<Self>> {
        Self::start_listening(check, None)
    }

    /// As [`Self::start`], and on a network.
    pub(crate) fn start_listening(check: &str, listens: Option<Listens>) -> Result<Option<Self>> {
        // In memory where there is such a place: tests write much and keep nothing.
        let memory = Path::new("/dev/shm");
        let parent = if has_room(memory) { memory.to_owned() } else { std::env::temp_dir() };
        Self::begin(check, &parent, listens)
    }

    /// As [`Self::start`], in a directory of its own in `parent`.
    pub(crate) fn start_in(check: &str, parent: &Path) -> Result<Option<Self>> {
        Self::begin(check, parent, None)
    }

    fn begin(check: &str, parent: &Path, listens: Option<Listens>) -> Result<Option<Self>> {
        // What `psql` finds for itself stands in a directory of the version's.
        if !has_or_installs(check, "psql", "postgresql")? {
            return Ok(None);
        }
        let Some(programs) = programs()? else {
            println!("{check}: SKIPPED: PostgreSQL's server is missing (Debian: apt-get install postgresql)");
            return Ok(None);
        };
        let number = STARTED.fetch_add(1, Ordering::SeqCst);
        let directory = parent.join(format!("hookward-postgres-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let port = listens.map_or(PORT, |listens| listens.port);
        let cluster = Self { programs, directory, port };
        if Uid::effective().is_root() {
            let user = User::from_name("postgres")?.context("Debian's package made no user `postgres`")?;
            chown(&cluster.directory, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        let data = cluster.data();
        output_of(cluster.program("initdb").args(["--auth=trust", "--username=postgres", "--pgdata"]).arg(&data))?;
        if let Some(Listens { trusted, .. }) = listens {
            let mut file = File::options().append(true).open(data.join("pg_hba.conf"))?;
            writeln!(file, "host all all {trusted} trust")?;
        }
        let address = listens.map(|listens| listens.at.to_string()).unwrap_or_default();
        let options = format!(
            "-c listen_addresses='{address}' -p {port} -c unix_socket_directories='{}' -c max_connections=300",
            cluster.directory.display()
        );
        let log = cluster.directory.join("log");
        run_with(
            cluster.program("pg_ctl").args(["start", "-w", "-s", "-o", &options, "-l"]).arg(log).arg("-D").arg(&data),
        )?;
        Ok(Some(cluster))
    }

    /// Where it is, for `psql` and for Hookward; a database's name may follow.
    pub(crate) fn address(&self) -> String {
        format!("host={} port={} user=postgres", self.directory.display(), self.port)
    }

    /// Where its socket is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What `psql` prints of some SQL, as the superuser.
    pub(crate) fn sql(&self, sql: &str) -> Result<String> {
        output_of(Command::new("psql").args([&self.address(), "-qAtc", sql]))
    }

    /// Ends it like a power cut, as far as processes can be, and starts it again.
    pub(crate) fn restart(&self) -> Result<()> {
        let log = self.directory.join("log");
        self.control(&["restart", "-m", "immediate", "-w", "-l", &log.to_string_lossy()])
    }

    /// Stops every one of its processes where it is.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets them go on.
    pub(crate) fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn control(&self, words: &[&str]) -> Result<()> {
        let mut command = self.program("pg_ctl");
        command.args(words).arg("-s").arg("-D").arg(self.data()).stdin(Stdio::null()).stdout(Stdio::null());
        let status = command.status().context("cannot start pg_ctl")?;
        ensure!(status.success(), "pg_ctl {} ended with {status}", words.join(" "));
        Ok(())
    }

    /// The first process first: it starts no others then.
    fn signal(&self, signal: Signal) -> Result<()> {
        let file = fs::read_to_string(self.data().join("postmaster.pid"))?;
        let first: i32 = file.lines().next().context("no process is named")?.trim().parse()?;
        kill(Pid::from_raw(first), signal)?;
        for child in children(first)? {
            match kill(Pid::from_raw(child), signal) {
                // It ended meanwhile.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// One of its programs: PostgreSQL refuses root.
    fn program(&self, name: &str) -> Command {
        as_postgres(&self.programs.join(name))
    }
}

/// A program that refuses root, as somebody who may run it.
pub(crate) fn as_postgres(program: &Path) -> Command {
    let mut command = if Uid::effective().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/");
    command
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.data();
        let stopped = output_of(self.program("pg_ctl").args(["stop", "-m", "immediate", "-s", "-w", "-D"]).arg(data));
        if let Err(error) = stopped.and_then(|_| Ok(fs::remove_dir_all(&self.directory)?)) {
            eprintln!("the PostgreSQL cluster in {} was not cleared away: {error:#}", self.directory.display());
        }
    }
}

/// Whether a file system has room for a database for each test that runs. Containers often get a tiny one in memory.
fn has_room(place: &Path) -> bool {
    const ROOM_BYTES: u64 = 4 << 30;
    statvfs(place).is_ok_and(|found| found.blocks_available().saturating_mul(found.fragment_size()) >= ROOM_BYTES)
}

/// The processes that this one started.
fn children(parent: i32) -> Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // The name in brackets may contain blanks; the parent is the second field after it.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        if fields.split_whitespace().nth(1).and_then(|field| field.parse().ok()) == Some(parent) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Where the newest version's programs are.
fn programs() -> Result<Option<PathBuf>> {
    let Ok(versions) = fs::read_dir("/usr/lib/postgresql") else { return Ok(None) };
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let mut found: Vec<PathBuf> = versions.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    found.retain(|path| path.join("bin/initdb").exists());
    let newest = found.into_iter().max_by_key(number);
    if let Some(number) = newest.as_ref().and_then(number) {
        ensure!(number >= 14, "PostgreSQL {number} is too old: 14 or later is needed");
    }
    Ok(newest.map(|path| path.join("bin")))
}
