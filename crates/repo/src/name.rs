//! What objects are called. Every name of a repository is made here, and read back here.
//!
//! ```text
//! howdah-repository.json
//! leases/<epoch>
//! <lineage>/lineage.json
//! <lineage>/config/<n>
//! <lineage>/wal/<timeline>.history
//! <lineage>/wal/<timeline>/<segment>
//! <lineage>/wal/<timeline>/<segment>.part/<from>-<to>
//! <lineage>/wal/gaps/<timeline>-<from>-<to>
//! <lineage>/backups/<label>/{pack-<n>, map-<n>, manifest}
//! <lineage>/proofs/<label>-<n>
//! <lineage>/runs/<n>, <n>.end
//! ```
//!
//! Numbers are hexadecimal and of fixed length, so that names sort as numbers do.

use std::fmt;
use std::str::FromStr;

use howdah_base::{Lsn, Timeline, WalFile};

use crate::RepoError;

/// The one object that every repository has; without it nothing is believed to be absent.
pub const MARKER: &str = "howdah-repository.json";
/// The folder of leases.
pub const LEASES: &str = "leases";

/// The name of an object: a path below the repository's root.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Name(String);

impl Name {
    pub fn marker() -> Name {
        Name(MARKER.to_owned())
    }

    pub fn lease(epoch: u64) -> Name {
        Name(format!("{LEASES}/{epoch:016x}"))
    }

    /// What is written once and removed again, to see what a storage does.
    pub fn probe(random: u64) -> Name {
        Name(format!("probes/{random:016x}"))
    }

