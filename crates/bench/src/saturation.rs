//! A pool whose servers are all wanted by more clients than there are: how long does a class wait that
//! some are kept for, and who gets what is contended for?

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use howdah_testkit::Cluster;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_postgres::{Client, Config, NoTls};

/// Clients of one kind, by whose application_name the pool knows them.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    pub name: &'static str,
    /// Percent of the pool.
    pub guaranteed: u32,
    pub weight: u32,
}

/// Who is there. Weights sum to 100.
pub const CLASSES: [Class; 3] = [
    Class { name: "consultation", guaranteed: 30, weight: 60 },
    Class { name: "content", guaranteed: 0, weight: 30 },
    Class { name: "background", guaranteed: 0, weight: 10 },
];

/// Clients of a class, and what each of them does again and again.
#[derive(Clone, Debug)]
pub struct Crowd {
    pub class: &'static str,
    pub clients: usize,
    pub statement: String,
    /// Between an answer and the next statement.
    pub pause: Duration,
}

/// What is done counts only while all are at work, and after a while of that.
const WARM_UP: u8 = 0;
const COUNTS: u8 = 1;
const OVER: u8 = 2;
const WARM_UP_LASTS: Duration = Duration::from_secs(2);

/// What the clients of one class have seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub class: &'static str,
    /// From each statement to its answer, sorted.
    pub took: Vec<Duration>,
}

impl Seen {
    /// So many thousandths took no longer.
    pub fn quantile(&self, thousandths: usize) -> Duration {
        let at = (self.took.len() * thousandths).div_ceil(1_000).saturating_sub(1);
        self.took.get(at).copied().unwrap_or_default()
    }
}

/// One node with a pool of so many servers.
#[derive(Debug)]
pub struct Saturated {
    cluster: Cluster,
    runtime: Runtime,
}

impl Saturated {
    pub fn start(binary: std::path::PathBuf, size: u32) -> Result<Saturated> {
        let class = |class: &Class| {
            let Class { name, guaranteed, weight } = class;
            format!(
                "{{ name = \"{name}\", guaranteed = {guaranteed}, weight = {weight}, \
                 application_names = [\"{name}\"] }}"
            )
        };
        let classes = CLASSES.iter().map(class).collect::<Vec<_>>().join(", ");
        let cluster = Cluster::of(1, binary)
            .set("pools", "mode", "\"transaction\"")
            .set("pools", "size", &size.to_string())
            .set("pools", "wait", "\"60s\"")
            .set("pools", "classes", &format!("[{classes}]"))
            .start();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Saturated { cluster, runtime })
    }

    /// Lets all of them work for so long; the most servers that were seen at once.
    pub fn run(&self, crowds: &[Crowd], lasts: Duration) -> Result<(Vec<Seen>, u32)> {
        let host = self.cluster.hosts(|ports| ports.rw).remove(0);
        let direct = self.cluster.plan_direct(self.cluster.primary()).hosts.remove(0);
        self.runtime.block_on(async {
            let phase = Arc::new(AtomicU8::new(WARM_UP));
            let mut clients = Vec::new();
            let mut at_work = JoinSet::new();
            for (number, crowd) in crowds.iter().enumerate() {
                for _ in 0..crowd.clients {
                    let mut config = host.clone();
                    let client = connect(config.application_name(crowd.class)).await?;
                    clients.push((client, number, crowd.clone()));
                }
            }
            let watch = tokio::spawn(most_servers(connect(&direct).await?, Arc::clone(&phase)));
            // All at once: whoever begins alone has all of the pool.
            for (client, number, crowd) in clients {
                at_work.spawn(works(client, number, crowd, Arc::clone(&phase)));
            }
            tokio::time::sleep(WARM_UP_LASTS).await;
            phase.store(COUNTS, Ordering::Relaxed);
            tokio::time::sleep(lasts).await;
            phase.store(OVER, Ordering::Relaxed);
            let empty = |crowd: &Crowd| Seen { class: crowd.class, took: Vec::new() };
            let mut seen: Vec<Seen> = crowds.iter().map(empty).collect();
            while let Some(ended) = at_work.join_next().await {
                let (number, took) = ended??;
                seen[number].took.extend(took);
            }
            seen.iter_mut().for_each(|seen| seen.took.sort_unstable());
            Ok((seen, watch.await??))
        })
    }
}

async fn connect(config: &Config) -> Result<Client> {
    let (client, session) = config.connect(NoTls).await.context("connect")?;
    tokio::spawn(session);
    Ok(client)
}

async fn works(
    client: Client,
    number: usize,
    crowd: Crowd,
    phase: Arc<AtomicU8>,
) -> Result<(usize, Vec<Duration>)> {
    let mut took = Vec::new();
    while phase.load(Ordering::Relaxed) != OVER {
        let asked = Instant::now();
        client.simple_query(&crowd.statement).await.context(crowd.class)?;
        // What ends after the others have gone was not contended for.
        if phase.load(Ordering::Relaxed) == COUNTS {
            took.push(asked.elapsed());
        }
        tokio::time::sleep(crowd.pause).await;
    }
    Ok((number, took))
}

/// Past the pool, again and again; itself is not counted.
async fn most_servers(client: Client, phase: Arc<AtomicU8>) -> Result<u32> {
    let sql = "SELECT count(*)::int FROM pg_stat_activity WHERE usename = current_user \
               AND pid <> pg_backend_pid()";
    let mut most = 0;
    while phase.load(Ordering::Relaxed) != OVER {
        let now: i32 = client.query_one(sql, &[]).await?.get(0);
        most = most.max(u32::try_from(now)?);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_least_that_so_many_did_not_exceed() {
        let took = (1..=200).map(Duration::from_millis).collect();
        let seen = Seen { class: "any", took };
        let of = |thousandths| seen.quantile(thousandths).as_millis();
        assert_eq!((of(500), of(990), of(1_000), of(1)), (100, 198, 200, 1));
        assert_eq!(Seen { class: "any", took: Vec::new() }.quantile(990), Duration::ZERO);
    }
}
