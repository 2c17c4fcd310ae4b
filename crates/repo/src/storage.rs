//! Where objects are kept: a directory or S3, behind few calls that never overwrite.
//!
//! ```text
//!   Storage ── deadline, retries, read-back ──▶ Driver ─┬─ Posix  link(2), fsync
//!                                                       └─ S3     If-None-Match: *
//! ```
//!
//! A driver does one attempt. What an attempt's failure means, and whether to try again, is
//! decided here once for both.

mod driver;
mod options;
mod posix;
mod s3;
mod staged;

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use driver::{Created, Listed};
pub use options::{Address, S3Options, StorageOptions};

use crate::RepoError;
use crate::name::{MARKER, Name};
use driver::{Driver, Fault};
use posix::Posix;
use s3::S3;

/// Objects of one repository. Cheap to clone; every call is bounded in time.
#[derive(Clone, Debug)]
pub struct Storage {
    driver: Arc<dyn Driver>,
    place: Arc<str>,
    is_near: bool,
    limits: Limits,
}

/// How long and how often a call is tried. An attempt may take `attempt`, and a second more for
/// each MiB that it moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    pub attempt: Duration,
    pub attempts_max: u32,
    /// Before the second attempt; twice as long before each further one.
    pub backoff: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let (attempt, backoff) = (Duration::from_secs(15), Duration::from_millis(200));
        Limits { attempt, attempts_max: 5, backoff }
    }
}

/// The longest object that is read as one.
pub const WHOLE_BYTES_MAX: u64 = 2 << 30;

impl Storage {
    /// Opens a place without touching it; the first call does.
    ///
    /// # Errors
    /// When the options cannot be meant, or a CA file cannot be read.
    pub fn open(options: &StorageOptions) -> Result<Storage, RepoError> {
        let driver: Arc<dyn Driver> = match &options.address {
            Address::Directory(path) => Arc::new(Posix::new(path.clone())),
            Address::S3 { bucket, prefix } => Arc::new(S3::open(bucket, prefix, &options.s3)?),
        };
        let place = options.address.to_string().into();
        let is_near = matches!(options.address, Address::Directory(_));
        Ok(Storage { driver, place, is_near, limits: options.limits })
    }

    /// Whether many small requests cost little more than few large ones: it is a directory.
    pub fn is_near(&self) -> bool {
        self.is_near
    }

    /// Where this is, for messages; holds no secret.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Writes `content` unless something is there. [`Created::New`] once it is durable.
    ///
    /// An attempt whose answer never came may have been carried out: then an object of this name
    /// is read back, and equal content is ours.
    pub async fn create(&self, name: &Name, content: Bytes) -> Result<Created, RepoError> {
        let mut unsure = false;
        let mut last = String::new();
        for attempt in 0..self.limits.attempts_max {
            self.pause(attempt).await;
            let write = self.driver.create(name.as_str(), content.clone());
            match self.bounded(content.len() as u64, write).await {
                Ok(Created::Exists) if unsure => return self.ours_or_not(name, &content).await,
                Ok(created) => return Ok(created),
                Err(Fault::Passing(what)) => (unsure, last) = (true, what),
                Err(fault) => return Err(self.trouble("write", name.as_str(), fault)),
            }
        }
        // The last attempt, too, may have been carried out.
        if let Ok(Created::New) = self.ours_or_not(name, &content).await {
            return Ok(Created::New);
        }
        Err(self.trouble("write", name.as_str(), Fault::Passing(last)))
    }

    async fn ours_or_not(&self, name: &Name, content: &Bytes) -> Result<Created, RepoError> {
        let found = self.get(name).await?;
        Ok(if found == *content { Created::New } else { Created::Exists })
    }

    /// The whole object.
    pub async fn get(&self, name: &Name) -> Result<Bytes, RepoError> {
        let read = || self.driver.get(name.as_str(), WHOLE_BYTES_MAX);
        self.retried("read", name.as_str(), READ_BYTES, read).await
    }

    /// Exactly these bytes of an object; fewer are [`RepoError::Damaged`].
    pub async fn get_range(&self, name: &Name, range: Range<u64>) -> Result<Bytes, RepoError> {
        let len = range.end.saturating_sub(range.start);
        let read = || self.driver.get_range(name.as_str(), range.clone());
        let found = self.retried("read", name.as_str(), len, read).await?;
        if found.len() as u64 == len {
            return Ok(found);
        }
        let what = format!("{} bytes where {len} were asked for", found.len());
        Err(RepoError::damaged(name, what))
    }

    /// An object's size in bytes.
    pub async fn head(&self, name: &Name) -> Result<u64, RepoError> {
        self.retried("look at", name.as_str(), 0, || self.driver.head(name.as_str())).await
    }

