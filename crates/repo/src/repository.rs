//! A repository as a whole: made once, opened with its key, holder of lineages.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use howdah_base::{Lsn, Timeline};
use serde::{Deserialize, Serialize};

use crate::RepoError;
use crate::envelope::{self, BadObject, Identity};
use crate::key::{self, KeySource};
use crate::kind::Kind;
use crate::name::{LEASES, LineageId, Name};
use crate::seal::Cipher;
use crate::storage::{Created, Storage};

/// An open repository. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repository {
    storage: Storage,
    cipher: Arc<Cipher>,
    id: Arc<str>,
}

/// `howdah-repository.json`: what must be known before anything can be read.
#[derive(Serialize, Deserialize, Debug)]
struct Marker {
    format: u32,
    /// 32 hexadecimal digits.
    id: String,
    /// `aes-256-gcm` or `none`.
    cipher: String,
    /// HMAC-SHA256 of the id by the master key; empty without one.
    #[serde(default)]
    proof: String,
    created_ms: i64,
}

const FORMAT: u32 = 1;

/// What became of an object that is written once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    New,
    /// The same content was there.
    Same,
    /// Other content was there, and still is.
    Other,
}

/// `lineage.json`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct LineageAbout {
    pub cluster: String,
    pub system_identifier: u64,
    /// Bytes of a segment of its WAL.
    #[serde(default = "usual_segment")]
    pub segment_bytes: u32,
    /// Whence a clone's history comes.
    #[serde(default)]
    pub parent: Option<Fork>,
    pub created_ms: i64,
}

fn usual_segment() -> u32 {
    crate::wal::SEGMENT_BYTES
}

/// Where one lineage left another.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Fork {
    /// As [`LineageId`] is written.
    pub lineage: String,
    pub timeline: Timeline,
    pub lsn: Lsn,
}

impl Repository {
    /// Makes a repository in a place that holds none, and opens it. `id` is random.
    ///
    /// # Errors
    /// [`RepoError::Taken`] when there is one; [`RepoError::Refused`] when the place holds parts
    /// of one, or when the storage overwrites what it was asked to create.
    pub async fn create(
        storage: Storage,
        key: &KeySource,
        id: u128,
        now_ms: i64,
    ) -> Result<Repository, RepoError> {
        let cipher = key.load().await?;
        if !Repository::is_absent(&storage).await? {
            return Err(RepoError::Taken { name: Name::marker().to_string() });
        }
        refuse_remains(&storage).await?;
        storage.prove_that_it_keeps(id as u64).await?;
        let id = format!("{id:032x}");
        let proof = key::proof(&cipher, &id);
        let word = cipher_word(&cipher).to_owned();
        let marker = Marker { format: FORMAT, id, cipher: word, proof, created_ms: now_ms };
        let text = serde_json::to_vec_pretty(&marker).map_err(|error| {
            RepoError::refused(format!("cannot write the repository's file: {error}"), "")
        })?;
        match storage.create(&Name::marker(), text.into()).await? {
            Created::New => {
                let id = marker.id.into();
                Ok(Repository { storage, cipher: Arc::new(cipher), id })
            }
            Created::Exists => Err(RepoError::Taken { name: Name::marker().to_string() }),
        }
    }

    /// Opens the repository; a wrong key is told here.
    ///
    /// # Errors
    /// [`RepoError::Absent`] when there is none in this place; [`RepoError::Key`].
    pub async fn open(storage: Storage, key: &KeySource) -> Result<Repository, RepoError> {
        let name = Name::marker();
        let text = storage.get(&name).await?;
        let marker: Marker = serde_json::from_slice(&text)
            .map_err(|error| RepoError::damaged(&name, format!("no such file: {error}")))?;
        if marker.format != FORMAT {
            let what = format!("format {} is not known", marker.format);
            return Err(RepoError::refused(what, "a newer Howdah made this repository: use it"));
        }
        let cipher = key.load().await?;
        if cipher_word(&cipher) != marker.cipher {
            return Err(wrong_key(format!(
                "this repository is sealed with `{}`, not with `{}`",
                marker.cipher,
                cipher_word(&cipher)
            )));
        }
        if key::proof(&cipher, &marker.id) != marker.proof {
            return Err(wrong_key("the key is not this repository's".to_owned()));
        }
        Ok(Repository { storage, cipher: Arc::new(cipher), id: marker.id.into() })
    }

