//! The backup before this one, whose pages are kept where they have not changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use howdah_base::History;
use howdah_repo::manifest::{About, Content, FileEntry, Manifest, MapRef, PackId, PackRef};
use howdah_repo::name::Label;
use howdah_repo::page_map::{PageMap, Run};
use howdah_repo::{Lineage, RepoError};

use super::BackupError;
use crate::backup::page::PAGE;
use crate::packs::OpenPacks;
use crate::proof;

/// What there is of it, by path.
#[derive(Debug)]
pub struct Earlier {
    pub label: Label,
    pub about: About,
    files: HashMap<String, FileEntry>,
    refs: Vec<PackRef>,
    packs: OpenPacks,
}

/// A relation's file as it was then.
#[derive(Debug)]
pub struct EarlierPages {
    pub at: MapRef,
    pub map_pack: PackId,
    pub size: u64,
    pub map: PageMap,
    pub sums: Vec<u64>,
}

/// The newest backup that `history` comes by and whose packs are all there, as far as anybody knows;
/// `None` when there is none.
pub async fn newest(
    lineage: &Lineage,
    history: &History,
    system_identifier: u64,
) -> Result<Option<Earlier>, BackupError> {
    let mut leading: Vec<(About, Label)> = Vec::new();
    for label in lineage.backups().await? {
        let about = match lineage.about_backup(&label).await {
            // Expiry takes backups meanwhile, and one that cannot be read is none to build on.
            Err(RepoError::Absent { .. }) => continue,
            Err(RepoError::Damaged { name, what }) => {
                tracing::warn!("a backup is not built on, {what}: `{name}`");
                continue;
            }
            about => about?,
        };
        if history.contains(about.stop()) && about.system_identifier == system_identifier {
            leading.push((about, label));
        }
    }
    // Where nothing was written, several backups end at one place.
    leading.sort_by_key(|(about, label)| (about.stop_lsn, about.stopped_ms, label.clone()));
    let Some(sound) = sound(lineage, &leading).await? else { return Ok(None) };
    let (about, label, Manifest { packs: refs, files, .. }) = sound;
    let packs = OpenPacks::new(lineage, &refs);
    let files = files.into_iter().map(|file| (file.path.clone(), file)).collect();
    Ok(Some(Earlier { label, about, files, refs, packs }))
}

/// The last of them that can be built on: what it refers to would be missing from the next one, too.
async fn sound(
    lineage: &Lineage,
    leading: &[(About, Label)],
) -> Result<Option<(About, Label, Manifest)>, BackupError> {
    if leading.is_empty() {
        return Ok(None);
    }
    let storage = lineage.repository().storage();
    let listed = storage.list(&lineage.id().backups(), None).await?;
    let there: BTreeMap<String, u64> =
        listed.into_iter().map(|object| (object.name, object.size)).collect();
    let faulty = faulty(lineage, leading).await?;
    for (about, label) in leading.iter().rev() {
        let manifest = match lineage.get_manifest(label).await {
            Err(RepoError::Absent { .. }) => continue,
            Err(RepoError::Damaged { name, what }) => {
                tracing::warn!("a backup is not built on, {what}: `{name}`");
                continue;
            }
            manifest => manifest?,
        };
        let amiss = manifest.packs.iter().find_map(|pack| {
            let name = lineage.id().pack(&pack.id.label, pack.id.family, pack.id.number);
            let what = match there.get(name.as_str()) {
                None => "is missing",
                Some(size) if *size != pack.footing.size => "has another size",
                Some(_) if faulty.contains(name.as_str()) => "failed a verification",
                Some(_) => return None,
            };
            Some((name, what))
        });
        match amiss {
            None => return Ok(Some((about.clone(), label.clone(), manifest))),
            Some((name, what)) => tracing::warn!(
                "backup `{label}` is not built on, one of its packs {what}, and it cannot be \
                 restored: `{name}`"
            ),
        }
    }
    Ok(None)
}

