//! Stories below `golden/`: what happens at the margin, what follows from it indented.
//! `HOWDAH_BLESS=1` writes what follows anew; read the diff.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use howdah_archive::receive::{Cluster, Put, Receiver, Repository, Server, begin};
use howdah_base::{History, Lsn, Tick, Timeline};

use crate::wal::{file, wal};

#[test]
fn stories() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = fs::read_dir(&folder).expect("golden");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    assert!(files.len() >= 6, "the stories were not found: {files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a story");
        let told = Story::new().tell(&text);
        if std::env::var_os("HOWDAH_BLESS").is_some() {
            fs::write(&file, &told).expect("bless");
            continue;
        }
        assert!(told == text, "{}\n\nit is now:\n\n{told}", file.display());
    }
}

struct Story {
    cluster: Cluster,
    /// Whose WAL comes, where it is not that cluster's.
    from: Cluster,
    now: Tick,
    repository: Option<Repository>,
    server: Option<Server>,
    receiver: Option<Receiver>,
    /// How far the stream has come.
    at: Lsn,
    out: String,
}

impl Story {
    fn new() -> Story {
        let cluster = Cluster { major: 15, system_identifier: 42, segment: 4 << 20 };
        Story {
            cluster,
            from: cluster,
            now: Tick(0),
            repository: None,
            server: None,
            receiver: None,
            at: Lsn(0),
            out: String::new(),
        }
    }

    fn tell(mut self, text: &str) -> String {
        for line in text.lines().filter(|line| !line.starts_with("  ")) {
            writeln!(self.out, "{line}").expect("text");
            let words: Vec<&str> = line.split_whitespace().collect();
            if let Err(refused) = self.act(&words) {
                writeln!(self.out, "  refused: {refused}").expect("text");
            }
            self.follow();
        }
        self.out
    }

    fn act(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            [] | ["#", ..] => Ok(()),
            ["repository", "ends", end, "history", words @ ..] => {
                self.repository = Some(Repository { end: lsn(end), history: history(words) });
                Ok(())
            }
            ["server", "ends", end, "history", words @ ..] => {
                let (words, known) =
                    words.split_at(words.iter().take_while(|w| !w.contains('=')).count());
                let known = |name: &str| {
                    let mut values =
                        known.iter().filter_map(|w| w.strip_prefix(name)?.strip_prefix('='));
                    values.next().map(lsn)
                };
                let (slot, oldest) = (known("slot"), known("oldest"));
                self.server = Some(Server { history: history(words), end: lsn(end), slot, oldest });
                Ok(())
            }
            ["begin"] => {
                let server = self.server.as_ref().expect("a server");
                let begun = begin(self.repository.as_ref(), server, self.cluster.segment);
                let begun = begun.map_err(|nowhere| nowhere.to_string())?;
                self.receiver = Some(Receiver::new(self.cluster, begun));
                Ok(())
            }
            ["another", "cluster"] => {
                self.from.system_identifier += 1;
                Ok(())
            }
            ["wal", "to", end] => self.wal(self.at, lsn(end)),
            ["wal", from, "to", end] => self.wal(lsn(from), lsn(end)),
            ["at", ms] => {
                self.now = Tick(ms.parse().expect("ms"));
                let now = self.now;
                self.receiver().tick(now);
                Ok(())
            }
            ["durable", puts @ ..] => {
                let puts = puts.iter().map(|put| Put(put.parse().expect("a number")));
                puts.for_each(|put| self.receiver().durable(put));
                Ok(())
            }
            ["timeline", "ends", at, "next", next] => {
                let next = Timeline(next.parse().expect("a timeline"));
                let ends = self.receiver().timeline_ends(next, lsn(at));
                ends.map_err(|refused| refused.to_string())
            }
            ["history", words @ ..] => {
                let content = file(&history(words));
                self.receiver().history(content).map_err(|refused| refused.to_string())
            }
            ["lost"] => {
                self.receiver().resume();
                Ok(())
            }
            _ => panic!("{words:?}"),
        }
    }

    fn wal(&mut self, from: Lsn, to: Lsn) -> Result<(), String> {
        let history = &self.server.as_ref().expect("a server").history;
        let bytes = wal(&self.from, history, from, to);
        self.at = to;
        let now = self.now;
        self.receiver().wal(now, from, &bytes).map_err(|refused| refused.to_string())
    }

    fn follow(&mut self) {
        let Some(receiver) = &mut self.receiver else { return };
        while let Some(command) = receiver.poll() {
            writeln!(self.out, "  {command}").expect("text");
            if let howdah_archive::receive::Command::Start { from } = command {
                self.at = from.lsn;
            }
        }
        if self
            .out
            .lines()
            .last()
            .is_some_and(|line| line.starts_with("wal") || line.starts_with("  put"))
        {
            let (held, wants) = (receiver.held() >> 10, receiver.wants_wal());
            let wants = if wants { "more" } else { "no more" };
            let wake = receiver.wake_at().map(|at| format!(", looks again at {}", at.0));
            writeln!(self.out, "  holds {held} KiB, wants {wants}{}", wake.unwrap_or_default())
                .expect("text");
        }
    }

    fn receiver(&mut self) -> &mut Receiver {
        self.receiver.as_mut().expect("it has begun")
    }
}

/// `1:0/300 2:0/500 3`: timelines with where they were left.
fn history(words: &[&str]) -> History {
    let (last, forks) = words.split_last().expect("a timeline");
    let fork = |word: &&str| {
        let (timeline, at) = word.split_once(':').expect("a fork");
        (Timeline(timeline.parse().expect("a timeline")), lsn(at))
    };
    let timeline = Timeline(last.parse().expect("a timeline"));
    History { timeline, forks: forks.iter().map(fork).collect() }
}

fn lsn(text: &str) -> Lsn {
    text.parse().expect("an LSN")
}
