//! Owns what commonly goes wrong around body and secret, undone: another scheme, another way to write the signature, to sign the time or
//! the URL. Each way gives a frame in which the same request may be right.

use super::cause::{Cause, Change};
use crate::catalog;
use crate::message::{Headers, Message};
use crate::place::Place;
use crate::proof::{Proof, Unit};
use crate::scheme::Scheme;
use crate::template::{Part, Template};
use crate::url;

/// Of schemes that sign alike so many are named.
const MOST_NAMES: usize = 3;

/// At most so many ways of other schemes are tried.
const MOST_SCHEMES: usize = 48;

/// Headers that hold a timestamp or an id at senders that sign more than the scheme says.
const TIMES: [&str; 9] = [
    "X-Timestamp",
    "X-Webhook-Timestamp",
    "Webhook-Timestamp",
    "X-Signature-Timestamp",
    "X-Request-Timestamp",
    "X-Hub-Timestamp",
    "X-Slack-Request-Timestamp",
    "Timestamp",
    "Date",
];
const IDS: [&str; 5] = ["Webhook-Id", "X-Webhook-Id", "X-Request-Id", "X-Delivery-Id", "X-GitHub-Delivery"];

/// One way to look at a request: a scheme of one proof, and what is read instead of what was sent.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) changes: Vec<Change>,
    pub(super) scheme: Scheme,
    pub(super) url: Option<String>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

/// Headers of which some are replaced.
pub(super) struct Overlaid<'a> {
    pub(super) sent: &'a dyn Headers,
    pub(super) replaced: &'a [(String, Vec<u8>)],
}

impl Headers for Overlaid<'_> {
    fn nth(&self, name: &str, n: usize) -> Option<&[u8]> {
        match self.replaced.iter().find(|(replaced, _)| replaced.eq_ignore_ascii_case(name)) {
            Some((_, value)) => (n == 0).then_some(value),
            None => self.sent.nth(name, n),
        }
    }
}

impl Frame {
    pub(super) fn of(scheme: &Scheme, proof: &Proof) -> Self {
        let scheme = scheme.with_proof(proof.clone());
        Self { changes: Vec::new(), scheme, url: None, headers: Vec::new() }
    }

    pub(super) fn proof(&self) -> &Proof {
        &self.scheme.proofs()[0]
    }

    /// The same with a further change, of its proof.
    pub(super) fn with(&self, change: Change, alter: impl FnOnce(&mut Proof)) -> Self {
        let mut proof = self.proof().clone();
        alter(&mut proof);
        Self { scheme: self.scheme.with_proof(proof), ..self.and(change) }
    }

    fn and(&self, change: Change) -> Self {
        let mut changed = self.clone();
        changed.changes.push(change);
        changed
    }

    /// The same frame, in which the timestamp counts in the other unit.
    pub(super) fn in_other_unit(&self) -> Option<Self> {
        let (unit, how) = match self.proof().timestamp.as_ref()?.unit {
            Unit::S => (Unit::Ms, "its timestamp is read as milliseconds"),
            Unit::Ms => (Unit::S, "its timestamp is read as seconds"),
            Unit::SOrMs | Unit::Rfc3339 | Unit::Iso8601 | Unit::HttpDate => return None,
        };
        Some(self.with(Change::new(Cause::TimeUnit, how), |proof| {
            proof.timestamp.iter_mut().for_each(|spec| spec.unit = unit);
        }))
    }

    /// The same, in which this URL is signed: what was registered stays apart from what was called.
    fn with_url(mut self, url: String) -> Self {
        match self.scheme.has_registered_url() {
            true => self.scheme = self.scheme.registered_at(url),
            false => self.url = Some(url),
        }
        self
    }

    fn signed_url<'a>(&'a self, message: &Message<'a>) -> &'a str {
        self.scheme.signed_url(self.url.as_deref().unwrap_or(message.url))
    }

    fn overlaid<'a>(&'a self, message: &Message<'a>) -> Overlaid<'a> {
        Overlaid { sent: message.headers, replaced: &self.headers }
    }
}

/// Frames in which what is signed or where the request went is another. How a signature is written is `writing`'s.
pub(super) fn contents(frame: &Frame, message: &Message<'_>) -> Vec<Frame> {
    [times(frame, message), unsigned(frame), urls(frame, message), more_signed(frame, message)].concat()
}

