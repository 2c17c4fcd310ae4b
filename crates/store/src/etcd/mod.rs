//! The store of a cluster of several machines: etcd, spoken to by its v3 protocol.
//!
//! ```text
//!   Store calls ──▶ keys (words) ──▶ members (who is asked) ──▶ link ──▶ etcd
//!   changed()   ◀── revision ◀── [watch] one stream, on whoever answered last
//! ```
//!
//! What may be done twice (reads, renewals, grants, revocations) is asked of another member when
//! no answer comes; see [`members`]. **A transaction is sent once.** After an error nobody knows
//! whether it was applied, and its sender reads before it goes on.
//!
//! **Revisions** are etcd's own, counted over everything in it: they rise with every change of
//! this cluster, and also with changes of others who keep their keys in the same etcd.
//!
//! **Leases** live for whole seconds, rounded up. etcd may let one live longer than it was
//! asked: below its minimum (1.5 election time-outs), and anew at each change of its own leader.
//! It ends one up to a second late. Who holds a lease counts from before the question, so none
//! of this makes it believe in a lease that is over; who waits for another's end waits longer.
//!
//! **A renewal** is a look at the key, confirmed by a majority and leaving its mark, then the
//! keep-alive, both at the same member. See `docs/decisions/0014-etcd-driver.md` for why that order is as good as one
//! transaction, and why a keep-alive alone is not.

mod fault;
mod keys;
mod link;
mod members;
mod options;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::GetOptions;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::fault::Fault;
use self::keys::Keys;
use self::link::Link;
use self::members::Members;
pub use self::options::{EtcdOptions, TlsFiles};
use self::watch::Seen;
use crate::{Held, LeaseId, Renewal, Snapshot, Store, StoreError, Txn, TxnOutcome};

/// One process's way into etcd. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Etcd {
    members: Arc<Members>,
    keys: Keys,
    seen: tokio::sync::watch::Sender<Seen>,
    watching: JoinHandle<()>,
}

impl Etcd {
    /// Takes up etcd. One that does not answer is no error: it may come back, and the calls say
    /// what is wrong with it until then. Called within a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when waiting does not help: the options contradict each other,
    /// the password is wrong, a certificate is refused.
    pub async fn open(options: EtcdOptions) -> Result<Etcd, StoreError> {
        options.check()?;
        let options = Arc::new(options);
        let keys = Keys::below(&options.prefix);
        let members = Arc::new(Members::new(options));
        let awake = members.awake().await;
        if let Err(error @ StoreError::Unusable { .. }) = awake {
            return Err(error);
        }
        let seen = tokio::sync::watch::Sender::new(Seen::default());
        let watch = watch::follow(Arc::clone(&members), keys.clone(), seen.clone());
        let etcd = Etcd { members, keys, seen, watching: tokio::spawn(watch) };
        match awake {
            Ok(_) => drop(timeout(EtcdOptions::TIMEOUT, watch::begun(&etcd.seen)).await),
            Err(error) => tracing::warn!("{error}"),
        }
        Ok(etcd)
    }

    /// What a transaction meant that etcd refused because of a lease: no more than that.
    async fn refused(&self) -> Result<TxnOutcome, StoreError> {
        Ok(TxnOutcome::Refused { snapshot: self.snapshot().await? })
    }
}

#[async_trait]
impl Store for Etcd {
    fn kind(&self) -> &'static str {
        "etcd"
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let answer = self.members.ask(|link| {
            let prefix = self.keys.prefix().to_owned();
            async move { link.get(&prefix, GetOptions::new().with_prefix()).await }
        });
        self.keys.snapshot(&answer.await?)
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        if !keys::can_hold(&txn) {
            return self.refused().await;
        }
        let deadline = self.members.deadline();
        let link = self.members.awake().await?;
        let question = link.txn(self.keys.txn(&txn));
        match self.members.tell(&link, deadline, question).await? {
            Ok(answer) => self.keys.outcome(&answer),
            Err(Fault::LeaseGone) => self.refused().await,
            Err(fault) => Err(self.members.error(&[(link.member, fault)].into())),
        }
    }

    /// At least `ttl`; a grant whose answer was lost leaves a lease behind that ends by itself.
    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let seconds = keys::seconds(ttl);
        let granted = self.members.ask(move |link| async move { link.grant(seconds).await });
        let (lease, given) = granted.await?;
        if given > seconds {
            tracing::warn!(
                "etcd lets leases live for {given} s at least, asked for were {seconds} s: \
                 a failover waits that long"
            );
        }
        Ok(LeaseId(lease))
    }

    async fn renew(&self, lease: LeaseId, while_held: Option<Held>) -> Result<Renewal, StoreError> {
        let renewal = self.members.ask(|link| {
            let (keys, held) = (self.keys.clone(), while_held.clone());
            async move { renew_at(&link, &keys, lease, held.as_ref()).await }
        });
        renewal.await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        let revoked = self.members.ask(move |link| async move { link.revoke(lease.0).await });
        revoked.await.map(|_| ())
    }

    async fn changed(&self, since: u64) -> Result<(), StoreError> {
        watch::wait(&self.seen, since).await
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// The look, then the keep-alive, at one member.
///
/// A new leader of etcd that has not caught up knows less than the majority, so a lease that it
/// does not find is looked for once more; the look in between waits for what was missing.
async fn renew_at(
    link: &Link,
    keys: &Keys,
    lease: LeaseId,
    held: Option<&Held>,
) -> Result<Renewal, Fault> {
    for _ in 0..LOOKS {
        if !link.txn(keys.held(lease, held)).await?.succeeded() {
            return Ok(Renewal::Lost);
        }
        if link.keep_alive(lease.0).await? {
            return Ok(Renewal::Kept);
        }
    }
    match held {
        None => Ok(Renewal::Lost),
        // The key stands on the lease, so there is one.
        Some(_) => Err(Fault::away("its leader does not know the lease yet")),
    }
}

/// How often a lease is looked for before it counts as ended.
const LOOKS: u32 = 2;
