//! The lease of a repository: of several nodes that may write, one does.
//!
//! ```text
//! leases/0…11  holder n1, tenure 0…10, until T1      renewed: one epoch higher
//! leases/0…12  holder n2, tenure 0…12, until T2      taken over when T1 and the margin had passed
//! ```
//!
//! The highest epoch is the lease. Nothing is overwritten: each renewal is an object of its own,
//! created conditionally, so two can never win one epoch. An epoch that was tidied away could be
//! won once more by who slept meanwhile; hence whoever has created one looks again, and holds the
//! lease only if his is the highest.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::RepoError;
use crate::name::{LEASES, Name, hex};
use crate::repository::Repository;
use crate::storage::Created;

/// The right to write, as far as its holder's clock tells.
///
/// Whoever has the lease asks [`Lease::confirm`] before a commit and [`Lease::renew`]s it in
/// time, a third of its length before its end, say.
#[derive(Clone, Debug)]
pub struct Lease {
    repository: Repository,
    terms: Terms,
    tenure: u64,
    epoch: u64,
    until_ms: i64,
}

/// Who asks, and for how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Whoever has the same name is the same holder.
    pub holder: String,
    pub lasts: Duration,
    /// How far two clocks may be apart: the holder stops so much earlier, others wait so much
    /// longer.
    pub margin: Duration,
}

/// What asking for the lease came to.
#[derive(Debug)]
pub enum Acquired {
    Held(Lease),
    /// Another has it, until then by his clock.
    Busy {
        holder: String,
        until_ms: i64,
    },
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
struct Record {
    holder: String,
    /// The epoch with which this holder's time began: the fencing token.
    tenure: u64,
    until_ms: i64,
    #[serde(default)]
    released: bool,
}

impl Lease {
    /// Takes the lease if nobody holds it. `now_ms` is the caller's clock, in unix milliseconds,
    /// read before the call.
    pub async fn acquire(
        repository: &Repository,
        terms: Terms,
        now_ms: i64,
    ) -> Result<Acquired, RepoError> {
        let top = look(repository).await?;
        if let Some((_, record)) = &top
            && !is_over(record, &terms, now_ms)
        {
            return Ok(busy(record));
        }
        let epoch = top.as_ref().map_or(1, |(epoch, _)| epoch + 1);
        let tenure = match &top {
            Some((_, record)) if record.holder == terms.holder && !record.released => record.tenure,
            _ => epoch,
        };
        let until_ms = after(now_ms, terms.lasts);
        let repository = repository.clone();
        let mut lease = Lease { repository, terms, tenure, epoch: epoch - 1, until_ms };
        match lease.advance(until_ms, false).await {
            Ok(()) => Ok(Acquired::Held(lease)),
            Err(RepoError::LeaseLost { .. }) => match look(&lease.repository).await? {
                Some((_, record)) => Ok(busy(&record)),
                None => Err(RepoError::LeaseLost { what: "it vanished".to_owned() }),
            },
            Err(error) => Err(error),
        }
    }

    pub fn holder(&self) -> &str {
        &self.terms.holder
    }

    /// Rises with each new holder; a lower one than another's has lost.
    pub fn tenure(&self) -> u64 {
        self.tenure
    }

    pub fn until_ms(&self) -> i64 {
        self.until_ms
    }

    /// Lets the lease last from `now_ms` on, which was read before the call. One renews a lease;
    /// its clones are for [`Lease::confirm`].
    ///
    /// # Errors
    /// [`RepoError::LeaseLost`] when somebody took it over. After [`RepoError::Trouble`] it is
    /// not known whether it was renewed: until the old end it is held nevertheless.
    pub async fn renew(&mut self, now_ms: i64) -> Result<(), RepoError> {
        self.advance(after(now_ms, self.terms.lasts), false).await
    }

    /// Gives the lease up, so that the next need not wait.
    pub async fn release(mut self, now_ms: i64) -> Result<(), RepoError> {
        self.advance(now_ms, true).await
    }

