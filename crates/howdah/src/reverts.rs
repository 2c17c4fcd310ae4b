//! What `howdah apply` would take back of what others have put into force meanwhile.
//!
//! A file in somebody's folder is a copy of what was in force once. For each such file this machine
//! keeps, below base_dir, what it said when it was last applied or first started from: where the
//! file in force differs from that, others have changed it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use howdah_spec::to_toml;

use crate::diff::{diff, keys, only};
use crate::failure::Failure;
use crate::file;
use crate::prepare::{Layout, make_dir, write_file};
use crate::verbs::config::InForce;

/// The lines of the difference between the file in force and `wanted` (the text of the file at
/// `path`, ports settled) that would take back what others have changed.
pub fn of(layout: &Layout, path: &Path, text: &str, wanted: &str, now: &InForce) -> String {
    if revision_of(text) == Some(now.revision) {
        return String::new();
    }
    let now_text = settled(layout, &now.text);
    let changes = diff(&now_text, wanted);
    let base = std::fs::read_to_string(place(layout, path)).ok();
    match base {
        Some(base) => only(&changes, &keys(&diff(&settled(layout, &base), &now_text))),
        // Nobody has changed what the cluster was made with.
        None if now.revision <= 1 => String::new(),
        None => only(&changes, &gone(&changes)),
    }
}

/// Keeps what the file at `path` says, which is in force now.
pub fn remember(layout: &Layout, path: &Path, wanted: &str) -> anyhow::Result<()> {
    let place = place(layout, path);
    let folder = place.parent().context("a folder for applied files")?;
    make_dir(folder, 0o755)?;
    write_file(&place, 0o644, wanted.as_bytes())
}

/// The same, unless the file is known: one that is only started from may be ahead of what is in
/// force. Who may not write there goes without.
pub fn remember_first(layout: &Layout, path: &Path, wanted: &str) {
    if path != layout.file() && !place(layout, path).exists() {
        let _ = remember(layout, path, wanted);
    }
}

/// The refusal that lists them.
pub fn refusal(reverts: &str) -> Failure {
    let lines: String = reverts.lines().map(|line| format!("\n  {line}")).collect();
    Failure::failed(format!(
        "this file would take back what was changed since it was last applied:{lines}"
    ))
    .hint(
        "write these changes into the file (howdah config shows what is in force), \
         or take them back with --force",
    )
}

/// Above the text that `howdah config show` prints.
pub fn heading(revision: u64) -> String {
    format!("{HEADING}{revision}\n")
}

const HEADING: &str = "# the cluster file in force, revision ";

fn revision_of(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(HEADING)?.parse().ok())
}

/// The lines that go, and what comes in their place.
fn gone(changes: &str) -> BTreeSet<(String, String)> {
    let gone = |line: &&str| !line.starts_with("+ ");
    keys(&changes.lines().filter(gone).map(|line| format!("{line}\n")).collect::<String>())
}

/// As [`to_toml`] writes it, so that it can be compared.
fn settled(layout: &Layout, text: &str) -> String {
    file::parse(&layout.file(), text).map_or_else(|_| text.to_owned(), |spec| to_toml(&spec))
}

fn place(layout: &Layout, path: &Path) -> PathBuf {
    let name: String = howdah_tls::sha256(&[path.as_os_str().as_encoded_bytes()])
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    layout.applied().join(format!("{name}.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "cluster = \"demo\"\nbase_dir = \"/b\"\n[nodes.n1]\n";

    fn with(parameters: &str) -> String {
        format!("{FILE}[postgresql.parameters]\n{parameters}")
    }

    #[test]
    fn only_what_others_have_changed_is_a_revert() {
        let dir = std::env::temp_dir().join(format!("howdah-reverts-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        let layout = Layout::new(&dir);
        let file = Path::new("/somewhere/howdah.toml");
        let base = with("work_mem = \"4MB\"\nmax_connections = 100\n");
        let now = InForce {
            revision: 2,
            text: with("work_mem = \"8MB\"\nmax_connections = 100\njit = \"off\"\n"),
        };
        let check = |text: &str| {
            let text = settled(&layout, text);
            of(&layout, file, &text, &text, &now)
        };

        // Never seen: whatever goes may be somebody's.
        let unknown = check(&with("work_mem = \"9MB\"\nmax_connections = 100\njit = \"off\"\n"));
        assert!(unknown.contains("- work_mem = \"8MB\"\n+ work_mem = \"9MB\""), "{unknown}");
        let more =
            with("work_mem = \"8MB\"\nmax_connections = 100\njit = \"off\"\nfsync = \"on\"\n");
        assert_eq!(check(&more), "");

        remember(&layout, file, &settled(&layout, &base)).expect("written");
        let mine = with("work_mem = \"4MB\"\nmax_connections = 200\n");
        let said = check(&mine);
        assert!(said.contains("- work_mem = \"8MB\"\n+ work_mem = \"4MB\""), "{said}");
        assert!(said.contains("- jit = \"off\"") && !said.contains("max_connections"), "{said}");
        let merged = with("work_mem = \"8MB\"\nmax_connections = 200\njit = \"off\"\n");
        assert_eq!(check(&merged), "");
        let shown = format!("{}{mine}", heading(2));
        assert_eq!(of(&layout, file, &shown, &settled(&layout, &mine), &now), "");
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
