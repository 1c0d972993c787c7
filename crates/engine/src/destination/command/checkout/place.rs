//! Which commit of which repository an event is about, by the shapes of GitHub's and GitLab's bodies.
//! A sender proved the whole body, but not that it is sane: everything is checked before git sees it.

use serde_json::Value;

/// A commit and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The repository.
    pub(super) url: String,
    /// The commit's id: 40 or 64 hex digits.
    pub(super) commit: String,
}

/// Where a shape of body has what is needed. The first whose commit is there counts.
struct Shape {
    commit: &'static str,
    url: &'static str,
    /// The repository's path at its host, for a base of one's own.
    path: &'static str,
}

const SHAPES: [Shape; 5] = [
    // GitHub `pull_request`. The repository that it was opened at has the head commit of a fork, too.
    Shape { commit: "/pull_request/head/sha", url: "/repository/clone_url", path: "/repository/full_name" },
    // GitLab merge request, of which the same is true.
    Shape {
        commit: "/object_attributes/last_commit/id",
        url: "/project/git_http_url",
        path: "/project/path_with_namespace",
    },
    // GitLab push, which has `after`, too.
    Shape { commit: "/checkout_sha", url: "/project/git_http_url", path: "/project/path_with_namespace" },
    Shape { commit: "/after", url: "/project/git_http_url", path: "/project/path_with_namespace" },
    // GitHub `push`.
    Shape { commit: "/after", url: "/repository/clone_url", path: "/repository/full_name" },
];

/// What the settings say of a place, which goes before what the event says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Where repositories are.
    pub(super) base: Option<String>,
    /// Where the repository is.
    pub(super) url: Option<String>,
    /// The commit.
    pub(super) commit: Option<String>,
}

/// The place that the JSON text `body` is about; with a base, the repository of the same path there.
pub(super) fn of(body: &[u8], told: Told) -> Result<Place, String> {
    let (url, commit) = match (told.url, told.commit) {
        (Some(url), Some(commit)) => (url, commit),
        (url, commit) => {
            let event = from_event(body, told.base.as_deref(), commit.is_some())?;
            (url.map_or(event.0, Ok)?, commit.unwrap_or(event.1))
        }
    };
    if !matches!(commit.len(), 40 | 64) || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("the event's commit is not 40 or 64 hex digits".to_owned());
    }
    if commit.bytes().all(|byte| byte == b'0') {
        return Err("the event is about a branch that was deleted, and names no commit".to_owned());
    }
    Ok(Place { url, commit: commit.to_ascii_lowercase() })
}

/// Url and commit as the event says them, by the first shape that it has. The url may be missing where it is not needed.
fn from_event(body: &[u8], base: Option<&str>, has_commit: bool) -> Result<(Result<String, String>, String), String> {
    let body: Value = serde_json::from_slice(body).map_err(|_| "the event's body is not JSON")?;
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    let shapes = SHAPES.iter().map(|shape| (text(shape.commit), text(shape.url), text(shape.path)));
    let mut shapes = shapes.filter(|(commit, url, path)| (has_commit || commit.is_some()) && (url.or(*path)).is_some());
    let Some((commit, url, path)) = shapes.next() else {
        return Err("the event names no commit of a repository in a way that is known".to_owned());
    };
    let url = match (base, path, url) {
        (Some(base), Some(path), _) if is_path(path) => Ok(format!("{}/{path}.git", base.trim_end_matches('/'))),
        (Some(_), Some(_), _) => Err("the repository's path is not like `owner/name`".to_owned()),
        (None, _, Some(url)) => Ok(url.to_owned()),
        _ => Err("the event does not say where its repository is".to_owned()),
    };
    Ok((url, commit.unwrap_or_default().to_owned()))
}

