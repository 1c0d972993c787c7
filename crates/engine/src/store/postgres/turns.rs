//! The advisory locks that stand for the whole database. Owns their numbers and what each is for; what stands for one key, one
//! request or the audit chain is `sql::locks`', and those numbers are below zero.
//!
//! Whole-database locks have two numbers, of which the first says that they are Hookward's (`hook`, in ASCII). The places of
//! feeds that are being written to have one, above zero: `session`'s `opening!`, which `places` reads.

/// What stands in a statement for a lock of two numbers.
macro_rules! turn {
    // Alone by whoever changes the schema, for its transaction: no two nodes do that at once.
    (schema) => {
        "1752133483, 1"
    };
    // Together by whoever writes beside others, alone by whoever writes alone, each for a transaction.
    (writing) => {
        "1752133483, 2"
    };
    // Alone by the node that measures the tables, for its connection; another one leaves it to that.
    (measuring) => {
        "1752133483, 3"
    };
    // Alone by the node that makes partitions, for its transaction.
    (making_days) => {
        "1752133483, 4"
    };
    // Alone by whoever drops a day, together by those who take rows away, each for a transaction: what is counted is what
    // goes. Nobody waits for it: it is another's turn then.
    (dropping_days) => {
        "1752133483, 5"
    };
    // Alone by the node that may make the master key, for its connection; nodes that start meanwhile wait for it.
    (beginning) => {
        "1752133483, 6"
    };
    // Alone by a copy from or into the database, for its connection; nodes ask for it together when they start.
    (copying) => {
        "1752133483, 9"
    };
}

pub(in crate::store) use turn;

#[cfg(test)]
mod tests {
    #[test]
    fn each_has_a_number_of_its_own_and_nobody_else_says_one() {
        let all = [
            turn!(schema),
            turn!(writing),
            turn!(measuring),
            turn!(making_days),
            turn!(dropping_days),
            turn!(beginning),
            turn!(copying),
        ];
        let mut each = all.to_vec();
        each.sort_unstable();
        each.dedup();
        assert_eq!(each.len(), all.len());
        let hook = i64::from(i32::from_be_bytes(*b"hook")).to_string();
        assert!(all.iter().all(|one| one.split_once(", ").is_some_and(|(first, _)| first == hook)));
    }
}
