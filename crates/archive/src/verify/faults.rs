//! What is amiss with one backup, object by object: collected by several threads, each said once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use howdah_base::{Lsn, Timeline};
use howdah_repo::RepoError;
use howdah_repo::name::Label;

use crate::proof::{Fault, put_back};

/// So many faults of a backup are named; the others are counted.
pub const FAULTS_MAX: usize = 200;
/// Files and frames that a fault names; the others are counted.
const NAMED_MAX: usize = 5;

#[derive(Debug)]
pub struct Faults {
    label: String,
    objects: Mutex<BTreeMap<String, Amiss>>,
    others: Mutex<Vec<Fault>>,
}

/// Of one object.
#[derive(Default, Debug)]
struct Amiss {
    whats: Some5,
    files: Some5,
}

/// The first few, and how many there are.
#[derive(Default, Debug)]
struct Some5(Vec<String>, usize);

impl Some5 {
    fn add(&mut self, text: &str) {
        if self.0.iter().any(|known| known == text) {
            return;
        }
        self.1 += 1;
        if self.0.len() < NAMED_MAX {
            self.0.push(text.to_owned());
        }
    }

    fn said(&self, between: &str) -> String {
        let text = self.0.join(between);
        match self.1 - self.0.len() {
            0 => text,
            more => format!("{text}{between}and {more} more"),
        }
    }
}

impl Faults {
    pub fn of(label: &Label) -> Faults {
        Faults { label: label.to_string(), objects: Mutex::default(), others: Mutex::default() }
    }

    /// A fault of an object; trouble is none.
    pub fn object(&self, error: RepoError, file: Option<&str>) -> Result<(), RepoError> {
        let (name, what) = match error {
            RepoError::Absent { name } => (name, "it is missing".to_owned()),
            RepoError::Damaged { name, what } => (name, what),
            other => return Err(other),
        };
        self.pack(&name, &what, file);
        Ok(())
    }

    pub fn pack(&self, name: &str, what: &str, file: Option<&str>) {
        let mut objects = locked(&self.objects);
        let amiss = objects.entry(name.to_owned()).or_default();
        amiss.whats.add(what);
        if let Some(file) = file {
            amiss.files.add(file);
        }
    }

    pub fn manifest(&self, error: RepoError) -> Result<(), RepoError> {
        let means = format!("backup `{}` cannot be restored", self.label);
        let next = "howdah backup --full; restore from another backup meanwhile";
        let (object, what, next) = match error {
            RepoError::Absent { name } => {
                let next = format!("{}; otherwise {next}", put_back(&self.label));
                (name, "it is missing".to_owned(), next)
            }
            RepoError::Damaged { name, what } => (name, what, next.to_owned()),
            other => return Err(other),
        };
        self.other(Fault { object, what, means, next });
        Ok(())
    }

    /// A file that cannot be put together although its objects are sound.
    pub fn file(&self, path: &str, what: &str) {
        let means = format!("a restore of backup `{}` ends at this file", self.label);
        let next = "howdah backup --full; report this: objects are sound".to_owned();
        self.other(Fault { object: path.to_owned(), what: what.to_owned(), means, next });
    }

    /// WAL without which the backup is not consistent.
    pub fn own_wal(&self, object: String, what: String) {
        let means = format!("backup `{}` cannot be restored: it needs this WAL", self.label);
        let next = "howdah backup".to_owned();
        self.other(Fault { object, what, means, next });
    }

    /// WAL behind it.
    pub fn later_wal(&self, object: String, what: String, from: Lsn, timeline: Timeline) {
        let means = format!(
            "from backup `{}` no moment behind {from} on timeline {timeline} is reached",
            self.label
        );
        let next = "howdah backup: moments behind a new backup are reached from it".to_owned();
        self.other(Fault { object, what, means, next });
    }

    fn other(&self, fault: Fault) {
        locked(&self.others).push(fault);
    }

    /// All that were named, and how many there are.
    pub fn take(&self) -> (Vec<Fault>, u64) {
        let objects = std::mem::take(&mut *locked(&self.objects));
        let others = std::mem::take(&mut *locked(&self.others));
        let total = objects.len() + others.len();
        let of_packs = objects.into_iter().map(|(object, amiss)| {
            let files = match amiss.files.1 {
                0 => String::new(),
                _ => format!(" (`{}`)", amiss.files.said("`, `")),
            };
            Fault {
                object,
                what: amiss.whats.said("; "),
                means: format!("backup `{}` cannot be restored whole{files}", self.label),
                next: "howdah backup --full, which uses no older packs; restore from another \
                       backup meanwhile"
                    .to_owned(),
            }
        });
        (of_packs.chain(others).take(FAULTS_MAX).collect(), total as u64)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_a_few_and_counts_the_rest() {
        let faults = Faults::of(&"full".parse().expect("a label"));
        for file in 0..7 {
            faults.pack("x/pack-0", "frame 3: damaged", Some(&format!("base/{file}")));
        }
        faults.pack("x/pack-0", "frame 3: damaged", None);
        let absent = RepoError::Absent { name: "x/pack-1".to_owned() };
        faults.object(absent, None).expect("a fault");
        let trouble = RepoError::Key { what: String::new(), hint: String::new() };
        assert!(faults.object(trouble, None).is_err(), "no answer is no fault");
        let (named, total) = faults.take();
        assert_eq!((named.len(), total), (2, 2));
        assert_eq!(named[0].what, "frame 3: damaged");
        assert_eq!(
            named[0].means,
            "backup `full` cannot be restored whole (`base/0`, `base/1`, `base/2`, `base/3`, \
             `base/4`, `and 2 more`)"
        );
        assert_eq!(named[1].what, "it is missing");
    }
}
