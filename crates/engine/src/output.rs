//! What a program writes, while it runs and afterwards: all of it, or its two ends when it is much.
//! Bounded, however much comes, and whoever reads along. Where it is kept afterwards is the store's.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use crate::model::KeptOutput;

/// The most that one reader is given at once, in bytes.
const PART_MAX: usize = 64 * 1024;

/// The output of an attempt that is under way. Its reader may look at it while it grows.
#[derive(Debug)]
pub struct Output {
    ends: Mutex<Ends>,
    /// Whether it has ended; changed with every part that comes.
    state: watch::Sender<bool>,
}

impl Output {
    /// An empty output of which `max` bytes are kept.
    pub fn new(max: usize) -> Self {
        Self { ends: Mutex::new(Ends::new(max)), state: watch::Sender::new(false) }
    }

    /// Takes what came next.
    pub fn push(&self, part: &[u8]) {
        self.ends().push(part);
        self.state.send_replace(false);
    }

    /// Tells readers that there is no more.
    pub fn finish(&self) {
        self.state.send_replace(true);
    }

    /// What there is of it now.
    pub fn kept(&self) -> KeptOutput {
        let ends = self.ends();
        KeptOutput { total_bytes: ends.total(), bytes: ends.to_bytes() }
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads an output from its beginning, along with the program that writes it. Holds none of it: a reader too slow to see
/// everything before it is let go of is told how much it missed.
#[derive(Debug)]
pub struct Follow {
    output: Arc<Output>,
    state: watch::Receiver<bool>,
    at: u64,
}

impl Follow {
    pub(crate) fn new(output: Arc<Output>) -> Self {
        Self { state: output.state.subscribe(), output, at: 0 }
    }

    /// What there is of it now, its two ends when it is much.
    pub fn kept(&self) -> KeptOutput {
        self.output.kept()
    }

    /// The next part; `None` when the output has ended.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            let ended = *self.state.borrow_and_update();
            let part = self.output.ends().read(&mut self.at);
            if !part.is_empty() {
                return Some(part.into());
            }
            if ended || self.state.changed().await.is_err() {
                return None;
            }
        }
    }
}

/// The beginning and the end of something, up to a limit.
#[derive(Debug)]
pub(crate) struct Ends {
    max: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Ends {
    /// Of what comes, `max` bytes are kept.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, head: Vec::new(), tail: VecDeque::new(), dropped: 0 }
    }

    /// Takes what came next.
    pub(crate) fn push(&mut self, part: &[u8]) {
        let head_max = self.max / 2;
        let (head, rest) = part.split_at(part.len().min(head_max - self.head.len()));
        self.head.extend_from_slice(head);
        let tail_max = self.max - head_max;
        // What would be let go of at once need not be taken first.
        let beyond = rest.len().saturating_sub(tail_max);
        self.tail.extend(&rest[beyond..]);
        let excess = self.tail.len().saturating_sub(tail_max);
        self.tail.drain(..excess);
        self.dropped += (beyond + excess) as u64;
    }

    /// How much came, in bytes.
    fn total(&self) -> u64 {
        self.head.len() as u64 + self.dropped + self.tail.len() as u64
    }

    /// All of it, or its two ends with a line between them that says how much is missing. No longer than the limit,
    /// unless the line alone is.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut bytes = self.head.clone();
        let mut skipped = 0;
        if self.dropped > 0 {
            skipped = notice(u64::MAX).len().min(self.tail.len());
            bytes.extend_from_slice(notice(self.dropped + skipped as u64).as_bytes());
        }
        bytes.extend(self.tail.iter().skip(skipped));
        bytes.into()
    }

    /// What stands at position `at`, which moves past it; with the line, where that is gone already.
    fn read(&self, at: &mut u64) -> Vec<u8> {
        if let Some(head) = usize::try_from(*at).ok().and_then(|at| self.head.get(at..)).filter(|head| !head.is_empty())
        {
            let part = &head[..head.len().min(PART_MAX)];
            *at += part.len() as u64;
            return part.to_vec();
        }
        let tail_at = self.head.len() as u64 + self.dropped;
        let mut part = Vec::new();
        if let Some(missed) = tail_at.checked_sub(*at).filter(|&missed| missed > 0) {
            part.extend_from_slice(notice(missed).as_bytes());
            *at = tail_at;
        }
        let skip = usize::try_from(*at - tail_at).unwrap_or(usize::MAX);
        let before = part.len();
        part.extend(self.tail.iter().skip(skip).take(PART_MAX));
        *at += (part.len() - before) as u64;
        part
    }
}

