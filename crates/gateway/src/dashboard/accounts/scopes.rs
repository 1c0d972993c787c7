//! Scopes and roles as people choose them.

use std::collections::BTreeMap;

use hookward_engine::model::{Role, Scope, Scopes};

/// What the boxes of scopes are called in a form, before the scope's name.
const BOX: &str = "scope-";

/// A scope as a box to tick.
#[derive(Debug)]
pub(super) struct ScopeBox {
    pub(super) name: &'static str,
    pub(super) means: &'static str,
    pub(super) is_ticked: bool,
    /// Whether the visitor has it, and so may give it.
    pub(super) is_given: bool,
}

/// A role as a choice.
#[derive(Debug)]
pub(super) struct RoleChoice {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) means: &'static str,
    pub(super) is_chosen: bool,
    pub(super) is_given: bool,
}

/// All scopes, for a visitor who has `has`.
pub(super) fn boxes(ticked: Scopes, has: Scopes) -> Vec<ScopeBox> {
    let scope_box = |scope: Scope| ScopeBox {
        name: scope.name(),
        means: means(scope),
        is_ticked: ticked.contains(scope),
        is_given: has.contains(scope),
    };
    Scope::ALL.into_iter().map(scope_box).collect()
}

/// All roles, for a visitor who has `has`, and at last none of them.
pub(super) fn roles(chosen: Option<Role>, has: Scopes) -> Vec<RoleChoice> {
    let choice = |role: Role| RoleChoice {
        name: role.name(),
        title: title(role),
        means: meaning(role),
        is_chosen: chosen == Some(role),
        is_given: has.covers(role.scopes()),
    };
    let other = RoleChoice {
        name: "",
        title: "Other",
        means: "The scopes that are ticked below.",
        is_chosen: chosen.is_none(),
        is_given: true,
    };
    Role::ALL.into_iter().map(choice).chain([other]).collect()
}

/// The scopes whose boxes were ticked, among the fields of a form.
pub(super) fn ticked(fields: &BTreeMap<String, String>) -> Scopes {
    let names = fields.keys().filter_map(|name| name.strip_prefix(BOX));
    names.filter_map(|name| name.parse::<Scope>().ok()).collect()
}

/// The scopes of the role that a form chose, or of its boxes where it chose none.
pub(super) fn chosen(role: &str, fields: &BTreeMap<String, String>) -> Scopes {
    Role::named(role).map_or_else(|| ticked(fields), Role::scopes)
}

/// What somebody with these scopes is called: a role, or the scopes' names.
pub(super) fn name(scopes: Scopes) -> String {
    match Role::of(scopes) {
        Some(role) => title(role).to_owned(),
        None if scopes.is_empty() => "Nothing".to_owned(),
        None => scopes.iter().map(Scope::name).collect::<Vec<_>>().join(", "),
    }
}

fn title(role: Role) -> &'static str {
    match role {
        Role::Viewer => "Viewer",
        Role::Developer => "Developer",
        Role::Administrator => "Administrator",
        Role::SecretAdministrator => "Secret administrator",
    }
}

fn meaning(role: Role) -> &'static str {
    match role {
        Role::Viewer => "Sees everything but secrets.",
        Role::Developer => "Also publishes, consumes and redelivers.",
        Role::Administrator => "Also changes sources, destinations, keys and users.",
        Role::SecretAdministrator => "Also sees secrets and rotates them.",
    }
}

fn means(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "See everything but secrets.",
        Scope::Publish => "Publish events.",
        Scope::Pull => "Lease what pull destinations are owed.",
        Scope::Redeliver => "Redeliver events, cancel deliveries, pause and resume destinations.",
        Scope::Reveal => "See the value of a secret.",
        Scope::Rotate => "Set, rotate and revoke secrets.",
        Scope::Export => "Take the audit log and the configuration out.",
        Scope::Admin => "Change sources, destinations, keys and users.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_its_scopes_and_boxes_count_where_there_is_none() {
        let field = |name: &str| (name.to_owned(), "yes".to_owned());
        let fields = BTreeMap::from([field("scope-read"), field("scope-pull"), field("scope-owner"), field("admin")]);
        let boxes = [Scope::Read, Scope::Pull].into_iter().collect();
        assert_eq!((chosen("", &fields), chosen("viewer", &fields)), (boxes, Role::Viewer.scopes()));
        assert_eq!((name(boxes), name(Scopes::ALL)), ("read, pull".to_owned(), "Secret administrator".to_owned()));
        assert_eq!(name(Scopes::default()), "Nothing");
    }
}
