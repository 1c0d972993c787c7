//! What the path and the query of a request say about how it is to be met. Text in, values out.

use std::time::Duration;

use http::{HeaderValue, StatusCode};

use crate::config::parse_lapse;

/// The longest delay.
const DELAY_MAX: Duration = Duration::from_secs(3600);

/// How a request is to be met.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Behaviour {
    pub(super) delay: Duration,
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<u64>,
    pub(super) location: Option<HeaderValue>,
    pub(super) act: Act,
}

/// What is done in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// An answer with a short body.
    Answer,
    /// 401, because the signature is not right.
    Refuse,
    /// The connection is reset.
    Reset,
    /// The connection is closed.
    Close,
    /// Nothing, for ever.
    Hang,
    /// An answer whose body comes byte by byte, with a pause before each.
    Drip(Duration),
    /// An answer whose body does not end.
    Endless,
}

impl Act {
    /// In a word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Answer | Self::Refuse => "answered",
            Self::Reset => "reset",
            Self::Close => "closed",
            Self::Hang => "hangs",
            Self::Drip(_) => "drips",
            Self::Endless => "endless",
        }
    }
}

impl Default for Behaviour {
    fn default() -> Self {
        let (delay, status) = (Duration::ZERO, StatusCode::OK);
        Self { delay, status, retry_after: None, location: None, act: Act::Answer }
    }
}

impl Behaviour {
    /// What `path` says, and `?fail=` about how often: otherwise all is well. `chance` is a number from 0 to 1, without 1.
    pub(super) fn of(path: &str, query: Option<&str>, chance: f64) -> Self {
        let mut behaviour = Self::default();
        let mut segments = path.split('/').filter(|segment| !segment.is_empty()).peekable();
        while let Some(word) = segments.next() {
            let mut with = |take: &mut dyn FnMut(&str) -> bool| {
                if segments.peek().is_some_and(|value| take(value)) {
                    segments.next();
                }
            };
            match word {
                "status" => with(&mut |value| {
                    let status = value.parse().ok().and_then(|status: u16| StatusCode::from_u16(status).ok());
                    // Below 200 there would be no end to the answer.
                    status.filter(|status| status.as_u16() >= 200).map(|status| behaviour.status = status).is_some()
                }),
                "delay" => {
                    with(&mut |value| parse_lapse(value).map(|delay| behaviour.delay = delay.min(DELAY_MAX)).is_some())
                }
                "retry-after" => with(&mut |value| {
                    let seconds = value.parse().ok();
                    if behaviour.status == StatusCode::OK {
                        behaviour.status = StatusCode::SERVICE_UNAVAILABLE;
                    }
                    behaviour.retry_after = seconds;
                    seconds.is_some()
                }),
                "redirect" => {
                    behaviour.status = StatusCode::FOUND;
                    behaviour.location = Some(HeaderValue::from_static("/"));
                }
                "reset" => behaviour.act = Act::Reset,
                "close" => behaviour.act = Act::Close,
                "hang" => behaviour.act = Act::Hang,
                "endless" => behaviour.act = Act::Endless,
                "drip" => {
                    behaviour.act = Act::Drip(Duration::from_secs(1));
                    with(&mut |value| parse_lapse(value).map(|pause| behaviour.act = Act::Drip(pause)).is_some());
                }
                _ => {}
            }
        }
        match fail(query) {
            Some(_) if behaviour == Self::default() => {
                behaviour.status = StatusCode::SERVICE_UNAVAILABLE;
            }
            _ => {}
        }
        if fail(query).is_some_and(|often| chance >= often) { Self::default() } else { behaviour }
    }
}

/// `?fail=0.3`: how often of 1.
fn fail(query: Option<&str>) -> Option<f64> {
    let value = query?.split('&').find_map(|pair| pair.strip_prefix("fail="))?;
    value.parse().ok().filter(|often| (0.0..=1.0).contains(often))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_happens() {
        let of = |path: &str| Behaviour::of(path, None, 0.5);
        let plain = Behaviour::default();
        assert_eq!(of("/"), plain);
        assert_eq!(of("/hooks/status"), plain);
        for wrong in ["/status/99", "/status/100", "/status/1000", "/status/x", "/delay/5", "/delay/x"] {
            assert_eq!(of(wrong), plain, "{wrong}");
        }
        assert_eq!(of("/status/200"), plain);
        assert_eq!(of("/status/599").status.as_u16(), 599);
        let both = of("/hooks/delay/250ms/status/503/retry-after/7");
        assert_eq!((both.delay, both.status.as_u16(), both.retry_after), (Duration::from_millis(250), 503, Some(7)));
        assert_eq!(of("/retry-after/30").status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(of("/status/429/retry-after/30").status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(of("/delay/9h").delay, DELAY_MAX);
        assert_eq!((of("/reset").act, of("/close").act, of("/hang").act), (Act::Reset, Act::Close, Act::Hang));
        assert_eq!(of("/drip").act, Act::Drip(Duration::from_secs(1)));
        assert_eq!(of("/drip/10ms/endless").act, Act::Endless);
        assert_eq!(of("/status/200/drip/10ms").act, Act::Drip(Duration::from_millis(10)));
    }

    #[test]
    fn some_things_happen_only_sometimes() {
        let of = |path: &str, fail: &str, chance: f64| Behaviour::of(path, Some(fail), chance);
        assert_eq!(of("/", "a=b&fail=0.3", 0.29).status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(of("/", "fail=0.3", 0.3), Behaviour::default());
        assert_eq!(of("/reset", "fail=0.3", 0.29).act, Act::Reset);
        assert_eq!(of("/reset", "fail=0.3", 0.3).act, Act::Answer);
        assert_eq!(of("/reset", "fail=0", 0.0).act, Act::Answer);
        assert_eq!(of("/reset", "fail=1", 0.999).act, Act::Reset);
        assert_eq!(of("/", "fail=7", 0.0), Behaviour::default());
    }
}
