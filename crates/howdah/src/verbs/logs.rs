//! `howdah logs`: what nodes, or their servers, have said lately.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use howdah_base::NodeName;
use howdah_spec::{ClusterSpec, LOG_FILE_PREFIX, NodeSpec};

use crate::ask::known_node;
use crate::failure::{Failure, why};
use crate::file::FileArg;
use crate::prepare::layout;
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
    #[arg(long)]
    postgresql: bool,
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
    let mut tails = Vec::new();
    for (name, node) in chosen(args, &file.spec)? {
        match newest(node, args.postgresql)? {
            Some(path) => tails.push(Tail::open(name, path, args.node.is_some())?),
            None => say(format!("{name}: nothing has been logged yet")),
        }
    }
    for tail in &mut tails {
        tail.print_last(args.lines)?;
    }
    while args.follow && !tails.is_empty() {
        std::thread::sleep(LOOK_EVERY);
        for tail in &mut tails {
            tail.print_new()?;
            tail.go_on_to_newest(&file.spec, args.postgresql)?;
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

/// The log that is being written: Howdah's, or the youngest of the server's.
fn newest(node: &NodeSpec, postgresql: bool) -> anyhow::Result<Option<PathBuf>> {
    let dir = if postgresql { node.data_dir.join("log") } else { layout::log_dir(node) };
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let message = format!("cannot read logs, {}: `{}`", why(&error), dir.display());
            let hint = "run it as root, or as the user that servers run as";
            return Err(Failure::failed(message).hint(hint).into());
        }
    };
    if !postgresql {
        let log = layout::node_log(node);
        return Ok(log.exists().then_some(log));
    }
    let logs = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(LOG_FILE_PREFIX));
    let youngest = logs.max_by_key(|entry| entry.metadata().and_then(|meta| meta.modified()).ok());
    Ok(youngest.map(|entry| entry.path()))
}

/// One log, read up to a place.
struct Tail {
    node: NodeName,
    path: PathBuf,
    file: File,
    /// Alone on the screen, a line needs no name.
    alone: bool,
    /// The beginning of a line whose end has not been written yet.
    rest: String,
}

impl Tail {
    fn open(node: &NodeName, path: PathBuf, alone: bool) -> anyhow::Result<Tail> {
        let file = open(&path)?;
        Ok(Tail { node: node.clone(), path, file, alone, rest: String::new() })
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
            if self.alone {
                out(line);
            } else {
                out(format!("{}: {line}", self.node));
            }
        }
    }

    /// A server begins a new log now and then; Howdah puts a large one aside.
    fn go_on_to_newest(&mut self, spec: &ClusterSpec, postgresql: bool) -> anyhow::Result<()> {
        let Some(path) = newest(&spec.nodes[&self.node], postgresql)? else { return Ok(()) };
        if path != self.path || is_another_file(&path, &self.file) {
            *self = Tail::open(&self.node.clone(), path, self.alone)?;
        }
        Ok(())
    }
}

fn is_another_file(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |meta: std::io::Result<fs::Metadata>| meta.ok().map(|meta| meta.ino());
    inode(fs::metadata(path)) != inode(file.metadata())
}

fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("open log: `{}`", path.display()))
}