fn notice(dropped: u64) -> String {
    format!("\n[... {dropped} bytes left out ...]\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 16 * 1024;

    fn kept_of(length: usize, chunk: usize) -> (Vec<u8>, Bytes) {
        let output: Vec<u8> = (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect();
        let mut ends = Ends::new(MAX);
        output.chunks(chunk).for_each(|chunk| ends.push(chunk));
        assert_eq!(ends.total(), length as u64);
        (output, ends.to_bytes())
    }

    #[test]
    fn output_up_to_the_limit_is_kept_whole() {
        for chunk in [1, 7, MAX / 2, MAX] {
            let (output, kept) = kept_of(MAX, chunk);
            assert_eq!(kept, output);
        }
    }

    #[test]
    fn one_byte_more_keeps_both_ends_and_says_how_much_is_missing() {
        for (length, chunk) in [(MAX + 1, 1), (MAX + 1, 1 << 20), (1_000_000, 4096), (1_000_000, 1 << 20)] {
            let (output, kept) = kept_of(length, chunk);
            assert!(kept.len() <= MAX, "{}", kept.len());
            let head = MAX / 2;
            assert_eq!(kept[..head], output[..head]);
            let notice = kept[head + 1..].iter().position(|&byte| byte == b'\n').unwrap();
            let text = std::str::from_utf8(&kept[head + 1..][..notice]).unwrap();
            let missing: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
            let tail = &kept[head + 1 + notice + 1..];
            assert!(output.ends_with(tail));
            assert_eq!(head + missing + tail.len(), length);
        }
    }

    #[test]
    fn a_limit_shorter_than_the_line_still_says_what_is_missing() {
        let mut ends = Ends::new(10);
        ends.push(b"0123456789abcdef");
        assert_eq!(ends.to_bytes(), "01234\n[... 11 bytes left out ...]\n");
        let mut none = Ends::new(0);
        none.push(b"abc");
        assert_eq!((none.total(), none.to_bytes()), (3, "\n[... 3 bytes left out ...]\n".into()));
    }

    #[tokio::test]
    async fn a_reader_sees_it_grow_and_end() {
        let output = Arc::new(Output::new(100));
        let mut follow = Follow::new(Arc::clone(&output));
        output.push(b"one ");
        output.push(b"two ");
        assert_eq!(follow.next().await.unwrap(), "one two ");
        let (next, ()) = tokio::join!(follow.next(), async { output.push(b"three") });
        assert_eq!(next.unwrap(), "three");
        let (next, ()) = tokio::join!(follow.next(), async { output.finish() });
        assert_eq!(next, None);
        assert_eq!(Follow::new(output).next().await.unwrap(), "one two three", "a late reader has it all");
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_missed() {
        let output = Arc::new(Output::new(10));
        let mut follow = Follow::new(Arc::clone(&output));
        output.push(b"0123456");
        assert_eq!(follow.next().await.unwrap(), "01234");
        output.push(b"789abcdef");
        output.finish();
        assert_eq!(follow.next().await.unwrap(), "\n[... 6 bytes left out ...]\nbcdef");
        assert_eq!(follow.next().await, None);
    }

    proptest! {
        #[test]
        fn a_reader_that_keeps_up_sees_every_byte(parts in proptest::collection::vec(0usize..5, 0..40)) {
            let mut ends = Ends::new(10);
            let (mut seen, mut written, mut at) = (Vec::new(), Vec::new(), 0);
            for (number, length) in parts.into_iter().enumerate() {
                let part = vec![u8::try_from(number % 256).unwrap(); length];
                ends.push(&part);
                written.extend(part);
                loop {
                    let part = ends.read(&mut at);
                    if part.is_empty() {
                        break;
                    }
                    seen.extend(part);
                }
            }
            prop_assert_eq!(seen, written);
        }
    }
}
