//! What is kept of a program's output: its beginning and its end.
//! Bounded by `RESPONSE_EXCERPT_MAX`, however much comes.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::model::RESPONSE_EXCERPT_MAX;

const HEAD_MAX: usize = RESPONSE_EXCERPT_MAX / 2;
const TAIL_MAX: usize = RESPONSE_EXCERPT_MAX - HEAD_MAX;

/// Output as it comes.
#[derive(Debug, Default)]
pub(super) struct Excerpt {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Excerpt {
    pub(super) fn push(&mut self, output: &[u8]) {
        let (head, rest) = output.split_at(output.len().min(HEAD_MAX - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(TAIL_MAX);
        self.tail.drain(..excess);
        self.dropped += excess as u64;
    }

    /// All of it, or its two ends with a line between them that says how much is missing.
    pub(super) fn into_bytes(mut self) -> Bytes {
        if self.dropped > 0 {
            let notice = |dropped: u64| format!("\n[... {dropped} bytes left out ...]\n");
            let room = notice(u64::MAX).len();
            self.tail.drain(..room);
            self.head.extend_from_slice(notice(self.dropped + room as u64).as_bytes());
        }
        self.head.extend(self.tail);
        self.head.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt_of(length: usize, chunk: usize) -> (Vec<u8>, Bytes) {
        let output: Vec<u8> = (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect();
        let mut excerpt = Excerpt::default();
        output.chunks(chunk).for_each(|chunk| excerpt.push(chunk));
        (output, excerpt.into_bytes())
    }

    #[test]
    fn output_up_to_the_limit_is_kept_whole() {
        for chunk in [1, 7, HEAD_MAX, RESPONSE_EXCERPT_MAX] {
            let (output, kept) = excerpt_of(RESPONSE_EXCERPT_MAX, chunk);
            assert_eq!(kept, output);
        }
    }

    #[test]
    fn one_byte_more_keeps_both_ends_and_says_how_much_is_missing() {
        for (length, chunk) in [(RESPONSE_EXCERPT_MAX + 1, 1), (RESPONSE_EXCERPT_MAX + 1, 1 << 20), (1_000_000, 4096)] {
            let (output, kept) = excerpt_of(length, chunk);
            assert!(kept.len() <= RESPONSE_EXCERPT_MAX, "{}", kept.len());
            assert_eq!(kept[..HEAD_MAX], output[..HEAD_MAX]);
            let notice = kept[HEAD_MAX + 1..].iter().position(|&byte| byte == b'\n').unwrap();
            let text = std::str::from_utf8(&kept[HEAD_MAX + 1..][..notice]).unwrap();
            let missing: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
            let tail = &kept[HEAD_MAX + 1 + notice + 1..];
            assert!(output.ends_with(tail));
            assert_eq!(HEAD_MAX + missing + tail.len(), length);
        }
    }
}
