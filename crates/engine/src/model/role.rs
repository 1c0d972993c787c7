//! Roles: names for sets of scopes that people often have. Each holds all of the one before it. A role is kept nowhere:
//! what is kept of a user is scopes.

use super::{Scope, Scopes};

/// A set of scopes that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sees everything but secrets.
    Viewer,
    /// Publishes, consumes, redelivers.
    Developer,
    /// Changes what is declared, and who may.
    Administrator,
    /// Sees secrets and rotates them as well.
    SecretAdministrator,
}

impl Role {
    /// All there are; each may do more than the one before.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Developer, Self::Administrator, Self::SecretAdministrator];

    /// Its name, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Administrator => "administrator",
            Self::SecretAdministrator => "secret-administrator",
        }
    }

    /// Its scopes.
    pub fn scopes(self) -> Scopes {
        let scopes: &[Scope] = match self {
            Self::Viewer => &[Scope::Read],
            Self::Developer => &[Scope::Read, Scope::Publish, Scope::Pull, Scope::Redeliver],
            Self::Administrator => {
                &[Scope::Read, Scope::Publish, Scope::Pull, Scope::Redeliver, Scope::Export, Scope::Admin]
            }
            Self::SecretAdministrator => &Scope::ALL,
        };
        scopes.iter().copied().collect()
    }

    /// The role that these scopes are, if they are one exactly.
    pub fn of(scopes: Scopes) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.scopes() == scopes)
    }

    /// The role of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_holds_the_one_before_and_the_last_is_everything() {
        for pair in Role::ALL.windows(2) {
            assert!(pair[1].scopes().covers(pair[0].scopes()) && pair[0] != pair[1], "{pair:?}");
        }
        assert_eq!(Role::SecretAdministrator.scopes(), Scopes::ALL);
        let sees_secrets = |role: &Role| role.scopes().contains(Scope::Reveal) || role.scopes().contains(Scope::Rotate);
        assert_eq!(Role::ALL.into_iter().filter(sees_secrets).collect::<Vec<_>>(), [Role::SecretAdministrator]);
        for role in Role::ALL {
            assert_eq!((Role::of(role.scopes()), Role::named(role.name())), (Some(role), Some(role)));
        }
        assert_eq!((Role::of(Scopes::default()), Role::named("owner")), (None, None));
    }
}
