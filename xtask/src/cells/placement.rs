//! Which cell an organization lives in. Owns the policies; what they are held against is `replay`'s.

use std::cmp::Reverse;

use sha2::{Digest, Sha256};

/// A way to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// By the hash of its name: no map is needed, and no load is known.
    Hash,
    /// By measured load, in the order in which organizations came: the first cell that has room for it.
    FirstFit,
    /// By measured load, the largest first: the cell that has the least so far.
    LargestFirst,
}

impl Policy {
    pub(super) const ALL: [Self; 3] = [Self::Hash, Self::FirstFit, Self::LargestFirst];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash of the organization",
            Self::FirstFit => "first cell with room",
            Self::LargestFirst => "largest first, to the least loaded",
        }
    }

    /// The cell of each organization. `loads` are what each was measured to take of a cell's time, and `room` is how much of
    /// it may be given away.
    pub(super) fn place(self, names: &[String], loads: &[f64], cells: usize, room: f64) -> Vec<usize> {
        let mut taken = vec![0.0; cells];
        let mut places = vec![0; names.len()];
        let mut order: Vec<usize> = (0..names.len()).collect();
        if self == Self::LargestFirst {
            order.sort_by_key(|&one| (Reverse((loads[one] * 1e9) as u64), one));
        }
        for one in order {
            let load = loads[one];
            let cell = match self {
                Self::Hash => hashed(&names[one], cells),
                // Of whoever sent nothing while it was measured nothing is known.
                _ if load == 0.0 => hashed(&names[one], cells),
                Self::FirstFit => {
                    let fits = taken.iter().position(|taken| taken + load <= room);
                    fits.unwrap_or_else(|| least(&taken))
                }
                Self::LargestFirst => least(&taken),
            };
            taken[cell] += load;
            places[one] = cell;
        }
        places
    }
}

fn hashed(name: &str, cells: usize) -> usize {
    let digest = Sha256::digest(name);
    let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    usize::try_from(number % cells as u64).expect("less than the number of cells")
}

/// The place of the smallest; the first of those that are alike.
pub(super) fn least(values: &[f64]) -> usize {
    (0..values.len()).min_by(|&a, &b| values[a].total_cmp(&values[b])).expect("there is a cell")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("org-{number}")).collect()
    }

    #[test]
    fn a_hash_spreads_names_and_asks_for_nothing_else() {
        let places = Policy::Hash.place(&names(4000), &[0.0; 4000], 4, 0.5);
        for cell in 0..4 {
            let share = places.iter().filter(|&&one| one == cell).count();
            assert!((900..1100).contains(&share), "{share} in cell {cell}");
        }
        assert_eq!(places, Policy::Hash.place(&names(4000), &[9.0; 4000], 4, 0.1));
    }

    #[test]
    fn the_first_cell_with_room_is_filled_to_it_and_no_further() {
        let loads = [0.3, 0.3, 0.2, 0.1, 0.5, 0.4];
        // 0.3 + 0.3 | 0.2 + 0.1 | 0.5; the last fits nowhere, and goes where there is least.
        assert_eq!(Policy::FirstFit.place(&names(6), &loads, 3, 0.6), [0, 0, 1, 1, 2, 1]);
    }

    #[test]
    fn the_largest_go_first() {
        let loads = [0.1, 0.2, 0.6, 0.3, 0.3];
        assert_eq!(Policy::LargestFirst.place(&names(5), &loads, 2, 1.0), [1, 0, 0, 1, 1]);
    }
}
