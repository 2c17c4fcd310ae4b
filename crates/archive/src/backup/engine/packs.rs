//! Packs that several threads fill, and that are written while the next one is being filled.
//!
//! ```text
//! reserve(n) ─► n frames of the open pack ─► seal, in the caller's thread ─► push
//!                 │ full: the next is opened                    last of a closed one ─► put_pack
//!                 ╰ as many packs as there may be: wait
//! ```

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use howdah_repo::frame::PLAIN_BYTES_MAX;
use howdah_repo::manifest::{PackId, PackRef};
use howdah_repo::name::{Family, Label};
use howdah_repo::pack::{Builder, FRAMES_MAX, PACK_BYTES, Sealer};
use howdah_repo::{Lineage, RepoError};
use tokio::runtime::Handle;

use super::BackupError;
use super::given_up::GivenUp;
use crate::stop::Stop;

/// In memory at one moment, being filled or written; 48 MiB each.
const PACKS_MAX: u32 = 3;
/// How often a thread that waits looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// All packs of one family that a backup writes.
#[derive(Debug)]
pub struct Packs {
    lineage: Lineage,
    label: Label,
    family: Family,
    handle: Handle,
    stop: Stop,
    given_up: GivenUp,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: Option<Arc<OpenPack>>,
    /// The next pack's number.
    next: u32,
    /// Being filled or written.
    alive: u32,
    written: Vec<PackRef>,
    failed: Option<RepoError>,
    /// Plain bytes that a backup which was given up had stored.
    taken_over: u64,
}

#[derive(Debug)]
struct OpenPack {
    id: PackId,
    sealer: Sealer,
    filling: Mutex<Filling>,
}

#[derive(Debug)]
struct Filling {
    /// Taken out when the last frame is in its place.
    builder: Option<Builder>,
    reserved: u32,
    pushed: u32,
    /// Plain bytes that are reserved and not pushed: no more than these will they be.
    coming: usize,
    closed: bool,
}

/// Frames of one pack that are one caller's to fill.
#[derive(Debug)]
pub struct Reserved {
    pack: Arc<OpenPack>,
    pub first: u32,
}

impl Reserved {
    pub fn id(&self) -> &PackId {
        &self.pack.id
    }
}

