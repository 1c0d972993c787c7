//! `cargo xtask access`: the ways into a PostgreSQL. Through PgBouncer nodes work and hear each other where it pools sessions, and
//! do not start where it hands them on; certificates are held against the authority that is named, and against the host.
//! Owns the course; the programs are Debian's.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::unistd::{Uid, User};
use serde_json::json;
use systems::http::Request;
use systems::{Hookward, Receiver, Setup, server, world};

use crate::postgres::{Cluster, Listens, as_postgres};
use crate::run::{has_or_installs, output_of};

/// What is waited for comes in a moment.
const MOMENT: Duration = Duration::from_secs(20);

/// Runs the check, or says visibly why it did not.
pub(crate) fn run() -> Result<()> {
    for (program, package) in [("pgbouncer", "pgbouncer"), ("openssl", "openssl")] {
        if !has_or_installs("access", program, package)? {
            return Ok(());
        }
    }
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let listens = Listens { at: Ipv4Addr::LOCALHOST.into(), port, trusted: "127.0.0.1/32" };
    let Some(cluster) = Cluster::start_listening("access", Some(listens))? else { return Ok(()) };
    let directory = tempfile::tempdir()?;
    pooled(&cluster, directory.path())?;
    encrypted(&cluster, directory.path(), port)
}

/// A PgBouncer before the cluster, until it is dropped.
struct Pooler {
    process: Child,
    socket: PathBuf,
}

impl Pooler {
    /// With a database for each of its modes, called like it.
    fn start(cluster: &Cluster) -> Result<Self> {
        let socket = cluster.directory().to_owned();
        let database = |mode| format!("{mode} = {} dbname={mode} pool_mode={mode} pool_size=60", cluster.address());
        let databases = ["session", "transaction", "statement"].map(database).join("\n");
        let settings = format!(
            "[databases]\n{databases}\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\nauth_type = any\n\
             unix_socket_dir = {}\nmax_client_conn = 300\n",
            socket.display()
        );
        let file = socket.join("pgbouncer.ini");
        fs::write(&file, settings)?;
        let log = fs::File::create(socket.join("pgbouncer.log"))?;
        let mut command = as_postgres(Path::new("pgbouncer"));
        let process = command.arg(&file).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        let pooler = Self { process: process.context("cannot start pgbouncer")?, socket };
        let is_there = world::until(MOMENT, || pooler.socket.join(".s.PGSQL.6432").exists());
        ensure!(is_there, "PgBouncer does not listen: {}", fs::read_to_string(pooler.socket.join("pgbouncer.log"))?);
        Ok(pooler)
    }