    /// Whether the storage says that there is no repository in this place.
    pub async fn is_absent(storage: &Storage) -> Result<bool, RepoError> {
        Ok(!storage.exists(&Name::marker()).await?)
    }

    /// Makes a key into a new file of mode 0600, for a repository that is still to be made.
    ///
    /// # Errors
    /// [`RepoError::Taken`] when there is a repository: what seals it cannot be made up.
    pub async fn make_key_file(storage: &Storage, path: &Path) -> Result<KeySource, RepoError> {
        if !Repository::is_absent(storage).await? {
            return Err(RepoError::Taken { name: Name::marker().to_string() });
        }
        refuse_remains(storage).await?;
        key::make_file(path)?;
        Ok(KeySource::File(path.to_owned()))
    }

    /// 32 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Whether whoever reads the storage reads the data.
    pub fn is_plain(&self) -> bool {
        matches!(*self.cipher, Cipher::None)
    }

    pub(crate) fn cipher(&self) -> &Arc<Cipher> {
        &self.cipher
    }

    /// All lineages there are.
    pub async fn lineages(&self) -> Result<Vec<LineageId>, RepoError> {
        let folders = self.storage.folders("").await?;
        Ok(folders.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Begins a lineage; `id` is random.
    ///
    /// # Errors
    /// [`RepoError::Taken`] when there is one of this id.
    pub async fn begin_lineage(
        &self,
        id: LineageId,
        about: &LineageAbout,
    ) -> Result<Lineage, RepoError> {
        let lineage = self.lineage(id);
        match lineage.put_json(Kind::Lineage, id.about(), about).await? {
            Put::Other => Err(RepoError::Taken { name: id.about().to_string() }),
            Put::New | Put::Same => Ok(lineage),
        }
    }

    /// A lineage by its id, without looking whether it is there.
    pub fn lineage(&self, id: LineageId) -> Lineage {
        Lineage { repository: self.clone(), id }
    }
}

/// A folder that looks like a repository's, without its file: somebody lost that one, and a new
/// one would make what is there unreadable.
async fn refuse_remains(storage: &Storage) -> Result<(), RepoError> {
    let found = storage.folders_unsure("").await?;
    let ours = |name: &&String| *name == LEASES || name.parse::<LineageId>().is_ok();
    match found.iter().find(ours) {
        None => Ok(()),
        Some(name) => Err(RepoError::refused(
            format!("`{}` holds `{name}` but no `{}`", storage.place(), Name::marker()),
            "bring that file back from a copy, or name an empty place",
        )),
    }
}

fn cipher_word(cipher: &Cipher) -> &'static str {
    match cipher {
        Cipher::None => "none",
        Cipher::Aes256Gcm(_) => "aes-256-gcm",
    }
}

fn wrong_key(what: String) -> RepoError {
    RepoError::Key { what, hint: "name the key that it was made with".to_owned() }
}

/// One history of a cluster in a repository. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lineage {
    repository: Repository,
    id: LineageId,
}

/// The longest cluster file, history file, proof: small things that are read whole.
pub const SMALL_BYTES_MAX: usize = 16 << 20;

impl Lineage {
    pub fn id(&self) -> LineageId {
        self.id
    }

    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// What it is the history of.
    pub async fn about(&self) -> Result<LineageAbout, RepoError> {
        let name = self.id.about();
        let text = self.get_sealed(Kind::Lineage, &name, SMALL_BYTES_MAX).await?;
        serde_json::from_slice(&text).map_err(|error| RepoError::damaged(&name, error))
    }

