//! The repository: where backups and WAL are kept. Knows bytes, names, hashes, keys and leases;
//! neither PostgreSQL nor what time it is. The format is docs/repository.md.
//!
//! ```text
//!   Repository ─ Lineage ─┬─ wal       segments, chunks, histories, gaps
//!    (key, id)            ├─ backups   packs, page maps, manifests  ◀── Lease
//!                         └─ config, proofs, runs
//!        │ envelope, frame, seal: pure        pack, manifest, page_map, name: pure
//!        ▼
//!   Storage ─ a directory or S3: create, get, list, delete; nothing is ever overwritten
//! ```
//!
//! How it is used, from an empty place to a backup:
//!
//! ```no_run
//! # use howdah_repo::{manifest::{About, PackId}, name::{Family, LineageId}, *};
//! # async fn example(about: LineageAbout, terms: Terms, of_backup: About, now_ms: i64) -> Result<(), RepoError> {
//! let options = StorageOptions::at("s3://backups/demo".parse()?);
//! let (storage, key) = (Storage::open(&options)?, KeySource::File("/etc/howdah/repo.key".into()));
//! let repository = match Repository::open(storage.clone(), &key).await {
//!     Err(error) if error.is_absent() => Repository::create(storage, &key, 42, now_ms).await?,
//!     other => other?,
//! };
//! let lineage = repository.begin_lineage(LineageId(7), &about).await?;
//!
//! let segment = "000000010000000000000003".parse().expect("a segment");
//! match lineage.put_segment(&segment, vec![0; 16 << 20].into(), wal::SEGMENT_BYTES).await? {
//!     Put::New | Put::Same => println!("archived"),
//!     Put::Other => println!("refused: other content is there"),
//! }
//!
//! let label = "20261122T131438Z".parse()?;
//! let id = PackId { label, family: Family::Pack, number: 0 };
//! let mut pack = lineage.begin_pack(&id)?;
//! let frame = pack.sealer().seal(0, b"PG_VERSION's bytes");    // in any thread
//! pack.push(frame);
//! let packs = vec![lineage.put_pack(&id, pack).await?];
//! if let Acquired::Held(lease) = Lease::acquire(&repository, terms, now_ms).await? {
//!     let manifest = Manifest { about: of_backup, packs, files: vec![] };
//!     lineage.put_manifest(&lease, now_ms, &id.label, &manifest).await?;    // the commit
//! }
//! # Ok(())
//! # }
//! ```

pub mod backups;
mod codec;
pub mod direct;
pub mod envelope;
mod error;
pub mod frame;
pub mod key;
pub mod kind;
pub mod lease;
pub mod manifest;
pub mod name;
pub mod pack;
pub mod page_map;
mod proofs;
mod random;
pub mod repository;
pub mod runs;
pub mod seal;
pub mod storage;
pub mod wal;

pub use error::RepoError;
pub use key::KeySource;
pub use lease::{Acquired, Lease, Terms};
pub use manifest::Manifest;
pub use repository::{Fork, Lineage, LineageAbout, Put, Repository};
pub use storage::{Address, Storage, StorageOptions};
