//! Requests of the crate `http`.

use hookward::{Draft, Headers, UnixTime, Verifier};
use http::{HeaderMap, HeaderValue, Request};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

#[test]
fn a_header_map_gives_every_value_in_order_and_bytes_as_they_are() {
    let mut headers = HeaderMap::new();
    headers.append("X-One", HeaderValue::from_static("a"));
    headers.append("x-one", HeaderValue::from_bytes(b"\xe9").unwrap());
    assert_eq!(headers.nth("X-ONE", 0), Some(&b"a"[..]));
    assert_eq!(headers.nth("x-one", 1), Some(&b"\xe9"[..]));
    assert_eq!(headers.nth("x-one", 2), None);
    assert_eq!(headers.nth("not a name", 0), None);
    assert_eq!(headers.first_two("X-one"), [headers.nth("X-one", 0), headers.nth("X-one", 1)]);
    assert_eq!(headers.first_two("not a name"), [None, None]);
}

#[test]
fn a_request_is_judged_with_its_method_url_headers_and_body() {
    let twilio = Verifier::new("twilio", ["token"]).unwrap().with_origin("https://example.com").unwrap();
    let draft = Draft { id: "", event_type: "", method: "POST", url: "https://example.com/hook?a=%20", body: b"a=1" };
    let signed = twilio.sign(&draft, NOW).unwrap();
    let request = |url: &str, body: &'static [u8]| {
        let mut builder = Request::post(url);
        for (name, value) in &signed.headers {
            builder = builder.header(name, value);
        }
        builder.body(body).unwrap()
    };
    assert!(twilio.verify_request(&request("/hook?a=%20", b"a=1"), NOW).is_ok());
    assert!(twilio.verify_request(&request("https://example.com/hook?a=%20", b"a=1"), NOW).is_ok());
    for wrong in
        [request("/hook?a=+", b"a=1"), request("/hook?a=%20", b"a=2"), request("http://example.com/hook?a=%20", b"a=1")]
    {
        assert_eq!(twilio.verify_request(&wrong, NOW).unwrap_err().id(), "signature-mismatch");
    }
}
