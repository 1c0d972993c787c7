//! How a source or a destination came to be declared.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What was declared, and by whom.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Declaration {
    /// The table as it was given: references are kept as references, and no secret stands in it.
    pub table: Value,
    /// Who may change it.
    pub manager: Manager,
}

/// Who may change a source or a destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manager {
    /// A configuration file: nobody else may.
    #[default]
    File,
    /// The API.
    Api,
}

impl Manager {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Api => "api",
        }
    }
}
