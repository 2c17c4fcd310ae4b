//! This machine's part of a Patroni cluster, and what can be seen of the others.

use std::path::PathBuf;

use anyhow::Context;
use howdah_base::{NodeName, Redacted};
use howdah_import::patroni::PatroniConfig;
use howdah_postgres::install::Install;
use howdah_spec::NodeSpec;

use super::super::look::look_as;
use super::super::{Found, node_at};
use super::daemon::{self, Daemon};
use super::rest::{self, Member, Rest, Who};
use super::{Journal, Order, Step};
use crate::ask::known_node;
use crate::facts;
use crate::failure::Failure;

/// One Patroni node on this machine.
#[derive(Debug)]
pub struct Here {
    /// The path of its file, without links.
    pub patroni: PathBuf,
    /// Its name among Patroni's members.
    pub name: String,
    pub config: PatroniConfig,
    pub data_dir: PathBuf,
    /// What it becomes.
    pub node: NodeName,
    pub spec: NodeSpec,
    pub install: Install,
    /// Its process, where one runs.
    pub daemon: Option<Daemon>,
    pub journal: Option<Journal>,
    pub rest: Rest,
    /// Its REST API, `host:port`.
    pub address: String,
}

/// The cluster at this moment.
#[derive(Debug)]
pub struct Seen {
    /// Everybody, as Patroni knows them.
    pub members: Vec<Member>,
    /// The name of the member that leads.
    pub leader: String,
    /// Everybody else, and who answers there.
    pub others: Vec<(Member, Who)>,
    /// What this node's Patroni says.
    pub own: Option<rest::Said>,
    pub found: Found,
}

impl Here {
    /// Looks at the file, its process and what was done before.
    pub fn look(order: &Order<'_>) -> anyhow::Result<Here> {
        let patroni = order.patroni.canonicalize().map_err(|error| {
            let path = order.patroni.display();
            Failure::bad_input(format!("no such file ({error}): `{path}`"))
                .hint("name the patroni.yml with which this machine's Patroni was started")
        })?;
        let (daemon, config) = match Daemon::find(&patroni)? {
            Some((daemon, config)) => (Some(daemon), config),
            None => (None, daemon::config_of_file(&patroni)?),
        };
        let data_dir = data_dir(&config)?;
        let (node, spec) = match order.node {
            Some(node) => known_node(&order.file.spec, node)?,
            None => {
                let node = node_at(&order.file.spec, &data_dir).ok_or_else(|| {
                    Failure::bad_input(format!(
                        "no node has its data there: `{}`",
                        data_dir.display()
                    ))
                    .hint("howdah import makes a cluster file of all nodes' patroni.yml")
                })?;
                known_node(&order.file.spec, node)?
            }
        };
        let journal = Journal::read(&spec.state_dir)?;
        // A process that no longer runs had variables too.
        let config = match (&daemon, &journal) {
            (None, Some(journal)) => journal.daemon.config(&patroni)?,
            _ => config,
        };
        let name = config.name.clone().context("find `name` in Patroni's file")?;
        let address =
            rest::own_address(&config.restapi).context("find `restapi` in Patroni's file")?;
        Ok(Here {
            install: facts::install(&order.file.spec, &data_dir)?,
            rest: Rest::of(&config.restapi)?,
            node: node.clone(),
            spec: spec.clone(),
            patroni,
            name,
            config,
            data_dir,
            daemon,
            journal,
            address,
        })
    }

    pub fn step(&self) -> Option<Step> {
        self.journal.as_ref().map(|journal| journal.step)
    }

    /// Patroni's superuser, by whom the server is asked.
    pub fn superuser(&self) -> (&str, Option<&Redacted<String>>) {
        let login = &self.config.postgresql.superuser;
        (login.user.as_deref().unwrap_or("postgres"), login.password.as_ref())
    }

    /// Patroni's process as it runs, or ran.
    pub fn ran(&self) -> anyhow::Result<&Daemon> {
        let kept = self.journal.as_ref().map(|journal| &journal.daemon);
        self.daemon.as_ref().or(kept).ok_or_else(|| {
            Failure::failed(format!(
                "no Patroni runs here with this file: `{}`",
                self.patroni.display()
            ))
            .hint("systemctl start patroni; or name the file with which it was started")
            .into()
        })
    }

    /// Asks this node's Patroni, its PostgreSQL and all others.
    pub fn see(&self, order: &Order<'_>) -> anyhow::Result<Seen> {
        self.ran()?;
        let own = match self.rest.who(&self.address)? {
            Who::Patroni(said) => Some(said),
            _ => None,
        };
        let members = match &own {
            Some(_) => self.rest.members(&self.address)?,
            None => self.journal.as_ref().map(|j| j.members.clone()).unwrap_or_default(),
        };
        let others = members.iter().filter(|member| member.name != self.name);
        let others: anyhow::Result<Vec<(Member, Who)>> =
            others.map(|member| Ok((member.clone(), self.rest.who(&member.api)?))).collect();
        let others = others?;
        let leader = self.leader(order, &members, &others)?;
        let (role, password) = self.superuser();
        let found = look_as(&self.install, &self.data_dir, Some(role), password)?;
        Ok(Seen { members, leader, others, own, found })
    }

    /// By Patroni; or, when its leader's process has been stopped, as it was then; or Howdah's.
    fn leader(
        &self,
        order: &Order<'_>,
        members: &[Member],
        others: &[(Member, Who)],
    ) -> anyhow::Result<String> {
        let howdahs = others.iter().find_map(|(_, who)| match who {
            Who::Howdah(status) => status.leader.clone(),
            _ => None,
        });
        if let Some(node) = howdahs {
            let led = |(member, who): &&(Member, Who)| {
                let spec = order.file.spec.nodes.get(&node);
                let there = spec.is_some_and(|spec| member.api == crate::ask::http_address(spec));
                matches!(who, Who::Howdah(_)) && there
            };
            let member = others.iter().find(led).map(|(member, _)| member.name.clone());
            return Ok(member.unwrap_or_else(|| node.to_string()));
        }
        let now = members.iter().find(|member| member.leads()).map(|member| member.name.clone());
        let kept = self.journal.as_ref().map(|journal| journal.leader.clone());
        now.or(kept).ok_or_else(|| {
            Failure::failed("nobody leads the Patroni cluster")
                .hint("patronictl list; a cluster is taken over while it is well")
                .into()
        })
    }
}

impl Seen {
    pub fn leads(&self, here: &Here) -> bool {
        self.leader == here.name
    }
}

fn data_dir(config: &PatroniConfig) -> anyhow::Result<PathBuf> {
    let dir = config.postgresql.data_dir.as_ref().context("find `postgresql.data_dir`")?;
    dir.canonicalize().map_err(|_| {
        Failure::failed(format!("its data directory is not on this machine: `{}`", dir.display()))
            .hint("run howdah adopt --patroni on the node's own machine")
            .into()
    })
}
