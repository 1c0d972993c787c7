//! Who acts, in which organization, from where, and what that may be: scopes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::OrganizationId;

/// Who acts, in which organization, from where. Whatever is looked up by name is the organization's, and the audit log
/// tells of the act under all three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Whose things are meant.
    pub organization: OrganizationId,
    /// Who: `key:<name>`, `user:<email>`, `config`, `system`, or the door of a request, `source:<name>`.
    pub actor: String,
    /// From where: an address as the listener saw it; empty for what this process does by itself.
    pub address: String,
}

impl Principal {
    /// What the engine does by itself in an organization.
    pub fn system(organization: OrganizationId) -> Self {
        Self { organization, actor: "system".to_owned(), address: String::new() }
    }

    /// What the configuration says of the default organization.
    pub fn config() -> Self {
        Self { organization: OrganizationId::DEFAULT, actor: "config".to_owned(), address: String::new() }
    }

    /// Whether it may do what concerns the whole installation, given that its scopes allow it.
    pub fn operates(&self) -> bool {
        self.organization == OrganizationId::DEFAULT
    }
}

/// One thing that a key or a user may be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Scope {
    /// See everything but secrets.
    Read,
    /// Publish events.
    Publish,
    /// Lease what `pull` destinations are owed.
    Pull,
    /// Redeliver events, cancel deliveries, pause and resume destinations.
    Redeliver,
    /// See the value of a secret.
    Reveal,
    /// Set, rotate and revoke secrets.
    Rotate,
    /// Take the audit log and the configuration out.
    Export,
    /// Change sources, destinations, keys, users; in the default organization, the installation.
    Admin,
}

impl Scope {
    /// All there are, in their order.
    pub const ALL: [Self; 8] =
        [Self::Read, Self::Publish, Self::Pull, Self::Redeliver, Self::Reveal, Self::Rotate, Self::Export, Self::Admin];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Pull => "pull",
            Self::Redeliver => "redeliver",
            Self::Reveal => "reveal",
            Self::Rotate => "rotate",
            Self::Export => "export",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no scope `{}`; known are read, publish, pull, redeliver, reveal, rotate, export and admin", .0.escape_debug())]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// A set of scopes. Serialized as a list of names; `*` in a list given to it is all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Every scope.
    pub const ALL: Self = Self(u8::MAX);

    /// Whether `scope` is among them.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// Whether all of `others` are among them.
    pub fn covers(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, in their order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | 1 << scope as u8))
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Scope::name))
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        if names.iter().any(|name| name == "*") {
            return Ok(Self::ALL);
        }
        names.iter().map(|name| name.parse::<Scope>()).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_a_list_of_names() {
        let scopes: Scopes = serde_json::from_str(r#"["rotate","read"]"#).unwrap();
        assert_eq!(serde_json::to_string(&scopes).unwrap(), r#"["read","rotate"]"#);
        assert!(scopes.contains(Scope::Read) && !scopes.contains(Scope::Admin));
        assert_eq!(serde_json::from_str::<Scopes>(r#"["*"]"#).unwrap(), Scopes::ALL);
        assert_eq!(Scopes::ALL.iter().count(), Scope::ALL.len());
        let unknown = serde_json::from_str::<Scopes>(r#"["write"]"#).unwrap_err().to_string();
        assert!(unknown.starts_with("there is no scope `write`"), "{unknown}");
    }

    #[test]
    fn nobody_can_give_away_what_they_do_not_have() {
        let some: Scopes = [Scope::Read, Scope::Publish].into_iter().collect();
        assert!(Scopes::ALL.covers(some) && some.covers(some) && some.covers(Scopes::default()));
        assert!(!some.covers(Scopes::ALL));
    }
}