/// The signed text has the timestamp in another unit than the one sent.
fn times(frame: &Frame, message: &Message<'_>) -> Vec<Frame> {
    let proof = frame.proof();
    let Some(spec) = &proof.timestamp else { return Vec::new() };
    let (name, key) = match (&spec.at, proof.signature.at.first().and_then(Place::header)) {
        (Place::Header(name), _) => (name.as_str(), String::new()),
        (Place::Signature(key), Some(name)) => (name, format!("{key}=")),
        _ => return Vec::new(),
    };
    let sent = frame.overlaid(message);
    let Some(text) = sent.nth(name, 0).and_then(|value| std::str::from_utf8(value).ok()) else { return Vec::new() };
    let Some(start) = text.find(&key).map(|at| at + key.len()) else { return Vec::new() };
    let digits = text[start..].bytes().take_while(u8::is_ascii_digit).count();
    let Ok(number) = text[start..start + digits].parse::<i64>() else { return Vec::new() };
    let rewritten = [(number.checked_mul(1000), "milliseconds"), (Some(number / 1000), "seconds")];
    let frames = rewritten.into_iter().filter_map(|(number, unit)| {
        let changed = format!("{}{}{}", &text[..start], number?, &text[start + digits..]);
        let how = format!("its timestamp is signed in {unit}");
        let mut frame = frame.and(Change::new(Cause::TimeUnit, how));
        frame.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        frame.headers.push((name.to_owned(), changed.into_bytes()));
        Some(frame)
    });
    frames.collect()
}

/// One of the signed parts was left out, or all but the body.
fn unsigned(frame: &Frame) -> Vec<Frame> {
    let content = &frame.proof().content;
    let cause = |part: &Part| match part {
        Part::Timestamp => Some((Cause::TimeUnsigned, "timestamp")),
        Part::Id => Some((Cause::IdUnsigned, "id")),
        Part::Url | Part::UrlAnyPort => Some((Cause::UrlUnsigned, "url")),
        Part::Method => Some((Cause::MethodUnsigned, "method")),
        _ => None,
    };
    let parts: Vec<_> = content.parts().iter().filter_map(|part| Some((part, cause(part)?))).collect();
    let mut frames = Vec::new();
    for (part, (cause, name)) in &parts {
        let change = || Change::new(*cause, format!("the {name} is left out of what is signed"));
        for with_literal in [true, false] {
            let shorter = without(content.parts(), part, with_literal);
            if !shorter.iter().all(|part| matches!(part, Part::Literal(_))) {
                frames.push(frame.with(change(), |proof| proof.content = Template::of(shorter)));
            }
        }
    }
    if parts.len() > 1 && content.has(&Part::Body) {
        let mut bare = frame.with(Change::new(parts[0].1.0, "the body alone is signed"), |proof| {
            proof.content = Template::body();
        });
        bare.changes.extend(parts[1..].iter().map(|(_, (cause, _))| Change::new(*cause, "")));
        frames.push(bare);
    }
    frames
}

/// The parts without one of them, and without the literal that follows it, or comes before it where it is the last.
fn without(parts: &[Part], left_out: &Part, with_literal: bool) -> Vec<Part> {
    let mut parts = parts.to_vec();
    if let Some(at) = parts.iter().position(|part| part == left_out) {
        parts.remove(at);
        let literal = if at < parts.len() { Some(at) } else { at.checked_sub(1) };
        if let Some(literal) = literal.filter(|at| with_literal && matches!(parts[*at], Part::Literal(_))) {
            parts.remove(literal);
        }
    }
    parts
}

