//! What the engine talks about: organizations, principals, sources, destinations, events, deliveries, attempts, secrets, audit entries.
//! Values only; how they are kept is `store`, how they come to be is the corridor's modules.

mod account;
mod audit;
mod chain;
mod declaration;
mod delivery;
mod destination;
mod durations;
mod event;
mod event_type;
mod job;
mod node;
mod organization;
mod principal;
mod purpose;
mod refused;
mod role;
mod scheme;
mod secret;
mod source;

pub use account::{ApiKey, Digest, Identity, Session, Totp, User};
pub use audit::AuditEntry;
pub use chain::{Broken, ChainHash, ChainRow, Checked, Facts, Head, InvalidHead, Verifier, Why};
pub use declaration::{Declaration, Manager};
pub use delivery::{
    Attempt, Concluded, Delivery, DeliveryCause, DeliveryState, Exchange, KeptOutput, Outcome, RESPONSE_EXCERPT_MAX,
    Timings,
};
pub use destination::{
    BreakerSpec, CheckoutSpec, CommandSpec, Condition, Destination, DestinationKind, DestinationSpec, DestinationState,
    ENVIRONMENT, HEADERS, Health, HttpSpec, Limits, MTLS, MtlsSpec, OAUTH2, OAuth2ClientAuth, OAuth2Spec, OUTPUT_BYTES,
    OnHeadFailure, OpenBreaker, Ordering, PullSpec, Recovering, ReportProvider, ReportSpec, RetrySchedule, Rules,
    SignWith, Signing, SlackSpec, URL,
};
pub use event::{Event, PassedOver, PassedOverReason, REDACTED, RequestRecord};
pub use event_type::{EventType, EventTypeSpec};
pub use job::{JobRange, JobSpec, JobState, Recovery, RedeliveryJob};
pub use node::{Node, NodeState};
pub use organization::Organization;
pub use principal::{Principal, Scope, Scopes, UnknownScope};
pub use purpose::is_setting;
pub use refused::{RefusedAt, RefusedRequest};
pub use role::Role;
pub use scheme::{PrivateScheme, REPLACES_CATALOG, replaces_catalog};
pub use secret::{SealedSecret, SecretOwner};
pub use source::{DedupPolicy, OWN, PUBLISH, Proof, Rate, Retention, Source, SourceSpec};
