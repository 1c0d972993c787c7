//! `order` of a destination, as the configuration says it.

use hookward_engine::model::{OnHeadFailure, Ordering};

use super::{parse, problems};

fn to(kind: &str, more: &str) -> String {
    format!("[[destination]]\nname = \"a\"\ntype = \"{kind}\"\n{more}\n")
}

fn ordered(order: &str) -> String {
    to("http", &format!("url = \"http://x.test/\"\nretry = {{ waits = [\"5s\", \"1m\"] }}\norder = {order}"))
}

#[test]
fn an_order_has_a_key_and_says_what_a_failure_means() {
    let block = OnHeadFailure::Block;
    for (order, on_failure) in [
        ("{ key = \"body.customer\" }", block),
        ("{ key = \"body.customer\", on_failure = \"block\" }", block),
        ("{ key = \"body.customer\", on_failure = \"skip\" }", OnHeadFailure::Skip),
        ("{ key = \"body.customer\", on_failure = { park = 1 } }", OnHeadFailure::Park { after: 1 }),
        ("{ key = \"body.customer\", on_failure = { park = 3 } }", OnHeadFailure::Park { after: 3 }),
    ] {
        let spec = parse(&ordered(order)).unwrap().destinations.remove(0).spec;
        assert_eq!(spec.order, Some(Ordering { key: "body.customer".to_owned(), on_failure }), "{order}");
    }
    assert_eq!(parse(&to("http", "url = \"http://x.test/\"")).unwrap().destinations.remove(0).spec.order, None);
}

#[test]
fn what_is_no_order_is_named_with_its_place() {
    let problem = |order: &str| problems(&ordered(order));
    insta::assert_snapshot!(problem("{ key = \"body.customer\", on_failure = \"blok\" }"), @r#"hookward.toml:6:47: there is no `on_failure` `blok`; did you mean `block`?"#);
    insta::assert_snapshot!(problem("{ key = \"body.customer\", on_failure = \"give up\" }"), @r#"hookward.toml:6:47: there is no `on_failure` `give up`; known are `block`, `skip`, `{ park = 3 }`"#);
    insta::assert_snapshot!(problem("{ key = \"body.customer\", on_failure = { park = 0 } }"), @r#"hookward.toml:6:56: `park` is 1 to 3, the attempts that `retry` gives a delivery"#);
    insta::assert_snapshot!(problem("{ key = \"body.customer\", on_failure = { park = 4 } }"), @r#"hookward.toml:6:56: `park` is 1 to 3, the attempts that `retry` gives a delivery"#);
    insta::assert_snapshot!(problem("{ key = \"body.customer\", on_failure = { after = 4 } }"), @r#"hookward.toml:6:49: unknown key `after` in [[destination]]; known are `park`"#);
    insta::assert_snapshot!(problem("{ key = \"body.customer\", on_failure = 3 }"), @r#"hookward.toml:6:47: invalid type: integer `3`, expected "block", "skip", or a table like { park = 3 }"#);
    insta::assert_snapshot!(problem("{ key = \"bdy.customer\" }"), @r#"hookward.toml:6:17: this is not an expression: there is no variable `bdy`; known are `body`, `event`, `headers`, `source`"#);
    insta::assert_snapshot!(problem("{ on_failure = \"skip\" }"), @r#"hookward.toml:6:9: missing key `key`"#);
    insta::assert_snapshot!(problem("{ key = \"body.customer\", on_fail = \"skip\" }"), @r#"hookward.toml:6:34: unknown key `on_fail` in [[destination]]; known are `key`, `on_failure`"#);
    insta::assert_snapshot!(problem("\"body.customer\""), @r#"hookward.toml:6:9: invalid type: string "body.customer", expected a table like { key = "body.customer" }"#);
    insta::assert_snapshot!(problems(&to("pull", "order = { key = \"body.customer\" }")), @r#"hookward.toml:4:9: a destination of type `pull` has no `order`: consumers get what it is owed in order with `ordered`"#);
    let report = "of = \"b\"\nprovider = \"github\"\ntoken = \"env:SET\"\nstatus = \"x\"\norder = { key = \"1\" }";
    let both = to("report", report) + &to("command", "argv = [\"/bin/true\"]").replace("\"a\"", "\"b\"");
    insta::assert_snapshot!(problems(&both), @r#"hookward.toml:8:9: a destination of type `report` has no `order`: it tells of deliveries as they end"#);
}
