//! Tests of what a scheme may say that its provider wants to hear.

use hookward::Scheme;

#[test]
fn what_a_provider_wants_to_hear_is_a_success() {
    let with = |answer: &str| {
        let proof = "algorithm = \"token\"\nsignature = { at = [\"header:X\"] }";
        Scheme::from_toml(&format!("name = \"mine\"\ntitle = \"Mine\"\n{answer}\n[[proof]]\n{proof}"))
    };
    let answer = with("answer = { body = \"[accepted]\" }").unwrap().event_answer().cloned().unwrap();
    assert_eq!((answer.status, answer.body.as_str(), answer.content_type.as_str()), (200, "[accepted]", "text/plain"));
    let answer = with("answer = { status = 299, body = \"<Ack/>\", content_type = \"application/xml\" }").unwrap();
    let answer = answer.event_answer().unwrap();
    assert_eq!((answer.status, answer.content_type.as_str()), (299, "application/xml"));
    assert!(with("").unwrap().event_answer().is_none());
    let body = |length: usize| with(&format!("answer = {{ body = \"{}\" }}", "x".repeat(length)));
    assert!(body(1024).is_ok() && body(1025).is_err());
    for (wrong, says) in [
        ("answer = { status = 199 }", "is 200 to 299, not 199"),
        ("answer = { status = 300 }", "is 200 to 299, not 300"),
        ("answer = { status = 204, body = \"x\" }", "has no body"),
        ("answer = { body = \"x\", content_type = \"a\\nb\" }", "plain text"),
        ("answer = { boddy = \"x\" }", "did you mean `body`?"),
    ] {
        let error = with(wrong).unwrap_err().to_string();
        assert!(error.contains(says), "{wrong}: {error}");
    }
}
