//! Who descends from a process, as `/proc` tells it now.

use std::collections::HashMap;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process, told from a later one of the same number by when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pid: i32,
    started: u64,
}

impl Process {
    /// Sends a signal. That it has ended meanwhile, or belongs to somebody else by now, is no error here.
    pub(super) fn signal(self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid), signal);
    }
}

/// Every descendant of `ancestor` that can be seen.
pub(super) fn descendants(ancestor: Pid) -> Vec<Process> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if let Some((parent, started)) = fs::read(format!("/proc/{pid}/stat")).ok().and_then(|stat| read(&stat)) {
            children.entry(parent).or_default().push(Process { pid, started });
        }
    }
    let mut found = Vec::new();
    let mut ancestors = vec![ancestor.as_raw()];
    while let Some(parent) = ancestors.pop() {
        let own = children.remove(&parent).unwrap_or_default();
        ancestors.extend(own.iter().map(|child| child.pid));
        found.extend(own);
    }
    found
}

/// Parent and start time in a `/proc/<pid>/stat`. The name in brackets may hold anything, brackets too.
fn read(stat: &[u8]) -> Option<(i32, u64)> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let fields: Vec<_> = std::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace().collect();
    // The fields are numbered from 1 in proc(5), and the first here is the third: parent is 4, start time 22.
    Some((fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_hide_the_parent() {
        let stat = b"42 (a) 1 1 (b\xff\n) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9001 1 1";
        assert_eq!(read(stat), Some((7, 9001)));
        assert_eq!(read(b""), None);
        assert_eq!(read(b"42 (x) S"), None);
    }
}