/// A time, an id, the method or the URL was signed beside the body.
fn more_signed(frame: &Frame, message: &Message<'_>) -> Vec<Frame> {
    let content = &frame.proof().content;
    if frame.proof().algorithm.is_credential() || !content.has(&Part::Body) {
        return Vec::new();
    }
    let value = |name: &&str| std::str::from_utf8(message.headers.nth(name, 0)?).ok().map(str::to_owned);
    let literal = |text: &str| Part::Literal(text.to_owned());
    let mut more: Vec<(String, Vec<Part>)> = Vec::new();
    if !content.has(&Part::Timestamp) {
        for name in TIMES {
            let Some(time) = value(&name) else { continue };
            let how = format!("the header {name} is signed before the body");
            for between in [".", "", ":", "\n"] {
                more.push((how.clone(), vec![Part::Literal(format!("{time}{between}")), Part::Body]));
            }
            more.push((format!("the header {name} is signed after the body"), vec![Part::Body, literal(&time)]));
            more.push((how.clone(), vec![Part::Literal(format!("v0:{time}:")), Part::Body]));
            for (id_name, id) in IDS.iter().filter_map(|id| Some((id, value(id)?))) {
                let how = format!("the headers {id_name} and {name} are signed before the body");
                more.push((how, vec![Part::Literal(format!("{id}.{time}.")), Part::Body]));
            }
        }
    }
    if !content.has_url() && !content.has(&Part::Method) {
        let target = path_and_query(message.url);
        for (what, url) in [("url", message.url), ("path", target)].into_iter().filter(|(_, url)| !url.is_empty()) {
            let method = message.method;
            more.push((format!("the {what} is signed before the body"), vec![literal(url), Part::Body]));
            more.push((format!("the {what} is signed after the body"), vec![Part::Body, literal(url)]));
            for between in ["", "\n", "."] {
                let how = format!("the method and the {what} are signed before the body");
                more.push((how, vec![Part::Literal(format!("{method}{between}{url}{between}")), Part::Body]));
            }
        }
    }
    let frames = more.into_iter().map(|(how, parts)| {
        frame.with(Change::new(Cause::MoreSigned, how), |proof| proof.content = Template::of(parts))
    });
    frames.collect()
}

fn path_and_query(url: &str) -> &str {
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => url,
    }
}

/// The URL as the sender may have called it, before a proxy; or as it may have been registered, where that was said.
fn urls(frame: &Frame, message: &Message<'_>) -> Vec<Frame> {
    if !frame.proof().content.has_url() {
        return Vec::new();
    }
    let signed = frame.scheme.signed_url(message.url);
    let mut frames = around(frame, signed, message);
    if frame.scheme.has_registered_url() && url::is_absolute(message.url) {
        let how = "the url is the one that was called, and not that of the parameter `url`";
        let called = frame.and(Change::new(Cause::UrlRegistered, how)).with_url(message.url.to_owned());
        frames.extend(around(&called, message.url, message));
        frames.push(called);
    }
    frames.retain(|frame| frame.signed_url(message) != signed);
    // Fewer changes are likelier.
    frames.sort_by_key(|frame| frame.changes.len());
    frames
}

/// The URLs that `called` may have been before a proxy.
fn around(frame: &Frame, called: &str, message: &Message<'_>) -> Vec<Frame> {
    let header = |name: &str| std::str::from_utf8(message.headers.nth(name, 0)?).ok().map(str::trim);
    let mut whole = called.to_owned();
    if !url::is_absolute(&whole) {
        let Some(host) = header("Host") else { return Vec::new() };
        whole = format!("https://{host}{whole}");
    }
    let Some((scheme, rest)) = whole.split_once("://") else { return Vec::new() };
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(at);
    let (host, port) = authority.rsplit_once(':').map_or((authority, ""), |(host, port)| (host, port));
    let mut hosts = vec![(host.to_owned(), port.to_owned(), None)];
    for name in ["X-Forwarded-Host", "Host"] {
        if let Some(sent) = header(name).filter(|sent| !sent.is_empty()) {
            let (sent, port) = sent.rsplit_once(':').unwrap_or((sent, ""));
            let known = hosts.iter().any(|(host, ..)| host == sent);
            if !known {
                hosts.push((sent.to_owned(), port.to_owned(), Some(Cause::UrlHost)));
            }
        }
    }
    let mut frames = Vec::new();
    for (host, port, other_host) in &hosts {
        for (scheme, other_scheme) in [(scheme, None), (other_scheme(scheme), Some(Cause::UrlScheme))] {
            let bare = (!port.is_empty()).then_some(("", Some(Cause::UrlPort)));
            let default = if scheme == "https" { "443" } else { "80" };
            let default = (port != default).then_some((default, Some(Cause::UrlPort)));
            for (port, other_port) in [Some((port.as_str(), None)), bare, default].into_iter().flatten() {
                for (target, other_target) in targets(target) {
                    let colon = if port.is_empty() { "" } else { ":" };
                    let url = format!("{scheme}://{host}{colon}{port}{target}");
                    let causes = [other_scheme, *other_host, other_port, other_target].into_iter().flatten();
                    let mut changed = frame.clone();
                    changed.changes.extend(causes.map(|cause| url_change(cause, scheme)));
                    frames.push(changed.with_url(url));
                }
            }
        }
    }
    frames
}

