//! What a backup is: its files, and where their bytes are. The manifest's being there is the
//! backup's commit.
//!
//! ```text
//! frame 0     HWMF, version u8, then JSON: everything that `backups` shows
//! frames 1..  packs, then files, in varints (docs/repository.md)
//! ```

use howdah_base::{Lsn, Position, Timeline};
use serde::{Deserialize, Serialize};

use crate::codec::{Input, Output};
use crate::frame::PLAIN_BYTES_MAX;
use crate::name::{Family, Label};
use crate::pack::{Footing, Hash};

/// A whole backup.
#[derive(Clone, PartialEq, Debug)]
pub struct Manifest {
    pub about: About,
    /// Every pack that any byte of this backup lies in, those of earlier backups too.
    pub packs: Vec<PackRef>,
    pub files: Vec<FileEntry>,
}

/// What is told of a backup without reading where its files are. Fields are added, never renamed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct About {
    pub label: String,
    /// As [`crate::name::LineageId`] is written.
    pub lineage: String,
    pub system_identifier: u64,
    /// As `server_version_num` says it.
    pub postgres_version: u32,
    pub timeline: Timeline,
    pub start_lsn: Lsn,
    pub stop_lsn: Lsn,
    /// Where its WAL ends, when that is not `timeline`: a standby followed to another meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeline: Option<Timeline>,
    pub started_ms: i64,
    pub stopped_ms: i64,
    /// The files that PostgreSQL gave at the end.
    pub backup_label: String,
    #[serde(default)]
    pub tablespace_map: String,
    #[serde(default)]
    pub tablespaces: Vec<Tablespace>,
    /// The backup whose pages this one goes on using.
    #[serde(default)]
    pub base: Option<String>,
    pub page_size: u32,
    pub wal_segment_size: u32,
    /// The tenure of the lease under which it was committed.
    #[serde(default)]
    pub tenure: u64,
    pub statistics: Statistics,
    /// Pages whose checksums were wrong, at most [`BAD_PAGES_MAX`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad_pages: Vec<BadPage>,
}

/// So many are named, so that the head stays one frame.
pub const BAD_PAGES_MAX: usize = 1000;

/// A page that was damaged in the data directory already.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Debug)]
pub struct BadPage {
    pub path: String,
    /// Counted from 0 in this file.
    pub page: u32,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Tablespace {
    pub oid: u32,
    pub path: String,
}

/// In bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Debug)]
pub struct Statistics {
    /// Of the database's files.
    pub bytes: u64,
    /// What this backup added to the storage.
    pub stored: u64,
    /// Of the files' bytes, those that were stored now and those that had been before.
    pub new: u64,
    pub reused: u64,
}

/// A pack by its name, and how to read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PackRef {
    pub id: PackId,
    pub footing: Footing,
}

/// The name of a pack within its lineage.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PackId {
    pub label: Label,
    pub family: Family,
    pub number: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileEntry {
    /// Below the data directory; tablespaces are below `pg_tblspc/<oid>`.
    pub path: String,
    pub size: u64,
    /// The permission bits.
    pub mode: u32,
    pub mtime_ms: i64,
    /// BLAKE3 of the whole file.
    pub hash: Hash,
    pub content: Content,
}

/// Where a file's bytes are. Packs are numbers in [`Manifest::packs`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// No file but a folder.
    Folder,
    /// One piece behind the other.
    Whole(Vec<Piece>),
    /// A segment of a relation: a map says where each page is.
    Pages(MapRef),
}

/// A part of a frame. Small files share one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    pub pack: u32,
    pub frame: u32,
    pub at: u32,
    pub len: u32,
}

/// Where the map and the page sums of a file are: frames of one pack of [`Family::Map`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapRef {
    pub pack: u32,
    pub runs: Span,
    pub sums: Span,
}

/// Frames one behind the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub frame: u32,
    pub count: u32,
}

