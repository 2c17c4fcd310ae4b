//! What was told and what is still open, on disk, so that an agent that is restarted tells
//! nothing twice and forgets nothing.
//!
//! ```text
//! loop ── the newest picture ──► writer thread ── write, fsync, rename ──► hooks.json
//! ```
//! A disk that hangs must not keep a hook back that a failover needs: the loop waits for the
//! writer a bounded time, and then goes on and says so.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_base::Tick;
use tokio::sync::{mpsc, oneshot};

use crate::calls::{Kept, State};

/// How long the loop waits for the disk.
pub const WRITTEN_WITHIN: Duration = Duration::from_secs(3);
/// After a failure it is tried again, also when nothing else happens.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Pictures that wait for the disk: the one that is being written and a newer one.
const PICTURES_MAX: usize = 1;

const FILE: &str = "hooks.json";

#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    pictures: mpsc::Sender<Picture>,
    /// As the file holds it, as far as is known.
    written: Option<Vec<u8>>,
    problem: Option<String>,
}

struct Picture {
    text: Vec<u8>,
    done: oneshot::Sender<io::Result<()>>,
}

impl Journal {
    /// Reads what an earlier agent left. `first_id`: where a node without a journal begins to
    /// count its firings. A journal that cannot be read is put aside: changes since then may be
    /// told again, which is better than never.
    pub fn open(state_dir: &Path, first_id: u64) -> (Journal, Kept) {
        let path = state_dir.join(FILE);
        let fresh = || Kept { state: State::new(first_id), ..Kept::default() };
        let (kept, problem) = match fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(kept) => (kept, None),
                Err(error) => {
                    let aside = path.with_extension("json.unreadable");
                    let _ = fs::rename(&path, &aside);
                    (fresh(), Some(unreadable(&aside, &error)))
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => (fresh(), None),
            Err(error) => (fresh(), Some(unreadable(&path, &error))),
        };
        if let Some(problem) = &problem {
            tracing::warn!("{problem}");
        }
        let pictures = start_writer(path.clone());
        (Journal { path, pictures, written: None, problem }, kept)
    }

    /// Writes `kept`, if it is not what the file holds. Gives up waiting after
    /// [`WRITTEN_WITHIN`], and at once while an earlier write still hangs.
    pub async fn write(&mut self, kept: &Kept) {
        let text = match serde_json::to_vec(kept) {
            Ok(text) => text,
            Err(error) => return self.failed(&error.to_string()),
        };
        if self.written.as_ref() == Some(&text) {
            return;
        }
        let (done, finished) = oneshot::channel();
        let picture = Picture { text: text.clone(), done };
        if self.pictures.try_send(picture).is_err() {
            return self.failed("an earlier write has not ended");
        }
        match tokio::time::timeout(WRITTEN_WITHIN, finished).await {
            Ok(Ok(Ok(()))) => {
                self.written = Some(text);
                self.problem = None;
            }
            Ok(Ok(Err(error))) => self.failed(&error.to_string()),
            Ok(Err(_)) => self.failed("its writer has ended"),
            Err(_) => self.failed(&format!("not within {} s", WRITTEN_WITHIN.as_secs())),
        }
    }

    /// When to write although nothing has changed.
    pub fn again_at(&self, now: Tick) -> Option<Tick> {
        self.problem.as_ref().map(|_| now + AGAIN_AFTER)
    }

    /// What is wrong with it, for the operator.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    fn failed(&mut self, why: &str) {
        self.written = None;
        let problem = format!(
            "the journal of hooks cannot be written: {why}: `{}`; after a restart a hook may be \
             called again; hint: look at the disk of `state_dir`",
            self.path.display()
        );
        if self.problem.as_ref() != Some(&problem) {
            tracing::warn!("{problem}");
        }
        self.problem = Some(problem);
    }
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> String {
    format!(
        "the journal of hooks cannot be read: {error}: `{}`; changes may be told again; hint: \
         nothing is to be done if the hooks are repeatable",
        path.display()
    )
}

/// The thread ends with the journal. Without it every write is a failure that is told.
fn start_writer(path: PathBuf) -> mpsc::Sender<Picture> {
    let (pictures, mut waiting) = mpsc::channel::<Picture>(PICTURES_MAX);
    let writer = std::thread::Builder::new().name("hooks' journal".to_owned());
    let started = writer.spawn(move || {
        while let Some(Picture { text, done }) = waiting.blocking_recv() {
            let _ = done.send(replace(&path, &text));
        }
    });
    drop(started);
    pictures
}

/// Written beside it, fsynced, renamed, and the directory fsynced.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("json.new");
    let mut file =
        OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
