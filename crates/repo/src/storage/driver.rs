//! One attempt at one thing: what the directory and S3 have in common.

use std::fmt::Debug;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

/// Names are paths below the repository's root, as [`crate::name`] makes them.
#[async_trait]
pub(super) trait Driver: Send + Sync + Debug {
    /// Writes an object unless one is there; durable before it says so. After
    /// [`Created::Exists`] what is there is durable, too.
    async fn create(&self, name: &str, content: Bytes) -> Result<Created, Fault>;
    /// The whole object, unless it is longer than `most` bytes.
    async fn get(&self, name: &str, most: u64) -> Result<Bytes, Fault>;
    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, Fault>;
    async fn head(&self, name: &str) -> Result<u64, Fault>;
    /// Everything below a folder. A folder that is not there is an empty one.
    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Listed>, Fault>;
    /// Only what is directly in it.
    async fn files(&self, folder: &str) -> Result<Vec<Listed>, Fault>;
    async fn folders(&self, folder: &str) -> Result<Vec<String>, Fault>;
    async fn delete(&self, name: &str) -> Result<(), Fault>;

    /// Removes what writes that were interrupted before `before_ms` left; how many.
    async fn sweep(&self, _before_ms: i64) -> Result<u64, Fault> {
        Ok(0)
    }
}

/// What became of a conditional write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Created {
    /// It is there now, durably, and was not before.
    New,
    /// Something was there, and is unchanged.
    Exists,
}

/// An object in a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Below the repository's root.
    pub name: String,
    pub size: u64,
    /// By the storage's clock, in unix milliseconds.
    pub modified_ms: i64,
}

/// Why an attempt failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// The storage says that there is no such object.
    Absent,
    /// May pass by itself: worth another attempt. A write may have been carried out.
    Passing(String),
    /// Will be said again.
    Refused(String),
}
