//! Who is owed an event, and who is told how a delivery of it ended: pure functions of what destinations subscribe to.

use crate::clock::Timestamp;
use crate::ids::DeliveryId;
use crate::model::{DeliveryCause, Destination, DestinationKind, DestinationSpec, DestinationState, OWN, SourceSpec};
use crate::store::NewDelivery;

/// Whether a source passes events of this type on to any destination.
pub fn passes_on(spec: &SourceSpec, event_type: &str) -> bool {
    is_among(&spec.event_types, event_type)
}

/// Whether a destination hears events of this source and type. One that tells of others' ends hears only those.
pub fn hears(spec: &DestinationSpec, source: &str, event_type: &str) -> bool {
    !matches!(spec.kind, DestinationKind::Report(_)) && wants(spec, source, event_type)
}

/// Whether a destination tells how the deliveries of destination `of` end.
pub fn tells_of(spec: &DestinationSpec, of: &str) -> bool {
    matches!(&spec.kind, DestinationKind::Report(report) if report.of == of)
}

/// Whether a destination tells how the deliveries of destination `of` end, for events of this source and type.
pub fn tells(spec: &DestinationSpec, of: &str, source: &str, event_type: &str) -> bool {
    tells_of(spec, of) && wants(spec, source, event_type)
}

fn wants(spec: &DestinationSpec, source: &str, event_type: &str) -> bool {
    // The engine's own events are nobody's webhooks: only who names their door hears them.
    let to_all = spec.sources.is_empty() && source != OWN;
    let from_here = to_all || spec.sources.iter().any(|name| name == source);
    from_here && is_among(&spec.event_types, event_type)
}

fn is_among(patterns: &[String], event_type: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| type_matches(pattern, event_type))
}

/// A delivery of an event to `destination`, due at once, or held if the destination takes nothing now.
pub fn owe(destination: &Destination, id: DeliveryId, now: Timestamp, cause: DeliveryCause) -> NewDelivery {
    let held = destination.state != DestinationState::Active;
    NewDelivery { id, destination: destination.id, due_at: now, cause, held, once: None, latest: None, order: None }
}

/// `*` matches all, `invoice.*` matches what begins with `invoice.`, anything else only itself.
fn type_matches(pattern: &str, event_type: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(stem) if stem.ends_with('.') => event_type.len() > stem.len() && event_type.starts_with(stem),
        _ => pattern == event_type,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_segments_only() {
        let cases = [
            ("*", "", true),
            ("*", "push", true),
            ("push", "push", true),
            ("push", "pushed", false),
            ("invoice.*", "invoice.paid", true),
            ("invoice.*", "invoice.paid.late", true),
            ("invoice.*", "invoice.", false),
            ("invoice.*", "invoice", false),
            ("invoice.*", "invoices.paid", false),
            ("inv*", "invoice", false),
        ];
        for (pattern, event_type, expected) in cases {
            assert_eq!(type_matches(pattern, event_type), expected, "{pattern} on {event_type}");
        }
    }
}
