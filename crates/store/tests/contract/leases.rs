//! Leases: what hangs on one lives and ends with it.

use std::time::Duration;

use howdah_store::{Held, LeaseId, Renewal, Txn};

use super::{Subject, TTL};

const ALMOST: Duration = Duration::from_secs(9);

/// A lease, and the revision of `leader` on it.
async fn leader(on: &Subject) -> (LeaseId, u64) {
    let lease = on.store.grant(TTL).await.expect("grant");
    let revision = on.applied(Txn::new().put_leased("leader", &1_u64, lease)).await;
    (lease, revision)
}

async fn renew(on: &Subject, lease: LeaseId, held: Option<u64>) -> Renewal {
    let held = held.map(|revision| ("leader".to_owned(), revision).into());
    on.store.renew(lease, held).await.expect("renew")
}

pub async fn leased_keys_vanish_when_the_lease_runs_out(on: &Subject) {
    let (_, put) = leader(on).await;
    (on.pass)(ALMOST);
    assert_eq!(on.value("leader").await, Some(1));
    (on.pass)(TTL - ALMOST);
    let snapshot = on.snapshot().await;
    assert!(snapshot.entries.is_empty(), "exactly at its end");
    on.assert_next(put, snapshot.revision, "an expiry is a change");
}

pub async fn a_renewed_lease_lives_on(on: &Subject) {
    let (lease, put) = leader(on).await;
    for _ in 0..5 {
        (on.pass)(ALMOST);
        assert_eq!(renew(on, lease, Some(put)).await, Renewal::Kept);
    }
    (on.pass)(ALMOST);
    assert_eq!(renew(on, lease, None).await, Renewal::Kept, "without a key to hold, too");
    (on.pass)(ALMOST);
    let snapshot = on.snapshot().await;
    assert_eq!(snapshot.get::<u64>("leader"), Ok(Some((1, put))));
    on.assert_same(put, snapshot.revision, "a renewal is no change");
}

pub async fn a_renewal_leaves_its_mark(on: &Subject) {
    let (lease, put) = leader(on).await;
    let held = |revision| Some(Held::from(("leader".to_owned(), revision)).marking("beat", &7_u64));
    assert_eq!(on.store.renew(lease, held(put + 1)).await, Ok(Renewal::Lost));
    assert_eq!(on.value("beat").await, None, "not when it is refused");
    let mut last = put;
    for _ in 0..3 {
        assert_eq!(on.store.renew(lease, held(put)).await, Ok(Renewal::Kept));
        let marked = on.snapshot().await.get::<u64>("beat").expect("reads").expect("marked");
        assert!(marked.1 > last, "at each renewal anew");
        last = marked.1;
    }
    on.store.revoke(lease).await.expect("revoke");
    assert_eq!(on.value("beat").await, Some(7), "it hangs on no lease");
    assert_eq!(on.store.renew(lease, held(put)).await, Ok(Renewal::Lost));
    let marked = on.snapshot().await.get::<u64>("beat").expect("reads");
    assert_eq!(marked, Some((7, last)), "nor when the lease is over");
}

pub async fn leased_keys_vanish_when_the_lease_is_revoked(on: &Subject) {
    let (lease, put) = leader(on).await;
    on.applied(Txn::new().put("term", &1_u64)).await;
    on.store.revoke(lease).await.expect("revoke");
    assert_eq!(on.value("leader").await, None);
    assert_eq!(on.value("term").await, Some(1));
    assert_eq!(renew(on, lease, Some(put)).await, Renewal::Lost);
    on.store.revoke(lease).await.expect("a second time is no error");
}

pub async fn a_renewal_fails_once_the_lease_has_run_out(on: &Subject) {
    let (lease, put) = leader(on).await;
    (on.pass)(TTL);
    assert_eq!(renew(on, lease, Some(put)).await, Renewal::Lost);
    assert_eq!(renew(on, lease, None).await, Renewal::Lost);
    assert_eq!(on.value("leader").await, None);
}

pub async fn a_renewal_fails_once_the_key_was_replaced(on: &Subject) {
    let (old, put) = leader(on).await;
    let new = on.store.grant(TTL).await.expect("grant");
    assert_ne!(old, new);
    on.applied(Txn::new().at("leader", put).put_leased("leader", &2_u64, new)).await;
    assert_eq!(renew(on, old, Some(put)).await, Renewal::Lost, "although the lease lives");
    assert_eq!(renew(on, old, None).await, Renewal::Kept);
}

pub async fn a_failed_renewal_prolongs_nothing(on: &Subject) {
    let (lease, put) = leader(on).await;
    (on.pass)(ALMOST);
    assert_eq!(renew(on, lease, Some(put + 1)).await, Renewal::Lost);
    (on.pass)(TTL - ALMOST);
    assert_eq!(on.value("leader").await, None);
}

pub async fn nothing_can_be_put_under_a_dead_lease(on: &Subject) {
    let (lease, _) = leader(on).await;
    (on.pass)(TTL);
    let both = Txn::new().put("term", &2_u64).put_leased("leader", &2_u64, lease);
    assert!(on.refused(both).await.entries.is_empty());
    let never = LeaseId(999);
    on.refused(Txn::new().put_leased("leader", &3_u64, never)).await;
    assert!(on.snapshot().await.entries.is_empty());
}

pub async fn a_key_moves_to_the_lease_that_it_was_last_put_with(on: &Subject) {
    let (lease, _) = leader(on).await;
    on.applied(Txn::new().put("leader", &2_u64)).await;
    on.store.revoke(lease).await.expect("revoke");
    assert_eq!(on.value("leader").await, Some(2), "it hangs on nothing any more");
    let lease = on.store.grant(TTL).await.expect("grant");
    on.applied(Txn::new().put_leased("leader", &3_u64, lease)).await;
    assert_eq!(on.snapshot().await.lease("leader"), Some(lease));
    on.store.revoke(lease).await.expect("revoke");
    assert_eq!(on.value("leader").await, None);
}

pub async fn one_lease_ends_and_the_other_stays(on: &Subject) {
    let short = on.store.grant(TTL / 2).await.expect("grant");
    let long = on.store.grant(TTL).await.expect("grant");
    let members =
        Txn::new().put_leased("members/n1", &1_u64, short).put_leased("members/n2", &2_u64, long);
    on.applied(members).await;
    (on.pass)(TTL / 2);
    let members = on.snapshot().await.below::<u64>("members/").expect("numbers");
    assert_eq!(members.keys().collect::<Vec<_>>(), ["n2"]);
}
