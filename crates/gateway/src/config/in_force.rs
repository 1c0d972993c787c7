//! The configuration as it is in force, setting by setting, and where each value comes from: for whoever looks at a running
//! gateway. Owns the words for both; no secret is among them. What is said of one source or destination is shown with that.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hookward_engine::Waking;
use hookward_engine::event_types::Undeclared;
use hookward_engine::model::Retention;
use ipnet::IpNet;
use toml::de::{DeTable, DeValue};

use super::{AwsKey, Config, Environment, KeyManagement, KeyProvider, Limits, Pkcs11Key, Problem, Settings, Token};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueOrigin {
    /// It is built in: nobody said anything else.
    Default,
    /// The configuration file says so.
    File {
        /// In this line, from 1.
        line: usize,
    },
    /// A variable of the environment says so.
    Environment {
        /// Which.
        variable: String,
    },
    /// An option of the command line says so.
    CommandLine {
        /// Which.
        option: &'static str,
    },
}

/// One setting as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Its table and its name, as in `limits.body_bytes`.
    pub name: &'static str,
    /// As the file would write it, without the quotes; a secret is not told.
    pub value: String,
    /// Where it comes from.
    pub origin: ValueOrigin,
}

/// Which settings somebody wrote down, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    file: String,
    origins: BTreeMap<String, ValueOrigin>,
}

impl Written {
    /// What the file called `name` says in `text`, which is known to be one.
    pub(super) fn of(text: &str, name: &str, environment: &Environment<'_>) -> Self {
        let mut written = Self { file: name.to_owned(), origins: BTreeMap::new() };
        if let Ok(table) = DeTable::parse(text) {
            written.note(text, "", table.get_ref(), environment);
        }
        written
    }

    fn note(&mut self, text: &str, above: &str, table: &DeTable<'_>, environment: &Environment<'_>) {
        for (key, value) in table {
            let name = format!("{above}{}", key.get_ref());
            if let DeValue::Table(table) = value.get_ref() {
                self.note(text, &format!("{name}."), table, environment);
                continue;
            }
            let variable = value.get_ref().as_str().and_then(|text| text.strip_prefix("env:"));
            let variable = variable.map(|reference| reference.split_once(":-").map_or(reference, |(name, _)| name));
            let is_set = |name: &&str| environment(name).is_some_and(|value| !value.is_empty());
            let origin = match variable.filter(is_set) {
                Some(variable) => ValueOrigin::Environment { variable: variable.to_owned() },
                None => ValueOrigin::File { line: Problem::at(text, key.span().start, "").line },
            };
            self.origins.insert(name, origin);
        }
    }

    /// The command line has another word on a setting.
    pub(crate) fn overrule(&mut self, name: &str, option: &'static str) {
        self.origins.insert(name.to_owned(), ValueOrigin::CommandLine { option });
    }
}

/// Settings as they are listed.
struct Rows<'w> {
    written: &'w Written,
    rows: Vec<InForce>,
}

const NOT_TOLD: &str = "not shown";
const NOT_SET: &str = "not set";

impl Config {
    /// The file's name, if there is one.
    pub(crate) fn file(&self) -> Option<&str> {
        self.is_file.then_some(&*self.written.file)
    }

    /// Every setting that is the same for all sources and destinations, in the order of the file that explains them.
    pub(crate) fn in_force(&self) -> Vec<InForce> {
        let mut rows = Rows { written: &self.written, rows: Vec::new() };
        rows.settings(&self.settings);
        rows.retention(&self.retention);
        rows.names("unmatched", self.unmatched.iter().map(|unmatched| unmatched.prefix.as_str()));
        rows.names("scheme", self.schemes.iter().map(|one| one.scheme.name()));
        rows.names("oidc", self.oidc.iter().map(|provider| provider.name.as_str()));
        let (value, origin) = match self.api_key {
            Some(_) => {
                let variable = "HOOKWARD_API_KEY".to_owned();
                (NOT_TOLD.to_owned(), ValueOrigin::Environment { variable })
            }
            None => (in_directory(&self.settings.data, "api-key"), ValueOrigin::Default),
        };
        rows.rows.push(InForce { name: "bootstrap API key", value, origin });
        rows.rows
    }
}

