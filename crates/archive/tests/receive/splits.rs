//! However WAL is cut on its way, the same is done with it; and what is reported is durable.

use howdah_archive::receive::{Cluster, Command, Receiver, Server, begin};
use howdah_base::{History, Lsn, Tick, Timeline, WalFile};

use crate::repository::Repository;
use crate::wal::{file, wal};

const CLUSTER: Cluster = Cluster { major: 15, system_identifier: 42, segment: 2 << 20 };
const FROM: Lsn = Lsn(4 << 20);
const FORK: Lsn = Lsn((9 << 20) + 4321);
const END: Lsn = Lsn((13 << 20) + 99);

/// A stream over one promotion: its WAL, and where the second timeline begins.
fn recorded() -> (History, Vec<u8>, Vec<u8>) {
    let root = History::root(Timeline(1));
    let history = root.promoted(FORK, Timeline(2));
    let second = Lsn(FORK.0 / CLUSTER.segment * CLUSTER.segment);
    let old = wal(&CLUSTER, &root, FROM, FORK);
    let new = wal(&CLUSTER, &history, second, END);
    (history, old, new)
}

/// Feeds it in pieces of these sizes, the clock as far as its place; what was done with it.
fn fed(sizes: &mut dyn FnMut() -> usize, recorded: &(History, Vec<u8>, Vec<u8>)) -> Vec<Command> {
    let (history, old, new) = recorded;
    let root = History::root(Timeline(1));
    let server = Server { history: root, end: FORK, slot: Some(FROM), oldest: None };
    let begun = begin(None, &server, CLUSTER.segment).expect("a place");
    let mut receiver = Receiver::new(CLUSTER, begun);
    let mut done = drain(&mut receiver);
    feed(&mut receiver, FROM, old, sizes, &mut done);
    receiver.timeline_ends(Timeline(2), FORK).expect("it ends");
    done.extend(drain(&mut receiver));
    receiver.history(file(history)).expect("a history");
    done.extend(drain(&mut receiver));
    let second = Lsn(END.0 - new.len() as u64);
    feed(&mut receiver, second, new, sizes, &mut done);
    receiver.tick(Tick(u64::MAX / 2));
    done.extend(drain(&mut receiver));
    done
}

fn feed(
    receiver: &mut Receiver,
    from: Lsn,
    bytes: &[u8],
    sizes: &mut dyn FnMut() -> usize,
    done: &mut Vec<Command>,
) {
    let mut at = 0;
    while at < bytes.len() {
        let piece = &bytes[at..(at + sizes()).min(bytes.len())];
        receiver.wal(Tick(0), Lsn(from.0 + at as u64), piece).expect("WAL");
        at += piece.len();
        done.extend(drain(receiver));
    }
}

/// Everything is durable at once.
fn drain(receiver: &mut Receiver) -> Vec<Command> {
    let mut done = Vec::new();
    while let Some(command) = receiver.poll() {
        match &command {
            Command::PutHistory { put, .. }
            | Command::PutChunk { put, .. }
            | Command::PutSegment { put, .. }
            | Command::Compare { put, .. }
            | Command::Gap { put, .. } => receiver.durable(*put),
            _ => {}
        }
        done.push(command);
    }
    done
}

#[test]
fn the_same_is_done_however_wal_is_cut() {
    let recorded = recorded();
    let whole = fed(&mut || 1 << 20, &recorded);
    assert!(whole.len() > 20, "{whole:?}");
    for seed in 1..25 {
        let mut random = Random(seed);
        let most = [3, 100, 9000, 200_000, 1 << 20][seed as usize % 5];
        let least = if most == 3 { 1 } else { most / 50 };
        // Single bytes over the first headers, then pieces of a length that ends in time.
        let mut count = 0;
        let again = fed(
            &mut || {
                count += 1;
                let most = if count > 3000 { most.max(5000) } else { most };
                random.below(most - least + 1) + least
            },
            &recorded,
        );
        assert!(again == whole, "seed {seed}:\n{again:?}\n{whole:?}");
    }
}

