//! The manifest: from what the threads brought to what a restore reads.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use howdah_repo::manifest::{
    About, BAD_PAGES_MAX, BadPage, Content, FileEntry, Manifest, MapRef, PackId, PackRef, Piece,
    Statistics, Tablespace,
};
use howdah_repo::{Lease, Lineage, RepoError};

use super::copy::{Copied, Out, Stored, Work, locked};
use super::{BackupError, Ended, Report, Start, now_ms};
use crate::backup::page::PAGE;
use crate::backup::scan::Found;
use crate::proof::note_commit;

/// Waits until every pack is written.
pub async fn finish(work: &Arc<Work>) -> Result<Vec<PackRef>, BackupError> {
    let work = Arc::clone(work);
    let finished = tokio::task::spawn_blocking(move || {
        let mut packs = work.data.finish()?;
        packs.extend(work.maps.finish()?);
        Ok(packs)
    });
    finished.await.map_err(|error| BackupError::Ended(error.to_string()))?
}

/// Writes the manifest, under the lease.
pub async fn commit(
    lineage: &Lineage,
    lease: &Lease,
    work: &Work,
    begun: &Start,
    ended: &Ended,
    found: Found,
    packs: Vec<PackRef>,
) -> Result<Report, BackupError> {
    let out = std::mem::take(&mut *locked(&work.out));
    let bad_pages = judged(&out, ended);
    let tablespaces = tablespaces(&ended.end.tablespaces);
    let new = out.new;
    let mut listing = Listing::new(work, packs);
    let files = listing.files(out.copied, &found, &tablespaces)?;
    let stored = listing.stored();
    let bytes = files.iter().map(|file| file.size).sum::<u64>();
    let about = About {
        label: begun.label.to_string(),
        lineage: lineage.id().to_string(),
        system_identifier: begun.facts.system_identifier,
        postgres_version: begun.facts.version,
        timeline: ended.timeline,
        start_lsn: begun.lsn,
        stop_lsn: ended.end.stop,
        stop_timeline: Some(ended.stop_timeline).filter(|stop| *stop != ended.timeline),
        started_ms: begun.started_ms,
        stopped_ms: ended.stopped_ms,
        backup_label: ended.end.label.clone(),
        tablespace_map: ended.end.tablespaces.clone(),
        tablespaces,
        base: work.earlier.as_ref().map(|earlier| earlier.label.to_string()),
        page_size: PAGE as u32,
        wal_segment_size: u32::try_from(begun.facts.wal_segment_bytes).unwrap_or(u32::MAX),
        tenure: lease.tenure(),
        statistics: Statistics { bytes, stored, new, reused: bytes.saturating_sub(new) },
        bad_pages: bad_pages.iter().take(BAD_PAGES_MAX).cloned().collect(),
    };
    let manifest = Manifest { about, packs: listing.packs, files };
    lineage.put_manifest(lease, now_ms(), &begun.label, &manifest).await?;
    if let Err(error) = note_commit(lineage, lease, &begun.label, now_ms()).await {
        // The backup is whole without it; it is not missed, should its manifest be taken away.
        tracing::warn!("that a backup was committed is not written down: {error}");
    }
    let taken_over = work.data.taken_over();
    Ok(Report {
        about: manifest.about,
        bad_pages,
        left_out: found.odd,
        taken_over,
        by_summaries: work.changes.is_some(),
        silent_changes: out.silent,
    })
}

/// The pages that are bad indeed: a page may be as new as the backup's end, not newer.
fn judged(out: &Out, ended: &Ended) -> Vec<BadPage> {
    let mut bad = out.bad.clone();
    for (page, lsn) in &out.suspects {
        if *lsn > ended.end.stop {
            let BadPage { path, page: number } = page;
            tracing::error!("a page is damaged on the server: page {number} of `{path}`");
            bad.push(page.clone());
        }
    }
    bad.sort();
    bad
}

