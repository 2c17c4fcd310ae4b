//! One run: a cluster as a user would start it, the clients, the faults, the healing, the verdict.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use howdah_testkit::{Cluster, Disk, wait};

use crate::check::{self, Verdict, in_seconds};
use crate::clients::{Clients, endpoints, line, tables};
use crate::history::{Final, History, Micros};
use crate::manager::Manager;
use crate::nemesis::{self, Done, Nemesis, tell};
use crate::plan::{Kind, Plan};
use crate::plant::Plant;
use crate::rules;
use crate::summary::{Outage, Summary, Tries};

/// What a run is to be.
#[derive(Clone, Debug)]
pub struct Options {
    pub seed: u64,
    /// From the first write to the end of the last fault.
    pub length: Duration,
    pub nodes: usize,
    /// `quorum` or `async`.
    pub durability: String,
    pub kinds: Vec<Kind>,
    pub binary: PathBuf,
    pub commit: String,
    /// Where logs are copied to at the end.
    pub logs: Option<PathBuf>,
    pub plant: Option<Plant>,
}

/// After the last fault the cluster is whole within this, on a busy machine of two cores.
const WHOLE_WITHIN: Duration = Duration::from_secs(150);
/// A whole cluster acknowledges writes, and its standbys have what the primary has, within this.
const SERVES_WITHIN: Duration = Duration::from_secs(60);
/// So many writes must be acknowledged after the healing.
const AFTERWARDS: usize = 200;
/// Of each machine's own disk. It is a file without content at first.
const DISK_MEGABYTES: u64 = 2_048;
/// Outages that a summary keeps.
const OUTAGES_KEPT: usize = 8;

/// What a run showed.
#[derive(Debug)]
pub struct Shown {
    pub summary: Summary,
    pub verdict: Verdict,
}

/// Carries a run out. `stop` ends the faults early; what was found until then counts.
pub fn run(options: &Options, stop: &Arc<AtomicBool>) -> Result<Shown> {
    let plan = Plan::draw(options.seed, options.length, &options.kinds);
    tell(&format!("seed {}, {} faults:", plan.seed, plan.steps.len()));
    plan.steps.iter().for_each(|step| tell(&step.to_string()));
    let setup = Cluster::of(options.nodes, &options.binary);
    let setup = setup.set("", "durability", &format!("{:?}", options.durability));
    let setup = setup.on_machines().context("network namespaces, which are for root")?;
    let (setup, disks) = setup.with_disks(DISK_MEGABYTES).context("mounts, which are for root")?;
    let cluster = setup.start();
    // Faults are told of as errors; a panic is looked for below.
    cluster.expect_error("");
    let shown = on_cluster(options, &plan, &cluster, &disks, stop);
    if let Some(directory) = &options.logs {
        keep_logs(&cluster, directory).context("keep the logs")?;
    }
    shown
}

fn on_cluster(
    options: &Options,
    plan: &Plan,
    cluster: &Cluster,
    disks: &[Disk],
    stop: &Arc<AtomicBool>,
) -> Result<Shown> {
    let clients = Clients::start(cluster, &cluster.scratch().join("acknowledged"))?;
    let shared = Arc::clone(clients.shared());
    let served = wait::found_within(SERVES_WITHIN, || (shared.acknowledged() > 50).then_some(()));
    served.with_context(|| format!("no write is acknowledged: {:?}", shared.errors()))?;
    let first_term = cluster.status().term.0;
    let manager = Manager::default();
    let nemesis = Nemesis::new(cluster, disks, &shared, &manager);
    let mut complaints = Vec::new();
    let whole_after = thread::scope(|scope| {
        scope.spawn(|| {
            cluster.sit_down();
            manager.work(cluster);
        });
        nemesis.work(plan, &|| stop.load(Ordering::Relaxed));
        let healed = Instant::now();
        let whole = wait::found_within(WHOLE_WITHIN, || cluster.amiss().is_none().then_some(()));
        if whole.is_none() {
            complaints.push(format!("not whole: {}", cluster.amiss().unwrap_or_default()));
            tell(&cluster.seen());
        }
        let whole = whole.map(|()| healed.elapsed());
        let from = shared.acknowledged();
        let enough = || (shared.acknowledged() >= from + AFTERWARDS).then_some(());
        if wait::found_within(SERVES_WITHIN, enough).is_none() {
            complaints.push("no writes after the healing".to_owned());
        }
        manager.stop();
        whole
    });
    let errors = shared.errors();
    let (history, end) = clients.stop();
    tell("what clients were told:");
    errors.iter().for_each(|(words, count)| tell(&format!("  {count:6} {words}")));
    if let Some(plant) = options.plant {
        line::runtime()?.block_on(plant.put_in(&endpoints(cluster, 0), &history))?;
    }
    let held = line::runtime()?.block_on(tables::read(&endpoints(cluster, 0)));
    let held = held.context("read the tables at the end")?;
    complaints.extend(odd_standbys(cluster));
    complaints.extend(manager.refused().iter().map(|node| format!("{node} asks for a person")));
    complaints.extend(panics(cluster));
    let of_run = OfRun { history: &history, held: &held, end, first_term, whole_after };
    Ok(of_run.judged(options, plan, &nemesis.done(), cluster, manager.restarts(), complaints))
}

