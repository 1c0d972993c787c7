//! What an event is about, for a code host: the repository, the commit, the pull or merge request.
//! Read from a body that was verified; nothing of it is trusted to be well-formed.

use serde::Deserialize;

use crate::model::ReportProvider;

/// What a report is attached to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// `owner/name`, each segment of characters that need no escaping.
    pub(super) repository: String,
    /// 40 or 64 lower-case hexadecimal digits.
    pub(super) commit: String,
    /// The pull request's number, the merge request's `iid`.
    pub(super) request: Option<u64>,
}

impl Subject {
    /// The subject of a body; `None` for an event that names no commit that is there, like the deletion of a branch.
    pub(super) fn read(provider: ReportProvider, body: &[u8]) -> Result<Option<Self>, String> {
        let (repository, commit, request) = match provider {
            ReportProvider::Github => GithubBody::parts(body)?,
            ReportProvider::Gitlab => GitlabBody::parts(body)?,
        };
        let Some(commit) = commit.filter(|commit| commit.bytes().any(|digit| digit != b'0')) else { return Ok(None) };
        if !matches!(commit.len(), 40 | 64) || !commit.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
            return Err("the event's commit is not one: 40 or 64 hexadecimal digits".to_owned());
        }
        let segment = |text: &str| {
            let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
            !matches!(text, "" | "." | "..") && text.bytes().all(plain)
        };
        if !repository.contains('/') || !repository.split('/').all(segment) {
            return Err("the event's repository is not a path like `owner/name`".to_owned());
        }
        Ok(Some(Self { repository, commit, request }))
    }
}

type Parts = (String, Option<String>, Option<u64>);

#[derive(Deserialize)]
struct GithubBody {
    repository: GithubRepository,
    after: Option<String>,
    pull_request: Option<PullRequest>,
}

#[derive(Deserialize)]
struct GithubRepository {
    full_name: String,
}

#[derive(Deserialize)]
struct PullRequest {
    number: u64,
    head: Head,
}

#[derive(Deserialize)]
struct Head {
    sha: String,
}

impl GithubBody {
    fn parts(body: &[u8]) -> Result<Parts, String> {
        let body: Self = read(body)?;
        Ok(match body.pull_request {
            Some(request) => (body.repository.full_name, Some(request.head.sha), Some(request.number)),
            None => (body.repository.full_name, body.after, None),
        })
    }
}

#[derive(Deserialize)]
struct GitlabBody {
    project: GitlabProject,
    checkout_sha: Option<String>,
    after: Option<String>,
    object_attributes: Option<MergeRequest>,
}

#[derive(Deserialize)]
struct GitlabProject {
    path_with_namespace: String,
}

#[derive(Deserialize)]
struct MergeRequest {
    iid: Option<u64>,
    last_commit: Option<LastCommit>,
}

#[derive(Deserialize)]
struct LastCommit {
    id: String,
}

impl GitlabBody {
    fn parts(body: &[u8]) -> Result<Parts, String> {
        let body: Self = read(body)?;
        let path = body.project.path_with_namespace;
        Ok(match body.object_attributes {
            Some(MergeRequest { iid, last_commit: Some(commit) }) => (path, Some(commit.id), iid),
            _ => (path, body.checkout_sha.or(body.after), None),
        })
    }
}

/// The problem does not repeat the body.
fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| {
        format!("the body is not a push or a request for review: line {} column {}", error.line(), error.column())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn github(body: &str) -> Result<Option<Subject>, String> {
        Subject::read(ReportProvider::Github, body.as_bytes())
    }

    #[test]
    fn a_push_names_its_new_commit_and_a_pull_request_its_head() {
        let push = format!(r#"{{"repository":{{"full_name":"acme/web"}},"after":"{SHA}"}}"#);
        let expected = Subject { repository: "acme/web".to_owned(), commit: SHA.to_owned(), request: None };
        assert_eq!(github(&push), Ok(Some(expected)));
        let opened = format!(
            r#"{{"repository":{{"full_name":"acme/web"}},"pull_request":{{"number":7,"head":{{"sha":"{SHA}"}}}}}}"#
        );
        assert_eq!(github(&opened).unwrap().unwrap().request, Some(7));
        let merge = format!(
            r#"{{"project":{{"path_with_namespace":"a/b/c"}},"object_attributes":{{"iid":3,"last_commit":{{"id":"{SHA}"}}}}}}"#
        );
        let subject = Subject::read(ReportProvider::Gitlab, merge.as_bytes()).unwrap().unwrap();
        assert_eq!((subject.repository.as_str(), subject.request), ("a/b/c", Some(3)));
    }

    #[test]
    fn a_deleted_branch_has_nothing_to_tell_of() {
        let zeros = "0".repeat(40);
        let deleted = format!(r#"{{"repository":{{"full_name":"acme/web"}},"after":"{zeros}"}}"#);
        assert_eq!(github(&deleted), Ok(None));
    }

    #[test]
    fn nothing_of_a_body_reaches_a_path_unless_it_is_plain() {
        for repository in ["acme", "acme/../x", "acme/we b", "acme/", "/x", "acme/x?y", "acme/%2e"] {
            let push = format!(r#"{{"repository":{{"full_name":"{repository}"}},"after":"{SHA}"}}"#);
            assert!(github(&push).is_err(), "{repository}");
        }
        for commit in ["main", "HEAD", "0123", &SHA.to_uppercase(), &format!("{SHA}0")] {
            let push = format!(r#"{{"repository":{{"full_name":"acme/web"}},"after":"{commit}"}}"#);
            assert!(github(&push).is_err(), "{commit}");
        }
        assert!(github("[]").is_err());
    }
}