    fn address(&self, mode: &str) -> String {
        format!("host={} port=6432 user=postgres dbname={mode}", self.socket.display())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn pooled(cluster: &Cluster, directory: &Path) -> Result<()> {
    for mode in ["session", "transaction", "statement"] {
        cluster.sql(&format!("create database {mode}"))?;
    }
    let pooler = Pooler::start(cluster)?;
    let (listening, looking) =
        (through(&pooler, directory, "listen = true"), through(&pooler, directory, "listen = false"));
    listening?;
    looking?;
    for (mode, why) in [
        ("transaction", "hands sessions on between transactions"),
        ("statement", "hands sessions on between transactions"),
    ] {
        // Other applications' sessions are in the pool as well.
        let around = (0..3).map(|_| psql(&pooler.address(mode))).collect::<Result<Vec<_>>>()?;
        for command in ["status", "migrate"] {
            let said = refused(&["db", command, "--database", &pooler.address(mode)], &[])?;
            ensure!(said.contains(why), "{mode}, {command}: {said}");
        }
        drop(around);
        let told = cluster.sql(
            "select count(*) from pg_stat_activity where query like '%enable_seqscan%'
            and datname in ('transaction', 'statement')",
        )?;
        ensure!(told.trim() == "0", "{mode}: a session that others get as well was told something");
    }
    println!("access: nodes work through a PgBouncer that pools sessions, and are refused by one that does not");
    Ok(())
}

/// Somebody else's session, which is over at once and stays in the pool.
fn psql(address: &str) -> Result<String> {
    output_of(Command::new("psql").args([address, "-qAtc", "select 1"]))
}

/// Three nodes through a pooler: what one declares is in force at the others, and what one takes in is delivered once.
fn through(pooler: &Pooler, directory: &Path, listen: &str) -> Result<()> {
    let receiver = Receiver::start(|_| 204)?;
    let egress = "[egress]\nallow = [\"127.0.0.0/8\"]\n";
    let config = format!("[database]\naddress = \"{}\"\n{listen}\n{egress}", pooler.address("session"));
    let place = directory.join(listen.replace(' ', ""));
    let mut nodes: Vec<Hookward> = Vec::new();
    for number in 0..3 {
        let place = place.join(number.to_string());
        fs::create_dir_all(place.join("data"))?;
        let setup = Setup::new(&place, &config)?;
        let (key, own) = (directory.join("master.key"), setup.data().join("master.key"));
        if key.exists() {
            fs::copy(&key, &own)?;
        }
        nodes.push(setup.start()?);
        if !key.exists() {
            fs::copy(&own, &key)?;
        }
    }
    let name = if listen.ends_with("true") { "heard" } else { "seen" };
    let body = json!({ "name": name, "type": "http", "url": receiver.url("/") }).to_string();
    let put = Request::post("/api/v1/destinations").header("Content-Type", "application/json").body(body.as_bytes());
    let made = nodes[0].admin(put)?;
    ensure!(made.status == 201, "a destination: {} {}", made.status, made.text());
    let path = format!("/api/v1/destinations/{name}");
    let in_force = || nodes.iter().all(|node| node.get(&path).is_ok());
    ensure!(world::until(MOMENT, in_force), "{listen}: what one node declares does not come to the others");
    for number in 0..30 {
        let event = json!({ "type": "try.made", "payload": { "number": number } }).to_string();
        let publish = Request::post("/api/v1/events").header("Content-Type", "application/json");
        let answer = nodes[number % 3].admin(publish.body(event.as_bytes()))?;
        ensure!(answer.status == 202, "{listen}: {} {}", answer.status, answer.text());
    }
    ensure!(receiver.wait_for(30, MOMENT), "{listen}: {} of 30 events arrived", receiver.count());
    let listed = nodes[1].get("/api/v1/nodes")?;
    let known = listed["items"].as_array().map_or(0, Vec::len);
    ensure!(known >= 3, "{listen}: {listed}");
    for node in nodes {
        ensure!(node.terminate()?.success(), "{listen}: a node did not end well");
    }
    ensure!(receiver.count() == 30, "{listen}: {} attempts for 30 events", receiver.count());
    Ok(())
}

/// What the command line says, which has to refuse.
fn refused(arguments: &[&str], environment: &[(&str, &Path)]) -> Result<String> {
    let (success, said) = say(arguments, environment)?;
    ensure!(!success, "hookward {}: it is not refused: {said}", arguments.join(" "));
    Ok(said)
}

fn say(arguments: &[&str], environment: &[(&str, &Path)]) -> Result<(bool, String)> {
    let mut command = Command::new(server::binary()?);
    let output = command.args(arguments).env_clear().envs(environment.iter().copied()).output()?;
    Ok((output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()))
}

/// An authority of our own, and a certificate for `localhost` that PostgreSQL has from now on.
fn certify(cluster: &Cluster, directory: &Path) -> Result<PathBuf> {
    let file = |name: &str| directory.join(name).display().to_string();
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        output_of(command.args(arguments).stderr(Stdio::null())).map(drop)
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let root = ["req", "-x509", "-subj", "/CN=an authority", "-addext", "keyUsage=critical,keyCertSign"];
    openssl(&[&root[..], &key, &["-keyout", &file("ca.key"), "-out", &file("ca.pem")]].concat())?;
    openssl(&[&root[..], &key, &["-keyout", &file("other.key"), "-out", &file("other.pem")]].concat())?;
    let own = ["req", "-x509", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    let signed = ["-addext", "basicConstraints=critical,CA:FALSE", "-CA", &file("ca.pem"), "-CAkey", &file("ca.key")];
    openssl(&[&own[..], &key, &signed, &["-keyout", &file("server.key"), "-out", &file("server.pem")]].concat())?;
    for name in ["server.key", "server.pem"] {
        let place = cluster.directory().join(name);
        fs::copy(directory.join(name), &place)?;
        fs::set_permissions(&place, fs::Permissions::from_mode(0o600))?;
        if Uid::effective().is_root() {
            let user = User::from_name("postgres")?.context("there is no user `postgres`")?;
            chown(&place, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        let setting = if name.ends_with("key") { "ssl_key_file" } else { "ssl_cert_file" };
        cluster.sql(&format!("alter system set {setting} = '{}'", place.display()))?;
    }
    switch_tls(cluster, "on")?;
    Ok(directory.join("ca.pem"))
}

fn switch_tls(cluster: &Cluster, to: &str) -> Result<()> {
    cluster.sql(&format!("alter system set ssl = {to}"))?;
    cluster.sql("select pg_reload_conf()")?;
    let is_so = || cluster.sql("show ssl").is_ok_and(|said| said.trim() == to);
    ensure!(world::until(MOMENT, is_so), "PostgreSQL does not turn TLS {to}");
    Ok(())
}

fn encrypted(cluster: &Cluster, directory: &Path, port: u16) -> Result<()> {
    cluster.sql("create database encrypted")?;
    let ca = certify(cluster, directory)?;
    let empty = directory.join("empty.pem");
    fs::write(&empty, "no certificate\n")?;
    let (other, missing) = (directory.join("other.pem"), directory.join("missing.pem"));
    let address = |host: &str, rest: &str| format!("postgres://postgres@{host}:{port}/encrypted{rest}");
    let migrate = |address: &str, ca: Option<&Path>| {
        let variable = ca.map(|ca| ("HOOKWARD_DATABASE_CA", ca));
        say(&["db", "migrate", "--database", address], variable.as_slice())
    };
    let required = address("localhost", "?sslmode=require");
    let elsewhere = address("127.0.0.1", "?sslmode=require");
    for (address, ca, why) in [
        (&required, None, "UnknownIssuer"),
        // Where the server speaks TLS it is spoken, and then the certificate has to be right as well.
        (&address("localhost", ""), None, "UnknownIssuer"),
        (&required, Some(&other), "certificate"),
        (&required, Some(&missing), "missing.pem` cannot be used: No such file"),
        (&required, Some(&empty), "there is no PEM certificate in it"),
        (&elsewhere, Some(&ca), "not valid for name"),
    ] {
        let (success, said) = migrate(address, ca.map(PathBuf::as_path))?;
        ensure!(!success && said.contains(why), "{address} with {ca:?}: {said}");
    }
    for address in [&required, &address("localhost", "")] {
        let (success, said) = migrate(address, Some(&ca))?;
        ensure!(success, "{address}: {said}");
    }
    let config = format!("[database]\naddress = \"{required}\"\nca = \"{}\"\n", ca.display());
    let place = directory.join("encrypted");
    fs::create_dir_all(&place)?;
    let node = Setup::new(&place, &config)?.start()?;
    let kinds = "select string_agg(distinct ssl::text, ',') from pg_stat_ssl join pg_stat_activity using (pid)
        where datname = 'encrypted'";
    let kinds = cluster.sql(kinds)?;
    ensure!(kinds.trim() == "true", "whether its connections are encrypted: {kinds}");
    ensure!(node.terminate()?.success(), "the node did not end well");
    // Somebody on the way who says that there is no TLS.
    switch_tls(cluster, "off")?;
    let (success, said) = migrate(&address("localhost", ""), Some(&ca))?;
    ensure!(!success && said.contains("does not support TLS"), "in clear, though an authority is named: {said}");
    let (success, said) = migrate(&address("localhost", ""), None)?;
    ensure!(success, "`prefer` goes without where there is none: {said}");
    println!("access: certificates are held against the authority that is named, and against the host");
    Ok(())
}
