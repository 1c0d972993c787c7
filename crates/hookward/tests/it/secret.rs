//! Tests of secrets: never empty, never printed.

use hookward::{EmptySecret, Secret};

#[test]
fn an_empty_or_blank_secret_is_refused() {
    for blank in ["", " ", "\n", "\t \r\n", "\0", " \0 "] {
        assert_eq!(Secret::new(blank), Err(EmptySecret), "{blank:?}");
    }
    assert_eq!(Secret::new(" x").unwrap().expose(), b" x");
}

#[test]
fn a_secret_is_not_printed() {
    let secret = Secret::new("hunter2").unwrap();
    assert_eq!(format!("{secret:?} {secret:#?}"), "Secret(…) Secret(…)");
}

#[test]
fn secrets_are_equal_when_their_bytes_are() {
    let secret = |text: &str| Secret::new(text).unwrap();
    assert_eq!(secret("a"), secret("a"));
    assert_ne!(secret("a"), secret("b"));
    assert_ne!(secret("a"), secret("aa"));
}
