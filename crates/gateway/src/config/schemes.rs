//! `[[scheme]]`: private schemes, in the syntax of a scheme file, beside which they may say that they replace one of the catalog.
//! What a scheme may say is the library's; whose a name is, the engine's.

use hookward::Scheme;
use hookward_engine::DeclaredScheme;
use hookward_engine::model::{REPLACES_CATALOG, replaces_catalog};
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use super::{Check, problems};

/// A private scheme as declared.
#[derive(Debug)]
pub struct SchemeDeclaration {
    /// What it does.
    pub scheme: Scheme,
    /// Its file, and its table as it was given.
    pub declared: DeclaredScheme,
}

impl SchemeDeclaration {
    /// Whether it has the name of one of the catalog and does not say that it means to.
    pub fn hides_unsaid(&self) -> bool {
        hookward::catalog::has(&self.declared.name) && !replaces_catalog(&self.declared.table)
    }
}

/// The tables of a file, read as schemes.
#[derive(Debug, Deserialize)]
struct AsSchemes {
    #[serde(rename = "scheme")]
    _scheme: Vec<Scheme>,
}

pub(super) fn schemes(check: &mut Check<'_>, tables: Vec<Spanned<toml::Table>>) -> Vec<SchemeDeclaration> {
    let mut schemes: Vec<SchemeDeclaration> = Vec::new();
    let mut is_first = true;
    for table in tables {
        match read(table.get_ref()) {
            Ok(one) if schemes.iter().any(|other| other.declared.name == one.declared.name) => {
                check.problem(&table, format!("there are two schemes `{}`", one.declared.name));
            }
            Ok(one) => schemes.push(one),
            Err(problem) => {
                // The reader stops at the first of them, and knows where in it.
                let read = toml::from_str::<AsSchemes>(check.text).err().filter(|error| error.span().is_some());
                let says_more = table.get_ref().contains_key(REPLACES_CATALOG);
                match read.filter(|_| is_first && !says_more) {
                    Some(error) => check.problems.push(problems::from_toml(check.text, &error)),
                    None => check.problem(&table, format!("this scheme cannot be used: {problem}")),
                }
                is_first = false;
            }
        }
        is_first &= !table.get_ref().contains_key(REPLACES_CATALOG);
    }
    schemes
}

fn read(table: &toml::Table) -> Result<SchemeDeclaration, String> {
    let mut file = table.clone();
    if file.remove(REPLACES_CATALOG).is_some_and(|said| !said.is_bool()) {
        return Err(format!("`{REPLACES_CATALOG}` is true or false"));
    }
    let toml = toml::to_string(&file).expect("a table that was read can be written");
    let scheme = Scheme::from_toml(&toml).map_err(|error| error.to_string())?;
    let table: Value = serde_json::to_value(table).map_err(|error| error.to_string())?;
    Ok(SchemeDeclaration { declared: DeclaredScheme { name: scheme.name().to_owned(), toml, table }, scheme })
}

/// What the operator should know of private schemes of the file that is served.
pub(super) fn notices(schemes: &[SchemeDeclaration]) -> impl Iterator<Item = String> {
    schemes.iter().filter(|scheme| scheme.hides_unsaid()).map(|scheme| {
        let name = &scheme.declared.name;
        format!(
            "scheme `{name}` hides the one of the catalog: say `{REPLACES_CATALOG} = true` in it if it should, or give it \
             another name; a gateway that did not serve it before refuses it"
        )
    })
}
