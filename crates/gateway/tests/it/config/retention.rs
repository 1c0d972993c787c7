//! What a configuration says of retention.

use hookward_engine::model::Retention;

use super::{parse, problems};

#[test]
fn a_source_keeps_what_it_says_or_else_what_is_said_for_all() {
    let config = parse(
        r#"
retention = { age = "90d", size = "10GiB" }
[[source]]
name = "a"
unsigned = true
[[source]]
name = "b"
unsigned = true
retention = { age = "1s" }
[[source]]
name = "c"
unsigned = true
retention = {}
"#,
    )
    .unwrap();
    let day = std::time::Duration::from_secs(86_400);
    let all = Retention { age: Some(90 * day), size_bytes: Some(10 << 30) };
    let own = Retention { age: Some(std::time::Duration::from_secs(1)), size_bytes: None };
    let kept: Vec<Retention> = config.sources.iter().map(|source| source.spec.retention).collect();
    assert_eq!((config.retention, kept), (all, vec![all, own, Retention::default()]));
    insta::assert_snapshot!(problems(r#"
retention = { age = "999ms", size = 0 }
"#), @r#"
hookward.toml:2:21: `age` must be at least 1s; leave it out to keep events however old they are
hookward.toml:2:37: `size` must be at least 1; leave it out to keep events however large they are
"#);
    let unknown = "[[source]]\nname = \"a\"\nunsigned = true\nretention = { ages = \"1d\" }\n";
    let expected = "hookward.toml:4:15: unknown key `ages` in [[source]]; did you mean `age`?";
    assert_eq!(problems(unknown), expected);
}
