//! Packs: that each is there, is as long as it was, that its index is the one that was written, and
//! that each frame opens, decompresses and has its hash.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use howdah_repo::RepoError;
use howdah_repo::manifest::{PackId, PackRef};

use super::{Marks, VerifyError, Work};
use crate::threads;

/// What an earlier backup of this run showed of a pack.
#[derive(Debug, Default)]
pub struct Seen(Vec<String>);

/// Verifies all packs of the manifest but what was seen, and the frames that `marks` has.
pub async fn verify(
    work: &Arc<Work>,
    jobs: usize,
    marks: Marks,
    seen: &mut BTreeMap<PackId, Seen>,
) -> Result<(), VerifyError> {
    let mut queue = VecDeque::new();
    for pack in &work.manifest.packs {
        match seen.get(&pack.id) {
            Some(Seen(whats)) => {
                whats.iter().for_each(|what| work.faults.pack(&work.name_of(&pack.id), what, None));
            }
            None => queue.push_back(pack.clone()),
        }
    }
    let fresh: Vec<PackId> = queue.iter().map(|pack| pack.id.clone()).collect();
    let (queue, marks) = (Arc::new(Mutex::new(queue)), Arc::new(marks));
    let found: Arc<Mutex<BTreeMap<PackId, Vec<String>>>> = Arc::default();
    let (shared, whats) = (Arc::clone(work), Arc::clone(&found));
    threads::run(jobs, &work.stop, move || -> Result<(), VerifyError> {
        loop {
            shared.stop.check()?;
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(pack) = next else { return Ok(()) };
            let said = one(&shared, &pack, marks.0.get(&pack.id))?;
            let mut found = whats.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert(pack.id, said);
        }
    })
    .await?;
    let mut found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    for id in fresh {
        let whats = found.remove(&id).unwrap_or_default();
        whats.iter().for_each(|what| work.faults.pack(&work.name_of(&id), what, None));
        seen.insert(id, Seen(whats));
    }
    Ok(())
}

/// What is amiss with a pack.
fn one(
    work: &Work,
    pack: &PackRef,
    opened: Option<&BTreeSet<u32>>,
) -> Result<Vec<String>, VerifyError> {
    work.tell(|counts| counts.packs += 1);
    let name = work.name_of(&pack.id);
    let Some(size) = work.there.get(&name) else { return Ok(vec!["it is missing".to_owned()]) };
    if *size != pack.footing.size {
        let (size, wanted) = (*size, pack.footing.size);
        return Ok(vec![format!("it has {size} bytes, where {wanted} were written")]);
    }
    let reader = match work.handle.block_on(work.lineage.open_pack(pack)) {
        Ok(reader) => reader,
        Err(error) => return Ok(vec![what(error)?]),
    };
    let wanted = |number: &u32| {
        opened.is_none_or(|opened| !opened.contains(number)) && work.pick.takes(&name, *number)
    };
    let frames: Vec<u32> = (0..reader.index().len()).filter(wanted).collect();
    let mut whats = Vec::new();
    for stretch in reader.stretches(&frames)? {
        work.stop.check()?;
        let fetched = match work.handle.block_on(reader.fetch(&stretch)) {
            Ok(fetched) => fetched,
            Err(error) => {
                whats.push(what(error)?);
                continue;
            }
        };
        for place in &stretch.places {
            match reader.open(&stretch, &fetched, place) {
                Ok(plain) => work.tell(|counts| {
                    counts.frames += 1;
                    counts.bytes += plain.len() as u64;
                }),
                Err(error) => whats.push(what(error)?),
            }
        }
    }
    Ok(whats)
}

fn what(error: RepoError) -> Result<String, RepoError> {
    match error {
        RepoError::Absent { .. } => Ok("it is missing".to_owned()),
        RepoError::Damaged { what, .. } => Ok(what),
        other => Err(other),
    }
}
