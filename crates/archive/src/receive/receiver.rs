//! The receiver: one segment in memory, chunks and segments out, one timeline after the other.

use std::collections::VecDeque;

use howdah_base::{History, Lsn, Position, Tick, Timeline, WalFile};
use howdah_postgres::wal::segment::{self, Expected, HEAD, NotThis};
use thiserror::Error;

use super::begin::{Begin, FIRST, floor};
use super::command::{Command, Put};
use super::puts::{Puts, What};

/// Bytes of a chunk.
pub const CHUNK_BYTES_MAX: u64 = 1 << 20;
/// Milliseconds after which WAL goes out, however little it is.
pub const CHUNK_MS_MAX: u64 = 1000;
/// Besides two segments, so many bytes are held.
const HELD_BYTES_MAX: u64 = 4 << 20;
/// One piece of WAL; a server sends 128 KiB.
const PIECE_BYTES_MAX: u64 = 1 << 20;

/// Whose WAL it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cluster {
    /// PostgreSQL's.
    pub major: u32,
    pub system_identifier: u64,
    /// Bytes of a segment.
    pub segment: u64,
}

/// What came cannot be taken: the stream must end, and this receiver with it. Nothing of it has been
/// put anywhere.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Refused {
    #[error("WAL came from {found}, after {expected}")]
    Hole { expected: Lsn, found: Lsn },
    #[error("the server now has other WAL at {0} than it sent before")]
    Differs(Lsn),
    #[error("WAL of `{segment}` is of something else: {why}")]
    NotThis { segment: WalFile, why: NotThis },
    #[error("the history of timeline {0} is damaged, or is not that of what was received")]
    History(Timeline),
    #[error("more came than was asked for")]
    Full,
    #[error("{0} came out of turn")]
    OutOfTurn(&'static str),
}

/// See the module. After every call [`Receiver::poll`] is asked until it has no more.
#[derive(Debug)]
pub struct Receiver {
    cluster: Cluster,
    phase: Phase,
    /// Of the timeline that is received.
    history: History,
    open: Open,
    /// Where the next byte of the stream belongs. After a lost connection it is behind what is held.
    next: Lsn,
    /// Everything below is in the repository.
    durable: Lsn,
    /// What this stream was told.
    reported: Lsn,
    puts: Puts,
    compare: Compare,
    commands: VecDeque<Command>,
}

/// The segment that is being filled.
#[derive(Debug)]
struct Open {
    start: Lsn,
    bytes: Vec<u8>,
    is_checked: bool,
    /// Below, everything is in chunks already.
    covered: Lsn,
    has_chunks: bool,
    /// When the first byte came that is in no chunk.
    waits_since: Option<Tick>,
}

impl Open {
    fn at(start: Lsn) -> Open {
        let (bytes, is_checked, has_chunks) = (Vec::new(), false, false);
        Open { start, bytes, is_checked, covered: start, has_chunks, waits_since: None }
    }

    fn end(&self) -> Lsn {
        Lsn(self.start.0 + self.bytes.len() as u64)
    }

    /// Bytes that are in no chunk.
    fn waiting(&self) -> u64 {
        self.end().bytes_past(self.covered)
    }
}

/// A server that lost WAL which it had flushed goes on otherwise, on the same timeline: chunks of an
/// earlier stream are held against what comes now, before anything goes beside them.
#[derive(Debug)]
enum Compare {
    /// There are chunks up to there.
    Due(Lsn),
    UnderWay(Put),
    Done,
}

#[derive(Debug)]
enum Phase {
    /// The history of the next timeline was asked for; it left the one before there.
    Asked {
        timeline: Timeline,
        from: Lsn,
    },
    /// That history is on its way into the repository.
    Putting {
        put: Put,
    },
    Streaming,
}

impl Receiver {
    pub fn new(cluster: Cluster, begin: Begin) -> Receiver {
        let Begin { at, history, history_is_there, covered, durable, gaps } = begin;
        let mut receiver = Receiver {
            cluster,
            phase: Phase::Streaming,
            history,
            open: Open { covered, has_chunks: covered > at.lsn, ..Open::at(at.lsn) },
            next: at.lsn,
            durable,
            reported: Lsn(0),
            puts: Puts::default(),
            compare: if covered > at.lsn { Compare::Due(covered) } else { Compare::Done },
            commands: VecDeque::new(),
        };
        for gap in gaps {
            let put = receiver.puts.add(What::Gap, 0);
            let (timeline, from, to) = (gap.timeline, gap.from, gap.to);
            receiver.commands.push_back(Command::Gap { put, timeline, from, to });
        }
        if history_is_there || at.timeline == FIRST {
            receiver.start();
        } else {
            receiver.ask(at.timeline, at.lsn);
        }
        receiver
    }

