//! `howdah logs`: what nodes, or their servers, have said lately.

use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use howdah_base::NodeName;
use howdah_spec::{ClusterSpec, LOG_FILE_PREFIX, NodeSpec};
use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::ask::known_node;
use crate::failure::{Failure, why};
use crate::file::FileArg;
use crate::keeper;
use crate::prepare::{Account, account, layout};
use crate::talk::{out, say};

/// Show what nodes have logged
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only this node; without it, each line starts with its node's name
    node: Option<NodeName>,
    /// Go on as more is logged, until Ctrl-C
    #[arg(short = 'F', long)]
    follow: bool,
    /// PostgreSQL's log instead of Howdah's
    #[arg(long, conflicts_with = "store")]
    postgresql: bool,
    /// The logs of the managed store: its keeper's and etcd's
    #[arg(long)]
    store: bool,
    /// Lines to begin with
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    lines: usize,
    #[command(flatten)]
    file: FileArg,
}

/// Bytes from the end of a log that are searched for the last lines.
const TAIL_BYTES_MAX: u64 = 1 << 20;
const LOOK_EVERY: Duration = Duration::from_millis(300);

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    if args.store && keeper::managed(&file.spec).is_none() {
        return Err(Failure::bad_input("the cluster file has no managed store").into());
    }
    let server = account::server_account(&file.spec.run_as)?;
    let mut tails = Vec::new();
    for (name, node) in chosen(args, &file.spec)? {
        for log in wanted(args) {
            let prefix = prefix(name, *log, args.node.is_some());
            let source = Source { node, log: *log, server: &server };
            match source.newest()? {
                Some(path) => tails.push(Tail::open(source, path, prefix)?),
                None => say(format!("{name}: nothing has been logged yet{}", log.of())),
            }
        }
    }
    for tail in &mut tails {
        tail.print_last(args.lines)?;
    }
    while args.follow && !tails.is_empty() {
        std::thread::sleep(LOOK_EVERY);
        for tail in &mut tails {
            tail.print_new()?;
            tail.go_on_to_newest()?;
        }
    }
    Ok(())
}

fn chosen<'a>(
    args: &Args,
    spec: &'a ClusterSpec,
) -> anyhow::Result<Vec<(&'a NodeName, &'a NodeSpec)>> {
    match &args.node {
        Some(node) => Ok(vec![known_node(spec, node)?]),
        None => Ok(spec.nodes.iter().collect()),
    }
}

/// Whose words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Log {
    Howdah,
    Postgresql,
    /// The keeper of the managed store.
    Store,
    Etcd,
}

impl Log {
    fn of(self) -> &'static str {
        match self {
            Log::Howdah | Log::Postgresql => "",
            Log::Store => " by the store's keeper",
            Log::Etcd => " by etcd",
        }
    }
}

fn wanted(args: &Args) -> &'static [Log] {
    match (args.postgresql, args.store) {
        (true, _) => &[Log::Postgresql],
        (_, true) => &[Log::Store, Log::Etcd],
        _ => &[Log::Howdah],
    }
}

/// Before each line. Alone on the screen, it needs no name.
fn prefix(node: &NodeName, log: Log, alone: bool) -> String {
    match (log, alone) {
        (Log::Howdah | Log::Postgresql, true) => String::new(),
        (Log::Howdah | Log::Postgresql, false) => format!("{node}: "),
        (Log::Store, true) => "store: ".to_owned(),
        (Log::Etcd, true) => "etcd: ".to_owned(),
        (Log::Store, false) => format!("{node} store: "),
        (Log::Etcd, false) => format!("{node} etcd: "),
    }
}

/// Where a log is found. Its folder belongs to the servers' user, who could lead root anywhere: it
/// is read with that user's rights.
#[derive(Clone, Copy, Debug)]
struct Source<'a> {
    node: &'a NodeSpec,
    log: Log,
    server: &'a Account,
}