/// Of `tablespace_map`: an OID, a space and a path a line.
fn tablespaces(map: &str) -> Vec<Tablespace> {
    let line = |line: &str| {
        let (oid, path) = line.split_once(' ')?;
        Some(Tablespace { oid: oid.parse().ok()?, path: path.to_owned() })
    };
    map.lines().filter_map(line).collect()
}

/// The packs that a manifest lists, by number.
struct Listing<'a> {
    work: &'a Work,
    own: HashMap<PackId, PackRef>,
    numbers: HashMap<PackId, u32>,
    packs: Vec<PackRef>,
}

impl<'a> Listing<'a> {
    fn new(work: &'a Work, own: Vec<PackRef>) -> Listing<'a> {
        let own = own.into_iter().map(|pack| (pack.id.clone(), pack)).collect();
        Listing { work, own, numbers: HashMap::new(), packs: Vec::new() }
    }

    /// Folders and files in order of paths. Those of a tablespace that was made while the backup ran
    /// are left out: its WAL makes it.
    fn files(
        &mut self,
        copied: Vec<Copied>,
        found: &Found,
        tablespaces: &[Tablespace],
    ) -> Result<Vec<FileEntry>, BackupError> {
        let mut files = BTreeMap::new();
        for folder in &found.folders {
            let entry = FileEntry {
                path: folder.path.clone(),
                size: 0,
                mode: folder.mode,
                mtime_ms: folder.mtime_ms,
                hash: [0; 32],
                content: Content::Folder,
            };
            files.insert(entry.path.clone(), entry);
        }
        for file in copied {
            let entry = self.file(file)?;
            files.insert(entry.path.clone(), entry);
        }
        let known = |oid: &u32| tablespaces.iter().any(|tablespace| tablespace.oid == *oid);
        for oid in found.tablespaces.keys().filter(|oid| !known(oid)) {
            let root = format!("pg_tblspc/{oid}");
            let below = format!("{root}/");
            files.retain(|path, _| *path != root && !path.starts_with(&below));
        }
        Ok(files.into_values().collect())
    }

    /// Bytes of packs that no earlier backup has.
    fn stored(&self) -> u64 {
        let given_up = self.work.data.given_up();
        let own = |pack: &&PackRef| {
            self.own.contains_key(&pack.id) || given_up.pack_ref(&pack.id).is_some()
        };
        self.packs.iter().filter(own).map(|pack| pack.footing.size).sum()
    }

    fn file(&mut self, file: Copied) -> Result<FileEntry, BackupError> {
        let Copied { path, size, mode, mtime_ms, hash, content } = file;
        let content = match content {
            Stored::Whole(pieces) => {
                let mut listed = Vec::with_capacity(pieces.len());
                for piece in pieces {
                    let pack = self.number(&piece.pack)?;
                    listed.push(Piece { pack, frame: piece.frame, at: piece.at, len: piece.len });
                }
                Content::Whole(listed)
            }
            Stored::Pages { map, runs, sums, packs } => {
                for pack in &packs {
                    self.number(pack)?;
                }
                Content::Pages(MapRef { pack: self.number(&map)?, runs, sums })
            }
        };
        Ok(FileEntry { path, size, mode, mtime_ms, hash, content })
    }

    fn number(&mut self, id: &PackId) -> Result<u32, BackupError> {
        if let Some(number) = self.numbers.get(id) {
            return Ok(*number);
        }
        let earlier = self.work.earlier.as_ref().and_then(|earlier| earlier.pack_ref(id));
        let given_up = self.work.data.given_up().pack_ref(id);
        let pack = self.own.get(id).or(earlier).or(given_up).cloned();
        let pack = pack.ok_or_else(|| RepoError::Damaged {
            name: format!("{}/{:?}-{}", id.label, id.family, id.number),
            what: "a pack is referred to that nobody lists".to_owned(),
        })?;
        let number = u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
        self.packs.push(pack);
        self.numbers.insert(id.clone(), number);
        Ok(number)
    }
}