/// Puts become durable in any order and late, connections are lost, the clock runs: what was
/// reported is always there, and at the end everything is.
#[test]
fn what_is_reported_is_in_the_repository() {
    let (history, old, new) = recorded();
    for seed in 1..30 {
        let mut run = Run::new(seed);
        run.stream(FROM, &old, Timeline(1));
        run.receiver.timeline_ends(Timeline(2), FORK).expect("it ends");
        run.follow();
        run.receiver.history(file(&history)).expect("a history");
        run.follow();
        while run.started != Some(Timeline(2)) {
            run.confirm();
        }
        let second = Lsn(END.0 - new.len() as u64);
        run.stream(second, &new, Timeline(2));
        run.now += 5000;
        run.receiver.tick(Tick(run.now));
        run.follow();
        while !run.repository.under_way.is_empty() {
            run.confirm();
        }
        assert_eq!(run.repository.reported.last(), Some(&END), "seed {seed}");
        assert_eq!(run.have(Timeline(1), FROM, FORK), old, "seed {seed}");
        assert_eq!(run.have(Timeline(2), second, END), new, "seed {seed}");
    }
}

struct Run {
    seed: u64,
    random: Random,
    now: u64,
    receiver: Receiver,
    repository: Repository,
    started: Option<Timeline>,
    restarted: Option<Lsn>,
    /// How many reports have been looked at.
    checked: usize,
}

impl Run {
    fn new(seed: u64) -> Run {
        let root = History::root(Timeline(1));
        let server = Server { history: root, end: FORK, slot: Some(FROM), oldest: None };
        let begun = begin(None, &server, CLUSTER.segment).expect("a place");
        let receiver = Receiver::new(CLUSTER, begun);
        let (random, repository) = (Random(seed), Repository::default());
        let mut run = Run {
            seed,
            random,
            now: 0,
            receiver,
            repository,
            started: None,
            restarted: None,
            checked: 0,
        };
        run.follow();
        run
    }

    fn stream(&mut self, from: Lsn, bytes: &[u8], timeline: Timeline) {
        let mut at = 0;
        while at < bytes.len() {
            assert!(self.receiver.held() <= 2 * CLUSTER.segment + (4 << 20), "seed {}", self.seed);
            match self.random.below(20) {
                0 => {
                    self.receiver.resume();
                    self.follow();
                    let again = self.restarted.take().expect("it starts again");
                    at = usize::try_from(again.0 - from.0).expect("small");
                }
                1..5 => self.confirm(),
                5 => {
                    self.now += 700;
                    self.receiver.tick(Tick(self.now));
                }
                _ if self.receiver.wants_wal() => {
                    let piece = self.random.below(200_000) + 1;
                    let piece = &bytes[at..(at + piece).min(bytes.len())];
                    let start = Lsn(from.0 + at as u64);
                    self.receiver.wal(Tick(self.now), start, piece).expect("WAL");
                    at += piece.len();
                }
                _ => self.confirm(),
            }
            self.follow();
            self.is_there(timeline, from, bytes);
        }
    }

    /// What was reported since. Below the fork, it is on the timeline before.
    fn is_there(&mut self, timeline: Timeline, from: Lsn, bytes: &[u8]) {
        let reported = self.repository.reported.split_off(self.checked);
        let low = if timeline == Timeline(1) { from } else { FORK };
        if let Some(end) = reported.iter().max().filter(|lsn| **lsn > low) {
            let want = &bytes[..usize::try_from(end.0 - from.0).expect("small")];
            assert!(self.have(timeline, from, *end) == want, "seed {}: {end}", self.seed);
        }
        self.checked += reported.len();
        self.repository.reported.extend(reported);
    }

    fn confirm(&mut self) {
        let under_way = self.repository.under_way.len();
        if under_way > 0 {
            let put = self.repository.confirm(self.random.below(under_way));
            self.receiver.durable(put);
            self.follow();
        }
    }

    fn follow(&mut self) {
        while let Some(command) = self.receiver.poll() {
            match command {
                Command::Start { from } => {
                    (self.started, self.restarted) = (Some(from.timeline), Some(from.lsn));
                    let history = from.timeline.0;
                    let there = history == 1 || self.repository.histories.contains_key(&history);
                    assert!(there, "seed {}: its history is not durable", self.seed);
                }
                Command::FetchHistory { .. } => {}
                other => self.repository.take(other),
            }
        }
    }

    /// What a restore would find.
    fn have(&self, timeline: Timeline, from: Lsn, to: Lsn) -> Vec<u8> {
        let names = WalFile::between(timeline, from, to, CLUSTER.segment);
        let mut bytes: Vec<u8> =
            names.iter().flat_map(|name| self.repository.segment(name)).collect();
        bytes.truncate(usize::try_from(to.0 - from.0).expect("small"));
        bytes
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) as usize % most
    }
}
