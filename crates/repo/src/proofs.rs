//! What verifications and drills of a backup have found, one object each. What each says is the
//! business of whoever found it.

use std::collections::BTreeMap;

use crate::RepoError;
use crate::kind::Kind;
use crate::name::Label;
use crate::repository::{Lineage, Put, SMALL_BYTES_MAX};

impl Lineage {
    /// Keeps what was found, under the next number.
    ///
    /// # Errors
    /// [`RepoError::Taken`] when others kept so much meanwhile that no number was free.
    pub async fn put_proof(&self, label: &Label, found: &[u8]) -> Result<u32, RepoError> {
        let mut number = self.proofs(label).await?.last().map_or(0, |last| last + 1);
        for _ in 0..TRIES_MAX {
            match self.put_sealed(Kind::Proof, &self.id().proof(label, number), found).await? {
                Put::New => return Ok(number),
                // The same may be found twice, and is kept twice.
                Put::Same | Put::Other => number += 1,
            }
        }
        Err(RepoError::Taken { name: self.id().proof(label, number).to_string() })
    }

    /// The numbers of what was found of a backup, in order.
    pub async fn proofs(&self, label: &Label) -> Result<Vec<u32>, RepoError> {
        Ok(self.all_proofs().await?.remove(label).unwrap_or_default())
    }

    /// The same of all labels of which something was found, by one listing.
    pub async fn all_proofs(&self) -> Result<BTreeMap<Label, Vec<u32>>, RepoError> {
        let mut found: BTreeMap<Label, Vec<u32>> = BTreeMap::new();
        for object in self.storage().files(&self.id().proofs()).await? {
            if let Some((label, number)) = label_and_number(&object.name) {
                found.entry(label).or_default().push(number);
            }
        }
        found.values_mut().for_each(|numbers| numbers.sort_unstable());
        Ok(found)
    }

    /// Of a backup that goes.
    pub async fn forget_proofs(&self, label: &Label) -> Result<(), RepoError> {
        for number in self.proofs(label).await? {
            self.storage().delete(&self.id().proof(label, number)).await?;
        }
        Ok(())
    }

    pub async fn get_proof(&self, label: &Label, number: u32) -> Result<Vec<u8>, RepoError> {
        self.get_sealed(Kind::Proof, &self.id().proof(label, number), SMALL_BYTES_MAX).await
    }
}

fn label_and_number(name: &str) -> Option<(Label, u32)> {
    let (label, number) = name.rsplit('/').next()?.rsplit_once('-')?;
    Some((label.parse().ok()?, number.parse().ok()?))
}

const TRIES_MAX: u32 = 16;
