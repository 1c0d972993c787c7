//! How the demo tells what happened: one line for each fact, each marked right or wrong.

use std::path::Path;

use hookward_engine::model::AuditEntry;

use super::Answer;
use super::receiver::{Received, Receiver};
use crate::serve::Running;

/// What was told so far, and whether all of it was right.
pub(crate) struct Story {
    steps: u32,
    all_right: bool,
}

impl Story {
    pub(crate) fn begin() -> Self {
        println!("Hookward demo: one real webhook through the whole corridor\n");
        Self { steps: 0, all_right: true }
    }

    pub(crate) fn scene(&self, running: &Running, receiver: &Receiver, directory: &Path) {
        println!("  gateway      public http://{}   admin http://{}", running.public(), running.admin());
        println!("  data         {}", directory.display());
        println!("  source       github     POST /in/github, X-Hub-Signature-256, secret just generated");
        println!("  destination  receiver   http     {}", receiver.url());
        println!("  destination  checksum   command  sha256sum\n");
    }

    /// One request, what it was answered, and what the audit log says of it.
    pub(crate) fn step(&mut self, what: &str, answer: &Answer, expected: u16, why: &AuditEntry) {
        self.steps += 1;
        let mark = self.mark(answer.status == expected);
        println!("  {}. {mark} {what}", self.steps);
        println!("       {} {}", answer.status, answer.body);
        println!("       audit log: {}", reason(why));
        if answer.status != expected {
            println!("       this should have been {expected}");
        }
    }

    /// What the receiver was sent.
    pub(crate) fn received(&mut self, received: &[Received], sent: &[u8]) {
        println!("\nWhat reached the destinations\n");
        let [only] = received else {
            self.fact(false, &format!("receiver: {} requests arrived, where there should be one", received.len()));
            return;
        };
        let same = only.body == sent;
        let bytes = if same { "byte for byte as it was sent" } else { "but not as it was sent" };
        self.fact(same, &format!("receiver: 1 request, {} bytes, {bytes}", only.body.len()));
        match &only.verified {
            Ok(()) => self.fact(true, &format!("receiver verified X-Hub-Signature-256: {}", only.signature)),
            Err(reason) => self.fact(false, &format!("receiver refused the signature: {reason}")),
        }
    }

    /// What the command was given.
    pub(crate) fn command(&mut self, printed: &[u8], expected: &str) {
        let printed = String::from_utf8_lossy(printed);
        let same = printed.split_whitespace().next() == Some(expected);
        let verdict = if same { "the checksum of what was sent" } else { "not the checksum of what was sent" };
        self.fact(same, &format!("checksum ran once and printed {verdict}: {}", printed.trim()));
    }

    /// What the store holds.
    pub(crate) fn kept(&mut self, events: usize, duplicates: usize, deliveries: usize) {
        let right = (events, duplicates, deliveries) == (1, 2, 2);
        let kept = format!("kept: {events} event, {duplicates} duplicates linked to it, {deliveries} deliveries");
        self.fact(right, &kept);
    }

    /// Closes the story. Whether everything came out right.
    pub(crate) fn end(&self) -> bool {
        let verdict = if self.all_right { "Everything came out right." } else { "Something came out wrong." };
        println!("\n{verdict}");
        self.all_right
    }

    /// Where to go on.
    pub(crate) fn serving(&self, running: &Running) {
        let (admin, key) = (running.admin(), running.api_key_file());
        println!("\nStill serving; Ctrl-C ends it and removes the data.");
        if let Some(link) = running.first_run_link() {
            println!("The dashboard, by a link that works once and makes you its first user:\n\n  {link}");
        }
        println!("\nIn another terminal:\n");
        println!("  export HOOKWARD_URL=http://{admin} HOOKWARD_API_KEY=$(cat {})", key.display());
        println!("  hookward event list");
        println!("  hookward delivery list");
        println!("  hookward secret list github");
    }

    fn fact(&mut self, right: bool, what: &str) {
        let mark = self.mark(right);
        println!("  {mark} {what}");
    }

    fn mark(&mut self, right: bool) -> &'static str {
        self.all_right &= right;
        if right { "ok   " } else { "WRONG" }
    }
}

/// An audit entry about a request, as one line.
fn reason(entry: &AuditEntry) -> String {
    let detail = |name: &str| entry.detail.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let (id, original) = (detail("delivery_id"), detail("duplicate_of"));
    let what = match entry.action.as_str() {
        "webhook.refused" => format!("{}: {}", detail("reason"), detail("explanation")),
        "webhook.duplicate" => format!("delivery {id} repeats {original}: nothing runs again"),
        _ => format!("delivery {id}, event type {}", detail("event")),
    };
    format!("{} {what}", entry.action)
}
