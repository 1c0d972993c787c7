//! How a command ends: a sentence on standard error and a status that scripts can tell apart.

use std::fmt::Display;
use std::process::ExitCode;

/// A command that did not do what was asked.
#[derive(Debug)]
pub(crate) struct Exit {
    status: u8,
    message: String,
}

impl Exit {
    /// It failed.
    pub(crate) fn failure(message: impl Display) -> Self {
        Self { status: 1, message: message.to_string() }
    }

    /// It was used wrongly, or configured wrongly.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { status: 2, message: message.to_string() }
    }

    /// What it is about does not exist.
    pub(crate) fn not_found(message: impl Display) -> Self {
        Self { status: 3, message: message.to_string() }
    }

    /// The gateway did not accept the key.
    pub(crate) fn not_authorised(message: impl Display) -> Self {
        Self { status: 4, message: message.to_string() }
    }

    /// The gateway, or a check, said no.
    pub(crate) fn refused(message: impl Display) -> Self {
        Self { status: 5, message: message.to_string() }
    }

    /// Whether what it is about does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == 3
    }

    /// Says so.
    pub(crate) fn report(self) -> ExitCode {
        use std::io::Write;
        // There is nowhere left to complain when standard error is closed.
        let _ = writeln!(std::io::stderr(), "hookward: {}", self.message);
        ExitCode::from(self.status)
    }
}

impl From<anyhow::Error> for Exit {
    fn from(error: anyhow::Error) -> Self {
        Self::failure(format!("{error:#}"))
    }
}
