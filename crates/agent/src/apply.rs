//! Makes the cluster file in force true: parameters and rules on every node, roles and
//! databases where the leader is.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use howdah_base::record::{Config, OrderKind, key};
use howdah_base::{Redacted, Tick};
use howdah_ha::{Job, View};
use howdah_postgres::access::{self, Wanted, WantedDatabase, WantedRole, scram};
use howdah_spec::{ClusterSpec, RoleKind, RoleSpec, SecretRef};
use howdah_store::Txn;
use tokio::process::Command;
use tokio::time::timeout;

use crate::agent::Agent;
use crate::clock;
use crate::event::{Event, Outcome};
use crate::shared::Shared;

/// Pause after roles or databases could not be made true.
const RETRY: Duration = Duration::from_secs(5);
/// A command that prints a secret may take this long.
const SECRET_WITHIN: Duration = Duration::from_secs(10);

/// How far this node has got with the file.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// Revision of the file that [`Shared::spec`] holds; 0 is the one that the node started with.
    read: u64,
    /// Revision whose roles and databases this node has made true as leader, and in which term.
    access: Option<(u64, howdah_base::Term)>,
    working: Option<(u64, howdah_base::Term)>,
    failed: Option<(String, Tick)>,
    proposed: bool,
    /// Reloads of the server that this agent has carried out: by order, or for a changed file.
    pub reloads: u64,
    /// The order that a reload under way is for, and the last one that was carried out: the
    /// picture of the store may show it for a moment longer.
    reloading: Option<String>,
    reloaded: Option<String>,
}

impl Applied {
    pub fn ended(&mut self, _revision: u64, result: Result<Vec<String>, String>) {
        let working = self.working.take();
        match result {
            Ok(changes) => {
                for change in changes {
                    tracing::info!("made true: {change}");
                }
                self.access = working;
                self.failed = None;
            }
            Err(error) => {
                tracing::warn!("the file's roles and databases are not true yet: {error}");
                self.failed = Some((error, clock::now()));
            }
        }
    }

    /// A reload has ended.
    pub fn configured(&mut self, done: bool) {
        let order = self.reloading.take();
        if done {
            self.reloads += 1;
            self.reloaded = order.or(self.reloaded.take());
        }
    }

    /// For the status.
    pub fn problem(&self) -> Option<String> {
        let (error, _) = self.failed.as_ref()?;
        Some(format!("the file's roles and databases are not true yet: {error}"))
    }
}

impl Agent {
    /// Takes the next step towards the file in force, if there is one to take.
    pub fn apply_file(&mut self, view: &View) {
        if !view.store.reachable || view.store.initialize.is_none() {
            return;
        }
        let record =
            self.snapshot.as_ref().and_then(|s| s.get::<Config>(key::CONFIG).ok().flatten());
        match record {
            Some((config, _)) => self.read_file(&config),
            None => self.propose_file(view),
        }
        self.configure(view);
        self.make_access_true(view);
    }

    fn read_file(&mut self, config: &Config) {
        if config.revision == self.applied.read {
            return;
        }
        self.applied.read = config.revision;
        match (self.shared.config.parse)(&config.text, &self.shared.config.spec) {
            Ok(spec) => {
                tracing::info!("cluster file revision {} is in force", config.revision);
                self.shared.replace_file(config.clone(), spec);
            }
            Err(error) => tracing::error!("the cluster file in the store does not read: {error}"),
        }
    }

    /// The first leader puts the file that it was started with into the store.
    fn propose_file(&mut self, view: &View) {
        if self.applied.proposed || !view.store.leader_mine {
            return;
        }
        self.applied.proposed = true;
        let config = Config { revision: 1, text: self.shared.config.text.clone() };
        let store = Arc::clone(&self.shared.config.store);
        tokio::spawn(async move {
            let txn = Txn::new().absent(key::CONFIG).put(key::CONFIG, &config);
            if let Err(error) = store.txn(txn).await {
                tracing::warn!("the cluster file could not be put into the store: {error}");
            }
        });
    }

    /// Parameters and rules: written anew and reloaded when the file has changed.
    fn configure(&mut self, view: &View) {
        let read = self.conf.file_revision == self.applied.read;
        let ordered = self.reload_ordered(view);
        let current = read && self.conf.sizes == self.sizes(&view.store) && ordered.is_none();
        if current || self.job.is_some() || view.running().is_none() || self.applied.read == 0 {
            return;
        }
        let order = self.order(&view.store);
        let conf =
            crate::conf::ConfState { file_revision: self.applied.read, ..order.conf.clone() };
        let events = self.events.clone();
        let by_order = ordered.is_some();
        self.applied.reloading = ordered;
        let task = tokio::spawn(async move {
            let mut outcome = configured(order.clone(), conf).await;
            if by_order && outcome.is_ok() {
                outcome = end_reload(&order, outcome).await;
            }
            let outcome = outcome.map(Box::new);
            let _ = events.send(Event::Done { job: Job::Configure, outcome }).await;
        });
        self.job = Some((Job::Configure, task.abort_handle()));
    }

    /// An operator wants the server to read its files anew: by which order.
    fn reload_ordered(&self, view: &View) -> Option<String> {
        let order = &view.store.orders.get(&view.me)?.value;
        let open = self.applied.reloaded.as_ref() != Some(&order.id);
        (open && matches!(order.kind, OrderKind::Reload)).then(|| order.id.clone())
    }

