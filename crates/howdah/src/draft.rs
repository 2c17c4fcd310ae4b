//! A text in the operator's editor.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::failure::{Failure, why};
use crate::file;

/// A copy to write on.
#[derive(Debug)]
pub struct Draft {
    pub path: PathBuf,
}

impl Draft {
    /// Writes `text` into a file of nobody else's; `name` says what it is.
    pub fn new(name: &str, text: &str) -> anyhow::Result<Draft> {
        let path = std::env::temp_dir().join(format!("howdah-{}-{name}", std::process::id()));
        let mut draft = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("write a draft: `{}`", path.display()))?;
        draft.write_all(text.as_bytes()).context("write the draft")?;
        Ok(Draft { path })
    }

    /// Opens it in $VISUAL or $EDITOR; the text afterwards.
    pub fn edited(&self) -> anyhow::Result<String> {
        let editor = ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok());
        let editor = editor.filter(|editor| !editor.trim().is_empty());
        let editor = editor.unwrap_or_else(|| "vi".to_owned());
        // An editor may come with arguments, as in `code --wait`.
        let mut words = editor.split_whitespace();
        let program = words.next().unwrap_or("vi");
        let status =
            Command::new(program).args(words).arg(&self.path).status().map_err(|error| {
                Failure::failed(format!("cannot start the editor, {}: `{program}`", why(&error)))
                    .hint("set EDITOR to the one you use")
            })?;
        anyhow::ensure!(status.success(), "the editor failed, nothing changes: `{program}`");
        file::read(&self.path)
    }

    pub fn remove(&self) -> anyhow::Result<()> {
        let path: &Path = &self.path;
        fs::remove_file(path).with_context(|| format!("remove the draft: `{}`", path.display()))
    }
}
