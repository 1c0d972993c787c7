//! The schemes that sources and destinations may name: an organization's own first, then those of the served file, then the
//! catalog. Owns which one a name means; how private ones come into force is `declare`'s, what a scheme does the library's.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hookward::{Scheme, SchemeError, catalog};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::ids::OrganizationId;
use crate::model::{Destination, PrivateScheme, Proof, Source, is_setting};
use crate::redact::Credentials;
use crate::store::Change;

/// The largest scheme file of a private scheme, in bytes.
pub const SCHEME_MAX: usize = 64 << 10;

/// The most private schemes that an organization has.
pub const SCHEMES_MAX: usize = 100;

/// The most proofs that a private scheme has: a request costs as many looks at its body.
pub const PROOFS_MAX: usize = 16;

/// The engine's note of the names that private schemes of the served file had.
const OF_SERVED_FILE: &str = "schemes_of_served_file";

/// A private scheme in force.
#[derive(Debug)]
pub(crate) struct LiveScheme {
    pub(crate) declared: PrivateScheme,
    /// `Err` for a file that was taken once and is not any more. Nothing else takes its place.
    scheme: Result<Arc<Scheme>, SchemeError>,
}

impl LiveScheme {
    pub(crate) fn new(declared: PrivateScheme) -> Self {
        let scheme = Scheme::from_toml(&declared.toml).map(Arc::new);
        if let Err(error) = &scheme {
            let (name, organization) = (&declared.name, declared.organization);
            tracing::error!(name, %organization, %error, "a private scheme cannot be used any more");
        }
        Self { declared, scheme }
    }
}

/// The private schemes of an organization.
pub(crate) type OwnSchemes = BTreeMap<String, Arc<LiveScheme>>;

/// Where requests of schemes carry the secret itself.
#[derive(Debug, Clone, Default)]
struct Places {
    headers: Vec<String>,
    query: Vec<String>,
}

impl Places {
    fn add(&mut self, scheme: &Scheme) {
        self.headers.extend(scheme.credential_headers().into_iter().map(str::to_owned));
        self.query.extend(scheme.credential_query().into_iter().map(str::to_owned));
    }
}

/// The schemes that are everybody's.
#[derive(Debug)]
pub(crate) struct Installed {
    of_file: Vec<Arc<Scheme>>,
    places: Places,
}

impl Installed {
    /// The catalog with the served file's schemes in front.
    pub(crate) fn new(of_file: Vec<Scheme>) -> Self {
        let mut places = Places::default();
        of_file.iter().for_each(|scheme| places.add(scheme));
        catalog::names().filter_map(catalog::find).for_each(|scheme| places.add(scheme));
        Self { of_file: of_file.into_iter().map(Arc::new).collect(), places }
    }

    /// The served file's scheme of this name.
    pub(crate) fn of_file(&self, name: &str) -> Option<&Arc<Scheme>> {
        self.of_file.iter().find(|scheme| scheme.name() == name)
    }
}

/// All schemes of all organizations.
#[derive(Debug, Clone)]
pub(crate) struct Schemes {
    installed: Arc<Installed>,
    own: HashMap<OrganizationId, OwnSchemes>,
    /// Of organizations that have schemes of their own: no other's say what is hidden of their requests.
    places: HashMap<OrganizationId, Places>,
}

impl Schemes {
    /// Reads the private ones, but for those that were in force `before` as they are.
    pub(crate) fn in_force(installed: &Arc<Installed>, private: Vec<PrivateScheme>, before: Option<&Self>) -> Self {
        let mut schemes = Self { installed: Arc::clone(installed), own: HashMap::new(), places: HashMap::new() };
        for declared in private {
            let kept = before.and_then(|before| before.own.get(&declared.organization)?.get(&declared.name));
            let live = match kept.filter(|kept| kept.declared == declared) {
                Some(kept) => Arc::clone(kept),
                None => Arc::new(LiveScheme::new(declared)),
            };
            let of_one = schemes.own.entry(live.declared.organization).or_default();
            of_one.insert(live.declared.name.clone(), live);
        }
        let with_own = schemes.own.iter().map(|(organization, own)| {
            let mut places = installed.places.clone();
            own.values().filter_map(|live| live.scheme.as_ref().ok()).for_each(|scheme| places.add(scheme));
            (*organization, places)
        });
        schemes.places = with_own.collect();
        schemes
    }

    /// The same, where an organization has these of its own.
    pub(crate) fn with_own(&self, organization: OrganizationId, own: OwnSchemes) -> Self {
        let mut schemes = self.clone();
        schemes.own.insert(organization, own);
        schemes
    }

    /// Those that are everybody's.
    pub(crate) fn installed(&self) -> &Installed {
        &self.installed
    }

    /// An organization's own.
    pub(crate) fn own(&self, organization: OrganizationId) -> impl Iterator<Item = &Arc<LiveScheme>> {
        self.own.get(&organization).into_iter().flat_map(BTreeMap::values)
    }