const MAGIC: &[u8; 4] = b"HWMF";
const VERSION: u8 = 1;
/// Longer manifests are not believed: a hundred million files.
pub const MANIFEST_BYTES_MAX: usize = 1 << 30;

/// Why bytes are no manifest.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum BadManifest {
    #[error("it does not begin as a manifest does")]
    NotOurs,
    #[error("version {0} of manifests is not known: a newer Howdah wrote it")]
    Version(u8),
    #[error("its head cannot be read: {0}")]
    Head(String),
    #[error("its head is longer than a frame")]
    HeadTooLong,
    #[error("its list of files cannot be right")]
    Body,
}

impl About {
    /// Where its WAL begins.
    pub fn start(&self) -> Position {
        Position { timeline: self.timeline, lsn: self.start_lsn }
    }

    /// Where it is consistent.
    pub fn stop(&self) -> Position {
        Position { timeline: self.stop_timeline.unwrap_or(self.timeline), lsn: self.stop_lsn }
    }

    /// The manifest's first frame.
    pub fn encode(&self) -> Result<Vec<u8>, BadManifest> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        serde_json::to_writer(&mut bytes, self)
            .map_err(|error| BadManifest::Head(error.to_string()))?;
        if bytes.len() > PLAIN_BYTES_MAX {
            return Err(BadManifest::HeadTooLong);
        }
        Ok(bytes)
    }

    pub fn decode(bytes: &[u8]) -> Result<About, BadManifest> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(BadManifest::NotOurs)?;
        let (version, rest) = rest.split_first().ok_or(BadManifest::NotOurs)?;
        if *version != VERSION {
            return Err(BadManifest::Version(*version));
        }
        serde_json::from_slice(rest).map_err(|error| BadManifest::Head(error.to_string()))
    }
}

impl Manifest {
    /// Everything behind the first frame.
    pub fn encode_body(&self) -> Vec<u8> {
        let mut out = Output::default();
        out.number(self.packs.len() as u64);
        for pack in &self.packs {
            pack.encode(&mut out);
        }
        out.number(self.files.len() as u64);
        let mut before = "";
        for file in &self.files {
            file.encode(before, &mut out);
            before = &file.path;
        }
        out.0
    }

    /// Reads what [`Manifest::encode_body`] wrote. Total, and every reference leads somewhere.
    pub fn decode(about: About, body: &[u8]) -> Result<Manifest, BadManifest> {
        let (packs, files) = decode_body(body).ok_or(BadManifest::Body)?;
        Ok(Manifest { about, packs, files })
    }
}

fn decode_body(body: &[u8]) -> Option<(Vec<PackRef>, Vec<FileEntry>)> {
    let mut input = Input(body);
    let mut packs = Vec::new();
    for _ in 0..input.count(PackRef::BYTES_MIN)? {
        packs.push(PackRef::decode(&mut input)?);
    }
    let mut files: Vec<FileEntry> = Vec::new();
    for _ in 0..input.count(FileEntry::BYTES_MIN)? {
        let before = files.last().map_or("", |file| &file.path);
        let file = FileEntry::decode(before, &packs, &mut input)?;
        files.push(file);
    }
    input.ended()?;
    Some((packs, files))
}

impl PackId {
    pub(crate) fn encode(&self, out: &mut Output) {
        out.text(self.label.as_str());
        out.number(match self.family {
            Family::Pack => 0_u32,
            Family::Map => 1,
        });
        out.number(self.number);
    }

    pub(crate) fn decode(input: &mut Input<'_>) -> Option<PackId> {
        let label = input.text()?.parse().ok()?;
        let family = match input.number()? {
            0 => Family::Pack,
            1 => Family::Map,
            _ => return None,
        };
        Some(PackId { label, family, number: input.small()? })
    }
}

impl PackRef {
    const BYTES_MIN: usize = 71;

    fn encode(&self, out: &mut Output) {
        let Footing { salt, size, frames, index_at, index_hash } = self.footing;
        self.id.encode(out);
        out.number(size);
        out.number(frames);
        out.number(index_at);
        out.bytes(&salt);
        out.bytes(&index_hash);
    }