    /// Roles and databases, once a term and file, by the leader when clients are let in.
    fn make_access_true(&mut self, view: &View) {
        let Some(leader) = view.leader().filter(|_| view.store.leader_mine) else { return };
        let goal = (self.applied.read, leader.term);
        let open = view.local.gate_open && view.running().is_some_and(|r| r.primary);
        let failed = self.applied.failed.as_ref().map(|(_, at)| *at);
        let paused = failed.is_some_and(|at| clock::now().since(at) < RETRY);
        let done = self.applied.access == Some(goal) || self.applied.working.is_some();
        if !open || done || paused || self.applied.read == 0 {
            return;
        }
        self.applied.working = Some(goal);
        let (shared, events) = (Arc::clone(&self.shared), self.events.clone());
        let revision = goal.0;
        tokio::spawn(async move {
            let result = roles_and_databases(&shared).await;
            shared.access.notify_one();
            let _ = events.send(Event::Applied { revision, result }).await;
        });
    }
}

async fn configured(
    order: crate::jobs::Order,
    conf: crate::conf::ConfState,
) -> Result<Outcome, String> {
    let conf = order.configure(conf).await?;
    order.session().await?.reload().await.map_err(|e| e.to_string())?;
    Ok(Outcome { conf: Some(conf), ..Outcome::default() })
}

/// The order goes, now that it is carried out.
async fn end_reload(
    order: &crate::jobs::Order,
    outcome: Result<Outcome, String>,
) -> Result<Outcome, String> {
    let config = &order.shared.config;
    let Some(reload) = order.store.orders.get(&config.node) else { return outcome };
    let key = format!("{}{}", key::ORDERS, config.node);
    let txn = Txn::new().at(key.clone(), reload.revision).delete(key);
    config.store.txn(txn).await.map_err(|e| e.to_string())?;
    outcome
}

async fn roles_and_databases(shared: &Shared) -> Result<Vec<String>, String> {
    let config = &shared.config;
    let spec = shared.spec();
    let mut connect = tokio_postgres::Config::new();
    connect
        .host_path(config.socket_dir())
        .port(config.own().postgres_port)
        .user("postgres")
        .dbname("postgres")
        .application_name("howdah");
    let wanted = wanted(&spec, &config.secrets_dir).await?;
    let current = access::read(&connect, &wanted).await.map_err(|e| e.to_string())?;
    let salts: Vec<scram::Salt> = wanted
        .roles
        .iter()
        .map(|_| scram::fresh_salt())
        .collect::<Result<_, _>>()
        .map_err(|e| format!("no random numbers: {e}"))?;
    let mut salts = salts.into_iter().cycle();
    let changes = access::plan(&current, &wanted, || salts.next().unwrap_or_default()).map_err(
        |refusals| refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    )?;
    access::apply(&connect, &changes).await.map_err(|e| e.to_string())?;
    let (taken_back, rest): (Vec<_>, Vec<_>) = changes.iter().partition(|c| c.resets);
    for change in taken_back {
        tracing::warn!(
            "made true: {change}: the cluster file has no such setting; hint: to keep one, write it \
             into `settings` of that role or database"
        );
    }
    Ok(rest.iter().map(ToString::to_string).collect())
}

async fn wanted(spec: &ClusterSpec, secrets_dir: &Path) -> Result<Wanted, String> {
    let mut roles = Vec::new();
    for (name, role) in &spec.roles {
        roles.push(wanted_role(name, role, secrets_dir).await?);
    }
    let databases = spec.databases.iter().map(|(name, database)| WantedDatabase {
        name: name.clone(),
        owner: database.owner.clone(),
        extensions: database.extensions.iter().cloned().collect(),
        settings: database.settings.clone(),
    });
    Ok(Wanted { roles, databases: databases.collect() })
}

async fn wanted_role(name: &str, role: &RoleSpec, dir: &Path) -> Result<WantedRole, String> {
    let mut wanted = match role.kind {
        RoleKind::App => WantedRole::app(name),
        RoleKind::Readonly => WantedRole::readonly(name),
        RoleKind::Admin => WantedRole::admin(name),
        RoleKind::Monitor => WantedRole::monitor(name),
        RoleKind::Backup => WantedRole::backup(name),
        RoleKind::Group => WantedRole::group(name),
    };
    wanted.rights.connection_limit = role.connection_limit;
    wanted.member_of.extend(role.member_of.iter().cloned());
    wanted.settings = role.settings.clone();
    if let Some(reference) = &role.password {
        let secret = secret(reference, dir).await;
        wanted.password = Some(secret.map_err(|e| format!("password of role `{name}`: {e}"))?);
    }
    Ok(wanted)
}

/// The secret that a reference leads to; errors name the reference, never the value.
pub async fn secret(reference: &SecretRef, dir: &Path) -> Result<Redacted<String>, String> {
    let text = match reference {
        SecretRef::Env(name) => std::env::var(name)
            .map_err(|_| format!("the environment of this node has no variable `{name}`"))?,
        SecretRef::File(path) => {
            let path = dir.join(path);
            let read = tokio::fs::read_to_string(&path).await;
            read.map_err(|e| format!("cannot read the file, {e}: `{}`", path.display()))?
        }
        SecretRef::Command(words) => printed(words).await?,
    };
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    if secret.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(Redacted::new(secret.to_owned()))
}

async fn printed(words: &[String]) -> Result<String, String> {
    let (program, arguments) = words.split_first().ok_or("the command is empty")?;
    let running = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(SECRET_WITHIN, running)
        .await
        .map_err(|_| format!("the command took longer than {SECRET_WITHIN:?}: `{program}`"))?
        .map_err(|e| format!("cannot run the command, {e}: `{program}`"))?;
    if !output.status.success() {
        return Err(format!("the command failed, {}: `{program}`", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("it is no text, from: `{program}`"))
}
