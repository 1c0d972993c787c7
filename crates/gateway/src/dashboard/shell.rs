//! What stands around every page: where one can go, who one is, how it looks. A page's template fills the rest.

use hookward_engine::model::Scope;

use super::assets;
use super::notice::Notice;
use super::page::escaped;
use super::preferences::Preferences;
use super::visitor::{Look, Visitor};
use crate::api::Api;

/// A part of the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Events,
    Sources,
    Destinations,
    Audit,
    Keys,
    Users,
    Encryption,
    System,
    Settings,
}

impl Section {
    /// Whether there is anything in it for this visitor. Its pages say so themselves, whatever is shown.
    fn is_open_to(self, look: &Look) -> bool {
        let may = |scope| look.who.scopes.contains(scope);
        match self {
            Self::Settings => true,
            Self::Keys | Self::Users => may(Scope::Admin),
            Self::Encryption | Self::System => may(Scope::Admin) && look.who.principal.operates(),
            Self::Overview | Self::Events | Self::Sources | Self::Destinations | Self::Audit => may(Scope::Read),
        }
    }
}

/// One way to go.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    /// The key that goes there, after `g`.
    pub(super) key: &'static str,
    pub(super) icon: &'static str,
    pub(super) is_here: bool,
}

/// Section, name, path, key, icon.
const WAYS: [(Section, &str, &str, &str, &str); 10] = [
    (Section::Overview, "Overview", "/dashboard", "o", "overview"),
    (Section::Events, "Events", "/dashboard/events", "e", "events"),
    (Section::Sources, "Sources", "/dashboard/sources", "s", "sources"),
    (Section::Destinations, "Destinations", "/dashboard/destinations", "d", "destinations"),
    (Section::Audit, "Audit log", "/dashboard/audit", "a", "audit"),
    (Section::Keys, "API keys", "/dashboard/keys", "k", "keys"),
    (Section::Users, "Users", "/dashboard/users", "u", "users"),
    (Section::Encryption, "Encryption", "/dashboard/encryption", "c", "lock"),
    (Section::System, "System", "/dashboard/system", "y", "system"),
    (Section::Settings, "Settings", "/dashboard/settings", "t", "settings"),
];

/// The frame of one page.
#[derive(Debug)]
pub(super) struct Shell {
    /// What the window is called.
    pub(super) title: String,
    pub(super) ways: Vec<Way>,
    /// The user's address.
    pub(super) who: String,
    pub(super) organization: String,
    pub(super) token: String,
    pub(super) theme: &'static str,
    pub(super) zone: &'static str,
    /// This page, to come back to.
    pub(super) path: String,
    pub(super) notice: Option<&'static str>,
    pub(super) styles: String,
    pub(super) script: String,
    pub(super) sign: String,
}

/// The frame of a page of somebody who is not signed in.
#[derive(Debug)]
pub(super) struct Lone {
    pub(super) theme: &'static str,
    pub(super) styles: String,
    pub(super) script: String,
    pub(super) sign: String,
}

impl Lone {
    pub(super) fn new(preferences: Preferences) -> Self {
        Self {
            theme: preferences.theme.name(),
            styles: assets::url("dashboard.css"),
            script: assets::url("dashboard.js"),
            sign: assets::url("sign.svg"),
        }
    }
}

impl<S> Visitor<S> {
    /// The frame of a page of `section` that is called `title`.
    pub(super) fn shell(&self, api: &Api, section: Section, title: impl Into<String>) -> Shell {
        Shell::new(&self.look, api, section, title.into())
    }
}

impl Look {
    /// The same for whoever it is.
    pub(super) fn shell(&self, api: &Api, section: Section, title: impl Into<String>) -> Shell {
        Shell::new(self, api, section, title.into())
    }
}

impl Shell {
    fn new(look: &Look, api: &Api, section: Section, title: String) -> Self {
        let way = |&(of, name, path, key, icon): &(Section, &'static str, _, _, _)| Way {
            name,
            path,
            key,
            icon,
            is_here: of == section,
        };
        let principal = &look.who.principal;
        let organization = api.engine().organization(principal.organization);
        Self {
            title,
            ways: WAYS.iter().filter(|(of, ..)| of.is_open_to(look)).map(way).collect(),
            who: principal.actor.strip_prefix("user:").unwrap_or(&principal.actor).to_owned(),
            organization: organization.map_or_else(String::new, |organization| organization.name),
            token: look.token.to_string(),
            theme: look.preferences.theme.name(),
            zone: look.preferences.zone.name(),
            path: look.path.clone(),
            notice: None,
            styles: assets::url("dashboard.css"),
            script: assets::url("dashboard.js"),
            sign: assets::url("sign.svg"),
        }
    }

    /// The same, with what is to be said of the form that led here.
    pub(super) fn noticing(mut self, notice: Option<Notice>) -> Self {
        self.notice = notice.map(Notice::says).filter(|says| !says.is_empty());
        self
    }

    /// Text as a part of an address.
    pub(super) fn part(&self, text: &str) -> String {
        escaped(text)
    }
}
