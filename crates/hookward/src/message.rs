//! Owns what a request is to the library: borrowed bytes and a way to ask for a header. Knows no HTTP library's types.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

/// Request headers, in whatever shape the caller has them.
pub trait Headers: Sync {
    /// The `n`-th value (from 0) of the header called `name`, compared without regard to ASCII case. `None` past the last one.
    fn nth(&self, name: &str, n: usize) -> Option<&[u8]>;

    /// The first two values of the header called `name`. Verifying asks only this of most headers, which may occur once: worth a pass
    /// of its own where looking for a header costs something.
    fn first_two(&self, name: &str) -> [Option<&[u8]>; 2] {
        [self.nth(name, 0), self.nth(name, 1)]
    }
}

/// A request as it arrived. The body is the raw bytes: before decompression, parsing or any other change.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The absolute URL as the sender called it; `path?query` is enough for a scheme that does not sign the URL.
    pub url: &'a str,
    /// The headers.
    pub headers: &'a dyn Headers,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

/// A request about to be sent, to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// The delivery's id; the same for every retry of one delivery.
    pub id: &'a str,
    /// The event's type, sent where the scheme has a header for it.
    pub event_type: &'a str,
    /// The method, in upper case.
    pub method: &'a str,
    /// The absolute URL that is going to be called.
    pub url: &'a str,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

#[inline]
fn nth_of<'a, N, V>(pairs: impl Iterator<Item = (&'a N, &'a V)>, name: &str, n: usize) -> Option<&'a [u8]>
where
    N: AsRef<str> + ?Sized + 'a,
    V: AsRef<[u8]> + ?Sized + 'a,
{
    // A plain loop: it is on every request's way, several times, and the compiler keeps it in one piece.
    let mut left = n;
    for (found, value) in pairs {
        if found.as_ref().eq_ignore_ascii_case(name) {
            if left == 0 {
                return Some(value.as_ref());
            }
            left -= 1;
        }
    }
    None
}

#[inline]
fn first_two_of<'a, N, V>(pairs: impl Iterator<Item = (&'a N, &'a V)>, name: &str) -> [Option<&'a [u8]>; 2]
where
    N: AsRef<str> + ?Sized + 'a,
    V: AsRef<[u8]> + ?Sized + 'a,
{
    let mut first = None;
    for (found, value) in pairs {
        if found.as_ref().eq_ignore_ascii_case(name) {
            if first.is_some() {
                return [first, Some(value.as_ref())];
            }
            first = Some(value.as_ref());
        }
    }
    [first, None]
}

impl<N: AsRef<str> + Sync, V: AsRef<[u8]> + Sync> Headers for [(N, V)] {
    fn nth(&self, name: &str, n: usize) -> Option<&[u8]> {
        nth_of(self.iter().map(|(name, value)| (name, value)), name, n)
    }

    fn first_two(&self, name: &str) -> [Option<&[u8]>; 2] {
        first_two_of(self.iter().map(|(name, value)| (name, value)), name)
    }
}

impl<N: AsRef<str> + Sync, V: AsRef<[u8]> + Sync, const LEN: usize> Headers for [(N, V); LEN] {
    fn nth(&self, name: &str, n: usize) -> Option<&[u8]> {
        self.as_slice().nth(name, n)
    }

    fn first_two(&self, name: &str) -> [Option<&[u8]>; 2] {
        self.as_slice().first_two(name)
    }
}

impl<N: AsRef<str> + Sync, V: AsRef<[u8]> + Sync> Headers for Vec<(N, V)> {
    fn nth(&self, name: &str, n: usize) -> Option<&[u8]> {
        self.as_slice().nth(name, n)
    }

    fn first_two(&self, name: &str) -> [Option<&[u8]>; 2] {
        self.as_slice().first_two(name)
    }
}

impl<N: AsRef<str> + Sync, V: AsRef<[u8]> + Sync, S: BuildHasher + Sync> Headers for HashMap<N, V, S> {
    fn nth(&self, name: &str, n: usize) -> Option<&[u8]> {
        nth_of(self.iter(), name, n)
    }

    fn first_two(&self, name: &str) -> [Option<&[u8]>; 2] {
        first_two_of(self.iter(), name)
    }
}

impl<N: AsRef<str> + Sync, V: AsRef<[u8]> + Sync> Headers for BTreeMap<N, V> {
    fn nth(&self, name: &str, n: usize) -> Option<&[u8]> {
        nth_of(self.iter(), name, n)
    }

    fn first_two(&self, name: &str) -> [Option<&[u8]>; 2] {
        first_two_of(self.iter(), name)
    }
}

impl<T: Headers + ?Sized> Headers for &T {
    fn nth(&self, name: &str, n: usize) -> Option<&[u8]> {
        (**self).nth(name, n)
    }

    fn first_two(&self, name: &str) -> [Option<&[u8]>; 2] {
        (**self).first_two(name)
    }
}
