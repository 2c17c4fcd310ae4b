//! What pools are told: how many servers, for how long, for whom first. Made from the cluster file
//! or from a PgBouncer ini, and exchanged as a whole while clients are served. Nodes tell it to proxies
//! on other hosts as JSON: what an older one does not say is as by default.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::PoolMode;

/// The rules of all pools of a process. `None` is "no limit" throughout.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// What holds where neither the role nor the database says otherwise.
    pub pool: PoolRules,
    /// By database, as clients call it.
    pub databases: BTreeMap<String, Own>,
    /// By role.
    pub roles: BTreeMap<String, Own>,
    /// Connections to servers in all, over all pools.
    pub servers_max: Option<u32>,
    /// Of one database, where it has no limit of its own: PgBouncer's `max_db_connections`.
    pub database_servers_max: Option<u32>,
    pub database_clients_max: Option<u32>,
    /// Of one role: PgBouncer's `max_user_connections`.
    pub role_servers_max: Option<u32>,
    pub role_clients_max: Option<u32>,
    /// Clients from one address.
    pub address_clients_max: Option<u32>,
    /// Requests that wait for a server, over all pools; more are refused.
    pub waiting_max: u32,
    /// Threads that serve clients, from the next start on; `None`: as the machine has cores.
    pub threads: Option<u32>,
    /// Who goes first; whoever no rule names is of the last one.
    pub classes: Vec<ClassRule>,
}

/// The rules of one pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolRules {
    pub mode: PoolMode,
    /// Servers.
    pub size: u32,
    /// Servers that are kept open, as soon as a client has come.
    pub min: u32,
    /// Servers beyond `size` for clients that have waited for `reserve_wait`.
    pub reserve: u32,
    pub reserve_wait: Duration,
    pub leaves: Leaves,
    /// A commit whose wait for a standby was cancelled is an error, not a success with a warning.
    pub unsure_commit_fails: bool,
    pub times: Times,
}

/// What becomes of what a client leaves in its session in transaction mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leaves {
    /// Settings go along with the client, whatever else is left keeps it at its server.
    Track,
    /// Whatever is left keeps it at its server, settings too.
    Pin,
    /// Settings go along; whatever else is left ends the client.
    Reject,
}

impl Leaves {
    pub const WORDS: [(&str, Leaves); 3] =
        [("track", Leaves::Track), ("pin", Leaves::Pin), ("reject", Leaves::Reject)];

    /// As the cluster file calls it.
    pub fn word(self) -> &'static str {
        Leaves::WORDS.iter().find(|(_, leaves)| *leaves == self).map_or("", |(word, _)| word)
    }
}

/// Bounds in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// A client's wait for a server: PgBouncer's `query_wait_timeout`.
    pub wait: Duration,
    /// A statement of a client: `query_timeout`.
    pub query: Option<Duration>,
    /// A transaction of a client: `transaction_timeout`.
    pub transaction: Option<Duration>,
    /// A transaction in which nothing happens: `idle_transaction_timeout`.
    pub idle_transaction: Option<Duration>,
    /// A client that says nothing: `client_idle_timeout`.
    pub client_idle: Option<Duration>,
    /// A server that nobody uses: `server_idle_timeout`.
    pub server_idle: Option<Duration>,
    /// A server that is older is closed when it comes back: `server_lifetime`.
    pub server_lifetime: Option<Duration>,
    /// A server that nobody has used for so long is asked something first: `server_check`.
    pub server_check: Option<Duration>,
    /// Before a server is dialled again that could not be reached: `server_login_retry`.
    pub retry: Duration,
}

/// What one database or one role says of its own. Where both do, the role's word counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Own {
    pub mode: Option<PoolMode>,
    pub size: Option<u32>,
    pub min: Option<u32>,
    pub reserve: Option<u32>,
    pub server_lifetime: Option<Duration>,
    pub leaves: Option<Leaves>,
    /// Servers of it in all: PgBouncer's `max_db_connections`, `max_user_connections`.
    pub servers_max: Option<u32>,
    pub clients_max: Option<u32>,
}

/// A class of clients, and who belongs to it: whoever one of its lists names, and where it has
/// several lists, each of them that is not empty.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassRule {
    pub name: String,
    /// Percent of each limit that is kept for it while it has clients there.
    pub guaranteed: u32,
    /// Its part of what is contended for, in proportion to the others'.
    pub weight: u32,
    pub roles: Vec<String>,
    pub databases: Vec<String>,
    pub application_names: Vec<String>,
    /// `rw`, `ro`, `any`.
    pub endpoints: Vec<String>,
}

impl Policy {
    /// What holds for the pool of this database and role.
    pub fn of(&self, database: &str, role: &str) -> PoolRules {
        let mut rules = self.pool;
        for own in [self.databases.get(database), self.roles.get(role)].into_iter().flatten() {
            rules.mode = own.mode.unwrap_or(rules.mode);
            rules.size = own.size.unwrap_or(rules.size);
            rules.min = own.min.unwrap_or(rules.min);
            rules.reserve = own.reserve.unwrap_or(rules.reserve);
            rules.leaves = own.leaves.unwrap_or(rules.leaves);
            rules.times.server_lifetime = own.server_lifetime.or(rules.times.server_lifetime);
        }
        rules
    }

