//! The ways between the pages of a list: on to what is older, back to what is newer, and to the beginning. An address holds
//! where the pages before its own began, so that a way back costs the store nothing.

use serde::Deserialize;

use super::page;

/// How many pages an address knows the way back over. Whoever goes on further comes back from there to the first page.
const TRAIL_MAX: usize = 100;

/// Where in a list an address is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Place {
    /// Where the page begins; the first page says nothing.
    pub(super) before: String,
    /// Where the pages between the first one and this one began, with stops between.
    pub(super) newer: String,
}

/// Links to other pages, where there are any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pager {
    pub(super) first: Option<String>,
    pub(super) newer: Option<String>,
    pub(super) older: Option<String>,
}

impl Place {
    /// The position as lists that count in numbers have it. What is none is the first page.
    pub(super) fn position(&self) -> Option<i64> {
        self.before.parse().ok()
    }

    /// The links of this page of the list at `path`, of which the next page begins at `next`.
    pub(super) fn pager(&self, next: Option<i64>, path: &str) -> Pager {
        self.pager_with(next.map(|next| next.to_string()), |place| page::address(path, place))
    }

    /// The same, where `address` says what else stands in an address.
    pub(super) fn pager_with(
        &self,
        next: Option<String>,
        address: impl Fn(&[(&'static str, &str)]) -> String,
    ) -> Pager {
        let trail: Vec<&str> = self.newer.split('.').filter(|at| !at.is_empty()).collect();
        let at = |before: &str, trail: &[&str]| {
            let newer = trail[trail.len().saturating_sub(TRAIL_MAX)..].join(".");
            let place = [("before", before), ("newer", newer.as_str())];
            address(&place[..if newer.is_empty() { 1 } else { 2 }])
        };
        let here: Vec<&str> = trail.iter().copied().chain([self.before.as_str()]).filter(|at| !at.is_empty()).collect();
        let older = next.map(|next| at(&next, &here));
        if self.before.is_empty() {
            return Pager { older, ..Pager::default() };
        }
        let first = address(&[]);
        match trail.split_last() {
            None => Pager { first: None, newer: Some(first), older },
            Some((last, rest)) => Pager { newer: Some(at(last, rest)), first: Some(first), older },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_leads_to_the_ones_beside_it() {
        let place = |before: &str, newer: &str| Place { before: before.to_owned(), newer: newer.to_owned() };
        let links = |place: Place, next| {
            let Pager { first, newer, older } = place.pager(next, "/l");
            [first, newer, older].map(Option::unwrap_or_default)
        };
        assert_eq!(links(Place::default(), None), ["", "", ""]);
        assert_eq!(links(Place::default(), Some(9)), ["", "", "/l?before=9"]);
        assert_eq!(links(place("9", ""), Some(6)), ["", "/l", "/l?before=6&newer=9"]);
        assert_eq!(links(place("6", "9"), Some(3)), ["/l", "/l?before=9", "/l?before=3&newer=9.6"]);
        assert_eq!(links(place("3", "9.6"), None), ["/l", "/l?before=6&newer=9", ""]);
        assert_eq!(links(place("3", "a&b..<"), None), ["/l", "/l?before=%3C&newer=a%26b", ""]);
    }

    #[test]
    fn an_address_knows_so_many_pages_and_no_more() {
        let trail: Vec<String> = (1..=TRAIL_MAX).rev().map(|n| n.to_string()).collect();
        let place = Place { before: "0".to_owned(), newer: trail.join(".") };
        let older = place.pager(Some(-1), "/l").older.unwrap();
        assert!(older.starts_with("/l?before=-1&newer=99.98.") && older.ends_with(".1.0"), "{older}");
    }
}