/// What is left of a run when all is still.
struct OfRun<'r> {
    history: &'r History,
    held: &'r Final,
    end: Micros,
    first_term: u64,
    whole_after: Option<Duration>,
}

impl OfRun<'_> {
    fn judged(
        &self,
        options: &Options,
        plan: &Plan,
        done: &[Done],
        cluster: &Cluster,
        agents_restarted: u64,
        mut complaints: Vec<String>,
    ) -> Shown {
        let verdict = check::judge(self.history, self.held, self.end);
        complaints.extend(verdict.complaints());
        tell_of_outages(&verdict, done);
        let counts = nemesis::counts(plan, done);
        for (kind, (tried, hit)) in &counts {
            if *hit == 0 {
                complaints.push(format!("{kind} never took effect ({tried} tries)"));
            }
        }
        let logs: Vec<String> = cluster.nodes().iter().map(|node| node.log_text()).collect();
        let fired: BTreeSet<u16> = logs.iter().flat_map(|log| rules::fired(log)).collect();
        let term = cluster.find_primary().and_then(|node| node.status().ok());
        let tries = |(kind, (tried, took_effect)): (String, (usize, usize))| {
            (kind, Tries { tried, took_effect })
        };
        let ms = |micros: Micros| micros / 1_000;
        let outages = verdict.outages.iter().take(OUTAGES_KEPT);
        let summary = Summary {
            commit: options.commit.clone(),
            seed: options.seed,
            nodes: options.nodes,
            durability: options.durability.clone(),
            seconds: self.end / 1_000_000,
            acknowledged: verdict.acknowledged,
            failed: verdict.failed,
            indeterminate: verdict.indeterminate,
            indeterminate_present: verdict.indeterminate_present,
            lost: verdict.lost.len(),
            reordered: verdict.reordered.len(),
            vanished: verdict.vanished.len(),
            ghosts: verdict.ghosts.len(),
            odd_sums: verdict.odd_sums.len(),
            double_primaries: verdict.double_primaries.len(),
            late_answers: verdict.late,
            outages: outages.map(|(at, long)| Outage { at_ms: ms(*at), ms: ms(*long) }).collect(),
            faults: counts.into_iter().map(tries).collect(),
            terms: term.map_or(0, |status| status.term.0.saturating_sub(self.first_term) + 1),
            timelines: verdict.timelines,
            agents_restarted,
            whole_after_ms: self.whole_after.and_then(|long| u64::try_from(long.as_millis()).ok()),
            rules: fired,
            complaints,
        };
        Shown { summary, verdict }
    }
}

fn tell_of_outages(verdict: &Verdict, done: &[Done]) {
    for (at, long) in verdict.outages.iter().take(OUTAGES_KEPT) {
        let (from, to) = (Duration::from_micros(*at), Duration::from_micros(at + long));
        let near =
            done.iter().filter(|one| one.from + Duration::from_secs(15) > from && one.from < to);
        let near: Vec<String> = near
            .map(|one| format!("{} {} at {:.1} s", one.kind, one.whom, one.from.as_secs_f64()))
            .collect();
        tell(&format!(
            "no write for {} from {}: {}",
            in_seconds(*long),
            in_seconds(*at),
            near.join("; ")
        ));
    }
}

/// Standbys that do not hold what the primary holds, although nobody writes any more.
fn odd_standbys(cluster: &Cluster) -> Vec<String> {
    let ask = |hosts: &[tokio_postgres::Config]| {
        let asked = line::runtime()?.block_on(tables::run(hosts, tables::FINGERPRINT))?;
        let Some(word) = asked.into_iter().flatten().next() else { bail!("no fingerprint") };
        Ok(word)
    };
    let wanted = match ask(&endpoints(cluster, 0)) {
        Ok(word) => word,
        Err(error) => return vec![format!("no fingerprint of the primary: {error:#}")],
    };
    let hosts = cluster.hosts(|ports| ports.postgres);
    let nodes = cluster.nodes().iter().zip(hosts);
    let odd = nodes.filter(|(_, host)| {
        let same = || (ask(std::slice::from_ref(host)).ok()? == wanted).then_some(());
        wait::found_within(SERVES_WITHIN, same).is_none()
    });
    odd.map(|(node, _)| format!("{} holds something else than the primary", node.name)).collect()
}

/// Panics of our own processes.
fn panics(cluster: &Cluster) -> Vec<String> {
    let of_node = |node: &howdah_testkit::Node| {
        let text = node.log_text();
        let lines = text.lines().filter(|line| line.contains("panicked at"));
        lines.map(|line| format!("{}: {line}", node.name)).collect::<Vec<_>>()
    };
    cluster.nodes().iter().flat_map(of_node).collect()
}

/// Copies what the nodes, their servers and the clients wrote.
fn keep_logs(cluster: &Cluster, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    fs::copy(cluster.scratch().join("acknowledged"), directory.join("acknowledged"))?;
    for node in cluster.nodes() {
        fs::copy(&node.log, directory.join(format!("{}.log", node.name)))?;
        let places = [node.state_dir.join("log"), node.data_dir.join("log")];
        for entry in places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            fs::copy(entry.path(), directory.join(format!("{}-{name}", node.name))).ok();
        }
    }
    Ok(())
}
