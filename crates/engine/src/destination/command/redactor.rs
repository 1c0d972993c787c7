//! Takes secrets out of output as it comes, wherever its parts happen to end.

use std::mem;

/// What stands in a secret's place.
const INSTEAD: &[u8] = b"[redacted]";

/// Output under way, and what must not be in it.
#[derive(Debug)]
pub(super) struct Redactor {
    /// Longest first, so that what contains another goes as a whole.
    secrets: Vec<Vec<u8>>,
    /// What could be the beginning of a secret.
    held: Vec<u8>,
}

impl Redactor {
    /// Secrets that are empty are none.
    pub(super) fn new(mut secrets: Vec<Vec<u8>>) -> Self {
        secrets.retain(|secret| !secret.is_empty());
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets, held: Vec::new() }
    }

    /// Takes what came next and gives what can be shown of it.
    pub(super) fn push(&mut self, part: &[u8]) -> Vec<u8> {
        let mut text = mem::take(&mut self.held);
        text.extend_from_slice(part);
        let (mut shown, mut at) = (Vec::with_capacity(text.len()), 0);
        while at < text.len() {
            let rest = &text[at..];
            // A longer secret that may be beginning here goes before a shorter one that is here already.
            match self.secrets.iter().find(|secret| rest.starts_with(secret) || secret.starts_with(rest)) {
                Some(secret) if rest.len() < secret.len() => {
                    self.held = rest.to_vec();
                    break;
                }
                found => at += show(&mut shown, rest, found),
            }
        }
        shown
    }

    /// What can be shown of the rest when nothing more comes.
    pub(super) fn finish(self) -> Vec<u8> {
        let (mut shown, mut at) = (Vec::new(), 0);
        while at < self.held.len() {
            let rest = &self.held[at..];
            at += show(&mut shown, rest, self.secrets.iter().find(|secret| rest.starts_with(secret)));
        }
        shown
    }
}

/// Shows what `text` begins with: the secret found there, or else one byte. Gives how much that was.
fn show(shown: &mut Vec<u8>, text: &[u8], found: Option<&Vec<u8>>) -> usize {
    match found {
        Some(secret) => {
            shown.extend_from_slice(INSTEAD);
            secret.len()
        }
        None => {
            shown.push(text[0]);
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redacted(secrets: &[&str], parts: &[&[u8]]) -> String {
        let mut redactor = Redactor::new(secrets.iter().map(|secret| secret.as_bytes().to_vec()).collect());
        let mut shown: Vec<u8> = parts.iter().flat_map(|part| redactor.push(part)).collect();
        shown.extend(redactor.finish());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn a_secret_is_taken_out_and_what_only_begins_like_one_stays() {
        assert_eq!(redacted(&["hunter2"], &[b"a hunter2 b hunter"]), "a [redacted] b hunter");
        assert_eq!(redacted(&["hunter2"], &[b"a hunt", b"er2", b" b"]), "a [redacted] b");
        assert_eq!(redacted(&["aab"], &[b"aaab"]), "a[redacted]");
        assert_eq!(redacted(&["user:pass", "pass"], &[b"user:pa", b"ss pass us"]), "[redacted] [redacted] us");
        assert_eq!(redacted(&["pass", "passport"], &[b"passpo"]), "[redacted]po");
        assert_eq!(redacted(&[""], &[b"abc"]), "abc");
    }

    proptest! {
        #[test]
        fn no_division_into_parts_shows_a_secret(cuts in proptest::collection::vec(1usize..9, 1..40)) {
            let text = b"xx s3cret y s3crets3cret s3cre s3s3cret".repeat(3);
            let (mut parts, mut rest) = (Vec::new(), &text[..]);
            for cut in cuts {
                let (part, after) = rest.split_at(cut.min(rest.len()));
                parts.push(part);
                rest = after;
            }
            parts.push(rest);
            let expected = String::from_utf8(text.clone()).unwrap().replace("s3cret", "[redacted]");
            prop_assert_eq!(redacted(&["s3cret"], &parts), expected);
        }
    }
}
