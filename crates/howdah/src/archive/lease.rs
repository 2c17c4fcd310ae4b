//! The right to change a repository: taken, renewed while somebody works, given back.
//!
//! A verb takes it for itself, [`acquire`]. A node takes it for what its schedule does, [`Right`], and lends
//! it to the verb that it starts for that: of one name, there is one holder.

use std::time::Duration;

use howdah_api::when;
use howdah_repo::lease::{Acquired, Terms};
use howdah_repo::{Lease, RepoError, Repository};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::failure::{Exit, Failure};
use crate::talk::say;

const LASTS: Duration = Duration::from_secs(60);
const RENEW_EVERY: Duration = Duration::from_secs(15);
/// How far the clocks of two machines may be apart.
const MARGIN: Duration = Duration::from_secs(10);

/// The name of whoever has the lease and started this process to use it.
pub const LENT_BY: &str = "HOWDAH_LEASE";
/// The lender renews it meanwhile, and one of the two may have to look again.
const TRIES_MAX: u32 = 10;
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// One that is held. Only this one is renewed and given back: a clone knows of no renewal.
#[derive(Debug)]
pub struct Held {
    lease: Mutex<Lease>,
    /// Somebody else renews it and gives it back.
    is_lent: bool,
}

/// Whether a node's schedule started this process.
pub fn is_lent() -> bool {
    std::env::var_os(LENT_BY).is_some()
}

/// # Errors
/// Another has it.
pub async fn acquire(repository: &Repository, holder: String) -> anyhow::Result<Held> {
    let lender = std::env::var(LENT_BY).ok();
    let is_lent = lender.is_some();
    let terms = terms(lender.unwrap_or(holder));
    for _ in 1..TRIES_MAX {
        match Lease::acquire(repository, terms.clone(), now_ms()).await? {
            Acquired::Busy { holder, .. } if is_lent && holder == terms.holder => {
                sleep(TRY_AGAIN).await;
            }
            answer => return held(answer, is_lent),
        }
    }
    held(Lease::acquire(repository, terms, now_ms()).await?, is_lent)
}

fn terms(holder: String) -> Terms {
    Terms { holder, lasts: LASTS, margin: MARGIN }
}

fn held(answer: Acquired, is_lent: bool) -> anyhow::Result<Held> {
    match answer {
        Acquired::Held(lease) => Ok(Held { lease: Mutex::new(lease), is_lent }),
        Acquired::Busy { holder, until_ms } => {
            let until = when::rfc3339(u64::try_from(until_ms).unwrap_or(0));
            let failure = Failure::new(Exit::TimedOut, format!("the repository is busy: {holder}"));
            Err(failure.hint(format!("its right ends at {until} unless it is renewed")).into())
        }
    }
}

impl Held {
    /// What a commit asks whether it is still held; it is not renewed.
    pub async fn lease(&self) -> Lease {
        self.lease.lock().await.clone()
    }

    /// Renews it until it is lost.
    pub async fn keep(&self) -> anyhow::Error {
        loop {
            sleep(RENEW_EVERY).await;
            if self.is_lent {
                continue;
            }
            match self.lease.lock().await.renew(now_ms()).await {
                Err(error @ RepoError::LeaseLost { .. }) => return error.into(),
                // Until its end it is held nevertheless.
                Err(error) => say(format!("howdah: {error}")),
                Ok(()) => {}
            }
        }
    }

    /// Whoever comes next need not wait; what was done is done whether this is or not.
    pub async fn release(self) {
        if self.is_lent {
            return;
        }
        if let Err(error) = self.lease.into_inner().release(now_ms()).await {
            say(format!("howdah: the repository's lease ends by itself in a minute: {error}"));
        }
    }
}

/// The lease of a node's schedule, while a process of its own works with it. Each renewal asks for it
/// anew by the holder's name, since the other has renewed it too.
#[derive(Debug)]
pub struct Right {
    repository: Repository,
    terms: Terms,
    lease: Lease,
}

impl Right {
    /// `None`: another has it.
    pub async fn take(repository: &Repository, holder: String) -> Result<Option<Right>, RepoError> {
        let terms = terms(holder);
        match Lease::acquire(repository, terms.clone(), now_ms()).await? {
            Acquired::Held(lease) => {
                Ok(Some(Right { repository: repository.clone(), terms, lease }))
            }
            Acquired::Busy { .. } => Ok(None),
        }
    }

    pub fn holder(&self) -> &str {
        &self.terms.holder
    }

    /// Renews it until it is lost; why.
    pub async fn keep(&mut self) -> String {
        loop {
            sleep(RENEW_EVERY).await;
            match Lease::acquire(&self.repository, self.terms.clone(), now_ms()).await {
                Ok(Acquired::Held(lease)) if lease.tenure() == self.lease.tenure() => {
                    self.lease = lease;
                }
                Ok(Acquired::Busy { holder, .. }) if holder == self.terms.holder => {}
                Ok(Acquired::Busy { holder, .. }) => return format!("`{holder}` has its lease"),
                Ok(Acquired::Held(_)) => return "another had its lease meanwhile".to_owned(),
                Err(error) => tracing::warn!("the repository's lease is not renewed: {error}"),
            }
            let margin = i64::try_from(MARGIN.as_millis()).unwrap_or(i64::MAX);
            if now_ms().saturating_add(margin) >= self.lease.until_ms() {
                return "the repository did not answer until its lease was over".to_owned();
            }
        }
    }

    pub async fn release(self) {
        let released = match Lease::acquire(&self.repository, self.terms, now_ms()).await {
            Ok(Acquired::Held(lease)) => lease.release(now_ms()).await,
            Ok(Acquired::Busy { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = released {
            tracing::warn!("the repository's lease ends by itself in a minute: {error}");
        }
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    i64::try_from(when::now_unix_ms()).unwrap_or(i64::MAX)
}
