//! How a person wants pages to look: kept in their browser, in a cookie that says nothing else.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;

use super::form::Form;
use super::page;
use super::visitor::Anybody;

const COOKIE: &str = "hookward_look";

/// Light, dark, or as the system has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

/// In which zone exact times are. Where there is no script they are in UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Zone {
    /// The browser's.
    #[default]
    Local,
    Utc,
}

/// Both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Preferences {
    pub(super) theme: Theme,
    pub(super) zone: Zone,
}

impl Theme {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

impl Zone {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Utc => "utc",
        }
    }
}

impl Preferences {
    /// What the browser keeps. Anything else is as if there were nothing.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let kept = pairs.find(|(name, _)| *name == COOKIE).map_or("", |(_, value)| value);
        let (theme, zone) = kept.split_once('.').unwrap_or_default();
        Self {
            theme: match theme {
                "light" => Theme::Light,
                "dark" => Theme::Dark,
                _ => Theme::System,
            },
            zone: if zone == "utc" { Zone::Utc } else { Zone::Local },
        }
    }

    fn cookie(self) -> HeaderValue {
        let (theme, zone) = (self.theme.name(), self.zone.name());
        let cookie = format!("{COOKIE}={theme}.{zone}; Path=/dashboard; HttpOnly; SameSite=Strict; Max-Age=31536000");
        HeaderValue::from_str(&cookie).expect("a cookie is visible ASCII")
    }
}

/// What is to change.
#[derive(Debug, Deserialize)]
pub(super) struct Changed {
    theme: Option<Theme>,
    zone: Option<Zone>,
    /// The page to go back to.
    #[serde(default)]
    back: String,
}

/// `POST /dashboard/preferences`
pub(super) async fn change(Anybody(look): Anybody, Form(changed): Form<Changed>) -> Response {
    let Changed { theme, zone, back } = changed;
    let kept = look.preferences;
    let preferences = Preferences { theme: theme.unwrap_or(kept.theme), zone: zone.unwrap_or(kept.zone) };
    ([(header::SET_COOKIE, preferences.cookie())], page::see_other(page::own_path(&back))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_anything_else_is_nothing() {
        let read = |cookie: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
            Preferences::read(&headers)
        };
        let dark = Preferences { theme: Theme::Dark, zone: Zone::Utc };
        let cookie = dark.cookie();
        assert_eq!(read(cookie.to_str().unwrap().split(';').next().unwrap()), dark);
        assert_eq!(read("a=b; hookward_look=light.local"), Preferences { theme: Theme::Light, zone: Zone::Local });
        for other in ["hookward_look=", "hookward_look=<b>.utc2", "x=y"] {
            assert_eq!(read(other), Preferences::default(), "{other}");
        }
    }
}
