//! Which files of a backup lie there already, by their hashes; nothing is read from the repository.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::sync::{Arc, Mutex};

use howdah_repo::pack;

use super::RestoreError;
use super::files::{How, Item, Large, Queue, Work, locked, queue, told};
use crate::threads;
use crate::tree::{EXTENT, ExtentHasher};

/// Those of the files that lie there (`there`: how long they are) which are what they were, as numbers
/// in the manifest. A file that is too long is cut.
pub async fn find(
    work: &Arc<Work>,
    jobs: usize,
    there: &Arc<HashMap<String, u64>>,
) -> Result<BTreeSet<usize>, RestoreError> {
    let candidates = queue(&work.manifest, jobs, |_, file| {
        (there.get(&file.path) == Some(&file.size)).then_some(How::ByPages)
    });
    let (candidates, same) = (Arc::new(candidates), Arc::new(Mutex::new(BTreeSet::new())));
    let (shared, found) = (Arc::clone(work), Arc::clone(&same));
    threads::run(jobs, &work.stop, move || one_thread(&shared, &candidates, &found)).await?;
    let same = std::mem::take(&mut *locked(&same));
    let (shared, there) = (Arc::clone(work), Arc::clone(there));
    super::beside(work, move |_| cut(&shared, &there)).await?;
    Ok(same)
}

fn one_thread(
    work: &Work,
    queue: &Queue,
    same: &Mutex<BTreeSet<usize>>,
) -> Result<(), RestoreError> {
    let mut buffer = Vec::new();
    loop {
        work.stop.check()?;
        let Some(item) = locked(queue).pop_front() else { return Ok(()) };
        match item {
            Item::Bundle(files) => {
                for index in files {
                    if small(work, index)? {
                        is_same(work, index, same)?;
                    }
                }
            }
            Item::Extent(large, number) => {
                if extent(work, &large, number, &mut buffer)? {
                    is_same(work, large.index, same)?;
                }
            }
        }
    }
}

fn small(work: &Work, index: usize) -> Result<bool, RestoreError> {
    let file = &work.manifest.files[index];
    let path = work.places.path(&file.path);
    // A disk that cannot give it back may still take it anew.
    let Ok(bytes) = fs::read(&path) else { return Ok(false) };
    Ok(pack::hash(&bytes) == file.hash)
}

/// Whether this was the last one of a file that is what it was.
fn extent(
    work: &Work,
    large: &Large,
    number: u32,
    buffer: &mut Vec<u8>,
) -> Result<bool, RestoreError> {
    let file = &work.manifest.files[large.index];
    let begin = u64::from(number) * EXTENT;
    buffer.resize((file.size - begin).min(EXTENT) as usize, 0);
    let path = work.places.path(&file.path);
    let mut hash = [0; 32];
    if File::open(&path).and_then(|file| file.read_exact_at(buffer, begin)).is_ok() {
        let mut hasher = ExtentHasher::new(number, file.size);
        hasher.update(buffer);
        hash = hasher.end();
    }
    Ok(large.ends(number, hash) == Some(file.hash))
}

fn is_same(work: &Work, index: usize, same: &Mutex<BTreeSet<usize>>) -> Result<(), RestoreError> {
    let file = &work.manifest.files[index];
    let path = work.places.path(&file.path);
    // As those that are written.
    let own = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&path, own).map_err(RestoreError::io("close", &path))?;
    told(work, file.size);
    work.told.send_modify(|progress| progress.kept += file.size);
    locked(same).insert(index);
    Ok(())
}

/// What is longer than it was would keep its end.
fn cut(work: &Work, there: &HashMap<String, u64>) -> Result<(), RestoreError> {
    for file in &work.manifest.files {
        if there.get(&file.path).is_some_and(|there| *there > file.size) {
            let path = work.places.path(&file.path);
            let cut = OpenOptions::new().write(true).open(&path);
            let cut = cut.and_then(|open| open.set_len(file.size));
            cut.map_err(RestoreError::io("cut", &path))?;
        }
    }
    Ok(())
}
