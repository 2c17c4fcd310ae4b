//! Proofs into the repository, and the newest ones out of it.

use howdah_repo::name::Label;
use howdah_repo::{Lineage, RepoError};

use super::{Drilled, Found, Proof, Verified};

/// What is known of one backup: the newest finding of each kind, with when it was found.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Known {
    pub verified: Option<(i64, Verified)>,
    pub drilled: Option<(i64, Drilled)>,
}

/// What verifications found, read from the newest on.
#[derive(Default)]
struct Verdict {
    found: Option<(i64, Verified)>,
    /// Whether nothing that was found before can count against it.
    is_whole: bool,
}

impl Verdict {
    /// An older finding than those noted so far. A sample that was sound says nothing of what was found
    /// elsewhere before it.
    fn note(&mut self, at_ms: i64, found: Verified) {
        match &self.found {
            None => self.found = Some((at_ms, found)),
            Some((_, newer)) if is_sample(newer) && !self.is_whole => {
                if !found.passed {
                    self.found = Some((at_ms, found));
                    self.is_whole = true;
                } else if !is_sample(&found) {
                    self.is_whole = true;
                }
            }
            Some(_) => {}
        }
    }

    fn is_settled(&self) -> bool {
        self.is_whole || self.found.as_ref().is_some_and(|(_, found)| !is_sample(found))
    }
}

/// Whether it was sound as far as anybody looked.
fn is_sample(found: &Verified) -> bool {
    found.passed && found.percent < 100.0
}

/// What drills found, read from the newest on.
#[derive(Default)]
struct LastDrill {
    found: Option<(i64, Drilled)>,
    is_settled: bool,
}

impl LastDrill {
    /// An older finding than those noted so far. One that was green without a canary row says less than
    /// one that was green with it, and does not take its place; a red one ends the search.
    fn note(&mut self, at_ms: i64, found: Drilled) {
        if self.is_settled {
            return;
        }
        self.is_settled = !found.passed || found.saw_canary();
        let is_better = found.passed && found.saw_canary();
        if self.found.is_none() || is_better {
            self.found = Some((at_ms, found));
        }
    }
}

/// Proofs of a backup that are read at most, from the newest on.
pub(super) const READ_MAX: usize = 64;
/// What proofs of the key are called, in the place of a backup's label. No backup is called so.
pub(super) const KEY: &str = "repository-key";

/// Writes it down, for good.
pub async fn keep(lineage: &Lineage, label: &Label, proof: &Proof) -> Result<(), RepoError> {
    let text = serde_json::to_vec(proof).map_err(|error| RepoError::Refused {
        what: format!("a proof cannot be written: {error}"),
        hint: "report this".to_owned(),
    })?;
    lineage.put_proof(label, &text).await.map(drop)
}

/// What is known of a backup whose proofs have these numbers, in order.
pub async fn known(lineage: &Lineage, label: &Label, numbers: &[u32]) -> Result<Known, RepoError> {
    let (mut verdict, mut drill) = (Verdict::default(), LastDrill::default());
    for number in numbers.iter().rev().take(READ_MAX) {
        let Some(proof) = read(lineage, label, *number).await? else { continue };
        match proof.found {
            Found::Verified(found) => verdict.note(proof.at_ms, found),
            Found::Drilled(found) => drill.note(proof.at_ms, *found),
            Found::Committed | Found::Exported | Found::Unknown => {}
        }
        if verdict.is_settled() && drill.is_settled {
            break;
        }
    }
    Ok(Known { verified: verdict.found, drilled: drill.found })
}

/// Writes down that the key was given out.
pub async fn note_export(lineage: &Lineage, at_ms: i64, by: &str) -> Result<(), RepoError> {
    let proof = Proof { at_ms, by: by.to_owned(), found: Found::Exported };
    keep(lineage, &KEY.parse()?, &proof).await
}

/// Whether it ever was, going by which labels have proofs: only an export has this one.
pub fn was_exported<'l>(mut labels: impl Iterator<Item = &'l Label>) -> bool {
    labels.any(|label| label.as_str() == KEY)
}

/// `None`: it went meanwhile, or says nothing that is understood.
pub(super) async fn read(
    lineage: &Lineage,
    label: &Label,
    number: u32,
) -> Result<Option<Proof>, RepoError> {
    let text = match lineage.get_proof(label, number).await {
        Err(RepoError::Absent { .. }) => return Ok(None),
        // A damaged proof proves nothing, and hides no other.
        Err(RepoError::Damaged { name, what }) => {
            tracing::warn!("a proof is not believed, {what}: `{name}`");
            return Ok(None);
        }
        text => text?,
    };
    match serde_json::from_slice(&text) {
        Ok(proof) => Ok(Some(proof)),
        Err(error) => {
            tracing::warn!("a proof is not understood, {error}: `{label}-{number}`");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CANARY, Check};
    use super::*;

    #[test]
    fn a_drill_without_a_canary_hides_none_that_had_one() {
        let of = |all: &[(i64, bool, bool)]| {
            let mut last = LastDrill::default();
            for (at, passed, canary) in all {
                let checks = canary.then(|| Check::passed(CANARY, "there")).into_iter().collect();
                last.note(*at, Drilled { passed: *passed, checks, ..Drilled::default() });
            }
            last.found.map(|(at, found)| (at, found.passed))
        };
        assert_eq!(of(&[(9, true, false), (8, true, true)]), Some((8, true)));
        assert_eq!(of(&[(9, true, false), (8, false, false), (7, true, true)]), Some((9, true)));
        assert_eq!(of(&[(9, false, false), (8, true, true)]), Some((9, false)));
        assert_eq!(of(&[(9, true, true), (8, false, true)]), Some((9, true)));
        assert_eq!(of(&[(9, true, false)]), Some((9, true)));
    }

    fn found(passed: bool, percent: f64) -> Verified {
        Verified { passed, percent, ..Verified::default() }
    }

    #[test]
    fn a_sound_sample_hides_no_fault_that_is_known() {
        let of = |all: &[(i64, bool, f64)]| {
            let mut verdict = Verdict::default();
            for (at, passed, percent) in all {
                verdict.note(*at, found(*passed, *percent));
            }
            verdict.found.map(|(at, found)| (at, found.passed))
        };
        assert_eq!(of(&[(9, true, 5.0), (8, true, 5.0), (7, false, 100.0)]), Some((7, false)));
        assert_eq!(of(&[(9, true, 5.0), (8, true, 100.0), (7, false, 100.0)]), Some((9, true)));
        assert_eq!(of(&[(9, true, 100.0), (8, false, 5.0)]), Some((9, true)));
        assert_eq!(of(&[(9, false, 5.0), (8, true, 100.0)]), Some((9, false)));
    }
}