    /// Keeps the cluster file as it is now, unless the last one kept is the same; its number.
    pub async fn put_cluster_file(&self, text: &str) -> Result<u64, RepoError> {
        let mut number = 0;
        if let Some((last, kept)) = self.cluster_file().await? {
            if kept == text {
                return Ok(last);
            }
            number = last + 1;
        }
        match self.put_sealed(Kind::Config, &self.id.config(number), text.as_bytes()).await? {
            Put::New | Put::Same => Ok(number),
            Put::Other => Err(RepoError::Taken { name: self.id.config(number).to_string() }),
        }
    }

    /// The cluster file kept last, with its number.
    pub async fn cluster_file(&self) -> Result<Option<(u64, String)>, RepoError> {
        let listed = self.storage().list(&self.id.configs(), None).await?;
        let number = |name: &str| crate::name::hex(name.rsplit('/').next()?, 16);
        let Some(last) = listed.iter().filter_map(|object| number(&object.name)).max() else {
            return Ok(None);
        };
        let name = self.id.config(last);
        let text = self.get_sealed(Kind::Config, &name, SMALL_BYTES_MAX).await?;
        let text = String::from_utf8(text).map_err(|_| RepoError::damaged(&name, "no text"))?;
        Ok(Some((last, text)))
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.repository.storage
    }

    pub(crate) async fn put_json<T: Serialize>(
        &self,
        kind: Kind,
        name: Name,
        value: &T,
    ) -> Result<Put, RepoError> {
        let text = serde_json::to_vec(value).map_err(|error| RepoError::refused(error, ""))?;
        self.put_sealed(kind, &name, &text).await
    }

    /// Writes an object once. One that is there already is read and compared.
    pub(crate) async fn put_sealed(
        &self,
        kind: Kind,
        name: &Name,
        plain: &[u8],
    ) -> Result<Put, RepoError> {
        self.put_bytes(kind, name, Bytes::copy_from_slice(plain)).await
    }

    pub(crate) async fn put_bytes(
        &self,
        kind: Kind,
        name: &Name,
        plain: Bytes,
    ) -> Result<Put, RepoError> {
        let salt = envelope::fresh_salt()?;
        let (cipher, identity) = (self.cipher(), Identity::new(kind, name.clone()));
        let content = plain.clone();
        let sealed =
            beside(plain.len(), move || envelope::seal(&cipher, &identity, salt, &content));
        match self.storage().create(name, sealed.await?.into()).await? {
            Created::New => Ok(Put::New),
            Created::Exists => {
                let found = self.get_sealed(kind, name, crate::storage::WHOLE_BYTES_MAX as usize);
                Ok(if found.await? == plain { Put::Same } else { Put::Other })
            }
        }
    }

    /// Reads a whole object of at most `most` bytes.
    pub(crate) async fn get_sealed(
        &self,
        kind: Kind,
        name: &Name,
        most: usize,
    ) -> Result<Vec<u8>, RepoError> {
        let sealed = self.storage().get(name).await?;
        let (cipher, identity) = (self.cipher(), Identity::new(kind, name.clone()));
        let open = move || envelope::open(&cipher, &identity, &sealed, most);
        beside(SMALL_WORK + 1, open).await?.map_err(|bad| damaged(name, bad))
    }

    pub(crate) fn cipher(&self) -> Arc<Cipher> {
        Arc::clone(self.repository.cipher())
    }
}

pub(crate) fn damaged(name: &Name, bad: BadObject) -> RepoError {
    RepoError::damaged(name, bad)
}

/// Up to this, sealing costs less than handing it to another thread.
const SMALL_WORK: usize = 32 << 10;

/// Does what takes a processor's time beside the threads that wait for the network.
pub(crate) async fn beside<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RepoError> {
    if bytes <= SMALL_WORK {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| RepoError::Trouble {
        what: format!("the work was not finished: {error}"),
        place: "this process".to_owned(),
        hint: "try again".to_owned(),
    })
}