/// Segments of what code hosts let names be made of, none of them going up.
fn is_path(path: &str) -> bool {
    let is_name = |segment: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !segment.is_empty() && !segment.starts_with('.') && segment.bytes().all(known)
    };
    path.contains('/') && path.split('/').all(is_name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn place(body: &Value, base: Option<&str>) -> Result<(String, String), String> {
        told(body, Told { base: base.map(str::to_owned), ..Told::default() })
    }

    fn told(body: &Value, told: Told) -> Result<(String, String), String> {
        of(body.to_string().as_bytes(), told).map(|place| (place.url, place.commit))
    }

    #[test]
    fn what_the_settings_say_goes_before_what_the_event_says() {
        let own = |url: Option<&str>, commit: Option<&str>| Told {
            base: None,
            url: url.map(str::to_owned),
            commit: commit.map(str::to_owned),
        };
        let other = "f".repeat(40);
        let push = json!({ "after": SHA, "repository": { "clone_url": "https://gh.test/a/b" } });
        assert_eq!(
            told(&push, own(Some("https://x.test/y"), None)).unwrap(),
            ("https://x.test/y".to_owned(), SHA.to_owned())
        );
        assert_eq!(told(&push, own(None, Some(&other))).unwrap(), ("https://gh.test/a/b".to_owned(), other.clone()));
        let tag = json!({ "repository": { "clone_url": "https://gh.test/a/b" } });
        assert_eq!(told(&tag, own(None, Some(&other))).unwrap().0, "https://gh.test/a/b");
        assert!(told(&json!([]), own(Some("https://x.test/y"), Some(&other))).is_ok(), "nothing is asked of the event");
        assert!(told(&push, own(None, Some("main"))).is_err());
    }

    #[test]
    fn a_form_holds_the_event_in_a_field() {
        let body = format!(
            "payload=%7B%22after%22%3A%22{SHA}%22%2C+%22repository%22:%7B%22clone_url%22:%22https://x.test/a+b%22%7D%7D&x=1"
        );
        let form = b"application/x-www-form-urlencoded";
        assert_eq!(
            of(&hookward::json_text(Some(form), body.as_bytes()).unwrap(), Told::default()).unwrap(),
            Place { url: "https://x.test/a b".to_owned(), commit: SHA.to_owned() }
        );
    }

    #[test]
    fn every_known_shape_names_its_commit() {
        let other = "f".repeat(40);
        let repository = json!({ "full_name": "acme/web", "clone_url": "https://gh.test/acme/web.git" });
        let project =
            json!({ "path_with_namespace": "acme/sub/infra", "git_http_url": "https://gl.test/acme/sub/infra.git" });
        let github = [
            json!({ "after": SHA, "before": other, "repository": repository }),
            json!({ "after": other, "repository": repository,
                    "pull_request": { "head": { "sha": SHA, "repo": { "clone_url": "fork" } }, "base": { "sha": other } } }),
        ];
        for body in github {
            assert_eq!(place(&body, None).unwrap(), ("https://gh.test/acme/web.git".to_owned(), SHA.to_owned()));
            assert_eq!(place(&body, Some("http://127.0.0.1:1/")).unwrap().0, "http://127.0.0.1:1/acme/web.git");
        }
        let gitlab = [
            json!({ "object_kind": "push", "after": other, "checkout_sha": SHA, "project": project, "repository": { "git_http_url": "x" } }),
            json!({ "object_kind": "push", "after": SHA, "project": project }),
            json!({ "object_kind": "merge_request", "project": project,
                    "object_attributes": { "last_commit": { "id": SHA }, "source": { "git_http_url": "fork" } } }),
        ];
        for body in gitlab {
            assert_eq!(place(&body, None).unwrap(), ("https://gl.test/acme/sub/infra.git".to_owned(), SHA.to_owned()));
            assert_eq!(place(&body, Some("https://x.test/git")).unwrap().0, "https://x.test/git/acme/sub/infra.git");
        }
    }

    #[test]
    fn what_is_not_a_commit_never_reaches_git() {
        let push = |after: &str| json!({ "after": after, "repository": { "full_name": "a/b", "clone_url": "https://x.test/a/b" } });
        for bad in ["", "main", "--upload-pack=x", &SHA[1..], &format!("{SHA}0"), &SHA.replace('0', "g")] {
            assert_eq!(place(&push(bad), None).unwrap_err(), "the event's commit is not 40 or 64 hex digits", "{bad}");
        }
        assert_eq!(place(&push(&SHA.to_uppercase()), None).unwrap().1, SHA);
        assert!(place(&push(&"a".repeat(64)), None).is_ok());
        assert!(place(&push(&"0".repeat(40)), None).unwrap_err().contains("deleted"));
    }

    #[test]
    fn a_path_stays_below_its_base() {
        for bad in ["", "web", "../etc", "a/../b", "a//b", "/a/b", "a/.git", "a/b?x", "a/b c", "a/%2e%2e", "a/b\n"] {
            let body = json!({ "after": SHA, "repository": { "full_name": bad } });
            assert!(place(&body, Some("https://x.test")).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_names_no_repository_says_so() {
        assert!(of(b"\xff", Told::default()).is_err());
        for body in [json!(null), json!({ "after": SHA }), json!({ "after": 1, "repository": { "clone_url": "x" } })] {
            assert!(place(&body, None).unwrap_err().contains("names no commit"), "{body}");
        }
        let nowhere = json!({ "after": SHA, "repository": { "full_name": "a/b" } });
        assert_eq!(place(&nowhere, None).unwrap_err(), "the event does not say where its repository is");
    }
}
