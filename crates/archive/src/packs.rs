//! Packs that are read: which frame holds which page, with few indexes in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use howdah_repo::backups::PackReader;
use howdah_repo::manifest::{PackId, PackRef};
use howdah_repo::page_map::{PageMap, Run};
use howdah_repo::{Lineage, RepoError};

use crate::backup::page::PAGE;

/// Indexes that are kept; 200 KiB each at most.
const OPEN_MAX: usize = 64;

/// The packs that a manifest lists. Those that were read last stay open.
#[derive(Debug)]
pub struct OpenPacks {
    lineage: Lineage,
    refs: HashMap<PackId, PackRef>,
    open: Mutex<VecDeque<(PackId, Arc<PackReader>)>>,
}

/// Where some bytes of a file are: part of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    pub frame: u32,
    pub at: u32,
    pub len: u32,
}

impl OpenPacks {
    pub fn new(lineage: &Lineage, refs: &[PackRef]) -> OpenPacks {
        let refs = refs.iter().map(|pack| (pack.id.clone(), pack.clone())).collect();
        OpenPacks { lineage: lineage.clone(), refs, open: Mutex::default() }
    }

    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    pub fn pack_ref(&self, id: &PackId) -> Option<&PackRef> {
        self.refs.get(id)
    }

    pub async fn get(&self, id: &PackId) -> Result<Arc<PackReader>, RepoError> {
        if let Some(pack) = self.known(id) {
            return Ok(pack);
        }
        let listed = self.refs.get(id).ok_or_else(|| RepoError::Damaged {
            name: format!("{}/{:?}-{}", id.label, id.family, id.number),
            what: "a map refers to a pack that its manifest does not list".to_owned(),
        })?;
        let pack = Arc::new(self.lineage.open_pack(listed).await?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push_front((id.clone(), Arc::clone(&pack)));
        open.truncate(OPEN_MAX);
        Ok(pack)
    }

    fn known(&self, id: &PackId) -> Option<Arc<PackReader>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let at = open.iter().position(|(known, _)| known == id)?;
        let found = open.remove(at)?;
        let pack = Arc::clone(&found.1);
        open.push_front(found);
        Some(pack)
    }

    /// Where the pages of `run` from the `skip`th on are, at most `most` of them, frame by frame.
    pub async fn parts(
        &self,
        map: &PageMap,
        run: &Run,
        skip: u32,
        most: u32,
    ) -> Result<Vec<Part>, RepoError> {
        let id = &map.packs[run.pack as usize];
        let pack = self.get(id).await?;
        let (mut frame, mut page, mut skip) = (run.frame, run.page, skip);
        let mut left = run.count.saturating_sub(skip).min(most);
        let mut parts = Vec::new();
        while left > 0 {
            let pages = pack.index().place(frame).map_or(0, |place| place.plain_len / PAGE as u32);
            let here = pages.saturating_sub(page);
            if here == 0 {
                let what = format!("frame {frame} has not the pages that a map refers to");
                return Err(RepoError::Damaged { name: format!("{id:?}"), what });
            }
            let passed = here.min(skip);
            let count = (here - passed).min(left);
            if count > 0 {
                let unit = PAGE as u32;
                parts.push(Part { frame, at: (page + passed) * unit, len: count * unit });
            }
            (skip, left) = (skip - passed, left - count);
            (frame, page) = (frame + 1, 0);
        }
        Ok(parts)
    }
}