impl Rows<'_> {
    fn add(&mut self, name: &'static str, value: impl Into<String>) {
        let origin = self.written.origins.get(name).cloned().unwrap_or(ValueOrigin::Default);
        self.rows.push(InForce { name, value: value.into(), origin });
    }

    /// A setting that a variable stands in for when the file is silent.
    fn add_or_variable(&mut self, name: &'static str, value: impl Into<String>, variable: &str) {
        let silent = || ValueOrigin::Environment { variable: variable.to_owned() };
        let origin = self.written.origins.get(name).cloned().unwrap_or_else(silent);
        self.rows.push(InForce { name, value: value.into(), origin });
    }

    fn optional(&mut self, name: &'static str, value: Option<impl Into<String>>) {
        self.add(name, value.map_or_else(|| NOT_SET.to_owned(), Into::into));
    }

    fn names<'n>(&mut self, name: &'static str, names: impl Iterator<Item = &'n str>) {
        let names: Vec<&str> = names.collect();
        self.add(name, if names.is_empty() { "none".to_owned() } else { names.join(", ") });
    }

    fn address(&mut self, name: &'static str, address: SocketAddr) {
        self.add(name, address.to_string());
    }

    fn ranges(&mut self, name: &'static str, ranges: &[IpNet]) {
        let ranges: Vec<String> = ranges.iter().map(IpNet::to_string).collect();
        self.names(name, ranges.iter().map(String::as_str));
    }

    /// A setting that is new does not compile before it has its row.
    fn settings(&mut self, settings: &Settings) {
        let Settings {
            data,
            database,
            node,
            kms,
            checkouts,
            public,
            origin,
            trusted_proxies,
            admin,
            admin_origin,
            admin_trusted_proxies,
            commands_over_api,
            key_prefix,
            limits,
            egress_allow,
            egress_allow_everything,
            undeclared_types,
            egress_allow_own,
            publish_head,
            egress_roots,
        } = settings;
        self.add("data", data.display().to_string());
        self.optional("database.address", database.as_ref().map(|database| database.access.address.as_str()));
        let ca = database.as_ref().and_then(|database| database.access.ca.as_deref());
        self.optional("database.ca", ca.map(|path| path.display().to_string()));
        let waking = database.as_ref().map_or(Waking::Knocks, |database| database.waking);
        self.add("database.listen", (waking == Waking::Knocks).to_string());
        self.optional("node.name", node.name.as_deref());
        self.add("node.validity", lapse(node.validity));
        self.address("public.address", *public);
        self.optional("public.origin", origin.as_deref());
        self.ranges("public.trusted_proxies", trusted_proxies);
        self.address("admin.address", *admin);
        self.optional("admin.origin", admin_origin.as_deref());
        self.ranges("admin.trusted_proxies", admin_trusted_proxies);
        self.optional("admin.key_prefix", key_prefix.as_deref());
        self.add("admin.commands", commands_over_api.to_string());
        self.limits(limits);
        self.ranges("egress.allow", egress_allow);
        self.add("egress.allow_everything", egress_allow_everything.to_string());
        self.add("egress.allow_own", egress_allow_own.to_string());
        self.optional("egress.extra_roots", egress_roots.as_ref().map(|path| path.display().to_string()));
        self.kms(kms, data);
        let checkouts = checkouts.as_ref().map(|path| path.display().to_string());
        self.add("checkouts.directory", checkouts.unwrap_or_else(|| in_directory(data, "checkouts")));
        self.optional("audit.publish_head", publish_head.map(lapse));
        let undeclared = match undeclared_types {
            Undeclared::Accept => "accept",
            Undeclared::Refuse => "refuse",
        };
        self.add("publishing.undeclared_types", undeclared);
    }

    fn limits(&mut self, limits: &Limits) {
        let Limits {
            body_bytes,
            bodies_bytes,
            header_bytes,
            header_count,
            header_timeout,
            body_timeout,
            idle_timeout,
            connections,
            drain_timeout,
            lease_margin,
        } = limits;
        self.add("limits.body_bytes", size(*body_bytes as u64));
        self.add("limits.bodies_bytes", size(*bodies_bytes as u64));
        self.add("limits.header_bytes", size(*header_bytes as u64));
        self.add("limits.header_count", header_count.to_string());
        self.add("limits.header_timeout", lapse(*header_timeout));
        self.add("limits.body_timeout", lapse(*body_timeout));
        self.add("limits.idle_timeout", lapse(*idle_timeout));
        self.add("limits.connections", connections.to_string());
        self.add("limits.drain_timeout", lapse(*drain_timeout));
        self.add("limits.lease_margin", lapse(*lease_margin));
    }

    fn kms(&mut self, kms: &KeyManagement, data: &Path) {
        let KeyManagement { current, previous, cache_ttl, timeout } = kms;
        self.add("kms.provider", provider(current));
        match current {
            KeyProvider::Local { key_file } => {
                let key_file = key_file.as_ref().map(|path| path.display().to_string());
                self.add("kms.key_file", key_file.unwrap_or_else(|| in_directory(data, "master.key")));
            }
            KeyProvider::Environment { key: _ } => self.add("kms.key", NOT_TOLD),
            KeyProvider::Aws(key) => self.aws(key),
            KeyProvider::Pkcs11(Pkcs11Key { module, token, key_label, pin: _ }) => {
                self.add("kms.module", module.display().to_string());
                match token {
                    Token::Label(label) => self.add("kms.token", label),
                    Token::Slot(slot) => self.add("kms.slot", slot.to_string()),
                }
                self.add("kms.key_label", key_label);
                self.add("kms.pin", NOT_TOLD);
            }
        }
        self.names("kms.previous", previous.iter().map(provider));
        self.add("kms.cache_ttl", lapse(*cache_ttl));
        self.add("kms.timeout", lapse(*timeout));
    }

    fn aws(&mut self, key: &AwsKey) {
        let AwsKey { key_id, region, endpoint, access_key_id: _, secret_access_key: _, session_token } = key;
        self.add("kms.key_id", key_id);
        self.add_or_variable("kms.region", region, "AWS_REGION or AWS_DEFAULT_REGION");
        self.optional("kms.endpoint", endpoint.as_deref());
        self.add_or_variable("kms.access_key_id", NOT_TOLD, "AWS_ACCESS_KEY_ID");
        self.add_or_variable("kms.secret_access_key", NOT_TOLD, "AWS_SECRET_ACCESS_KEY");
        if session_token.is_some() {
            self.add_or_variable("kms.session_token", NOT_TOLD, "AWS_SESSION_TOKEN");
        }
    }

    fn retention(&mut self, retention: &Retention) {
        let Retention { age, size_bytes } = retention;
        self.add("retention.age", age.map_or_else(|| "for ever".to_owned(), lapse));
        self.add("retention.size", size_bytes.map_or_else(|| "without a limit".to_owned(), size));
    }
}