    /// Where any scheme's requests carry the secret itself: whoever was refused may have held the wrong scheme's.
    pub(crate) fn credentials(&self, organization: OrganizationId) -> Credentials<'_> {
        let Places { headers, query } = self.places.get(&organization).unwrap_or(&self.installed.places);
        Credentials { headers, query }
    }

    /// The scheme that an organization means by a name.
    pub(crate) fn find(&self, organization: OrganizationId, name: &str) -> Option<Arc<Scheme>> {
        if let Some(own) = self.own.get(&organization).and_then(|own| own.get(name)) {
            return own.scheme.as_ref().ok().cloned();
        }
        let of_file = self.installed.of_file(name).cloned();
        let known = of_file.or_else(|| catalog::find(name).map(|scheme| Arc::new(scheme.clone())));
        known.or_else(|| Scheme::of_header_named(name).map(Arc::new))
    }

    /// The same for one endpoint. One that lacks a parameter says so of each request.
    pub(crate) fn at(
        &self,
        organization: OrganizationId,
        name: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Option<Arc<Scheme>> {
        self.for_endpoint(organization, name, parameters).ok().or_else(|| self.find(organization, name))
    }

    /// The same for one endpoint, with everything said that it leaves to be said.
    ///
    /// # Errors
    ///
    /// A sentence: there is no such scheme, or these are not its parameters.
    pub(crate) fn for_endpoint(
        &self,
        organization: OrganizationId,
        name: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Arc<Scheme>, String> {
        let found = self.find(organization, name).ok_or_else(|| format!("no scheme `{name}`"))?;
        match parameters.is_empty() && found.parameters().is_empty() {
            true => Ok(found),
            false => found.for_endpoint(parameters).map(Arc::new).map_err(|error| error.to_string()),
        }
    }

    /// Which version of an organization's own scheme a name means; none for one that is everybody's.
    pub(crate) fn own_version(&self, organization: OrganizationId, name: &str) -> Option<u32> {
        Some(self.own.get(&organization)?.get(name)?.declared.version)
    }
}

/// Whose a scheme is.
#[derive(Debug, Clone, PartialEq)]
pub enum SchemeOrigin {
    /// It comes with Hookward.
    Catalog,
    /// The file that this installation runs with has it, for every organization.
    ServedFile,
    /// The organization's own.
    Private(Box<PrivateScheme>),
}

/// What a private scheme is used instead of, because it has the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// The catalog's.
    Catalog,
    /// That of the file that this installation runs with.
    ServedFile,
}

/// A scheme that an organization may name.
#[derive(Debug, Clone)]
pub struct KnownScheme {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub origin: SchemeOrigin,
    /// What it is used instead of.
    pub hides: Option<Hidden>,
    /// What it does; `Err` for a private one that an earlier version of Hookward took and this one does not.
    pub scheme: Result<Arc<Scheme>, SchemeError>,
}

impl KnownScheme {
    fn own(live: &LiveScheme, installed: &Installed) -> Self {
        let name = live.declared.name.clone();
        let hides = match installed.of_file(&name) {
            Some(_) => Some(Hidden::ServedFile),
            None => catalog::has(&name).then_some(Hidden::Catalog),
        };
        let origin = SchemeOrigin::Private(Box::new(live.declared.clone()));
        Self { name, origin, hides, scheme: live.scheme.clone() }
    }
}

impl Engine {
    /// The scheme that an organization means by a name.
    pub fn scheme(&self, organization: OrganizationId, name: &str) -> Option<Arc<Scheme>> {
        self.inner().registry().schemes().find(organization, name)
    }

