//! How a command ends: a sentence on standard error and a status that scripts can tell apart.

use std::fmt::{Display, Formatter};
use std::process::ExitCode;

use crate::config::ConfigError;

/// A command that did not do what was asked.
#[derive(Debug)]
pub(crate) struct Exit {
    status: u8,
    /// What it says, the program's name included where it helps.
    message: String,
}

impl Exit {
    fn new(status: u8, message: impl Display) -> Self {
        Self { status, message: format!("hookward: {message}") }
    }

    /// It failed.
    pub(crate) fn failure(message: impl Display) -> Self {
        Self::new(1, message)
    }

    /// It was used wrongly, or configured wrongly.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self::new(2, message)
    }

    /// What it is about does not exist.
    pub(crate) fn not_found(message: impl Display) -> Self {
        Self::new(3, message)
    }

    /// The gateway did not accept the key.
    pub(crate) fn not_authorised(message: impl Display) -> Self {
        Self::new(4, message)
    }

    /// The gateway, or a check, said no.
    pub(crate) fn refused(message: impl Display) -> Self {
        Self::new(5, message)
    }

    /// Whether what it is about does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == 3
    }

    /// Whether it may be otherwise in a moment: nothing answers, or it says that it cannot now.
    pub(crate) fn may_pass(&self) -> bool {
        self.status == 1
    }

    /// Says so.
    pub(crate) fn report(self) -> ExitCode {
        use std::io::Write;
        // There is nowhere left to complain when standard error is closed.
        let _ = writeln!(std::io::stderr(), "{}", self.message);
        ExitCode::from(self.status)
    }
}

/// What it says, without the program's name.
impl Display for Exit {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message.strip_prefix("hookward: ").unwrap_or(&self.message))
    }
}

/// `file:line:column: …` alone on its line, which editors can follow.
impl From<ConfigError> for Exit {
    fn from(error: ConfigError) -> Self {
        Self { status: 2, message: error.to_string() }
    }
}

impl From<anyhow::Error> for Exit {
    fn from(error: anyhow::Error) -> Self {
        Self::failure(format!("{error:#}"))
    }
}
