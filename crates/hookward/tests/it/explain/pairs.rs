//! Any two of the first causes, at once.

use base64::Engine as _;
use hookward::explain::{Cause, MAX_HMACS, PAIRED_CAUSES};

use super::case::{Case, OTHER, SECRET, check, gzip};
use crate::support::scheme;

/// What was signed, made of what arrives, in the order in which it happened; independently of the library.
fn undone(cause: Cause, arrived: &[u8]) -> Vec<u8> {
    let text = || String::from_utf8(arrived.to_vec()).unwrap();
    match cause {
        Cause::Compressed => miniz_oxide::inflate::decompress_to_vec(&arrived[10..arrived.len() - 8]).unwrap(),
        Cause::Reserialised => text().replace(": ", ":").replace(", ", ",").into_bytes(),
        Cause::Charset => text().chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect(),
        Cause::Form => {
            let escaped = |byte: &u8| match byte {
                b' ' => "+".to_owned(),
                byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
                byte => format!("%{byte:02X}"),
            };
            format!("payload={}", arrived.iter().map(escaped).collect::<String>()).into_bytes()
        }
        Cause::LineEnds => [arrived, b"\n"].concat(),
        Cause::Bom => ["\u{feff}".as_bytes(), arrived].concat(),
        Cause::Truncated => arrived[..256].to_vec(),
        _ => arrived.to_vec(),
    }
}

const IN_ORDER: [Cause; 7] = [
    Cause::Compressed,
    Cause::Reserialised,
    Cause::Charset,
    Cause::Form,
    Cause::Truncated,
    Cause::LineEnds,
    Cause::Bom,
];

fn with_causes(causes: &[Cause]) -> Case {
    let has = |cause: Cause| causes.contains(&cause);
    let body = format!("{{\"é\": \"ü\", \"b\": [1, 2], \"c\": \"{}\"}}", "x".repeat(400)).into_bytes();
    let arrived = if has(Cause::Compressed) { gzip(&body) } else { body };
    let done = IN_ORDER.into_iter().filter(|cause| has(*cause));
    let signed_body = done.fold(arrived.clone(), |body, cause| undone(cause, &body));
    let text = if has(Cause::SecretOfAnother) { OTHER } else { SECRET };
    let decoded = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let key = if has(Cause::SecretEncoding) { decoded } else { text.as_bytes().to_vec() };
    let mut case = Case::by(scheme("github"), &key, &signed_body).arrives(arrived);
    let held = if has(Cause::SecretOfAnother) { 2 } else { 0 };
    if has(Cause::SecretSurrounded) {
        case.secrets[held].1.push(b'\n');
    }
    case
}

#[test]
fn any_two_of_the_first_ten_are_found() {
    let mut dearest = 0;
    let ten = &Cause::ALL[..PAIRED_CAUSES];
    for (n, first) in ten.iter().enumerate() {
        check(first.id(), &with_causes(&[*first]), &[*first]);
        for second in &ten[n + 1..] {
            let case = with_causes(&[*first, *second]);
            check(&format!("{} and {}", first.id(), second.id()), &case, &[*first, *second]);
            dearest = dearest.max(case.explained().hmacs());
        }
    }
    // Of the pairs only: there is room left for what comes after them.
    assert!(dearest < MAX_HMACS, "{dearest}");
}
