//! Mistakes put in on purpose, into the model and never into the product: each is a rule of the
//! protocol left out, and the checker must find it.
//!
//! One table: `--planted NAME`, `--list-planted` and the tests all read it.

use std::fmt::Write;

pub use crate::mixture::Mistakes;

/// How it is shown that a mistake matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The checker finds it within so many seeds, saying one of these.
    Found { within: u64, saying: &'static [&'static str] },
    /// It does no harm as long as others of the protocol's rules hold, and why: with those left out
    /// as well, the checker finds it within so many seeds, and without it nothing.
    Insurance {
        with: &'static [Planted],
        within: u64,
        saying: &'static [&'static str],
        why: &'static str,
    },
}

/// One mistake.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub planted: Planted,
    pub name: &'static str,
    /// What is left out.
    pub what: &'static str,
    /// Section of docs/protocol.md that asks for it.
    pub section: &'static str,
    pub fate: Fate,
}

macro_rules! planted {
    ($($variant:ident = $name:literal, $section:literal, $what:literal, $fate:expr;)+) => {
        /// A mistake put in on purpose.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub enum Planted {
            #[default]
            Nothing,
            $(#[doc = $what] $variant,)+
        }

        /// Every mistake, by section of the protocol.
        pub const ROWS: &[Row] = &[$(Row {
            planted: Planted::$variant,
            name: $name,
            what: $what,
            section: $section,
            fate: $fate,
        }),+];
    };
}

/// Found only where `with` is left out as well.
const fn insured(
    with: &'static [Planted],
    within: u64,
    saying: &'static [&'static str],
    why: &'static str,
) -> Fate {
    Fate::Insurance { with, within, saying, why }
}

const fn found(within: u64, saying: &'static [&'static str]) -> Fate {
    Fate::Found { within, saying }
}

/// A primary without its lease.
const WITHOUT_RIGHT: &str = "accepts writes; the leader is";
/// Condition C is broken.
const LETS_THROUGH: &str = "lets commits through";
/// A record counts a voter that is not past its floor.
const NOT_PAST: &str = "is not past the floor";
/// A record of one revision was written by two.
const TWICE: &str = "was used twice";
/// A new primary lacks what was acknowledged.
const LOST: &str = "lacks row";
/// A voter that has answered receives.
const FENCED: &str = "although it has answered";
/// The record says of a commit what is not so.
const NOT_RECORDED: &str = "is not where sync revision";
/// A server is promoted without what must come before.
const UNPROVED: &str = "is promoted without its proofs";
/// A commit is acknowledged that the leader lacks.
const DOUBLE: &str = "double primary";
const NOT_HEALED: &str = "did not heal";

