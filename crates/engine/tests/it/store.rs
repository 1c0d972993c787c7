//! One suite for every store, and beside it what only the embedded one has.
//! A function of the suite takes an empty store; `suite!` runs each against a store of its own.

use std::sync::Arc;

mod activity;
mod address;
mod audit;
mod beside;
mod claim;
mod commit;
mod conditions;
mod days;
mod first_start;
mod floors;
mod idempotency;
mod jobs;
mod lists;
mod model;
mod moving;
mod offline;
mod operate;
mod order;
mod order_model;
pub(crate) mod postgres;
mod pull;
mod races;
mod recovery;
mod refused;
mod resources;
mod retention;
mod routing;
mod sqlite;
mod support;

/// A test function for each function of the suite, on the store that `$open` makes.
macro_rules! tests {
    ($open:path; $($module:ident: $($test:ident)*;)*) => {$(
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let Some((store, _kept)) = $open() else { return };
                    super::super::$module::$test(&store).await;
                }
            )*
        }
    )*};
}

macro_rules! suite {
    ($open:path) => {
        tests! {
            $open;
        activity:
            what_happened_is_found_by_all_that_is_asked
            what_is_another_organizations_is_not_found
            an_event_stands_as_the_latest_delivery_to_each_destination
            a_look_for_what_is_not_there_ends_and_says_how_far_it_came;
        audit:
            everything_that_is_told_is_chained
            one_that_fails_leaves_no_hole_in_the_chain
            rows_of_one_organization_are_each_checked_alone
            a_list_is_narrowed_by_all_that_is_asked;
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
            a_burst_comes_back_as_it_went_in
            one_that_cannot_be_written_leaves_the_others_alone
            uses_of_a_secret_are_counted
            expired_keys_are_forgotten_a_few_at_a_time;
        claim:
            a_due_delivery_is_leased_with_what_it_needs
            the_oldest_due_go_first_within_each_destinations_room
            a_settlement_ends_the_delivery_or_says_when_again
            many_ends_at_once_are_each_kept
            ends_that_wait_together_are_each_told_what_came_of_them
                a_claim_settles_once
            a_stale_claim_writes_nothing
            the_same_nodes_earlier_claim_is_stale_too
            a_lease_past_its_end_holds_until_another_takes_it
            a_lease_that_runs_out_leaves_an_interrupted_attempt
            recovery_ends_the_leases_of_others
            whoever_stops_gives_back_what_is_his
            the_next_due_time_is_the_earliest_due_or_lease_end
            disabling_holds_what_else_is_owed
            a_paused_destination_gets_nothing_and_loses_nothing
            recovery_at_a_paused_destination_holds
            signing_counts_as_use
            what_a_program_wrote_is_kept_for_each_attempt
            claiming_for_an_unknown_destination_says_so;
        conditions:
            a_condition_comes_back_as_it_was_kept
            what_an_open_breaker_holds_is_due_again_when_it_was
            there_is_one_probe_at_a_time_and_none_too_early
            what_is_parked_is_neither_probed_nor_let_go
            a_paused_destination_lets_nothing_go_when_its_breaker_closes
            resuming_drains_at_once_at_a_rate_or_not_at_all;
        operate:
            a_redelivery_names_the_one_that_it_repeats
            a_duplicate_can_be_run_after_all
            redelivering_what_is_not_there_changes_nothing
            what_waits_is_cancelled_and_what_is_leased_is_marked;
        refused:
            a_refused_request_comes_back_as_it_went_in
            the_last_refused_requests_of_each_door_stay
            refused_requests_are_filtered_by_all_that_is_asked;
        pull:
            consumers_get_what_is_owed_in_the_order_of_commits
            loosely_several_consumers_work_beside_each_other
            a_lease_that_runs_out_is_given_again_until_the_last
            an_extended_lease_holds_until_its_new_end
            recovery_leaves_consumers_their_leases
            a_paused_destination_gives_nothing_and_goes_on_in_order
            what_is_called_off_is_cancelled_when_its_lease_ends_or_is_extended
            bodies_are_given_up_to_a_bound_and_a_larger_one_alone
            a_destination_that_comes_to_be_pulled_from_takes_along_what_it_is_owed;
        order:
            of_a_key_one_goes_out_after_the_other
            an_end_of_any_kind_lets_the_next_one_go
            what_waits_costs_a_claim_nothing
            whoever_is_given_up_is_counted_until_one_is_delivered
            one_that_is_parked_lets_the_others_go_and_comes_back_in_its_place
            a_redelivery_goes_to_the_end_and_takes_the_place_of_what_is_parked
            what_waits_stays_behind_while_its_destination_takes_nothing
            a_destination_that_keeps_no_order_any_more_is_owed_everything_at_once
            what_waits_is_found_counted_and_kept;
        routing:
            the_end_of_an_attempt_cancels_what_was_called_off_unless_it_succeeded
            a_lease_that_ends_by_itself_cancels_what_was_called_off
            what_was_called_off_takes_no_room
            the_newest_of_a_key_supersedes_the_others
            keys_of_another_destination_or_none_supersede_nothing
            a_value_runs_once_while_its_delivery_counts
            at_another_source_or_destination_a_value_is_another
            many_at_once_with_one_value_run_once
            an_event_passed_over_supersedes_nothing
            a_failed_filter_is_kept_with_its_event_but_not_with_a_duplicate;
        idempotency:
            a_request_is_begun_once_and_its_answer_comes_back
            a_request_given_up_may_be_begun_again
            a_request_is_another_organizations_own
            a_request_is_remembered_until_its_end;
        jobs:
            a_job_looks_at_what_matches
            a_job_can_ask_for_the_state_of_the_latest_delivery
            looks_meet_without_gap_or_overlap
            a_step_is_written_once_and_only_where_the_job_stands
            a_job_changes_state_only_from_where_it_may
            a_job_over_nothing_is_done_at_its_first_step;
        recovery:
            what_failed_is_found_by_when_it_failed
            what_is_missing_was_neither_given_nor_called_off_nor_is_owed
            what_is_recovered_meanwhile_is_not_recovered_again;
        retention:
            an_old_event_is_stripped_to_its_row
            what_is_owed_is_never_stripped
            the_oldest_go_until_the_rest_is_small_enough
            a_repeat_of_what_was_stripped_is_still_known
            a_shared_body_stays_for_the_duplicates_that_need_it
            a_value_that_ran_well_stays_run;
        resources:
            what_is_declared_comes_back
            putting_again_replaces_only_what_is_declared
            a_private_scheme_is_replaced_and_removed_in_its_organization_only
            changes_are_all_or_nothing
            a_secret_is_retired_and_never_unrevoked
            small_values_are_kept_by_name
            held_deliveries_are_due_when_the_destination_is_active_again;
        lists:
            events_are_filtered_by_all_that_is_asked
            pages_meet_without_gap_or_overlap
            a_page_has_at_least_one_row_and_at_most_250
            deliveries_are_filtered_by_all_that_is_asked
            a_span_of_time_has_all_that_came_in_it
            a_look_for_what_is_seldom_ends_and_the_next_goes_on_behind_it
            what_is_not_there_is_named;
        }
    };
}

mod on_sqlite {
    use super::*;

    fn open() -> Option<(support::Shared, tempfile::TempDir)> {
        let support::Fixture { store, dir } = support::Fixture::new();
        Some((Arc::new(store), dir))
    }

    suite!(super::open);
}

mod on_postgres {
    use super::*;

    suite!(super::postgres::open);
}
