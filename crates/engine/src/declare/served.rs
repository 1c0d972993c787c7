//! What the served file says of destinations and may be a credential: the values of headers and variables, a URL's query.
//! The file says them again at each start, so they stay in memory: at rest they would be one more copy to keep safe.

use std::collections::HashMap;

use crate::ids::DestinationId;
use crate::model::{Destination, DestinationKind, DestinationSpec};

/// What stands for a value where it is not kept.
const ELSEWHERE: &str = "(in the served file)";

/// The destinations of the served file as it says them, where it says something that is not kept.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Served(HashMap<DestinationId, DestinationSpec>);

impl Served {
    /// Of these destinations.
    pub(super) fn new<'d>(destinations: impl Iterator<Item = (DestinationId, &'d DestinationSpec)>) -> Self {
        let told = destinations.filter(|(_, spec)| kept(spec) != **spec);
        Self(told.map(|(id, spec)| (id, spec.clone())).collect())
    }

    /// Whether the file says something of this destination that is not kept.
    pub(super) fn has(&self, destination: DestinationId) -> bool {
        self.0.contains_key(&destination)
    }

    /// Puts what is not kept of `destination` back in its places.
    pub(crate) fn complete(&self, destination: &mut Destination) {
        // Whoever declared it since then said something else, and that is kept.
        if let Some(spec) = self.0.get(&destination.id).filter(|spec| kept(spec) == destination.spec) {
            destination.spec = spec.clone();
        }
    }
}

/// `spec` as it is kept of the served file.
pub(super) fn kept(spec: &DestinationSpec) -> DestinationSpec {
    replaced(spec, ELSEWHERE)
}

/// `spec` with `mark` for every value that may be a credential.
pub(super) fn replaced(spec: &DestinationSpec, mark: &str) -> DestinationSpec {
    let mut spec = spec.clone();
    let pairs = match &mut spec.kind {
        DestinationKind::Http(http) => {
            if let Some((place, _)) = http.url.split_once('?') {
                http.url = format!("{place}?{mark}");
            }
            &mut http.set_headers
        }
        DestinationKind::Command(command) => &mut command.environment,
        DestinationKind::Report(_) | DestinationKind::Pull(_) | DestinationKind::Slack(_) => return spec,
    };
    pairs.iter_mut().for_each(|(_, value)| mark.clone_into(value));
    spec
}

/// Whether something of it is not kept, and was not put back: nothing can be delivered there.
pub(crate) fn is_incomplete(spec: &DestinationSpec) -> bool {
    let (url, pairs) = match &spec.kind {
        DestinationKind::Http(http) => (http.url.as_str(), &http.set_headers),
        DestinationKind::Command(command) => ("", &command.environment),
        DestinationKind::Report(_) | DestinationKind::Pull(_) | DestinationKind::Slack(_) => return false,
    };
    url.ends_with(ELSEWHERE) || pairs.iter().any(|(_, value)| value == ELSEWHERE)
}
