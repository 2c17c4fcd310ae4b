//! Bytes out of frames, wherever they lie: as few requests as may be, every frame's seal verified.

use std::collections::BTreeMap;

use howdah_repo::RepoError;
use howdah_repo::manifest::PackId;
use howdah_repo::pack::Place;
use tokio::runtime::Handle;

use super::RestoreError;
use crate::packs::{OpenPacks, Part};
use crate::stop::Stop;

/// What is wanted into one buffer, and whence.
#[derive(Default, Debug)]
pub struct Wanted<'m>(BTreeMap<&'m PackId, Vec<(Part, usize)>>);

impl<'m> Wanted<'m> {
    /// `part` of a frame of `pack`, to `at` in the buffer.
    pub fn add(&mut self, pack: &'m PackId, part: Part, at: usize) {
        self.0.entry(pack).or_default().push((part, at));
    }

    /// Brings all of it. Blocking.
    pub fn fetch(
        mut self,
        packs: &OpenPacks,
        handle: &Handle,
        stop: &Stop,
        buffer: &mut [u8],
    ) -> Result<(), RestoreError> {
        let mut plain = Vec::new();
        for (id, parts) in &mut self.0 {
            let pack = handle.block_on(packs.get(id))?;
            parts.sort_unstable_by_key(|(part, _)| part.frame);
            let frames: Vec<u32> = parts.iter().map(|(part, _)| part.frame).collect();
            for stretch in pack.stretches(&frames)? {
                stop.check()?;
                let fetched = handle.block_on(pack.fetch(&stretch))?;
                for place in &stretch.places {
                    let begin = parts.partition_point(|(part, _)| part.frame < place.number);
                    let end = parts.partition_point(|(part, _)| part.frame <= place.number);
                    let here = &parts[begin..end];
                    if let Some(target) = whole(place, here, buffer) {
                        pack.open_to(&stretch, &fetched, place, target)?;
                        continue;
                    }
                    plain.resize(place.plain_len as usize, 0);
                    pack.open_to(&stretch, &fetched, place, &mut plain)?;
                    for (part, at) in here {
                        lay(id, part, &plain, *at, buffer)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Where a frame goes that is wanted as a whole, and in one place.
fn whole<'b>(
    place: &Place,
    wanted: &[(Part, usize)],
    buffer: &'b mut [u8],
) -> Option<&'b mut [u8]> {
    match wanted {
        [(part, at)] if part.at == 0 && part.len == place.plain_len => {
            buffer.get_mut(*at..at + part.len as usize)
        }
        _ => None,
    }
}

fn lay(
    id: &PackId,
    part: &Part,
    plain: &[u8],
    at: usize,
    buffer: &mut [u8],
) -> Result<(), RestoreError> {
    let (from, len) = (part.at as usize, part.len as usize);
    let source = plain.get(from..from + len);
    match source.zip(buffer.get_mut(at..at + len)) {
        Some((source, target)) => target.copy_from_slice(source),
        None => {
            let what = format!("frame {} is shorter than what refers to it", part.frame);
            return Err(RepoError::Damaged { name: format!("{id:?}"), what }.into());
        }
    }
    Ok(())
}
