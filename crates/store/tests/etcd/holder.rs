//! A node as the store sees it: it holds `leader` on a lease of six seconds and renews it.

use std::time::{Duration, Instant};

use howdah_store::etcd::{Etcd, EtcdOptions};
use howdah_store::{LeaseId, Renewal, Store, StoreError, Txn, TxnOutcome};

pub struct Holder {
    pub store: Etcd,
    lease: LeaseId,
    revision: u64,
}

impl Holder {
    pub async fn new(options: EtcdOptions) -> Holder {
        let store = Etcd::open(options).await.expect("opens");
        let lease = store.grant(LEASE).await.expect("grant");
        let txn = Txn::new().absent("leader").put_leased("leader", &"n1", lease);
        match store.txn(txn).await.expect("txn") {
            TxnOutcome::Applied { revision } => Holder { store, lease, revision },
            TxnOutcome::Refused { snapshot } => panic!("refused by {snapshot:?}"),
        }
    }

    /// One renewal, and how long it took. Losing the lease fails the test.
    pub async fn renew(&self) -> (Result<(), StoreError>, Duration) {
        let began = Instant::now();
        let held = Some(("leader".to_owned(), self.revision).into());
        let renewal = self.store.renew(self.lease, held).await;
        let renewal = renewal.map(|renewal| assert_eq!(renewal, Renewal::Kept));
        (renewal, began.elapsed())
    }

    /// As above; it must succeed.
    pub async fn kept(&self) -> Duration {
        let (renewal, took) = self.renew().await;
        renewal.expect("the renewal succeeds");
        took
    }

    /// Renews until one succeeds, and says how long after the start of the first that was.
    /// Longer than the lease fails the test.
    pub async fn kept_again(&self) -> Duration {
        let began = Instant::now();
        while let (Err(error), _) = self.renew().await {
            assert!(began.elapsed() < LEASE, "{error}");
        }
        began.elapsed()
    }
}

/// As in a cluster file that says nothing.
pub const LEASE: Duration = Duration::from_secs(6);
