//! A git server on loopback: real repositories, served over smart HTTP by git's own `http-backend`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::receiver::{Received, Receiver, Reply};
use crate::world;

/// A running server; stops when dropped, and its repositories go with it.
#[derive(Debug)]
pub struct GitServer {
    root: TempDir,
    receiver: Receiver,
}

impl GitServer {
    /// A server without repositories. With a credential (`user:password`), everything else is answered 401.
    pub fn start(credential: Option<&str>) -> Result<Self> {
        let root = tempfile::tempdir()?;
        let projects = root.path().to_owned();
        let wanted = credential.map(|credential| {
            use base64::Engine as _;
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credential))
        });
        let receiver = Receiver::start_with(move |received| {
            if wanted.is_some() && received.header("authorization") != wanted.as_deref() {
                let challenge = ("WWW-Authenticate".to_owned(), r#"Basic realm="git""#.to_owned());
                return Reply { headers: vec![challenge], ..Reply::from(401) };
            }
            backend(&projects, received)
                .unwrap_or_else(|error| Reply { body: error.to_string().into_bytes(), ..Reply::from(500) })
        })?;
        Ok(Self { root, receiver })
    }

    /// Commits these files, and nothing else, to the repository's `main` branch, which is made when it is not there.
    /// Gives the commit's id.
    pub fn commit(&self, repository: &str, files: &[(&str, &str)]) -> Result<String> {
        let bare = self.root.path().join(format!("{repository}.git"));
        if !bare.exists() {
            fs::create_dir_all(&bare)?;
            git(&bare, &["init", "--quiet", "--bare", "--initial-branch=main"])?;
        }
        let work = tempfile::tempdir()?;
        let tree = work.path().to_str().context("a temporary path is text")?;
        for (name, content) in files {
            let path = work.path().join(name);
            fs::create_dir_all(path.parent().context("a file has a directory")?)?;
            fs::write(path, content)?;
        }
        git(&bare, &["--work-tree", tree, "add", "--all", "."])?;
        git(&bare, &["--work-tree", tree, "commit", "--quiet", "--allow-empty", "--message", "a change"])?;
        git(&bare, &["rev-parse", "HEAD"])
    }

    /// Commits one symbolic link, and nothing else.
    pub fn commit_link(&self, repository: &str, name: &str, target: &str) -> Result<String> {
        self.commit(repository, &[])?;
        let bare = self.root.path().join(format!("{repository}.git"));
        let work = tempfile::tempdir()?;
        std::os::unix::fs::symlink(target, work.path().join(name))?;
        let tree = work.path().to_str().context("a temporary path is text")?;
        git(&bare, &["--work-tree", tree, "add", "--all", "."])?;
        git(&bare, &["--work-tree", tree, "commit", "--quiet", "--message", "a link"])?;
        git(&bare, &["rev-parse", "HEAD"])
    }

    /// Where clients find the repository.
    pub fn url(&self, repository: &str) -> String {
        self.receiver.url(&format!("/{repository}.git"))
    }

    /// Every request so far.
    pub fn received(&self) -> Vec<Received> {
        self.receiver.received()
    }
}

/// Runs git on a bare repository, as nobody in particular.
fn git(repository: &Path, arguments: &[&str]) -> Result<String> {
    let output = command()
        .arg("--git-dir")
        .arg(repository)
        .args(["-c", "user.name=nobody", "-c", "user.email=nobody@example.com", "-c", "core.bare=false"])
        .args(arguments)
        .output()
        .context("cannot run git")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {}: {error}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// git without the configuration of whoever runs the tests.
fn command() -> Command {
    let mut command = Command::new("git");
    command.env_clear().env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    if let Some(path) = world::var("PATH") {
        command.env("PATH", path);
    }
    command
}

/// One request through `git http-backend`, by the Common Gateway Interface (RFC 3875).
fn backend(projects: &Path, received: &Received) -> Result<Reply> {
    let (path, query) = received.target.split_once('?').unwrap_or((&received.target, ""));
    let mut child = command()
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", projects)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &received.method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", received.header("content-type").unwrap_or_default())
        .env("HTTP_CONTENT_ENCODING", received.header("content-encoding").unwrap_or_default())
        .env("GIT_PROTOCOL", received.header("git-protocol").unwrap_or_default())
        .env("CONTENT_LENGTH", received.body().len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    // It may answer without having read everything.
    drop(child.stdin.take().context("standard input was asked for")?.write_all(received.body()));
    let output = child.wait_with_output()?.stdout;
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").context("an answer without a head")?;
    let mut reply = Reply::from(200);
    for line in std::str::from_utf8(&output[..end])?.lines() {
        let (name, value) = line.split_once(": ").context("a line of the head without a name")?;
        match name {
            "Status" => {
                reply.status = value.split(' ').next().and_then(|code| code.parse().ok()).context("no status")?
            }
            _ => reply.headers.push((name.to_owned(), value.to_owned())),
        }
    }
    reply.body = output[end + 4..].to_vec();
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_can_be_cloned() {
        let server = GitServer::start(None).unwrap();
        let first = server.commit("acme/web", &[("a/b.txt", "one")]).unwrap();
        let second = server.commit("acme/web", &[("a/b.txt", "two")]).unwrap();
        assert_ne!(first, second);
        let directory = tempfile::tempdir().unwrap();
        let mut clone = command();
        clone.args(["clone", "--quiet", &server.url("acme/web"), "x"]).current_dir(directory.path());
        assert!(clone.status().unwrap().success());
        assert_eq!(fs::read_to_string(directory.path().join("x/a/b.txt")).unwrap(), "two");
    }
}