    /// The same for one endpoint. One that these are no parameters of, or that lacks one, is as it is for all.
    pub fn scheme_at(
        &self,
        organization: OrganizationId,
        name: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Option<Arc<Scheme>> {
        self.inner().registry().schemes().at(organization, name, parameters)
    }

    /// An organization's own schemes, by name.
    pub fn own_schemes(&self, organization: OrganizationId) -> Vec<PrivateScheme> {
        self.inner().registry().schemes().own(organization).map(|live| live.declared.clone()).collect()
    }

    /// The schemes that an organization may name besides the catalog's: its own, and those of the served file that none of
    /// these hides; each kind by name.
    pub fn private_schemes(&self, organization: OrganizationId) -> Vec<KnownScheme> {
        let registry = self.inner().registry();
        let schemes = registry.schemes();
        let own = schemes.own(organization).map(|live| KnownScheme::own(live, &schemes.installed));
        let mut known: Vec<_> = own.collect();
        let mut of_file = schemes.installed.of_file.clone();
        of_file.sort_by(|a, b| a.name().cmp(b.name()));
        of_file.retain(|scheme| !known.iter().any(|own| own.name == scheme.name()));
        known.extend(of_file.into_iter().map(|scheme| KnownScheme {
            name: scheme.name().to_owned(),
            origin: SchemeOrigin::ServedFile,
            hides: catalog::has(scheme.name()).then_some(Hidden::Catalog),
            scheme: Ok(scheme),
        }));
        known
    }

    /// All schemes that an organization may name: the private ones, then the catalog's that none of these hides.
    pub fn schemes(&self, organization: OrganizationId) -> Vec<KnownScheme> {
        let mut known = self.private_schemes(organization);
        let rest = catalog::names().filter(|name| !known.iter().any(|private| private.name == *name));
        let rest: Vec<_> = rest.filter_map(catalog::find).map(|scheme| Arc::new(scheme.clone())).collect();
        known.extend(rest.into_iter().map(|scheme| KnownScheme {
            name: scheme.name().to_owned(),
            origin: SchemeOrigin::Catalog,
            hides: None,
            scheme: Ok(scheme),
        }));
        known
    }

    /// The scheme that an organization means by a name, with whose it is. Schemes of a header are not among these.
    pub fn known_scheme(&self, organization: OrganizationId, name: &str) -> Option<KnownScheme> {
        let of_catalog = || {
            let scheme = Arc::new(catalog::find(name)?.clone());
            Some(KnownScheme { name: name.to_owned(), origin: SchemeOrigin::Catalog, hides: None, scheme: Ok(scheme) })
        };
        let private = self.private_schemes(organization).into_iter().find(|known| known.name == name);
        private.or_else(of_catalog)
    }

    /// What in an organization names a scheme, each like `source a`: doors first.
    pub fn scheme_users(&self, organization: OrganizationId, name: &str) -> Vec<String> {
        let sources = self.sources(organization);
        let ways_out = self.destinations(organization);
        users(&sources, &ways_out, name)
    }

    /// The private schemes of every organization that have the name of another one without having said so: because that
    /// one came later.
    pub fn overtaken_schemes(&self) -> Vec<KnownScheme> {
        let registry = self.inner().registry();
        let schemes = registry.schemes();
        let own = schemes.own.values().flat_map(BTreeMap::values).filter(|live| !live.declared.replaces_catalog());
        own.map(|live| KnownScheme::own(live, &schemes.installed)).filter(|known| known.hides.is_some()).collect()
    }

    /// Lets the served file have private schemes with the names of `unsaid` ones of the catalog, although it does not say
    /// that it means to, if it had them before: then the catalog has grown. `names` are those of all its private schemes.
    ///
    /// # Errors
    ///
    /// [`EngineError::Conflict`] for a new one; [`EngineError::Unavailable`].
    pub async fn admit_served_schemes(&self, names: &[&str], unsaid: &[&str]) -> Result<(), EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        let kept = self.inner().store().meta(OF_SERVED_FILE).await?;
        let before: Option<Vec<String>> = kept.as_deref().and_then(|kept| serde_json::from_slice(kept).ok());
        if let Some(before) = &before
            && let Some(new) = unsaid.iter().find(|name| !before.iter().any(|known| known == *name))
        {
            return Err(EngineError::Conflict(in_catalog(new)));
        }
        if before.is_none_or(|before| before != names) {
            let value = serde_json::to_vec(names).expect("names are plain JSON");
            let put = Change::PutMeta { name: OF_SERVED_FILE.to_owned(), value };
            self.inner().store().change(vec![put], vec![]).await?;
        }
        Ok(())
    }
}

/// What is said of a new private scheme whose name the catalog has.
pub(crate) fn in_catalog(name: &str) -> String {
    format!("scheme `{name}` is in the catalog: give this one another name, or say `replaces_catalog`")
}

/// The scheme in a file, if it can be an organization's own by this name.
///
/// # Errors
///
/// [`EngineError::Invalid`], which says what is wrong.
pub(crate) fn check(name: &str, toml: &str) -> Result<Scheme, EngineError> {
    let shown = name.escape_debug();
    let wrong = |problem: String| EngineError::Invalid(format!("scheme `{shown}`: {problem}"));
    if !crate::declare::is_name(name) {
        return Err(wrong("a name is 1 to 64 characters of `a-z 0-9 -`".to_owned()));
    }
    if is_setting(name) {
        return Err(wrong("a setting of destinations is called so: give it another name".to_owned()));
    }
    if toml.len() > SCHEME_MAX {
        return Err(wrong(format!("a scheme file has at most {SCHEME_MAX} bytes")));
    }
    let scheme = Scheme::from_toml(toml).map_err(|error| wrong(error.to_string()))?;
    if scheme.name() != name {
        return Err(wrong(format!("its file calls it `{}`", scheme.name())));
    }
    if scheme.proof_count() > PROOFS_MAX {
        return Err(wrong(format!("a private scheme has at most {PROOFS_MAX} proofs")));
    }
    Ok(scheme)
}

/// What of these uses a scheme, in words.
pub(crate) fn users(sources: &[Source], destinations: &[Destination], name: &str) -> Vec<String> {
    let sources = sources.iter().filter(|source| source.removed_at.is_none());
    let sources = sources.filter(|source| matches!(&source.spec.proof, Proof::Scheme { name: own, .. } if own == name));
    let ways_out = destinations.iter().filter(|one| !one.is_retired());
    let ways_out = ways_out.filter(|one| one.spec.signing.iter().any(|own| own.scheme == name));
    let sources = sources.map(|source| format!("source `{}`", source.name));
    sources.chain(ways_out.map(|one| format!("destination `{}`", one.name))).collect()
}