impl Source<'_> {
    /// The log that is being written; of the server's, the youngest.
    fn newest(&self) -> anyhow::Result<Option<PathBuf>> {
        let path = match self.log {
            Log::Postgresql => return self.youngest(&self.node.data_dir.join("log")),
            Log::Howdah => layout::node_log(self.node),
            Log::Store => layout::store_log(self.node),
            Log::Etcd => layout::etcd_log(self.node),
        };
        let dir = path.parent().unwrap_or(Path::new("/"));
        let entries = self.entries(dir)?;
        Ok(entries.into_iter().any(|(there, _)| there == path).then_some(path))
    }

    fn youngest(&self, dir: &Path) -> anyhow::Result<Option<PathBuf>> {
        let is_log = |path: &Path| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with(LOG_FILE_PREFIX)
        };
        let logs = self.entries(dir)?.into_iter().filter(|(path, _)| is_log(path));
        Ok(logs.max_by_key(|(_, modified)| *modified).map(|(path, _)| path))
    }

    /// What is in the folder, and when it was changed.
    fn entries(&self, dir: &Path) -> anyhow::Result<Vec<(PathBuf, Option<SystemTime>)>> {
        let read = || {
            Ok(fs::read_dir(dir).map(|entries| {
                let modified = |entry: &DirEntry| entry.metadata().and_then(|m| m.modified()).ok();
                entries.flatten().map(|entry| (entry.path(), modified(&entry))).collect()
            }))
        };
        self.server.act(read)?.or_else(|error| {
            if error.kind() == ErrorKind::NotFound {
                return Ok(Vec::new());
            }
            let message = format!("cannot read logs, {}: `{}`", why(&error), dir.display());
            let hint = "run it as root, or as the user that servers run as";
            Err(Failure::failed(message).hint(hint).into())
        })
    }

    fn open(&self, path: &Path) -> anyhow::Result<File> {
        self.server.act(|| open(path))
    }
}

/// A file, and nothing that only looks like one: a link leads elsewhere, and a pipe would be waited
/// for.
fn open(path: &Path) -> anyhow::Result<File> {
    let no = |why: &str| Failure::failed(format!("{why}, not a log: `{}`", path.display()));
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path);
    let file = match opened {
        Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
            return Err(no("a symbolic link").into());
        }
        opened => opened.with_context(|| format!("open log: `{}`", path.display()))?,
    };
    let is_file = file.metadata().context("look at the log")?.is_file();
    if is_file { Ok(file) } else { Err(no("no regular file").into()) }
}

/// One log, read up to a place.
struct Tail<'a> {
    source: Source<'a>,
    path: PathBuf,
    file: File,
    prefix: String,
    /// The beginning of a line whose end has not been written yet.
    rest: String,
}

impl<'a> Tail<'a> {
    fn open(source: Source<'a>, path: PathBuf, prefix: String) -> anyhow::Result<Tail<'a>> {
        let file = source.open(&path)?;
        Ok(Tail { source, path, file, prefix, rest: String::new() })
    }

    fn print_last(&mut self, lines: usize) -> anyhow::Result<()> {
        let length = self.file.metadata().context("look at the log")?.len();
        let from = length.saturating_sub(TAIL_BYTES_MAX);
        self.file.seek(SeekFrom::Start(from)).context("read the log")?;
        let text = self.read_lines()?;
        let all: Vec<&str> = text.lines().collect();
        self.print(&all[all.len().saturating_sub(lines)..]);
        Ok(())
    }

    fn print_new(&mut self) -> anyhow::Result<()> {
        let text = self.read_lines()?;
        self.print(&text.lines().collect::<Vec<_>>());
        Ok(())
    }

    /// Everything new up to the last line's end.
    fn read_lines(&mut self) -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).context("read the log")?;
        let mut text = std::mem::take(&mut self.rest) + &String::from_utf8_lossy(&bytes);
        let end = text.rfind('\n').map_or(0, |last| last + 1);
        self.rest = text.split_off(end);
        Ok(text)
    }

    fn print(&self, lines: &[&str]) {
        for line in lines {
            out(format!("{}{line}", self.prefix));
        }
    }

    /// A server begins a new log now and then; Howdah puts a large one aside.
    fn go_on_to_newest(&mut self) -> anyhow::Result<()> {
        let Some(path) = self.source.newest()? else { return Ok(()) };
        let file = self.source.open(&path)?;
        if path != self.path || is_another(&file, &self.file) {
            (self.path, self.file, self.rest) = (path, file, String::new());
        }
        Ok(())
    }
}

fn is_another(file: &File, other: &File) -> bool {
    let inode = |file: &File| file.metadata().ok().map(|meta| meta.ino());
    inode(file) != inode(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_and_a_pipe_are_no_logs() {
        let dir = std::env::temp_dir().join(format!("howdah-logs-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("made");
        let at = |name: &str| dir.join(name);
        fs::write(at("log"), "one\n").expect("written");
        std::os::unix::fs::symlink(at("log"), at("link")).expect("linked");
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("made");
        assert!(open(&at("log")).is_ok());
        let error = |name: &str| open(&at(name)).expect_err("refused").to_string();
        assert!(error("link").starts_with("a symbolic link, not a log"), "{}", error("link"));
        assert!(error("pipe").starts_with("no regular file"), "{}", error("pipe"));
        fs::remove_dir_all(&dir).expect("removed");
    }
}