fn provider(provider: &KeyProvider) -> &'static str {
    match provider {
        KeyProvider::Local { .. } => "local",
        KeyProvider::Environment { .. } => "environment",
        KeyProvider::Aws(_) => "aws",
        KeyProvider::Pkcs11(_) => "pkcs11",
    }
}

fn in_directory(directory: &Path, name: &str) -> String {
    directory.join(name).display().to_string()
}

/// A lapse of time as the file writes it, in the largest unit that leaves no rest.
fn lapse(lapse: Duration) -> String {
    const UNITS: [(u128, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let millis = lapse.as_millis();
    match UNITS.iter().find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None => format!("{millis}ms"),
    }
}

/// A number of bytes as the file writes it, in the largest unit that leaves no rest.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_is_written_as_the_file_would() {
        let lapses = [0, 250, 1_000, 90_000, 3_600_000, 86_400_000, 129_600_000].map(Duration::from_millis).map(lapse);
        assert_eq!(lapses, ["0ms", "250ms", "1s", "90s", "1h", "1d", "36h"]);
        assert!(lapses.iter().all(|text| super::super::parse_lapse(text).is_some()));
        assert_eq!(
            [0, 512, 1024, 1536, 26_214_400, 1 << 30].map(size),
            ["0B", "512B", "1KiB", "1536B", "25MiB", "1GiB"]
        );
    }

    /// The explained defaults have a row for every key that they set, whose value is what they say.
    #[test]
    fn every_default_that_is_explained_is_listed() {
        let listed = Config::defaults().in_force();
        let defaults: toml::Table = toml::from_str(super::super::DEFAULT).unwrap();
        let mut found = 0;
        for (table, value) in &defaults {
            let value =
                value.as_table().cloned().unwrap_or_else(|| [(String::new(), value.clone())].into_iter().collect());
            for (name, value) in value {
                let name = format!("{table}.{name}");
                let name = name.trim_end_matches('.');
                let row = listed.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{name} is not listed"));
                let said = match value {
                    toml::Value::String(text) => text,
                    toml::Value::Array(list) if list.is_empty() => "none".to_owned(),
                    other => other.to_string(),
                };
                let lapse = super::super::parse_lapse;
                assert!(row.value == said || lapse(&row.value).is_some_and(|is| lapse(&said) == Some(is)), "{row:?}");
                assert_eq!(row.origin, ValueOrigin::Default, "{name}");
                found += 1;
            }
        }
        assert!(found > 15, "{found}");
    }

    #[test]
    fn each_value_says_where_it_comes_from() {
        let text = "data = \"/srv/hooks\"\n[limits]\nheader_count = 50\n[kms]\nprovider = \"environment\"\nkey = \"env:SEAL\"\n";
        let key = "0123456789abcdef".repeat(4);
        let mut config = Config::parse(text, "hooks.toml", &|name| (name == "SEAL").then(|| key.clone())).unwrap();
        config.written.overrule("data", "--data");
        let rows = config.in_force();
        let of =
            |name: &str| rows.iter().find(|row| row.name == name).map(|row| (row.value.as_str(), row.origin.clone()));
        assert_eq!(config.file(), Some("hooks.toml"));
        assert_eq!(of("data"), Some(("/srv/hooks", ValueOrigin::CommandLine { option: "--data" })));
        assert_eq!(of("limits.header_count"), Some(("50", ValueOrigin::File { line: 3 })));
        assert_eq!(of("limits.connections"), Some(("4096", ValueOrigin::Default)));
        assert_eq!(of("kms.key"), Some((NOT_TOLD, ValueOrigin::Environment { variable: "SEAL".to_owned() })));
        assert!(!format!("{rows:?}").contains(&key), "a key is never told");
        assert_eq!(Config::defaults().file(), None);
    }
}