    /// Servers of one database in all.
    pub fn database_servers_max(&self, database: &str) -> Option<u32> {
        let own = self.databases.get(database).and_then(|own| own.servers_max);
        own.or(self.database_servers_max)
    }

    pub fn database_clients_max(&self, database: &str) -> Option<u32> {
        let own = self.databases.get(database).and_then(|own| own.clients_max);
        own.or(self.database_clients_max)
    }

    /// Servers of one role in all.
    pub fn role_servers_max(&self, role: &str) -> Option<u32> {
        self.roles.get(role).and_then(|own| own.servers_max).or(self.role_servers_max)
    }

    pub fn role_clients_max(&self, role: &str) -> Option<u32> {
        self.roles.get(role).and_then(|own| own.clients_max).or(self.role_clients_max)
    }

    /// The class of a client, by its number; the last one is everybody else's.
    pub fn class(&self, who: &Who<'_>) -> usize {
        let last = self.classes.len().saturating_sub(1);
        self.classes.iter().position(|class| class.has(who)).unwrap_or(last)
    }
}

/// By what a client is known to belong to a class.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    pub endpoint: &'a str,
    pub database: &'a str,
    pub role: &'a str,
    pub application_name: &'a str,
}

impl ClassRule {
    fn has(&self, who: &Who<'_>) -> bool {
        let named = |names: &[String], name: &str| names.iter().any(|other| other == name);
        let says = [
            (!self.roles.is_empty()).then(|| named(&self.roles, who.role)),
            (!self.databases.is_empty()).then(|| named(&self.databases, who.database)),
            (!self.application_names.is_empty())
                .then(|| named(&self.application_names, who.application_name)),
            (!self.endpoints.is_empty()).then(|| named(&self.endpoints, who.endpoint)),
        ];
        let mut said = says.into_iter().flatten().peekable();
        said.peek().is_some() && said.all(|says| says)
    }
}

impl Default for Policy {
    /// PgBouncer's defaults, except that a client waits no longer than for a failover.
    fn default() -> Policy {
        Policy {
            pool: PoolRules::default(),
            databases: BTreeMap::new(),
            roles: BTreeMap::new(),
            servers_max: None,
            database_servers_max: None,
            database_clients_max: None,
            role_servers_max: None,
            role_clients_max: None,
            address_clients_max: None,
            waiting_max: 100_000,
            threads: None,
            classes: vec![ClassRule {
                name: "default".to_owned(),
                weight: 1,
                ..Default::default()
            }],
        }
    }
}

impl Default for PoolRules {
    fn default() -> PoolRules {
        PoolRules {
            mode: PoolMode::Session,
            size: 20,
            min: 0,
            reserve: 0,
            reserve_wait: Duration::from_secs(5),
            leaves: Leaves::Track,
            unsure_commit_fails: false,
            times: Times::default(),
        }
    }
}

impl Default for Times {
    fn default() -> Times {
        Times {
            wait: Duration::from_secs(15),
            query: None,
            transaction: None,
            idle_transaction: None,
            client_idle: None,
            server_idle: Some(Duration::from_secs(600)),
            server_lifetime: Some(Duration::from_secs(3600)),
            server_check: Some(Duration::from_secs(30)),
            retry: Duration::from_millis(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roles_word_counts_more_than_its_databases() {
        let own = |size, min| Own { size, min, ..Own::default() };
        let mut policy = Policy::default();
        policy.databases.insert("shop".to_owned(), own(Some(30), Some(5)));
        policy.roles.insert("app".to_owned(), own(Some(10), None));
        let size = |database, role| (policy.of(database, role).size, policy.of(database, role).min);
        assert_eq!(size("shop", "app"), (10, 5));
        assert_eq!(size("shop", "jobs"), (30, 5));
        assert_eq!(size("other", "jobs"), (20, 0));
    }

    #[test]
    fn a_client_is_of_the_first_class_that_all_of_its_lists_name() {
        let class = |name: &str, roles: &[&str], applications: &[&str]| ClassRule {
            name: name.to_owned(),
            roles: roles.iter().map(|name| (*name).to_owned()).collect(),
            application_names: applications.iter().map(|name| (*name).to_owned()).collect(),
            ..ClassRule::default()
        };
        let classes = vec![
            class("a", &["app"], &["web"]),
            class("b", &["app"], &[]),
            class("rest", &[], &[]),
        ];
        let policy = Policy { classes, ..Policy::default() };
        let of = |role, application_name| {
            policy.class(&Who { endpoint: "rw", database: "d", role, application_name })
        };
        assert_eq!([of("app", "web"), of("app", "cron"), of("jobs", "web")], [0, 1, 2]);
    }
}
