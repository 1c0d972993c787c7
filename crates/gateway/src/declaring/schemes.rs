//! Private schemes on their way into force: the scheme file that was sent, and those of the file that is served. Which scheme
//! a name means is the engine's.

use hookward::Scheme;
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::{Principal, PrivateScheme, REPLACES_CATALOG};
use hookward_engine::schemes::{Hidden, KnownScheme, SCHEME_MAX};
use hookward_engine::{Authority, Declared, DeclaredScheme, Engine, EngineError};
use serde_json::{Map, Value};

use super::{Declaring, Refused};
use crate::config::SchemeDeclaration;

impl Declaring {
    /// Whether the served file may have these schemes.
    pub(crate) async fn admit_schemes(&self, schemes: &[SchemeDeclaration]) -> Result<(), EngineError> {
        let names: Vec<&str> = schemes.iter().map(|one| one.declared.name.as_str()).collect();
        let unsaid = schemes.iter().filter(|one| one.hides_unsaid()).map(|one| one.declared.name.as_str());
        self.engine.admit_served_schemes(&names, &unsaid.collect::<Vec<_>>()).await
    }

    /// Makes the scheme file `toml` an organization's own scheme `name`, or what that is from now on.
    pub(crate) async fn put_scheme(
        &self,
        by: &Principal,
        name: &str,
        toml: String,
        replaces_catalog: bool,
    ) -> Result<(), Refused> {
        if toml.len() > SCHEME_MAX {
            let problem = format!("scheme `{}`: a scheme file has at most {SCHEME_MAX} bytes", name.escape_debug());
            return Err(EngineError::Invalid(problem).into());
        }
        Scheme::from_toml(&toml).map_err(Refused::Scheme)?;
        let mut table: Map<String, Value> = toml::from_str(&toml).expect("a scheme file is a table");
        let _one_at_a_time = self.one_at_a_time.lock().await;
        let old = own(&self.engine, by.organization, name);
        if replaces_catalog || old.as_ref().is_some_and(PrivateScheme::replaces_catalog) {
            table.insert(REPLACES_CATALOG.to_owned(), Value::Bool(true));
        }
        let authority = if old.is_some() { Authority::Alteration } else { Authority::Creation };
        let one = DeclaredScheme { name: name.to_owned(), toml, table: Value::Object(table) };
        let declared = Declared { schemes: vec![one], ..Declared::default() };
        self.engine.declare(by, authority, declared).await?;
        Ok(())
    }
}

/// The one of this name.
pub(super) fn own(engine: &Engine, organization: OrganizationId, name: &str) -> Option<PrivateScheme> {
    engine.own_schemes(organization).into_iter().find(|own| own.name == name)
}

/// The schemes that an organization may name besides the catalog's.
pub(super) fn known(engine: &Engine, organization: OrganizationId) -> Vec<Scheme> {
    let private = engine.private_schemes(organization).into_iter();
    private.filter_map(|known| known.scheme.ok()).map(|scheme| (*scheme).clone()).collect()
}

/// What is said of a private scheme that another one of its name came to stand behind.
pub(super) fn overtaken(known: &KnownScheme) -> String {
    let name = &known.name;
    match known.hides {
        Some(Hidden::ServedFile) => {
            format!("the private scheme `{name}` of an organization hides the configuration file's")
        }
        Some(Hidden::Catalog) | None => format!("the private scheme `{name}` of an organization hides the catalog's"),
    }
}
