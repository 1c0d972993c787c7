//! One suite for every store, and beside it what only the embedded one has.
//! A function of the suite takes an empty store; `suite!` runs each against a store of its own.

use std::sync::Arc;

mod commit;
mod support;

macro_rules! suite {
    ($($module:ident: $($test:ident)*;)*) => {$(
        mod $module {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let support::Fixture { store, dir: _dir } = support::Fixture::new();
                    let store: support::Shared = Arc::new(store);
                    super::super::$module::$test(&store).await;
                }
            )*
        }
    )*};
}

mod on_sqlite {
    use super::*;

    suite! {
        commit:
            an_event_comes_back_as_it_went_in
            an_empty_body_and_a_large_one_come_back
            either_key_makes_a_duplicate
            a_kept_duplicate_owes_nothing_and_says_what_it_repeats
            a_duplicate_has_a_body_whether_it_differs_or_not
            a_discarded_duplicate_leaves_nothing
            a_key_is_remembered_until_its_end_and_then_names_another
            a_duplicates_own_keys_are_not_remembered
            many_at_once_with_one_key_make_one_event
            one_that_cannot_be_written_leaves_the_others_alone
            uses_of_a_secret_are_counted
            expired_keys_are_forgotten_a_few_at_a_time;
    }
}