    fn decode(input: &mut Input<'_>) -> Option<PackRef> {
        let id = PackId::decode(input)?;
        let (size, frames, index_at) = (input.number()?, input.small()?, input.number()?);
        let footing =
            Footing { salt: input.array()?, size, frames, index_at, index_hash: input.array()? };
        Some(PackRef { id, footing })
    }
}

impl FileEntry {
    const BYTES_MIN: usize = 38;

    /// Paths share their beginning with the one before.
    fn encode(&self, before: &str, out: &mut Output) {
        let shared = shared(before, &self.path);
        out.number(shared as u64);
        out.text(&self.path[shared..]);
        out.number(self.size);
        out.number(self.mode);
        out.signed(self.mtime_ms);
        out.bytes(&self.hash);
        match &self.content {
            Content::Folder => out.number(0_u32),
            Content::Whole(pieces) => {
                out.number(1_u32);
                out.number(pieces.len() as u64);
                for Piece { pack, frame, at, len } in pieces {
                    [pack, frame, at, len].into_iter().for_each(|number| out.number(*number));
                }
            }
            Content::Pages(MapRef { pack, runs, sums }) => {
                out.number(2_u32);
                let numbers = [*pack, runs.frame, runs.count, sums.frame, sums.count];
                numbers.into_iter().for_each(|number| out.number(number));
            }
        }
    }

    fn decode(before: &str, packs: &[PackRef], input: &mut Input<'_>) -> Option<FileEntry> {
        let shared = usize::try_from(input.number()?).ok()?;
        let path = [before.get(..shared)?, input.text()?].concat();
        let fine = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if !path.split('/').all(fine) {
            return None;
        }
        let (size, mode) = (input.number()?, input.small()?);
        let (mtime_ms, hash) = (input.signed()?, input.array()?);
        let content = match input.number()? {
            0 => Content::Folder,
            1 => {
                let mut pieces = Vec::new();
                for _ in 0..input.count(4)? {
                    pieces.push(Piece::decode(packs, input)?);
                }
                let total: u64 = pieces.iter().map(|piece| u64::from(piece.len)).sum();
                (total == size).then_some(Content::Whole(pieces))?
            }
            2 => Content::Pages(MapRef::decode(packs, input)?),
            _ => return None,
        };
        Some(FileEntry { path, size, mode, mtime_ms, hash, content })
    }
}

impl Piece {
    fn decode(packs: &[PackRef], input: &mut Input<'_>) -> Option<Piece> {
        let (pack, frame) = (input.small()?, input.small()?);
        let (at, len) = (input.small()?, input.small()?);
        let pack_ref = packs.get(pack as usize)?;
        let within = frame < pack_ref.footing.frames && pack_ref.id.family == Family::Pack;
        let end = at.checked_add(len)? as usize;
        (within && end <= PLAIN_BYTES_MAX).then_some(Piece { pack, frame, at, len })
    }
}

impl MapRef {
    fn decode(packs: &[PackRef], input: &mut Input<'_>) -> Option<MapRef> {
        let pack = input.small()?;
        let runs = Span { frame: input.small()?, count: input.small()? };
        let sums = Span { frame: input.small()?, count: input.small()? };
        let pack_ref = packs.get(pack as usize)?;
        let frames = pack_ref.footing.frames;
        let within = |span: Span| span.frame.checked_add(span.count).is_some_and(|n| n <= frames);
        let fine = within(runs) && within(sums) && pack_ref.id.family == Family::Map;
        fine.then_some(MapRef { pack, runs, sums })
    }
}

/// How many bytes two paths begin with alike, at a boundary of characters.
fn shared(one: &str, other: &str) -> usize {
    let alike = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    (0..=alike)
        .rev()
        .find(|at| one.is_char_boundary(*at) && other.is_char_boundary(*at))
        .unwrap_or(0)
}