fn other_scheme(scheme: &str) -> &'static str {
    if scheme.eq_ignore_ascii_case("https") { "http" } else { "https" }
}

fn url_change(cause: Cause, scheme: &str) -> Change {
    match cause {
        Cause::UrlScheme => Change::new(cause, format!("the url begins with {scheme}")),
        Cause::UrlHost => Change::new(cause, "the url has the host of the request's header"),
        Cause::UrlPort => Change::new(cause, "the url has the scheme's own port, or none"),
        Cause::UrlQuery => Change::new(cause, "the url has no query"),
        _ => Change::new(cause, "the slash at the end of the url's path comes or goes"),
    }
}

/// Path and query in other ways.
fn targets(target: &str) -> Vec<(String, Option<Cause>)> {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let other_path = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
    let mut targets = vec![(target.to_owned(), None), (format!("{other_path}{query}"), Some(Cause::UrlSlash))];
    if !query.is_empty() {
        targets.push((path.to_owned(), Some(Cause::UrlQuery)));
    }
    targets
}

/// The other schemes of the catalog for which the request carries something, the likeliest first. Only their files' text is looked at
/// first, so that few of them are read. Those that sign alike are one frame.
pub(super) fn other_schemes(scheme: &Scheme, message: &Message<'_>) -> Vec<Frame> {
    let speaks = |name: &str| catalog::source(name).is_some_and(|source| mentions(source, message));
    let others = catalog::names().filter(|name| *name != scheme.name() && speaks(name)).filter_map(catalog::find);
    let mut alike: Vec<Alike> = Vec::new();
    for other in others {
        for proof in other.proofs().iter().filter(|proof| matches!(proof.signature.find(message), Ok(Some(_)))) {
            let way =
                format!("{:?} {:?} {:?} {:?}", proof.algorithm, proof.key.encoding, proof.signature, proof.content);
            match alike.iter_mut().find(|known| known.way == way) {
                Some(known) => known.names.push(other.name()),
                None => {
                    let headers = other.signature_headers();
                    let absent = headers.iter().filter(|name| message.headers.nth(name, 0).is_none()).count();
                    let rank = (absent, std::cmp::Reverse(headers.len()));
                    alike.push(Alike { rank, way, names: vec![other.name()], frame: Frame::of(other, proof) });
                }
            }
        }
    }
    // The likeliest is one of whose headers none is absent, and many are there.
    alike.sort_by_key(|alike| alike.rank);
    alike.into_iter().take(MOST_SCHEMES).map(Alike::named).collect()
}

/// Schemes that prove a request in the same way.
struct Alike {
    rank: (usize, std::cmp::Reverse<usize>),
    way: String,
    names: Vec<&'static str>,
    frame: Frame,
}

impl Alike {
    /// The frame, with the names of a few: first the one that its header is named after.
    fn named(mut self) -> Frame {
        let header = self.frame.proof().signature.at.first().and_then(Place::header).unwrap_or_default().to_lowercase();
        self.names.dedup();
        self.names.sort_by_key(|name| !header.contains(name));
        let more = if self.names.len() > MOST_NAMES { " or another that signs alike" } else { "" };
        self.names.truncate(MOST_NAMES);
        let how = format!("the scheme is `{}`{more}", self.names.join("` or `"));
        self.frame.changes.push(Change::new(Cause::OtherScheme, how));
        self.frame
    }
}

/// Whether a scheme's file names a header that the request has, or a place without a header.
fn mentions(source: &str, message: &Message<'_>) -> bool {
    named_headers(source).any(|name| message.headers.nth(name, 0).is_some())
        || (source.contains("authorization:") && message.headers.nth("Authorization", 0).is_some())
}

/// Every header that a scheme's file names.
pub(super) fn named_headers(source: &str) -> impl Iterator<Item = &str> {
    source.split("\"header:").skip(1).filter_map(|rest| rest.split('"').next())
}