/// Objects that the last verifications of these backups found fault with.
async fn faulty(
    lineage: &Lineage,
    leading: &[(About, Label)],
) -> Result<BTreeSet<String>, BackupError> {
    let proofs = lineage.all_proofs().await?;
    let mut objects = BTreeSet::new();
    for (_, label) in leading {
        let numbers = proofs.get(label).map_or(&[][..], Vec::as_slice);
        let known = proof::known(lineage, label, numbers).await?;
        let faults = known.verified.into_iter().flat_map(|(_, found)| found.faults);
        objects.extend(faults.map(|fault| fault.object));
    }
    Ok(objects)
}

impl Earlier {
    pub fn file(&self, path: &str) -> Option<&FileEntry> {
        self.files.get(path)
    }

    pub fn pack_id(&self, number: u32) -> PackId {
        self.refs[number as usize].id.clone()
    }

    pub fn pack_ref(&self, id: &PackId) -> Option<&PackRef> {
        self.packs.pack_ref(id)
    }

    /// The map and the sums of a relation's file; `None` when it was no row of pages then.
    pub async fn pages(&self, path: &str) -> Result<Option<EarlierPages>, BackupError> {
        let Some(file) = self.files.get(path) else { return Ok(None) };
        let Content::Pages(at) = file.content else { return Ok(None) };
        match self.load(file, at).await {
            Ok(pages) => Ok(Some(pages)),
            Err(RepoError::Damaged { name, what }) => {
                tracing::warn!("a file is stored anew, {what}: `{name}`");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn load(&self, file: &FileEntry, at: MapRef) -> Result<EarlierPages, RepoError> {
        let map_pack = self.pack_id(at.pack);
        let maps = self.packs.get(&map_pack).await?;
        let lineage = self.packs.lineage();
        let map = lineage.page_map(&maps, at).await?;
        let sums = lineage.page_sums(&maps, at).await?;
        let size = u64::from(map.pages()) * PAGE as u64;
        if size != file.size || sums.len() != map.pages() as usize {
            let what = "its map is of another length".to_owned();
            return Err(RepoError::Damaged { name: file.path.clone(), what });
        }
        Ok(EarlierPages { at, map_pack, size, map, sums })
    }

    /// Adds to `map` where the `count` pages from `first` on were kept.
    pub async fn keep(
        &self,
        pages: &EarlierPages,
        first: u32,
        count: u32,
        map: &mut MapBuilder,
    ) -> Result<(), BackupError> {
        let end = first + count;
        let runs = &pages.map.runs;
        let begin = runs.partition_point(|run| run.first + run.count <= first);
        for run in runs[begin..].iter().take_while(|run| run.first < end) {
            let skip = first.saturating_sub(run.first);
            let most = end.min(run.first + run.count) - (run.first + skip);
            let id = &pages.map.packs[run.pack as usize];
            let (mut frame, mut page) = (run.frame, run.page);
            if skip > 0 {
                let unit = PAGE as u32;
                let parts = self.packs.parts(&pages.map, run, skip, 1).await?;
                (frame, page) = parts.first().map_or((0, 0), |part| (part.frame, part.at / unit));
            }
            map.push(id, frame, page, most);
        }
        Ok(())
    }
}

/// A map that is being put together, run behind run.
#[derive(Default, Debug)]
pub struct MapBuilder(PageMap);

impl MapBuilder {
    pub fn push(&mut self, id: &PackId, frame: u32, page: u32, count: u32) {
        let map = &mut self.0;
        let known = map.packs.iter().position(|pack| pack == id);
        let pack = known.unwrap_or_else(|| {
            map.packs.push(id.clone());
            map.packs.len() - 1
        });
        let (first, pack) = (map.pages(), u32::try_from(pack).unwrap_or(u32::MAX));
        map.runs.push(Run { first, count, pack, frame, page });
    }

    pub fn end(self) -> PageMap {
        self.0
    }
}
