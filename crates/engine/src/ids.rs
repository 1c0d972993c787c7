//! Identifiers: version 7 UUIDs, shown with a prefix that says what they name.
//! Owns their making, printing and parsing; what they identify is in `model`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::clock::{Entropy, Timestamp};

/// Text that is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form `{prefix}_…`")]
pub struct InvalidId {
    /// The prefix an id of this kind has.
    pub prefix: &'static str,
    /// What was given instead, cut to 64 characters.
    pub text: String,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What stands before the underscore when this id is shown.
            pub const PREFIX: &'static str = $prefix;

            /// A new id: ordered by `now`, unique by `entropy`.
            pub fn new(now: Timestamp, entropy: &dyn Entropy) -> Self {
                Self(uuid_v7(now, entropy))
            }

            /// The 16 bytes that a store keeps.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The id that a store kept as these bytes.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|hex| hex.len() == 32)
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or_else(|| InvalidId { prefix: $prefix, text: text.chars().take(64).collect() })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// Names an organization.
    OrganizationId = "org";
    /// Names a source.
    SourceId = "src";
    /// Names a destination.
    DestinationId = "dst";
    /// Names an event; a publisher and a receiver see it as the event's identity.
    EventId = "evt";
    /// Names a delivery.
    DeliveryId = "dlv";
    /// Names an attempt.
    AttemptId = "att";
    /// Names a refused request that is kept.
    RefusedId = "ref";
    /// Names a redelivery job.
    JobId = "job";
    /// Names one running process.
    NodeId = "nod";
    /// Names an API key; it is not the key.
    KeyId = "key";
    /// Names a user.
    UserId = "usr";
    /// Names a session; it does not prove it.
    SessionId = "ses";
}

impl OrganizationId {
    /// The organization that everything belongs to until others are made.
    pub const DEFAULT: Self = Self(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
}

impl NodeId {
    /// Whoever leases over the API, all of them together: no process, so none whose end ends the leases.
    pub const CONSUMERS: Self = Self(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0002));
}

fn uuid_v7(now: Timestamp, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    #[test]
    fn an_id_prints_and_parses_with_its_own_prefix_only() {
        let id = EventId::new(Timestamp::from_millis(1_700_000_000_000), &SystemEntropy);
        let text = id.to_string();
        assert_eq!(text.parse::<EventId>(), Ok(id));
        assert!(text.parse::<DeliveryId>().is_err());
        assert!("evt_".parse::<EventId>().is_err());
        assert!("evt_zz".parse::<EventId>().is_err());
    }

    #[test]
    fn ids_order_by_time() {
        let early = EventId::new(Timestamp::from_millis(1_000), &SystemEntropy);
        let late = EventId::new(Timestamp::from_millis(1_001), &SystemEntropy);
        assert!(early < late);
    }
}