    /// To be asked before each commit. A clone may ask while the original is being renewed.
    ///
    /// # Errors
    /// [`RepoError::LeaseLost`] when it is another's, or ends within the margin.
    pub async fn confirm(&self, now_ms: i64) -> Result<(), RepoError> {
        let Some((_, record)) = look(&self.repository).await? else {
            return Err(RepoError::LeaseLost { what: "no lease is there".to_owned() });
        };
        let ours = record.holder == self.terms.holder && record.tenure == self.tenure;
        if !ours || record.released {
            return Err(lost_to(&record));
        }
        if after(now_ms, self.terms.margin) >= record.until_ms {
            let what = format!("it ended at {} and was not renewed", record.until_ms);
            return Err(RepoError::LeaseLost { what });
        }
        Ok(())
    }

    /// Wins the next epoch, makes sure that it is the highest, and tidies up what lies below.
    async fn advance(&mut self, until_ms: i64, released: bool) -> Result<(), RepoError> {
        let epoch = self.epoch + 1;
        let (holder, tenure) = (self.terms.holder.clone(), self.tenure);
        let record = Record { holder, tenure, until_ms, released };
        let text = serde_json::to_vec(&record).map_err(|error| RepoError::refused(error, ""))?;
        let storage = self.repository.storage();
        let created = storage.create(&Name::lease(epoch), text.into()).await?;
        let epochs = epochs(&self.repository).await?;
        let top = epochs.last().copied().unwrap_or_default();
        if created == Created::Exists && top <= epoch {
            // An answer that was lost in an earlier call: the object may be this very one.
            let (_, found) = look(&self.repository).await?.unwrap_or((0, record.clone()));
            let same = found.holder == record.holder && found.tenure == record.tenure;
            if !same || found.released != record.released {
                return Err(lost_to(&found));
            }
            self.epoch = epoch;
            self.until_ms = found.until_ms;
            return Ok(());
        }
        if top != epoch {
            if created == Created::New {
                storage.delete(&Name::lease(epoch)).await?;
            }
            let what = format!("epoch {top} is above {epoch}");
            return Err(RepoError::LeaseLost { what });
        }
        (self.epoch, self.until_ms) = (epoch, until_ms);
        for old in epochs.into_iter().filter(|old| *old < epoch) {
            storage.delete(&Name::lease(old)).await?;
        }
        Ok(())
    }
}

fn is_over(record: &Record, terms: &Terms, now_ms: i64) -> bool {
    record.released
        || record.holder == terms.holder
        || now_ms > after(record.until_ms, terms.margin)
}

fn after(now_ms: i64, time: Duration) -> i64 {
    now_ms.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

fn busy(record: &Record) -> Acquired {
    Acquired::Busy { holder: record.holder.clone(), until_ms: record.until_ms }
}

fn lost_to(record: &Record) -> RepoError {
    let what = format!("`{}` holds it since epoch {}", record.holder, record.tenure);
    RepoError::LeaseLost { what }
}

async fn epochs(repository: &Repository) -> Result<Vec<u64>, RepoError> {
    let listed = repository.storage().list(LEASES, None).await?;
    let epoch = |name: &str| hex(name.rsplit('/').next()?, 16);
    Ok(listed.iter().filter_map(|object| epoch(&object.name)).collect())
}

/// The highest epoch and what it says. One that is tidied away under the look is looked for anew.
async fn look(repository: &Repository) -> Result<Option<(u64, Record)>, RepoError> {
    let mut last = RepoError::absent(LEASES);
    for _ in 0..LOOKS_MAX {
        let Some(epoch) = epochs(repository).await?.last().copied() else { return Ok(None) };
        let name = Name::lease(epoch);
        match repository.storage().get(&name).await {
            Ok(text) => {
                let record = serde_json::from_slice(&text);
                let record = record.map_err(|error| RepoError::damaged(&name, error))?;
                return Ok(Some((epoch, record)));
            }
            Err(error) if error.is_absent() => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

const LOOKS_MAX: u32 = 8;
