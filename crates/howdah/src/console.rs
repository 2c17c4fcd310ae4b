//! The pooler's console and its metrics on a node: who is let in, what SHOW CONFIG shows, and what
//! becomes of wishes that are the cluster's business.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use howdah_agent::{Asked, Channels};
use howdah_api::{Ask, MoreMetrics};
use howdah_base::NodeName;
use howdah_proxy::{ConsoleConfig, Declined, Metrics, Operators, Shown, Wish, WishKind};
use howdah_spec::pools::Policy;
use howdah_spec::{ClusterSpec, NodeSpec, RoleKind};
use tokio::sync::{mpsc, oneshot, watch};

use crate::archive::Told;

/// Scrapes that wait.
const SCRAPES_MAX: usize = 4;

/// What the console is told anew when the cluster file changes.
pub struct Rules {
    operators: watch::Sender<Arc<Operators>>,
    settings: watch::Sender<Arc<Vec<Shown>>>,
    own: NodeSpec,
}

impl Rules {
    pub fn follow(&self, spec: &ClusterSpec) {
        self.operators.send_replace(Arc::new(operators(spec)));
        self.settings.send_replace(Arc::new(settings(spec, &self.own)));
    }
}

pub fn rules(
    spec: &ClusterSpec,
    own: &NodeSpec,
    wishes: mpsc::Sender<Wish>,
) -> (Rules, ConsoleConfig) {
    let (operators, operators_now) = watch::channel(Arc::new(operators(spec)));
    let (settings, settings_now) = watch::channel(Arc::new(settings(spec, own)));
    let config = ConsoleConfig {
        operators: operators_now,
        wishes,
        settings: settings_now,
        port: own.rw_port,
    };
    (Rules { operators, settings, own: own.clone() }, config)
}

/// Roles of kind `admin` may command, those of kind `monitor` may look.
fn operators(spec: &ClusterSpec) -> Operators {
    let of_kind = |kind| -> BTreeSet<String> {
        let roles = spec.roles.iter().filter(|(_, role)| role.kind == kind);
        roles.map(|(name, _)| name.clone()).collect()
    };
    Operators { command: of_kind(RoleKind::Admin), look: of_kind(RoleKind::Monitor) }
}

/// What a node's console shows of it.
fn settings(spec: &ClusterSpec, own: &NodeSpec) -> Vec<Shown> {
    let listed = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(",");
    let listen: Vec<_> = own.listen.iter().map(ToString::to_string).collect();
    let Operators { command, look } = operators(spec);
    let mut rows = of_policy(&spec.pools, spec.endpoints.clients_max);
    rows.extend([
        ("admin_users", listed(command), ""),
        ("auth_type", "scram-sha-256".to_owned(), "md5"),
        ("listen_addr", listen.join(","), ""),
        ("listen_port", own.rw_port.to_string(), "6432"),
        ("stats_users", listed(look), ""),
        ("tcp_keepidle", spec.endpoints.keepalive.0.as_secs().to_string(), "0"),
    ]);
    shown(rows)
}

/// A key, its value, and PgBouncer's default.
type Row = (&'static str, String, &'static str);

/// What pools go by, under PgBouncer's names; what is not limited is 0 there.
pub fn of_policy(policy: &Policy, clients_max: u32) -> Vec<Row> {
    let (pool, times) = (&policy.pool, &policy.pool.times);
    let seconds = |time: Duration| time.as_secs_f64().to_string();
    let bound = |time: Option<Duration>| seconds(time.unwrap_or_default());
    let limit = |limit: Option<u32>| limit.unwrap_or(0).to_string();
    vec![
        ("client_idle_timeout", bound(times.client_idle), "0"),
        ("default_pool_size", pool.size.to_string(), "20"),
        ("idle_transaction_timeout", bound(times.idle_transaction), "0"),
        ("max_client_conn", clients_max.to_string(), "100"),
        ("max_db_client_connections", limit(policy.database_clients_max), "0"),
        ("max_db_connections", limit(policy.database_servers_max), "0"),
        ("max_user_client_connections", limit(policy.role_clients_max), "0"),
        ("max_user_connections", limit(policy.role_servers_max), "0"),
        ("min_pool_size", pool.min.to_string(), "0"),
        ("pool_mode", pool.mode.word().to_owned(), "session"),
        ("query_timeout", bound(times.query), "0"),
        ("query_wait_timeout", seconds(times.wait), "120"),
        ("reserve_pool_size", pool.reserve.to_string(), "0"),
        ("reserve_pool_timeout", seconds(pool.reserve_wait), "5"),
        ("server_idle_timeout", bound(times.server_idle), "600"),
        ("server_lifetime", bound(times.server_lifetime), "3600"),
        ("server_login_retry", seconds(times.retry), "15"),
        ("stats_period", "60".to_owned(), "60"),
        ("transaction_timeout", bound(times.transaction), "0"),
    ]
}

/// In the order of their names. None is changed by SET: the file says what holds.
pub fn shown(mut rows: Vec<Row>) -> Vec<Shown> {
    rows.sort_unstable();
    let shown = |(key, value, default): Row| Shown {
        key: key.to_owned(),
        value: Some(value),
        default: Some(default.to_owned()),
        changeable: false,
    };
    rows.into_iter().map(shown).collect()
}

/// Grants wishes, or says what to type instead, until nobody wishes any more.
pub async fn grant(mut wishes: mpsc::Receiver<Wish>, channels: Arc<Channels>, node: NodeName) {
    while let Some(Wish { what, reply }) = wishes.recv().await {
        let declined = |why: &str, hint: &str| {
            Err(Declined { why: why.to_owned(), hint: Some(hint.to_owned()) })
        };
        let granted = match what {
            WishKind::Reload => reload(&channels, &node).await,
            WishKind::MayStop | WishKind::Stop => {
                declined("this pooler is part of a node", "howdah down")
            }
            WishKind::Set { key, .. } => declined("SET failed", &instead_of_set(&key)),
        };
        // It may have gone meanwhile.
        let _ = reply.send(granted);
    }
}

/// What holds for all nodes stands in one file.
fn instead_of_set(key: &str) -> String {
    match howdah_import::pgbouncer::path_of(key) {
        Some((table, key)) => format!(
            "set `{key}` in `[{table}]` of the cluster file, then `howdah apply`; or `howdah config \
             edit`"
        ),
        None => "nothing in the cluster file stands for that key; SHOW CONFIG has those that count"
            .to_owned(),
    }
}

async fn reload(channels: &Channels, node: &NodeName) -> Result<(), Declined> {
    let (reply, answer) = oneshot::channel();
    let what = Ask::Reload { nodes: vec![node.clone()] };
    let by = "the pooler's console".to_owned();
    let failed = |why: String| Declined { why: format!("RELOAD failed: {why}"), hint: None };
    channels.ask(Asked { what, by, reply }).await.map_err(failed)?;
    let answer = answer.await.map_err(|_| failed("the agent has ended".to_owned()))?;
    answer.map(drop).map_err(|refusal| failed(refusal.error))
}

/// Where `/metrics` asks for what it does not know itself.
pub fn metrics(metrics: Metrics, archive: &Told) -> MoreMetrics {
    let archive = archive.clone();
    let (scrapes, mut inbox) = mpsc::channel::<oneshot::Sender<String>>(SCRAPES_MAX);
    tokio::spawn(async move {
        while let Some(reply) = inbox.recv().await {
            let _ = reply.send(metrics.page().await + &archive.metrics());
        }
    });
    scrapes
}
