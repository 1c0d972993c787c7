//! What a report says: one line for a status, Markdown for a comment. Says nothing that a program's output could forge.

use std::fmt::Write;

use crate::model::{Concluded, Outcome};

use super::subject::Subject;

/// The longest description that both hosts show in full, in characters.
const DESCRIPTION_MAX: usize = 140;

/// How it ended, as far as a code host tells these apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Passed,
    /// The program ran and said no.
    Failed,
    /// It did not come to an end of its own.
    Broken,
}

/// A report, ready to be sent.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) state: State,
    /// At most [`DESCRIPTION_MAX`] characters.
    pub(super) description: String,
    /// Tells our comment from others: its first line.
    pub(super) mark: String,
    /// The comment, the mark included.
    pub(super) comment: String,
    /// The delivery told of: the same however often it is told.
    pub(super) delivery: String,
}

impl Message {
    pub(super) fn new(concluded: &Concluded, subject: &Subject) -> Self {
        let attempt = &concluded.attempt;
        let state = match attempt.outcome {
            Outcome::Success => State::Passed,
            Outcome::Exit => State::Failed,
            _ => State::Broken,
        };
        let took = format!("{:.1} s", attempt.duration.as_secs_f64());
        let description = match state {
            State::Passed => format!("passed in {took}"),
            State::Failed => format!("failed after {took}: {}", attempt.detail),
            State::Broken => format!("did not finish: {}", attempt.detail),
        };
        let description: String = description.chars().take(DESCRIPTION_MAX).collect();
        // A name is letters, digits and hyphens, so it cannot end the comment that the mark is.
        let mark = format!("<!-- hookward:{} -->", concluded.destination);
        let mut comment = format!("{mark}\n**{}** on {}: {description}\n", concluded.destination, subject.commit);
        let output = String::from_utf8_lossy(&attempt.excerpt);
        if !output.trim().is_empty() {
            let fence = fence(&output);
            let end = if output.ends_with('\n') { "" } else { "\n" };
            write!(
                comment,
                "\n<details><summary>Output</summary>\n\n{fence}text\n{output}{end}{fence}\n\n</details>\n"
            )
            .expect("writing to a string does not fail");
        }
        Self { state, description, mark, comment, delivery: concluded.delivery.to_string() }
    }
}

/// More backticks than anywhere in `output`, so that the output stays inside.
fn fence(output: &str) -> String {
    let longest = output.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_output_gets_out_of_its_fence() {
        assert_eq!(fence("plain"), "```");
        assert_eq!(fence("a ``` b"), "````");
        assert_eq!(fence("`````\n# heading"), "``````");
    }
}
