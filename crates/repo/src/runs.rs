//! What the schedule did: two objects a run, one when it begins and one when it is over. A run that has
//! only begun is under way, or its node went away in the middle: whoever holds the lease next says so.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::RepoError;
use crate::kind::Kind;
use crate::name::{Name, hex};
use crate::repository::{Lineage, Put};

/// The object of a run that begins. Fields are added, never renamed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Begun {
    /// `backup`, `full`, `verify`, `drill` or `expire`.
    pub task: String,
    pub node: String,
    pub begun_ms: i64,
    /// The moment of the schedule that it is for.
    #[serde(default)]
    pub due_ms: i64,
}

/// The object of a run that is over.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, Debug)]
pub struct Ended {
    pub ended_ms: i64,
    /// `done`, `failed` or `interrupted`.
    pub outcome: String,
    /// Why it was not done.
    #[serde(default)]
    pub why: String,
    /// The backup that was made, or looked at.
    #[serde(default)]
    pub label: Option<String>,
    /// What it added to the storage, or read back.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// What a drill measured, milliseconds.
    #[serde(default)]
    pub rpo_ms: Option<u64>,
    #[serde(default)]
    pub rto_ms: Option<u64>,
}

/// A run as it stands in the repository.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    pub number: u64,
    pub begun: Begun,
    pub ended: Option<Ended>,
}

/// Bytes of such an object at most.
const RUN_BYTES_MAX: usize = 64 << 10;

/// Reads an object of a run; whatever the bytes are, it answers.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

impl Lineage {
    /// Begins run `number`.
    ///
    /// # Errors
    /// [`RepoError::Taken`] when somebody else has begun it.
    pub async fn begin_run(&self, number: u64, begun: &Begun) -> Result<(), RepoError> {
        let name = self.id().run(number);
        match self.put_json(Kind::Run, name.clone(), begun).await? {
            Put::New => Ok(()),
            Put::Same | Put::Other => Err(RepoError::Taken { name: name.to_string() }),
        }
    }

    /// Ends it; whoever says first how it ended has said it.
    pub async fn end_run(&self, number: u64, ended: &Ended) -> Result<Put, RepoError> {
        self.put_json(Kind::Run, self.id().run_end(number), ended).await
    }

    /// The numbers of all runs in order, and whether each is over.
    pub async fn runs(&self) -> Result<Vec<(u64, bool)>, RepoError> {
        let listed = self.storage().files(&self.id().runs()).await?;
        let file = |name: &str| name.rsplit('/').next().map(str::to_owned);
        let names: Vec<String> = listed.iter().filter_map(|object| file(&object.name)).collect();
        let mut runs: Vec<(u64, bool)> = names
            .iter()
            .filter_map(|name| hex(name, 16))
            .map(|number| (number, names.contains(&format!("{number:016x}.end"))))
            .collect();
        runs.sort_unstable();
        Ok(runs)
    }

    pub async fn get_run(&self, number: u64, is_over: bool) -> Result<Run, RepoError> {
        let begun = self.read_run(&self.id().run(number)).await?;
        let ended = match is_over {
            true => Some(self.read_run(&self.id().run_end(number)).await?),
            false => None,
        };
        Ok(Run { number, begun, ended })
    }

    /// Of one that nobody looks at any more.
    pub async fn forget_run(&self, number: u64) -> Result<(), RepoError> {
        // In this order: an end alone is nothing, a beginning alone is a run under way.
        self.storage().delete(&self.id().run(number)).await?;
        self.storage().delete(&self.id().run_end(number)).await
    }

    async fn read_run<T: DeserializeOwned>(&self, name: &Name) -> Result<T, RepoError> {
        let bytes = self.get_sealed(Kind::Run, name, RUN_BYTES_MAX).await?;
        decode(&bytes).ok_or_else(|| RepoError::damaged(name, "no run of the schedule"))
    }
}