planted! {
    ReplayedAsEnd = "replayed-as-end", "0", "the replayed LSN is taken for the end of a directory's WAL", found(60, &[NOT_RECORDED, DOUBLE]);
    EarlyReport = "early-report", "0", "a directory's end is read before its WAL receiver is gone", found(60, &[FENCED, NOT_RECORDED, DOUBLE]);
    FloorWithoutTimeline = "floor-without-timeline", "0", "the floor is compared by its LSN alone", insured(&[Planted::SilentVoter, Planted::TimelineIgnored], 60, &[NOT_RECORDED, DOUBLE, LOST], "no voter is on a dead branch: it was one that answered, and receives nothing from there any more");
    VotersByName = "voters-by-name", "1", "voters are nodes, not directories: one with an empty disk answers", found(40, &[NOT_RECORDED]);
    TimelineNotReserved = "timeline-not-reserved", "1", "a takeover uses the next number of its own timeline instead of reserving one", found(150, &["again", "went back"]);
    BlindTakeover = "blind-takeover", "1", "the takeover does not compare `sync`", found(40, &[TWICE, NOT_RECORDED, DOUBLE, FENCED]);
    StaleView = "stale-view", "1", "the takeover compares what stands in the store by then, not what was judged", found(40, &[TWICE, NOT_RECORDED, DOUBLE, FENCED]);
    NoObserverClock = "no-observer-clock", "1", "that the leader's key has gone is taken for the end of its lease", found(40, &[WITHOUT_RIGHT]);
    Unsettled = "unsettled", "1", "a leader acts on the record while a write of its own may still be on its way", found(600, &[WITHOUT_RIGHT, LETS_THROUGH, NOT_RECORDED]);
    BlindRenewal = "blind-renewal", "1", "the renewal does not compare the leader key", found(60, &[WITHOUT_RIGHT]);
    NoFence = "no-fence", "2", "nothing ends a primary at its deadline, neither the guard nor the agent", found(40, &[WITHOUT_RIGHT]);
    LateLease = "late-lease", "2", "the lease is counted from the store's answer, not from before the question", found(300, &[WITHOUT_RIGHT]);
    BackendOutlives = "backend-outlives", "2", "the end of the postmaster is taken for the end of the instance: a backend goes on", found(60, &[WITHOUT_RIGHT]);
    GraceBesidePromise = "grace-beside-promise", "2", "a node that has promised to fence a term promises its leader to wait as well", found(150, &["double primary", WITHOUT_RIGHT, NOT_RECORDED]);
    PromiseNotDurable = "promise-not-durable", "4", "a promise is told before it is on the disk, and a restart forgets it", found(150, &[FENCED]);
    PromiseLowered = "promise-lowered", "4", "a late write puts a lower promise in the place of a higher one", found(600, &[FENCED]);
    PromiseTakenBack = "promise-taken-back", "4", "a voter receives again at a renewal, before the record has a higher revision", found(40, &[FENCED]);
    GraceForgotten = "grace-forgotten", "2", "in `async` a node that has promised a leader time stands for election", found(100, &[WITHOUT_RIGHT, DOUBLE]);
    SlotOfAnyTerm = "slot-of-any-term", "3", "a slot is good for every term", insured(&[Planted::SilentVoter], 40, &[NOT_RECORDED, LETS_THROUGH], "who receives from a deposed leader has not answered, and confirms nothing until it is a voter again");
    DivergedStandby = "diverged-standby", "3", "a slot is made and used without the proof that the standby is on the leader's history", found(40, &[NOT_HEALED]);
    TwoSendersASlot = "two-senders-a-slot", "3", "a slot admits a second sender beside a half-open one", found(60, &[NOT_RECORDED]);
    UnprovenSetting = "unproven-setting", "3", "the WAL senders of leaving voters are not waited for", found(150, &[LETS_THROUGH]);
    UnprovenWaiting = "unproven-waiting", "3", "the setting is put in force without the proof that backends wait", found(40, &[LETS_THROUGH, NOT_RECORDED]);
    VoterFarBehind = "voter-far-behind", "3", "a standby becomes a voter although it does not stream or is not past the floor", found(40, &[NOT_PAST, NOT_RECORDED, NOT_HEALED]);
    SettingBeforeAdding = "setting-before-adding", "3", "a voter is added to the setting before the record", found(40, &[LETS_THROUGH]);
    RecordBeforeSetting = "record-before-setting", "3", "a voter is removed from the record before the setting", found(150, &[LETS_THROUGH, NOT_RECORDED]);
    SettingBeforeAlone = "setting-before-alone", "3", "the leader stands alone before the record says so", found(200, &[LETS_THROUGH]);
    FloorKept = "floor-kept", "3", "a change of the voters leaves the floor and waits for nobody", found(300, &[NOT_RECORDED]);
    NoSameDirectory = "no-same-directory", "5", "the directory that wrote the last term asks for promises like any other", found(40, &[NOT_HEALED]);
    QuorumOffByOne = "quorum-off-by-one", "5", "one answer of the voters too few is enough", found(40, &[NOT_RECORDED]);
    FloorIgnored = "floor-ignored", "5", "a candidate need not be past the floor", found(60, &[NOT_RECORDED]);
    TimelineIgnored = "timeline-ignored", "5", "positions are compared by LSN alone", insured(&[Planted::SilentVoter, Planted::NoNewTimeline], 60, &[NOT_RECORDED, DOUBLE, LOST], "no voter is on a dead branch: it was one that answered, and receives nothing from there any more");
    SilentVoter = "silent-voter", "5", "a takeover counts as voters also those that have not answered", insured(&[Planted::TimelineIgnored, Planted::NoNewTimeline], 60, &[NOT_RECORDED, DOUBLE, LOST], "what a dead branch holds is neither past the floor nor more than the living one, whatever its LSN");
    LateSetting = "late-setting", "5", "the voters' setting is put in force after the promotion", found(40, &[UNPROVED]);
    NoSeal = "no-seal", "6", "a switchover's request is not sealed before the shutdown", found(300, &["given up is carried out"]);
    InexactHandover = "inexact-handover", "6", "a hand-over goes to a standby that has not replayed to the leader's end", found(40, &[UNPROVED, NOT_RECORDED]);
    HandoverForgotten = "handover-forgotten", "6", "a leader starts again although its offer has not been withdrawn", found(40, &[WITHOUT_RIGHT, NOT_RECORDED, DOUBLE, NOT_HEALED]);
    RewindAsVoter = "rewind-as-voter", "7", "a directory is repaired before it has left the voters", found(60, &[NOT_RECORDED]);
    RewindEarly = "rewind-early", "7", "a rewind against a leader before its end-of-recovery checkpoint counts as done", found(200, &[NOT_RECORDED, NOT_PAST]);
    InterruptedRewind = "interrupted-rewind", "7", "a directory whose rewind was interrupted is used", found(200, &[NOT_RECORDED, NOT_PAST]);
    NoProbe = "no-probe", "8", "clients are let in without a probe that the voters confirm", found(60, &[NOT_RECORDED]);
    NoNewTimeline = "no-new-timeline", "8", "the floor stays on the timeline before the promotion", insured(&[Planted::SilentVoter, Planted::TimelineIgnored], 60, &[NOT_RECORDED, DOUBLE, LOST], "no voter is on a dead branch: it was one that answered, and receives nothing from there any more");
}

impl Planted {
    pub fn row(self) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.planted == self)
    }

    pub fn named(name: &str) -> Option<Planted> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.planted)
    }
}

/// The table of docs/simulation.md.
pub fn table() -> String {
    let mut text = String::from("| left out | section | what | found |\n|---|---|---|---|\n");
    for row in ROWS {
        let found = match row.fate {
            Fate::Found { within, .. } => format!("within {within} seeds"),
            Fate::Insurance { with, within, why, .. } => {
                let with = with.iter().filter_map(|planted| Some(planted.row()?.name));
                let with: Vec<String> = with.map(|name| format!("`{name}`")).collect();
                format!("within {within} seeds together with {}: {why}", with.join(" and "))
            }
        };
        let Row { name, section, what, .. } = row;
        let _ = writeln!(text, "| `{name}` | {section} | {what} | {found} |");
    }
    text
}
