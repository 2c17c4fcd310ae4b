//! The keeper process: looks, decides, performs, again and again, until it is told to end.

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_base::NodeName;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::arguments::{Begin, Timings};
use crate::binary::{self, Binary};
use crate::disk::{self, Remembered};
use crate::error::KeeperError;
use crate::founding::Founding;
use crate::log::LastWords;
use crate::look::{Look, look};
use crate::member::{Member, Status};
use crate::options::{MemberOptions, Place};
use crate::perform::perform;
use crate::plan::{Data, File, Step, decide};
use crate::process::Process;
use crate::report::{self, Phase, Report};
use crate::{log, maintenance};

/// Between looks, while something is on its way and while all is well.
const LOOK_SOON: Duration = Duration::from_millis(300);
const LOOK_CALMLY: Duration = Duration::from_secs(5);
/// How soon the end of etcd is noticed.
const LOOK_AT_PROCESS: Duration = Duration::from_millis(50);
const TEND_EVERY: Duration = Duration::from_secs(10);
/// An etcd that ends is started again after this, doubled each time.
const RESTART_AFTER: Duration = Duration::from_millis(100);
const RESTART_AFTER_MAX: Duration = Duration::from_secs(10);
/// One that has run this long has come up.
const CAME_UP: Duration = Duration::from_secs(30);
/// A disk that takes longer than this for a few writes is slow, and no more is to be known.
const SYNC_WITHIN: Duration = Duration::from_secs(5);

/// Everything that the loop owns.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub options: MemberOptions,
    pub binary: Binary,
    pub timings: Timings,
    /// Who has a member, and by which file.
    pub members: BTreeMap<NodeName, Place>,
    pub file: File,
    pub founding: Option<Founding>,
    pub process: Option<Process>,
    /// Where in etcd's log its last start begins.
    pub log_from: u64,
    /// Why etcd cannot use its data, as it said itself.
    pub damaged: Option<String>,
    /// Connections, by URL.
    pub links: BTreeMap<String, Member>,
    /// When etcd may be started again, and the pause after the next end.
    not_before: Option<Instant>,
    pause: Duration,
    ends: u64,
    bad_ends: u32,
    last_end: Option<String>,
    tended: Option<Instant>,
    problem: Option<String>,
    report: watch::Sender<Report>,
}

/// Keeps the member until SIGTERM, then stops it; also ends when the file in force gives this
/// node no member any more. The process should be the leader of a session,
/// and hold a lock that no second keeper of this node gets.
///
/// # Errors
/// What keeps the member from being kept at all: no etcd, no directory.
pub async fn keep(options: MemberOptions) -> Result<(), KeeperError> {
    let mut stop = Stop::listen(&options)?;
    let listener = report::listen(&options.socket)
        .map_err(KeeperError::file("listen on the keeper's socket", &options.socket))?;
    let (report, shown) = watch::channel(Report::default());
    // Ends with this function, however that ends.
    let mut answering = JoinSet::new();
    answering.spawn(report::serve(listener, shown));
    let mut keeper = Keeper::new(options, report).await?;
    tokio::select! {
        () = keeper.run() => {}
        () = stop.told() => {}
    }
    tracing::info!("ends, its etcd with it");
    answering.abort_all();
    if let Some(mut process) = keeper.process.take() {
        process.stop().await;
    }
    // Whoever asks from now on finds nobody.
    let _ = std::fs::remove_file(&keeper.options.socket);
    Ok(())
}

impl Keeper {
    async fn new(
        options: MemberOptions,
        report: watch::Sender<Report>,
    ) -> Result<Keeper, KeeperError> {
        let binary = binary::find(options.bin.as_deref())?;
        let sync = measure(&options).await;
        let process = Process::find(&options.data_dir);
        if let Some(process) = &process {
            tracing::info!("goes on with the etcd that is there, process {}", process.pid());
        }
        Ok(Keeper {
            timings: Timings::of(options.lease, sync),
            binary,
            members: options.members.clone(),
            file: File::Started,
            founding: Founding::read(&options.founding)?,
            log_from: log::length(&options.log),
            process,
            options,
            damaged: None,
            links: BTreeMap::new(),
            not_before: None,
            pause: RESTART_AFTER,
            ends: 0,
            bad_ends: 0,
            last_end: None,
            tended: None,
            problem: None,
            report,
        })
    }

    async fn run(&mut self) {
        loop {
            self.notice_end();
            // On the heap: one look holds the questions to everybody.
            let phase = Box::pin(self.turn()).await;
            let wake = match phase {
                Phase::Left => return,
                Phase::Well => Instant::now() + LOOK_CALMLY,
                _ => Instant::now() + LOOK_SOON,
            };
            while Instant::now() < wake && !self.has_ended() {
                sleep(LOOK_AT_PROCESS).await;
            }
        }
    }

    /// One decision and what follows from it.
    async fn turn(&mut self) -> Phase {
        let look = look(self).await;
        self.use_up_founding();
        self.end_alone(&look);
        let step = self.hold_back(decide(&look.seen));
        let (phase, why) = perform(self, step, &look).await;
        self.tend(&look).await;
        self.tell(phase, why, &look);
        phase
    }

    fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_some())
    }

    /// etcd has ended by itself: the first time it is started again at once.
    fn notice_end(&mut self) {
        let Some(process) = &mut self.process else { return };
        let Some(how) = process.ended() else { return };
        let came_up = process.since.elapsed() >= CAME_UP;
        let words = log::last_words(&self.options.log, self.log_from);
        tracing::warn!("etcd has ended, {how}: {}", words.text);
        self.ends += 1;
        self.pause = if came_up { RESTART_AFTER } else { (self.pause * 2).min(RESTART_AFTER_MAX) };
        self.not_before = Some(Instant::now() + self.pause);
        self.judge(came_up, &words);
        self.last_end = Some(words.text);
        self.process = None;
        self.links.clear();
        if came_up && disk::has_data(&self.options.data_dir) {
            self.start_or_say(&Begin::OnData);
        }
    }

    /// etcd has no word for broken data: it is what keeps it from coming up, again and again,
    /// by its own decision and for no other known reason.
    fn judge(&mut self, came_up: bool, words: &LastWords) {
        let text = words.text.to_lowercase();
        let by_data = words.fatal && !NOT_THE_DATA.iter().any(|other| text.contains(other));
        self.bad_ends = if came_up || !by_data { 0 } else { self.bad_ends + 1 };
        if self.bad_ends >= ENDS_BY_DAMAGE {
            self.damaged = Some(words.text.clone());
        }
    }

    /// What comes next is new data.
    pub(crate) fn forget_damage(&mut self) {
        self.damaged = None;
        self.bad_ends = 0;
    }

    fn start_or_say(&mut self, begin: &Begin) {
        if let Err(error) = self.start(begin) {
            tracing::error!("{error}");
        }
    }

    /// A start too soon after an end waits.
    fn hold_back(&self, step: Step) -> Step {
        let starts = matches!(step, Step::Found(_) | Step::Join(_) | Step::Start);
        let early = self.not_before.is_some_and(|at| Instant::now() < at);
        match &self.last_end {
            Some(words) if starts && early => Step::Wait(format!("etcd ends at once: {words}")),
            _ => step,
        }
    }

    /// Logs are bounded, and a member makes room before or after its quota is used up.
    async fn tend(&mut self, look: &Look) {
        if self.tended.is_some_and(|at| at.elapsed() < TEND_EVERY) {
            return;
        }
        self.tended = Some(Instant::now());
        for path in [&self.options.log, &self.options.own_log] {
            if let Err(error) = log::bound(path) {
                tracing::warn!("a log cannot be bounded: `{}`: {error}", path.display());
            }
        }
        let well = |status: &Status| status.leader.is_some() && !status.learner;
        let Some((status, member)) = look.own.as_ref().filter(|own| well(&own.0)) else { return };
        self.problem = maintenance::tend(status, member, self.options.quota_bytes).await;
    }

    fn tell(&mut self, phase: Phase, why: String, look: &Look) {
        if phase == Phase::Well {
            self.last_end = None;
        }
        let next = Report {
            phase,
            why,
            problems: self.problem.clone().into_iter().collect(),
            member: match look.seen.data {
                Data::Present { id } => id,
                _ => None,
            },
            keeper_pid: std::process::id(),
            etcd_pid: self.process.as_ref().map(Process::pid),
            version: format!("{}.{}", self.binary.version.0, self.binary.version.1),
            ends: self.ends,
        };
        let last = self.report.send_replace(next.clone());
        if (last.phase, &last.why) != (next.phase, &next.why) {
            match next.phase {
                Phase::Well => tracing::info!("is a member that counts"),
                Phase::Left => tracing::info!("this node has no member any more"),
                Phase::Starting => tracing::info!("{}", next.why),
                Phase::Waiting | Phase::Refused => tracing::warn!("{}", next.why),
            }
        }
    }

    pub(crate) fn remember(&mut self, what: &Remembered) {
        let dir = &self.options.data_dir;
        if disk::remembered(dir).as_ref() == Some(what) {
            return;
        }
        if let Err(error) = disk::remember(dir, what) {
            tracing::error!("{error}");
        }
    }
}

/// Ends in a row, before etcd has come up, after which its data is held to be broken.
const ENDS_BY_DAMAGE: u32 = 3;
/// What is no fault of the data: words of the system, of TLS, and of etcd's membership.
const NOT_THE_DATA: [&str; 14] = [
    "no space left",
    "quota exceeded",
    "permission denied",
    "operation not permitted",
    "read-only file system",
    "too many open files",
    "cannot allocate memory",
    "address already in use",
    "cannot assign requested address",
    "no such file or directory",
    "tls",
    "x509",
    "flag",
    "removed from the cluster",
];

async fn measure(options: &MemberOptions) -> Duration {
    let dir = options.data_dir.clone();
    let measured = tokio::task::spawn_blocking(move || disk::slowest_sync(&dir));
    match timeout(SYNC_WITHIN, measured).await {
        Ok(Ok(Ok(slowest))) => slowest,
        Ok(Ok(Err(error))) => {
            tracing::warn!("the store's disk cannot be measured: {error}");
            SYNC_WITHIN
        }
        _ => SYNC_WITHIN,
    }
}

/// SIGTERM and SIGINT.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen(options: &MemberOptions) -> Result<Stop, KeeperError> {
        let listen =
            |kind| signal(kind).map_err(KeeperError::file("listen for signals", &options.socket));
        Ok(Stop {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