impl Packs {
    pub fn new(
        lineage: &Lineage,
        label: &Label,
        family: Family,
        handle: &Handle,
        stop: &Stop,
        given_up: GivenUp,
    ) -> Arc<Packs> {
        Arc::new(Packs {
            lineage: lineage.clone(),
            label: label.clone(),
            family,
            handle: handle.clone(),
            stop: stop.clone(),
            given_up,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Where each frame of `plain` is: stored now, or before by a backup that was given up. Blocking.
    pub fn place(self: &Arc<Self>, plain: &[u8]) -> Result<Vec<(PackId, u32)>, BackupError> {
        let frames: Vec<&[u8]> = plain.chunks(PLAIN_BYTES_MAX).collect();
        let known: Vec<_> = frames.iter().map(|frame| self.given_up.find(frame)).collect();
        let mut places = Vec::with_capacity(frames.len());
        while places.len() < frames.len() {
            let at = places.len();
            if let Some((pack, frame)) = known[at] {
                places.push((pack.clone(), frame));
                locked(&self.state).taken_over += frames[at].len() as u64;
                continue;
            }
            let count = known[at..].iter().take_while(|known| known.is_none()).count();
            let reserved = self.put(&frames[at..at + count])?;
            places.extend((reserved.first..).take(count).map(|n| (reserved.id().clone(), n)));
        }
        Ok(places)
    }

    /// What need not be stored, for a backup that was given up had.
    pub fn given_up(&self) -> &GivenUp {
        &self.given_up
    }

    pub fn taken_over(&self) -> u64 {
        locked(&self.state).taken_over
    }

    /// Seals `parts`, each cut into frames, one behind the other in one pack; which pack, and the
    /// first frame. Blocking.
    pub fn put(self: &Arc<Self>, parts: &[&[u8]]) -> Result<Reserved, BackupError> {
        let count: u32 = parts.iter().map(|part| frames(part)).sum();
        let bytes = parts.iter().map(|part| part.len()).sum();
        let reserved = self.reserve(count, bytes)?;
        let plain = parts.iter().flat_map(|part| part.chunks(PLAIN_BYTES_MAX));
        for (number, frame) in (reserved.first..).zip(plain) {
            let sealed = reserved.pack.sealer.seal(number, frame);
            let mut filling = locked(&reserved.pack.filling);
            if let Some(builder) = &mut filling.builder {
                builder.push(sealed);
            }
            filling.coming = filling.coming.saturating_sub(frame.len());
        }
        locked(&reserved.pack.filling).pushed += count;
        self.write_if_done(&reserved.pack);
        Ok(reserved)
    }

    fn reserve(self: &Arc<Self>, count: u32, bytes: usize) -> Result<Reserved, BackupError> {
        let mut state = locked(&self.state);
        loop {
            self.stop.check()?;
            if let Some(error) = state.failed.take() {
                self.stop.stop();
                return Err(error.into());
            }
            if let Some(pack) = state.open.clone() {
                if let Some(first) = pack.take(count, bytes) {
                    return Ok(Reserved { pack, first });
                }
                state.open = None;
                drop(state);
                self.write_if_done(&pack);
                state = locked(&self.state);
            } else if state.alive < PACKS_MAX {
                self.open_next(&mut state)?;
            } else {
                let waited = self.changed.wait_timeout(state, LOOK_EVERY);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn open_next(&self, state: &mut State) -> Result<(), BackupError> {
        let id = PackId { label: self.label.clone(), family: self.family, number: state.next };
        let builder = self.lineage.begin_pack(&id)?;
        let sealer = builder.sealer();
        let filling =
            Filling { builder: Some(builder), reserved: 0, pushed: 0, coming: 0, closed: false };
        state.next += 1;
        state.alive += 1;
        state.open = Some(Arc::new(OpenPack { id, sealer, filling: Mutex::new(filling) }));
        Ok(())
    }

    /// Begins to write a pack that takes no more frames and has all that were reserved.
    fn write_if_done(self: &Arc<Self>, pack: &Arc<OpenPack>) {
        let Some(builder) = pack.done() else { return };
        let (packs, id) = (Arc::clone(self), pack.id.clone());
        self.handle.spawn(async move {
            let written = packs.lineage.put_pack(&id, builder).await;
            let mut state = locked(&packs.state);
            state.alive -= 1;
            match written {
                Ok(pack) => state.written.push(pack),
                Err(error) => state.failed = Some(error),
            }
            packs.changed.notify_all();
        });
    }

    /// Bytes written so far.
    pub fn stored(&self) -> u64 {
        locked(&self.state).written.iter().map(|pack| pack.footing.size).sum()
    }

    /// Writes what is open, and waits for all. Nobody reserves any more. Blocking.
    pub fn finish(self: &Arc<Self>) -> Result<Vec<PackRef>, BackupError> {
        let open = locked(&self.state).open.take();
        if let Some(pack) = open {
            locked(&pack.filling).closed = true;
            self.write_if_done(&pack);
        }
        let mut state = locked(&self.state);
        loop {
            self.stop.check()?;
            if let Some(error) = state.failed.take() {
                return Err(error.into());
            }
            if state.alive == 0 {
                return Ok(std::mem::take(&mut state.written));
            }
            let waited = self.changed.wait_timeout(state, LOOK_EVERY);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl OpenPack {
    /// The first of `count` frames for `bytes`, or nothing any more from this pack.
    fn take(&self, count: u32, bytes: usize) -> Option<u32> {
        let mut filling = locked(&self.filling);
        let stored = filling.builder.as_ref().map_or(PACK_BYTES, Builder::stored);
        let full = filling.reserved > 0 && stored + filling.coming + bytes > PACK_BYTES;
        if filling.closed || full || filling.reserved + count > FRAMES_MAX {
            filling.closed = true;
            return None;
        }
        filling.reserved += count;
        filling.coming += bytes;
        Some(filling.reserved - count)
    }

    fn done(&self) -> Option<Builder> {
        let mut filling = locked(&self.filling);
        let done = filling.closed && filling.pushed == filling.reserved;
        done.then(|| filling.builder.take()).flatten()
    }
}

/// How many frames hold so much.
pub fn frames(plain: &[u8]) -> u32 {
    u32::try_from(plain.len().div_ceil(PLAIN_BYTES_MAX)).unwrap_or(u32::MAX)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
