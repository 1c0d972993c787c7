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
mod job;
mod organization;
mod principal;
mod refused;
mod secret;
mod source;

pub use account::{ApiKey, Digest, Identity, Session, Totp, User};
pub use audit::AuditEntry;
pub use chain::{Broken, ChainHash, ChainRow, Checked, Facts, Head, InvalidHead, Verifier, Why};
pub use declaration::{Declaration, Manager};
pub use delivery::{
    Attempt, Concluded, Delivery, DeliveryCause, DeliveryState, KeptOutput, Outcome, RESPONSE_EXCERPT_MAX,
};
pub use destination::{
    CheckoutSpec, CommandSpec, Destination, DestinationKind, DestinationSpec, DestinationState, HttpSpec, OUTPUT_BYTES,
    PullSpec, ReportProvider, ReportSpec, RetrySchedule, Rules, Signing,
};
pub use event::{Event, PassedOver, PassedOverReason, REDACTED, RequestRecord};
pub use job::{JobRange, JobSpec, JobState, RedeliveryJob};
pub use organization::Organization;
pub use principal::{Principal, Scope, Scopes, UnknownScope};
pub use refused::{RefusedAt, RefusedRequest};
pub use secret::{SealedSecret, SecretOwner};
pub use source::{DedupPolicy, OWN, PUBLISH, Proof, Rate, Retention, Source, SourceSpec};
