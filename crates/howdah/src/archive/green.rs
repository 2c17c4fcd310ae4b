//! What is known of this cluster's backups, and whether the newest is green.

use std::collections::BTreeMap;

use howdah_archive::proof::green::{Head, KeyIs, head};
use howdah_archive::proof::{self, Known};
use howdah_repo::manifest::About;
use howdah_repo::name::Label;
use howdah_repo::{Lineage, RepoError};
use howdah_spec::backup::BackupSpec;
use howdah_spec::{ClusterSpec, SecretRef};

use crate::talk::say;

/// A backup, and what was found of it.
#[derive(Clone, Debug)]
pub struct OfBackup {
    pub about: About,
    pub known: Known,
}

/// All that `howdah backups` shows.
#[derive(Clone, Debug)]
pub struct Overview {
    /// In the order of their completion.
    pub backups: Vec<OfBackup>,
    /// The newest whose manifest cannot be read, and why.
    pub unreadable: Option<(Label, String)>,
    pub key: KeyIs,
}

impl Overview {
    /// Whether the newest is green, or why not.
    pub fn head(&self) -> Head {
        let known = |backup: &OfBackup| (backup.about.label.clone(), backup.known.clone());
        let all: Vec<(String, Known)> = self.backups.iter().map(known).collect();
        let head = head(&all, self.key);
        // Labels are in the order of their beginnings.
        let newest = all.last().map_or("", |(label, _)| label);
        match &self.unreadable {
            Some((label, what)) if label.as_str() > newest => head.behind(label.as_str(), what),
            _ => head,
        }
    }
}

/// Looks: manifests' heads and the newest proofs, nothing else.
pub async fn look(
    lineage: &Lineage,
    spec: &ClusterSpec,
    backup: &BackupSpec,
) -> anyhow::Result<Overview> {
    let proofs = lineage.all_proofs().await?;
    let (mut backups, mut unreadable) = (Vec::new(), None);
    for label in lineage.backups().await? {
        let about = match lineage.about_backup(&label).await {
            // Expired meanwhile.
            Err(RepoError::Absent { .. }) => continue,
            Err(error @ RepoError::Damaged { .. }) => {
                say(format!("howdah: backup `{label}` is not listed: {error}"));
                unreadable = unreadable.max(Some((label.clone(), error.to_string())));
                say(format!("hint: howdah verify {label}"));
                continue;
            }
            about => about?,
        };
        let numbers = proofs.get(&label).map_or(&[][..], Vec::as_slice);
        backups.push(OfBackup { about, known: proof::known(lineage, &label, numbers).await? });
    }
    for missing in proof::missing(lineage).await? {
        let label = missing.label;
        say(format!("howdah: backup `{label}` is missing: its manifest was taken away"));
        say(format!("hint: {}", proof::put_back(label.as_str())));
        unreadable = unreadable.max(Some((label, "its manifest is missing".to_owned())));
    }
    backups.sort_by_key(|backup| backup.about.stopped_ms);
    Ok(Overview { backups, unreadable, key: key_is(spec, backup, &proofs) })
}

/// Where whoever has lost every machine finds the key.
fn key_is(spec: &ClusterSpec, backup: &BackupSpec, proofs: &BTreeMap<Label, Vec<u32>>) -> KeyIs {
    match &backup.key {
        None => KeyIs::Unneeded,
        Some(SecretRef::File(path)) if path.starts_with(&spec.base_dir) => {
            match proof::was_exported(proofs.keys()) {
                true => KeyIs::Exported,
                false => KeyIs::OnlyHere,
            }
        }
        Some(SecretRef::File(_) | SecretRef::Env(_) | SecretRef::Command(_)) => KeyIs::External,
    }
}