    /// What to do next.
    pub fn poll(&mut self) -> Option<Command> {
        if matches!(self.compare, Compare::UnderWay(_)) {
            return None;
        }
        let command = self.commands.pop_front();
        if let Some(Command::Compare { put, .. }) = &command {
            self.compare = Compare::UnderWay(*put);
        }
        command
    }

    /// Whether there is room for a piece of WAL. While there is none, nothing is read.
    pub fn wants_wal(&self) -> bool {
        matches!(self.phase, Phase::Streaming) && self.held() + PIECE_BYTES_MAX <= self.held_max()
    }

    /// When [`Receiver::tick`] must be called at the latest.
    pub fn wake_at(&self) -> Option<Tick> {
        let since = self.open.waits_since.filter(|_| self.open.is_checked)?;
        Some(Tick(since.0 + CHUNK_MS_MAX))
    }

    /// Bytes in memory: the open segment, and what is on its way.
    pub fn held(&self) -> u64 {
        self.open.bytes.len() as u64 + self.puts.bytes()
    }

    fn held_max(&self) -> u64 {
        2 * self.cluster.segment + HELD_BYTES_MAX
    }

    /// WAL that came from `start` on, cut anywhere.
    pub fn wal(&mut self, now: Tick, start: Lsn, mut bytes: &[u8]) -> Result<(), Refused> {
        if !matches!(self.phase, Phase::Streaming) {
            return Err(Refused::OutOfTurn("WAL"));
        }
        if start != self.next {
            return Err(Refused::Hole { expected: self.next, found: start });
        }
        if self.held() + bytes.len() as u64 > self.held_max() {
            return Err(Refused::Full);
        }
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(self.step()));
            self.take(now, piece)?;
            bytes = rest;
        }
        Ok(())
    }

    /// So far nothing happens in between, however WAL is cut.
    fn step(&self) -> usize {
        let open = &self.open;
        let ends = [
            Lsn(open.start.0 + HEAD as u64),
            open.end(),
            Lsn(open.covered.max(open.start).0 + CHUNK_BYTES_MAX),
            Lsn(open.start.0 + self.cluster.segment),
            self.durable,
        ];
        let next = ends.into_iter().filter(|end| *end > self.next).min();
        let step = next.map_or(u64::MAX, |next| next.bytes_past(self.next));
        usize::try_from(step).unwrap_or(usize::MAX)
    }

    /// One step.
    fn take(&mut self, now: Tick, piece: &[u8]) -> Result<(), Refused> {
        let held = &self.open.bytes;
        let at = usize::try_from(self.next.bytes_past(self.open.start)).unwrap_or(usize::MAX);
        match held.get(at..at + piece.len()) {
            // Of a stream that began anew: it must say the same.
            Some(known) if known == piece => {}
            Some(_) => return Err(Refused::Differs(self.next)),
            None => {
                // Untouched memory costs nothing, and a segment is not copied while it grows.
                let whole = usize::try_from(self.cluster.segment).unwrap_or(0);
                self.open.bytes.reserve_exact(whole.saturating_sub(held.len()));
                self.open.bytes.extend_from_slice(piece);
            }
        }
        self.next = Lsn(self.next.0 + piece.len() as u64);
        self.check()?;
        if matches!(self.compare, Compare::Due(until) if self.open.end() >= until) {
            self.compare();
        }
        if self.open.waiting() > 0 && self.open.waits_since.is_none() {
            self.open.waits_since = Some(now);
        }
        if self.open.bytes.len() as u64 == self.cluster.segment && self.next == self.open.end() {
            self.put_segment();
        } else if self.open.waiting() >= CHUNK_BYTES_MAX {
            self.put_chunk();
        }
        self.report();
        Ok(())
    }

    /// Time goes by.
    pub fn tick(&mut self, now: Tick) {
        if self.wake_at().is_some_and(|at| now >= at) {
            self.put_chunk();
        }
    }

    /// Nothing more comes of this timeline: what there is of its last segment stays in chunks.
    pub fn timeline_ends(&mut self, next: Timeline, switchpoint: Lsn) -> Result<(), Refused> {
        if !matches!(self.phase, Phase::Streaming) || next <= self.history.timeline {
            return Err(Refused::OutOfTurn("the end of a timeline"));
        }
        if switchpoint != self.next {
            return Err(Refused::Hole { expected: self.next, found: switchpoint });
        }
        if matches!(self.compare, Compare::Due(_)) && self.open.is_checked {
            self.compare();
        }
        if self.open.is_checked && self.open.waiting() > 0 {
            self.put_chunk();
        }
        // What was received beyond, from a server that is gone, is none of the next timeline's.
        self.puts.end_at(switchpoint);
        self.durable = self.durable.min(switchpoint);
        self.open = Open::at(floor(switchpoint, self.cluster.segment));
        self.ask(next, switchpoint);
        Ok(())
    }

    fn ask(&mut self, timeline: Timeline, from: Lsn) {
        self.phase = Phase::Asked { timeline, from };
        self.commands.push_back(Command::FetchHistory { timeline });
    }

    /// The history file that was asked for.
    pub fn history(&mut self, content: Vec<u8>) -> Result<(), Refused> {
        let Phase::Asked { timeline, from } = self.phase else {
            return Err(Refused::OutOfTurn("a history"));
        };
        let text = std::str::from_utf8(&content).ok();
        let history = text.and_then(|text| History::parse(timeline, text).ok());
        let expected = self.expected(timeline, from);
        let history = history.filter(|history| *history == expected);
        self.history = history.ok_or(Refused::History(timeline))?;
        let put = self.puts.add(What::History, content.len());
        self.commands.push_back(Command::PutHistory { put, timeline, content });
        self.phase = Phase::Putting { put };
        Ok(())
    }

    /// That of the timeline which is received, or of the one that leaves it at `from`.
    fn expected(&self, timeline: Timeline, from: Lsn) -> History {
        match self.history.timeline {
            own if own == timeline => self.history.clone(),
            _ => self.history.promoted(from, timeline),
        }
    }

    /// One thing has become durable.
    pub fn durable(&mut self, put: Put) {
        for what in self.puts.durable(put) {
            match what {
                What::Chunk { end } => self.durable = self.durable.max(end),
                What::Segment { end, segment, chunks } => {
                    self.durable = self.durable.max(end);
                    if chunks {
                        self.commands.push_back(Command::DropChunks { segment });
                    }
                }
                What::History | What::Gap | What::Same => {}
            }
        }
        if matches!(self.compare, Compare::UnderWay(compared) if compared == put) {
            self.compare = Compare::Done;
        }
        if matches!(self.phase, Phase::Putting { put: history } if history == put) {
            self.phase = Phase::Streaming;
            self.start();
        }
        self.report();
    }

    /// The connection was lost, and there is one again to a server that has what was received.
    pub fn resume(&mut self) {
        match self.phase {
            Phase::Asked { timeline, from } => self.ask(timeline, from),
            Phase::Putting { .. } => {}
            Phase::Streaming => self.start(),
        }
    }

    fn start(&mut self) {
        (self.next, self.reported) = (self.open.start, Lsn(0));
        let from = Position { timeline: self.history.timeline, lsn: self.next };
        self.commands.push_back(Command::Start { from });
    }

    /// Only what this stream has sent: a server that is told of more would let go of WAL that it
    /// has yet to write.
    fn report(&mut self) {
        let reached = matches!(self.phase, Phase::Streaming) && self.durable <= self.next;
        if reached && self.durable > self.reported {
            self.reported = self.durable;
            self.commands.push_back(Command::ReportFlushed(self.durable));
        }
    }

    /// With what an earlier stream put.
    fn compare(&mut self) {
        let until = match std::mem::replace(&mut self.compare, Compare::Done) {
            Compare::Due(until) => until.min(self.open.end()),
            other => {
                self.compare = other;
                return;
            }
        };
        let len = usize::try_from(until.bytes_past(self.open.start)).unwrap_or(usize::MAX);
        let bytes = self.open.bytes[..len.min(self.open.bytes.len())].to_vec();
        let put = self.puts.add(What::Same, bytes.len());
        self.commands.push_back(Command::Compare { put, segment: self.segment(), bytes });
    }

    fn put_chunk(&mut self) {
        let Open { start, covered, .. } = self.open;
        let (from, end) = (covered.bytes_past(start), self.open.end());
        let to = end.bytes_past(start);
        let bytes = self.open.bytes[usize::try_from(from).unwrap_or(usize::MAX)..].to_vec();
        let put = self.puts.add(What::Chunk { end }, bytes.len());
        let segment = self.segment();
        self.commands.push_back(Command::PutChunk { put, segment, from, to, bytes });
        self.open.covered = end;
        self.open.has_chunks = true;
        self.open.waits_since = None;
    }

    fn put_segment(&mut self) {
        let (segment, end) = (self.segment(), self.open.end());
        let open = std::mem::replace(&mut self.open, Open::at(end));
        let what = What::Segment { end, segment: segment.clone(), chunks: open.has_chunks };
        let put = self.puts.add(what, open.bytes.len());
        self.commands.push_back(Command::PutSegment { put, segment, bytes: open.bytes });
    }

    fn segment(&self) -> WalFile {
        WalFile::of(self.history.timeline, self.open.start, self.cluster.segment)
    }

    /// By its first bytes, before any of them goes out.
    fn check(&mut self) -> Result<(), Refused> {
        if self.open.is_checked || self.open.bytes.len() < HEAD {
            return Ok(());
        }
        let expected = Expected {
            major: self.cluster.major,
            system_identifier: self.cluster.system_identifier,
            size: self.cluster.segment,
            start: self.open.start,
            history: &self.history,
        };
        let checked = segment::check_head(&self.open.bytes, &expected);
        checked.map_err(|why| Refused::NotThis { segment: self.segment(), why })?;
        self.open.is_checked = true;
        Ok(())
    }
}