    /// A name from a listing.
    ///
    /// # Errors
    /// When nothing of a repository can be called so.
    pub fn read(text: &str) -> Result<Name, RepoError> {
        let fine = |part: &str| {
            let known = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            !part.is_empty() && !part.starts_with('.') && part.bytes().all(known)
        };
        if text.len() <= NAME_BYTES_MAX && text.split('/').all(fine) {
            return Ok(Name(text.to_owned()));
        }
        Err(RepoError::refused(format!("not a name in a repository: `{text}`"), "remove the file"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const NAME_BYTES_MAX: usize = 512;

/// One history of a cluster: its WAL and its backups. A random number, made by who begins it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineageId(pub u64);

impl fmt::Display for LineageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for LineageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for LineageId {
    type Err = RepoError;

    fn from_str(text: &str) -> Result<LineageId, RepoError> {
        hex(text, 16).map(LineageId).ok_or_else(|| {
            let what = format!("not a lineage such as `00c0ffee00c0ffee`: `{text}`");
            RepoError::refused(what, "take one from the list of backups")
        })
    }
}

/// The name of a backup: `20261122T131438Z-0a1b`, for instance. Letters, digits and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Label(String);

impl Label {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Label {
    type Err = RepoError;

    fn from_str(text: &str) -> Result<Label, RepoError> {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(fine) && !text.starts_with('-') {
            return Ok(Label(text.to_owned()));
        }
        let what = format!("not a backup's label: `{text}`");
        Err(RepoError::refused(what, "letters, digits and `-`, at most 64"))
    }
}

/// Names within a lineage.
impl LineageId {
    pub fn about(self) -> Name {
        Name(format!("{self}/lineage.json"))
    }

    pub fn configs(self) -> String {
        format!("{self}/config")
    }

    pub fn config(self, number: u64) -> Name {
        Name(format!("{self}/config/{number:016x}"))
    }

    pub fn wal(self) -> String {
        format!("{self}/wal")
    }

    pub fn history(self, timeline: Timeline) -> Name {
        Name(format!("{self}/wal/{:08X}.history", timeline.0))
    }

    /// The folder of a timeline's segments and chunks.
    pub fn segments(self, timeline: Timeline) -> String {
        format!("{self}/wal/{:08X}", timeline.0)
    }

    /// A whole segment; its timeline is the first third of its name.
    pub fn segment(self, segment: &WalFile) -> Name {
        let segment = segment.as_str();
        Name(format!("{self}/wal/{}/{segment}", segment.get(..8).unwrap_or(segment)))
    }

    /// The folder of a segment's chunks.
    pub fn chunks(self, segment: &WalFile) -> String {
        format!("{}.part", self.segment(segment))
    }

    pub fn chunk(self, segment: &WalFile, from: u32, to: u32) -> Name {
        Name(format!("{}/{from:08x}-{to:08x}", self.chunks(segment)))
    }

    pub fn gaps(self) -> String {
        format!("{self}/wal/gaps")
    }

    pub fn gap(self, gap: Gap) -> Name {
        let Gap { timeline, from, to } = gap;
        Name(format!("{self}/wal/gaps/{:08X}-{:016X}-{:016X}", timeline.0, from.0, to.0))
    }

    pub fn backups(self) -> String {
        format!("{self}/backups")
    }

    pub fn backup(self, label: &Label) -> String {
        format!("{self}/backups/{label}")
    }

    pub fn pack(self, label: &Label, family: Family, number: u32) -> Name {
        Name(format!("{self}/backups/{label}/{}-{number}", family.word()))
    }

    pub fn manifest(self, label: &Label) -> Name {
        Name(format!("{self}/backups/{label}/manifest"))
    }

    pub fn proofs(self) -> String {
        format!("{self}/proofs")
    }

    pub fn proof(self, label: &Label, number: u32) -> Name {
        Name(format!("{self}/proofs/{label}-{number}"))
    }

    pub fn runs(self) -> String {
        format!("{self}/runs")
    }

    pub fn run(self, number: u64) -> Name {
        Name(format!("{self}/runs/{number:016x}"))
    }

    pub fn run_end(self, number: u64) -> Name {
        Name(format!("{self}/runs/{number:016x}.end"))
    }
}

/// Packs hold data; maps, of the same form, say where pages are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    Pack,
    Map,
}

impl Family {
    fn word(self) -> &'static str {
        match self {
            Family::Pack => "pack",
            Family::Map => "map",
        }
    }
}

/// WAL that is known to be missing: from an LSN up to, not including, another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    pub timeline: Timeline,
    pub from: Lsn,
    pub to: Lsn,
}

/// What an object in the folder of WAL is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WalObject {
    Segment(WalFile),
    Chunk { segment: WalFile, from: u32, to: u32 },
    History(Timeline),
    Gap(Gap),
}

impl WalObject {
    /// Reads a name below [`LineageId::wal`]; `None` when it is nothing of ours.
    pub fn read(lineage: LineageId, name: &str) -> Option<WalObject> {
        let rest = name.strip_prefix(&lineage.wal())?.strip_prefix('/')?;
        if let Some(timeline) = rest.strip_suffix(".history") {
            return timeline_of(timeline).map(WalObject::History);
        }
        let (folder, rest) = rest.split_once('/')?;
        if folder == "gaps" {
            return gap_of(rest).map(WalObject::Gap);
        }
        let (segment, chunk) = match rest.split_once(".part/") {
            Some((segment, chunk)) => (segment, Some(chunk)),
            None => (rest, None),
        };
        if !segment.starts_with(folder) || segment.len() != 24 {
            return None;
        }
        let segment: WalFile = segment.parse().ok()?;
        let Some(chunk) = chunk else { return Some(WalObject::Segment(segment)) };
        let (from, to) = chunk.split_once('-')?;
        let offset = |text| hex(text, 8).and_then(|n| u32::try_from(n).ok());
        let (from, to) = (offset(from)?, offset(to)?);
        (from < to).then_some(WalObject::Chunk { segment, from, to })
    }
}

fn gap_of(text: &str) -> Option<Gap> {
    let mut parts = text.split('-');
    let timeline = timeline_of(parts.next()?)?;
    let lsn = |text: &str| hex(&text.to_ascii_lowercase(), 16).map(Lsn);
    let (from, to) = (lsn(parts.next()?)?, lsn(parts.next()?)?);
    (parts.next().is_none() && from < to).then_some(Gap { timeline, from, to })
}

/// A timeline as the first eight digits of a WAL file's name say it.
pub(crate) fn timeline_of(text: &str) -> Option<Timeline> {
    let number = hex(&text.to_ascii_lowercase(), 8)?;
    u32::try_from(number).ok().map(Timeline)
}

/// So many lower-case hexadecimal digits, no sign and no blank.
pub(crate) fn hex(text: &str, digits: usize) -> Option<u64> {
    let fine = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() == digits && text.bytes().all(fine) {
        return u64::from_str_radix(text, 16).ok();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_they_were_in_the_first_version() {
        let lineage = LineageId(0xc0ffee);
        let label: Label = "20261122T131438Z".parse().expect("a label");
        let segment: WalFile = "0000000A0000000100000002".parse().expect("a segment");
        let gap = Gap { timeline: Timeline(10), from: Lsn(0x1_0000_0000), to: Lsn(0x1_0200_0000) };
        let names = [
            Name::marker(),
            Name::lease(17),
            lineage.about(),
            lineage.config(3),
            lineage.history(Timeline(10)),
            lineage.segment(&segment),
            lineage.chunk(&segment, 0, 0x10_0000),
            lineage.gap(gap),
            lineage.pack(&label, Family::Pack, 0),
            lineage.pack(&label, Family::Map, 12),
            lineage.manifest(&label),
            lineage.proof(&label, 1),
            lineage.run(18),
            lineage.run_end(18),
        ];
        let text: Vec<String> = names.iter().map(Name::to_string).collect();
        let golden = "\
howdah-repository.json
leases/0000000000000011
0000000000c0ffee/lineage.json
0000000000c0ffee/config/0000000000000003
0000000000c0ffee/wal/0000000A.history
0000000000c0ffee/wal/0000000A/0000000A0000000100000002
0000000000c0ffee/wal/0000000A/0000000A0000000100000002.part/00000000-00100000
0000000000c0ffee/wal/gaps/0000000A-0000000100000000-0000000102000000
0000000000c0ffee/backups/20261122T131438Z/pack-0
0000000000c0ffee/backups/20261122T131438Z/map-12
0000000000c0ffee/backups/20261122T131438Z/manifest
0000000000c0ffee/proofs/20261122T131438Z-1
0000000000c0ffee/runs/0000000000000012
0000000000c0ffee/runs/0000000000000012.end";
        assert_eq!(text.join("\n"), golden);
        assert!(names.iter().all(|name| Name::read(name.as_str()).as_ref().ok() == Some(name)));
    }

    #[test]
    fn wal_is_read_from_its_names() {
        let lineage = LineageId(1);
        let segment: WalFile = "0000000A0000000100000002".parse().expect("a segment");
        let read = |name: &Name| WalObject::read(lineage, name.as_str());
        assert_eq!(read(&lineage.segment(&segment)), Some(WalObject::Segment(segment.clone())));
        let chunk = WalObject::Chunk { segment: segment.clone(), from: 16, to: 32 };
        assert_eq!(read(&lineage.chunk(&segment, 16, 32)), Some(chunk));
        assert_eq!(read(&lineage.history(Timeline(10))), Some(WalObject::History(Timeline(10))));
        let gap = Gap { timeline: Timeline(1), from: Lsn(5), to: Lsn(6) };
        assert_eq!(read(&lineage.gap(gap)), Some(WalObject::Gap(gap)));
        for bad in [
            "0000000000000001/wal/0000000B/0000000A0000000100000002",
            "0000000000000001/wal/0000000A/0000000A0000000100000002.part/00000020-00000010",
            "0000000000000001/wal/0000000A/0000000A0000000100000002.tmp",
            "0000000000000001/wal/gaps/0000000A-1-2",
            "0000000000000002/wal/0000000A.history",
        ] {
            assert_eq!(WalObject::read(lineage, bad), None, "{bad}");
        }
    }

    #[test]
    fn names_lead_nowhere_else() {
        for bad in ["", "/etc", "a//b", "../x", "a/../b", ".new-1", "a/.b", "a b", "ä"] {
            assert!(Name::read(bad).is_err(), "{bad}");
        }
        for bad in ["", "-x", "a/b", "a.b", &"x".repeat(65)] {
            assert!(bad.parse::<Label>().is_err(), "{bad}");
        }
    }
}
