//! What every driver promises, as checks that take any [`Store`].
//!
//! A driver's test file names its [`Subject`] and calls [`contract!`]; each check then is a
//! test of its own, on a fresh store. A driver whose server takes long to start checks them
//! [`together`], each below a prefix of its own.

pub mod leases;
pub mod transactions;
pub mod watching;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use howdah_store::{Snapshot, Store, Txn, TxnOutcome};

/// A store under test, and its time.
pub struct Subject {
    pub store: Arc<dyn Store>,
    /// Lets the store's clock move on.
    pub pass: Box<dyn Fn(Duration) + Send + Sync>,
    /// Nobody else raises the store's revision.
    pub alone: bool,
    /// What must outlive the store, such as its directory.
    pub _keep: Box<dyn std::any::Any + Send + Sync>,
}

impl Subject {
    pub async fn snapshot(&self) -> Snapshot {
        self.store.snapshot().await.expect("snapshot")
    }

    pub async fn txn(&self, txn: Txn) -> TxnOutcome {
        self.store.txn(txn).await.expect("txn")
    }

    /// Applies a transaction that must not be refused; its revision.
    pub async fn applied(&self, txn: Txn) -> u64 {
        match self.txn(txn).await {
            TxnOutcome::Applied { revision } => revision,
            TxnOutcome::Refused { snapshot } => panic!("refused by {snapshot:?}"),
        }
    }

    /// Sends a transaction that must be refused; the state that came with it.
    pub async fn refused(&self, txn: Txn) -> Snapshot {
        match self.txn(txn).await {
            TxnOutcome::Refused { snapshot } => snapshot,
            TxnOutcome::Applied { revision } => panic!("applied at {revision}"),
        }
    }

    /// `now` comes right after `last`; where others write too, somewhere after.
    #[track_caller]
    pub fn assert_next(&self, last: u64, now: u64, why: &str) {
        assert!(if self.alone { now == last + 1 } else { now > last }, "{why}: {last}, {now}");
    }

    /// Nothing has happened between the two; where others write too, nobody knows.
    #[track_caller]
    pub fn assert_same(&self, last: u64, now: u64, why: &str) {
        assert!(if self.alone { now == last } else { now >= last }, "{why}: {last}, {now}");
    }

    pub async fn value(&self, key: &str) -> Option<u64> {
        self.snapshot().await.get::<u64>(key).expect("a number").map(|(value, _)| value)
    }
}

/// Waits for `what` at most [`PATIENCE`].
pub async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

pub const PATIENCE: Duration = Duration::from_secs(20);
pub const TTL: Duration = Duration::from_secs(10);

/// One test for each check, with a subject of the driver's own.
#[macro_export]
macro_rules! contract {
    ($subject:path) => {
        every_check! { each_alone, $subject }
    };
}

/// Starts every check at once, each with what `$subject` makes; their names and tasks.
#[macro_export]
macro_rules! together {
    ($subject:path) => {
        every_check! { side_by_side, $subject }
    };
}

#[macro_export]
macro_rules! each_alone {
    ($subject:path; $($file:ident: $($check:ident),+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                contract::$file::$check(&$subject().await).await;
            }
        )+)+
    };
}

#[macro_export]
macro_rules! side_by_side {
    ($subject:path; $($file:ident: $($check:ident),+;)+) => {
        [$($(
            (stringify!($check), {
                let subject = $subject(stringify!($check));
                tokio::spawn(async move { contract::$file::$check(&subject.await).await })
            }),
        )+)+]
    };
}

#[macro_export]
macro_rules! every_check {
    ($how:ident, $subject:path) => {
        $how! { $subject;
            transactions:
                a_new_store_is_empty,
                a_put_is_read_back_with_its_revision,
                compare_and_swap_takes_only_the_seen_revision,
                absent_lets_only_the_first_in,
                a_refused_transaction_changes_nothing_and_shows_the_state,
                a_transaction_is_one_change,
                deleting_nothing_is_no_change,
                a_deleted_key_comes_back_with_a_higher_revision,
                tasks_that_count_by_compare_and_swap_lose_nothing,
                a_record_of_another_shape_is_named;
            leases:
                leased_keys_vanish_when_the_lease_runs_out,
                a_renewed_lease_lives_on,
                leased_keys_vanish_when_the_lease_is_revoked,
                a_renewal_fails_once_the_lease_has_run_out,
                a_renewal_fails_once_the_key_was_replaced,
                a_renewal_leaves_its_mark,
                a_failed_renewal_prolongs_nothing,
                nothing_can_be_put_under_a_dead_lease,
                a_key_moves_to_the_lease_that_it_was_last_put_with,
                one_lease_ends_and_the_other_stays;
            watching:
                a_watcher_behind_returns_at_once,
                a_watcher_wakes_when_something_changes,
                a_watcher_wakes_when_a_lease_runs_out,
                a_watcher_sleeps_through_renewals,
                a_cancelled_watch_misses_nothing;
        }
    };
}