    pub async fn exists(&self, name: &Name) -> Result<bool, RepoError> {
        match self.head(name).await {
            Ok(_) => Ok(true),
            Err(RepoError::Absent { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All objects below the folder `folder`, in order of their names; `after` leaves out what
    /// does not sort behind it.
    pub async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Listed>, RepoError> {
        let list = || self.driver.list(folder, after);
        let mut found = self.retried("list", folder, READ_BYTES, list).await?;
        found.sort_by(|one, other| one.name.cmp(&other.name));
        if found.is_empty() {
            self.sure_of_absence(folder).await?;
        }
        Ok(found)
    }

    /// The folders directly below `folder`, by their own names, in order.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, RepoError> {
        let list = || self.driver.folders(folder);
        let mut found = self.retried("list", folder, READ_BYTES, list).await?;
        found.sort();
        if found.is_empty() {
            self.sure_of_absence(folder).await?;
        }
        Ok(found)
    }

    /// The objects directly in `folder`, in order of their names.
    pub async fn files(&self, folder: &str) -> Result<Vec<Listed>, RepoError> {
        let list = || self.driver.files(folder);
        let mut found = self.retried("list", folder, READ_BYTES, list).await?;
        found.sort_by(|one, other| one.name.cmp(&other.name));
        if found.is_empty() {
            self.sure_of_absence(folder).await?;
        }
        Ok(found)
    }

    /// As [`Storage::folders`], of a place that may not be a repository yet.
    pub(crate) async fn folders_unsure(&self, folder: &str) -> Result<Vec<String>, RepoError> {
        let list = || self.driver.folders(folder);
        self.retried("list", folder, READ_BYTES, list).await
    }

    /// Tries whether this storage keeps its word: what is there must not be overwritten. Some
    /// that speak S3 take the condition and pay it no heed.
    pub(crate) async fn prove_that_it_keeps(&self, random: u64) -> Result<(), RepoError> {
        let name = Name::probe(random);
        let first = self.create(&name, Bytes::from_static(b"first")).await?;
        let second = self.create(&name, Bytes::from_static(b"second")).await?;
        self.delete(&name).await?;
        if (first, second) == (Created::New, Created::Exists) {
            return Ok(());
        }
        let what = format!("this storage overwrites what it was asked to create: `{}`", self.place);
        Err(RepoError::refused(what, "use one that honours `If-None-Match: *` on PUT"))
    }

    /// Removes an object; no error when it is gone already.
    pub async fn delete(&self, name: &Name) -> Result<(), RepoError> {
        match self.retried("remove", name.as_str(), 0, || self.driver.delete(name.as_str())).await {
            Err(RepoError::Absent { .. }) => Ok(()),
            other => other,
        }
    }

    /// Removes what writes that were interrupted before `before_ms` left behind, which is not in
    /// any listing; how many. A write takes minutes at most: leave a day.
    pub async fn sweep(&self, before_ms: i64) -> Result<u64, RepoError> {
        self.retried("sweep", "", READ_BYTES, || self.driver.sweep(before_ms)).await
    }

    async fn retried<T, F>(
        &self,
        verb: &str,
        name: &str,
        len: u64,
        mut call: impl FnMut() -> F,
    ) -> Result<T, RepoError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut last = Fault::Passing("not tried".to_owned());
        for attempt in 0..self.limits.attempts_max {
            self.pause(attempt).await;
            match self.bounded(len, call()).await {
                Ok(done) => return Ok(done),
                Err(Fault::Passing(what)) => last = Fault::Passing(what),
                Err(Fault::Absent) => {
                    self.sure_of_absence(name).await?;
                    return Err(RepoError::absent(name));
                }
                Err(fault) => return Err(self.trouble(verb, name, fault)),
            }
        }
        Err(self.trouble(verb, name, last))
    }

    /// A disk that is not mounted and a bucket that is gone say "not found" of everything. What
    /// is absent is believed only while the repository's own file can be seen.
    async fn sure_of_absence(&self, name: &str) -> Result<(), RepoError> {
        if name == MARKER {
            return Ok(());
        }
        for attempt in 0..self.limits.attempts_max {
            self.pause(attempt).await;
            match self.bounded(0, self.driver.head(MARKER)).await {
                Ok(_) => return Ok(()),
                Err(Fault::Passing(_)) => {}
                Err(Fault::Absent) => {
                    let what = format!("`{MARKER}` is not there");
                    return Err(self.trouble("look for", name, Fault::Refused(what)));
                }
                Err(fault) => return Err(self.trouble("look for", name, fault)),
            }
        }
        let what = format!("whether it is absent cannot be told: no answer for `{MARKER}`");
        Err(self.trouble("look for", name, Fault::Passing(what)))
    }

    async fn bounded<T>(
        &self,
        len: u64,
        call: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let most = self.limits.attempt + Duration::from_secs(len >> 20);
        match tokio::time::timeout(most, call).await {
            Ok(done) => done,
            Err(_) => Err(Fault::Passing(format!("no answer within {} ms", most.as_millis()))),
        }
    }

    async fn pause(&self, attempt: u32) {
        if attempt > 0 {
            tokio::time::sleep(self.limits.backoff * (1 << (attempt - 1).min(8))).await;
        }
    }

    fn trouble(&self, verb: &str, name: &str, fault: Fault) -> RepoError {
        let (what, hint) = match fault {
            Fault::Absent => ("it is not there".to_owned(), "look whether somebody removed it"),
            Fault::Passing(what) => (what, "look whether the storage can be reached; try again"),
            Fault::Refused(what) => {
                (what, "look at the address, the rights and the room of the storage")
            }
        };
        RepoError::Trouble {
            what: format!("cannot {verb} `{name}`: {what}"),
            place: self.place.to_string(),
            hint: hint.to_owned(),
        }
    }
}

/// What a listing, and an object of unknown length, is given time for: as if it moved so much.
const READ_BYTES: u64 = 64 << 20;
