//! A running gateway: its parts put together, its listeners, and its end.
//! Owns start-up order and draining; what each part does is its own module's.

mod data;
mod kms;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hookward_engine::accounts::AccountError;
use hookward_engine::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use hookward_engine::destination::command::Supervisor;
use hookward_engine::egress::{EgressPolicy, OwnListeners};
use hookward_engine::ids::OrganizationId;
use hookward_engine::kms::Kms;
use hookward_engine::kms::cache::CachePolicy;
use hookward_engine::kms::local::LocalKmsError;
use hookward_engine::model::Principal;
use hookward_engine::store::sql::{FirstStart, Limits, SqlStore};
use hookward_engine::store::{postgres, sqlite};
use hookward_engine::{Engine, EngineError, NodeSettings, Parts, Waking};
use hyper::service::service_fn;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept;
use crate::api::cookie::Transport;
use crate::api::{Api, SignIn};
use crate::config::{Config, KeyProvider, OidcDeclaration, SchemeDeclaration, Settings};
use crate::declaring::{Declaring, Rules};
use crate::first_run::FirstRun;
use crate::ingest::Ingest;
use crate::installation::Installation;
use crate::metrics::Metrics;
use crate::oidc::Providers;
use crate::router;

/// Why a gateway did not start. Every message names what the operator has to look at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A file or directory cannot be used.
    #[error("`{}` cannot be used: {cause}", path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] sqlite::OpenError),
    /// The shared store does not open.
    #[error(transparent)]
    Database(#[from] postgres::OpenError),
    /// The key file does not open.
    #[error(transparent)]
    Kms(#[from] LocalKmsError),
    /// A key that is not in a file cannot be used.
    #[error("{0}")]
    Key(String),
    /// The engine does not open, or what is declared cannot be.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It cannot be told whether there are users.
    #[error(transparent)]
    Accounts(#[from] AccountError),
    /// People cannot sign in as configured.
    #[error("the OpenID Connect providers cannot be used: {0}")]
    Providers(String),
    /// What the store keeps of a source is not a door.
    #[error("{0}")]
    Door(String),
}

/// How long a process that stops waits for the store to take back what it had leased.
const GIVE_BACK: Duration = Duration::from_secs(2);

/// A gateway that is serving.
#[derive(Debug)]
pub struct Running {
    engine: Engine,
    declaring: Arc<Declaring>,
    settings: Settings,
    /// The files of its private schemes.
    schemes: Vec<String>,
    public: SocketAddr,
    admin: SocketAddr,
    api_key_file: PathBuf,
    first_run_link: Option<String>,
    drain_timeout: Duration,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Running {
    /// Where the public listener is.
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where the admin listener is.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The file with the API key, when the configuration brought none.
    pub fn api_key_file(&self) -> &Path {
        &self.api_key_file
    }

    /// The link by which the first user comes to be, when there was none at the start. Whoever has it becomes the
    /// administrator, once.
    pub fn first_run_link(&self) -> Option<&str> {
        self.first_run_link.as_deref()
    }

    /// Puts in force what a configuration declares now. What it says besides that is for the next start.
    ///
    /// # Errors
    /// When it cannot be declared: then everything stays as it is.
    pub async fn reload(&self, config: Config) -> Result<(), StartError> {
        let Config { mut settings, sources, destinations, event_types, schemes, .. } = config;
        // The command line's own word on these is not in the file.
        settings.data.clone_from(&self.settings.data);
        (settings.public, settings.admin) = (self.settings.public, self.settings.admin);
        settings.node.name.clone_from(&self.settings.node.name);
        let schemes: Vec<String> = schemes.into_iter().map(|one| one.declared.toml).collect();
        if settings != self.settings || schemes != self.schemes {
            tracing::warn!(
                "the configuration says more that is new than sources, destinations and event types: that needs a restart"
            );
        }
        let changes = self.declaring.serve(sources, destinations, event_types).await?;
        tracing::info!(changes = changes.len(), "the configuration was read again");
        Ok(())
    }

    /// Stops accepting, finishes requests and attempts in flight, and returns. Whether everything finished in time;
    /// what did not is as if the process had been killed: nothing accepted is lost.
    pub async fn stop(self) -> bool {
        self.stop.cancel();
        let finished = timeout(self.drain_timeout, self.tasks.wait()).await.is_ok();
        if !finished {
            tracing::warn!("stopped with work in flight: it goes on at the next start");
            // Where the database is away as well, they run out.
            let _ = timeout(GIVE_BACK, self.engine.give_back()).await;
        }
        finished
    }
}

/// Starts a gateway.
///
/// # Errors
/// [`StartError`] when anything that it needs cannot be used.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let installation = Installation::new(&config, clock.now());
    let Config {
        settings,
        unmatched,
        retention,
        sources,
        destinations,
        event_types,
        schemes,
        oidc,
        api_key,
        supervisor,
        is_file,
        ..
    } = config;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let (parts, first) = parts(&settings, &schemes, supervisor, clock, Arc::clone(&entropy)).await?;
    let own = parts.egress.own.clone();
    let api_key_file = settings.data.join(data::API_KEY_FILE);
    let api_key = api_key.map_or_else(|| data::api_key(&api_key_file, &*entropy), Ok)?;
    let rules = Rules::new(&settings, retention, own.clone());
    let engine = open(parts, first, &settings).await?;
    let clock = engine.clock();
    let declaring = Arc::new(Declaring::new(engine.clone(), rules));
    if is_file {
        declaring.admit_schemes(&schemes).await?;
        declaring.serve(sources, destinations, event_types).await?;
    }
    begin_keys_with(&engine, settings.key_prefix.as_deref()).await?;
    engine.warm().await;
    engine.declare_inner_retention(retention).await?;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (metrics, limits) = (Metrics::new(clock.now(), &settings), settings.limits.clone());
    let ingest = Ingest::new(engine.clone(), metrics.clone(), &settings, &unmatched);
    let ingest = Arc::new(ingest.map_err(StartError::Door)?);
    let (public, public_address) = listen(settings.public).await?;
    let (admin, admin_address) = listen(settings.admin).await?;
    if !settings.egress_allow_own {
        own.tell(vec![public_address, admin_address]);
    }
    let sign_in = sign_in(&engine, &settings, oidc, admin_address, entropy).await?;
    let first_run_link = sign_in.first_run_link();
    engine.listens_at(public_address.to_string());
    let installation = installation.listening(public_address, admin_address);
    let api = Api::new(Arc::clone(&declaring), metrics, clock, &api_key, installation, sign_in, tasks.clone());
    let api = Arc::new(api);
    data::write_addresses(&settings.data, public_address, admin_address)?;
    let service = service_fn(move |request| router::public(Arc::clone(&ingest), request));
    tasks.spawn(accept::serve(public, limits.clone(), service, stop.clone()));
    let service = TowerToHyperService::new(router::admin(api));
    tasks.spawn(accept::serve(admin, limits.clone(), service, stop.clone()));
    run(&engine, &settings, &tasks, &stop);
    tasks.close();
    let (public, admin, drain_timeout) = (public_address, admin_address, limits.drain_timeout);
    Ok(Running {
        engine,
        declaring,
        settings,
        schemes: schemes.into_iter().map(|one| one.declared.toml).collect(),
        public,
        admin,
        api_key_file,
        first_run_link,
        drain_timeout,
        stop,
        tasks,
    })
}

/// What the engine does by itself.
fn run(engine: &Engine, settings: &Settings, tasks: &TaskTracker, stop: &CancellationToken) {
    let dispatching = (engine.clone(), stop.clone());
    tasks.spawn(async move { dispatching.0.run(dispatching.1).await });
    if let Some(every) = settings.publish_head {
        let publishing = (engine.clone(), stop.clone());
        tasks.spawn(async move { publishing.0.publish_heads(every, &publishing.1).await });
    }
}

/// The engine. Something is sealed under the key that a first start made, so no other start makes another one. A key that is
/// elsewhere may be away at the start, and is made by nobody here.
async fn open(parts: Parts, first: Option<FirstStart>, settings: &Settings) -> Result<Engine, EngineError> {
    let engine = Engine::open(parts).await?;
    if let (Some(_first), KeyProvider::Local { .. }) = (first, &settings.kms.current) {
        engine.begin_sealing().await?;
    }
    Ok(engine)
}

/// What the file says of the default organization's keys is so from the next one on.
async fn begin_keys_with(engine: &Engine, prefix: Option<&str>) -> Result<(), EngineError> {
    let Some(prefix) = prefix else { return Ok(()) };
    let by = Principal::config();
    match engine.organization(by.organization) {
        Some(organization) if organization.key_prefix == prefix => Ok(()),
        _ => engine.set_key_prefix(&by, by.organization, prefix).await.map(drop),
    }
}

async fn parts(
    settings: &Settings,
    schemes: &[SchemeDeclaration],
    supervisor: Supervisor,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<(Parts, Option<FirstStart>), StartError> {
    let store = store(settings)?;
    let first = store.first_start().await.map_err(EngineError::from)?;
    let start = if first.is_some() { kms::Start::First } else { kms::Start::Later };
    let key_cache = CachePolicy { ttl: settings.kms.cache_ttl, timeout: settings.kms.timeout };
    let checkouts = settings.checkouts.clone().unwrap_or_else(|| settings.data.join(data::CHECKOUTS_DIRECTORY));
    // Programs run elsewhere, and are told the place in full.
    let checkouts = std::path::absolute(&checkouts).map_err(|cause| StartError::Path { path: checkouts, cause })?;
    let extra_roots_pem = settings.egress_roots.as_deref().map(read).transpose()?;
    let kms = kms::keychain(&settings.kms, &settings.data, start, &entropy, extra_roots_pem.as_deref())?;
    let egress = EgressPolicy { allow: settings.egress_allow.clone(), extra_roots_pem, own: OwnListeners::default() };
    let undeclared = settings.undeclared_types;
    let store = Arc::new(store);
    let schemes = schemes.iter().map(|one| one.scheme.clone()).collect();
    let (lease_margin, node) = (settings.limits.lease_margin, node(settings));
    let parts = Parts {
        store,
        kms,
        key_cache,
        clock,
        entropy,
        schemes,
        egress,
        supervisor,
        checkouts,
        undeclared,
        lease_margin,
        node,
    };
    Ok((parts, first))
}

fn node(settings: &Settings) -> NodeSettings {
    let machine = || nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let name = settings.node.name.clone().unwrap_or_else(machine);
    let waking = settings.database.as_ref().map_or(Waking::default(), |database| database.waking);
    NodeSettings { name, version: env!("CARGO_PKG_VERSION").to_owned(), validity: settings.node.validity, waking }
}

/// The keys that a copy's secrets come under where `settings` are those that it is served with, and those that open them
/// now: in its data directory, `source` may have one. None when there is no key there yet.
pub(crate) fn keys_of_copy(settings: &Settings, source: Option<&Path>) -> Result<Option<Arc<dyn Kms>>, StartError> {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let roots = settings.egress_roots.as_deref().map(read).transpose()?;
    kms::keychain_of_copy(&settings.kms, &settings.data, source, &entropy, roots.as_deref())
}

fn store(settings: &Settings) -> Result<SqlStore, StartError> {
    match &settings.database {
        None => Ok(sqlite::open(&settings.data)?),
        Some(database) => {
            data::prepare(&settings.data)?;
            let store = postgres::open(&database.access, &Limits::default())?;
            Ok(store.copying_in(settings.data.clone()))
        }
    }
}

/// How people sign in at the admin listener, which is at `address`.
async fn sign_in(
    engine: &Engine,
    settings: &Settings,
    oidc: Vec<OidcDeclaration>,
    address: SocketAddr,
    entropy: Arc<dyn Entropy>,
) -> Result<SignIn, StartError> {
    let first_run = match engine.has_user(OrganizationId::DEFAULT).await? {
        true => FirstRun::over(),
        false => FirstRun::begin(&*entropy),
    };
    let transport = match &settings.admin_origin {
        Some(origin) if origin.starts_with("http://") => Transport::Loopback,
        None if address.ip().is_loopback() => Transport::Loopback,
        _ => Transport::Secure,
    };
    let origin = settings.admin_origin.clone().unwrap_or_else(|| format!("http://{address}"));
    let extra_roots = settings.egress_roots.as_deref().map(read).transpose()?;
    let providers = Providers::new(oidc, &origin, extra_roots.as_deref());
    let providers = providers.map_err(|error| StartError::Providers(format!("{error:#}")))?;
    let trusted_proxies = settings.admin_trusted_proxies.clone();
    Ok(SignIn { trusted_proxies, transport, providers, first_run, origin, entropy })
}

fn read(path: &Path) -> Result<Vec<u8>, StartError> {
    std::fs::read(path).map_err(|cause| StartError::Path { path: path.to_owned(), cause })
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |cause| StartError::Listen { address, cause };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Gives one item for each SIGHUP from now on.
pub(crate) fn hangups() -> Signal {
    signal(SignalKind::hangup()).expect("the system lets a process handle its signals")
}

/// Completes at the first SIGTERM or SIGINT from now on.
pub(crate) fn interrupted() -> impl Future<Output = ()> {
    let handler = |kind| signal(kind).expect("the system lets a process handle its signals");
    let (mut terminate, mut interrupt) = (handler(SignalKind::terminate()), handler(SignalKind::interrupt()));
    async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
