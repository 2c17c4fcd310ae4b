//! The rules that nodes tell, as the proxy reads them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::Context;
use howdah_base::NodeName;
use howdah_proxy::{ConsoleConfig, Operators, Policy, ProxyConfig, Rules, Shown, Wish};
use howdah_spec::PoolMode;
use howdah_spec::hba::HbaRule;
use tokio::sync::{mpsc, watch};

use super::Options;
use crate::console::{of_policy, shown};

/// What holds now, and who reads it.
pub struct InForce {
    hba: watch::Sender<Arc<Vec<HbaRule>>>,
    policy: watch::Sender<Arc<Policy>>,
    operators: watch::Sender<Arc<Operators>>,
    settings: watch::Sender<Arc<Vec<Shown>>>,
    known_as: watch::Sender<IpAddr>,
    wishes: mpsc::Sender<Wish>,
    options: Options,
}

impl InForce {
    /// Nobody is let in until a node has told who may.
    pub fn new(options: &Options, wishes: mpsc::Sender<Wish>) -> InForce {
        InForce {
            hba: watch::Sender::default(),
            policy: watch::Sender::default(),
            operators: watch::Sender::default(),
            settings: watch::Sender::default(),
            known_as: watch::Sender::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            wishes,
            options: options.clone(),
        }
    }

    pub fn hba(&self) -> watch::Receiver<Arc<Vec<HbaRule>>> {
        self.hba.subscribe()
    }

    pub fn policy(&self) -> watch::Receiver<Arc<Policy>> {
        self.policy.subscribe()
    }

    pub fn known_as(&self) -> watch::Receiver<IpAddr> {
        self.known_as.subscribe()
    }

    pub fn console(&self) -> ConsoleConfig {
        ConsoleConfig {
            operators: self.operators.subscribe(),
            wishes: self.wishes.clone(),
            settings: self.settings.subscribe(),
            port: self.options.rw_port,
        }
    }

    /// Waits for the first rules, and puts those into `config` that count from a start on.
    pub async fn take_first(
        &self,
        told: &mut watch::Receiver<Option<Arc<Rules>>>,
        config: &mut ProxyConfig,
    ) -> anyhow::Result<()> {
        loop {
            let rules = told.wait_for(Option::is_some).await.context("follow the nodes")?.clone();
            let rules = rules.context("follow the nodes")?;
            if self.take(&rules) {
                config.ro_max_lag = rules.ro_max_lag;
                config.ro_primary_fallback = rules.ro_primary_fallback;
                config.clients_max = rules.clients_max;
                config.connect_wait = rules.connect_wait;
                config.keepalive = rules.keepalive;
                config.user_timeout = rules.user_timeout;
                return Ok(());
            }
            told.changed().await.context("follow the nodes")?;
        }
    }

    /// Takes in what changes.
    pub async fn follow(&self, mut told: watch::Receiver<Option<Arc<Rules>>>) {
        while told.changed().await.is_ok() {
            let Some(rules) = told.borrow_and_update().clone() else { continue };
            let pools = |mode| mode != PoolMode::Off;
            if pools(rules.policy.pool.mode) != pools(self.policy.borrow().pool.mode) {
                tracing::warn!("whether there are pools counts from this proxy's next start on");
            }
            self.take(&rules);
        }
    }

    /// Rules that are not understood would let in whom they keep out: those from before hold.
    fn take(&self, rules: &Rules) -> bool {
        let parsed: Result<Vec<HbaRule>, _> =
            rules.hba.iter().map(|line| HbaRule::parse(line)).collect();
        let hba = match parsed {
            Ok(hba) => hba,
            Err(error) => {
                tracing::error!(
                    %error,
                    "a node has a rule of pg_hba that this proxy does not understand: what held \
                     before holds; hint: install the nodes' version of howdah here"
                );
                return false;
            }
        };
        self.hba.send_replace(Arc::new(hba));
        self.known_as.send_replace(rules.known_as);
        self.operators.send_replace(Arc::new(rules.operators.clone()));
        self.settings.send_replace(Arc::new(self.shown(rules)));
        self.policy.send_replace(Arc::new(rules.policy.clone()));
        true
    }

    /// What SHOW CONFIG shows.
    fn shown(&self, rules: &Rules) -> Vec<Shown> {
        let listen: Vec<_> = self.options.listen.iter().map(ToString::to_string).collect();
        let listed = |names: &std::collections::BTreeSet<String>| {
            names.iter().map(String::as_str).collect::<Vec<_>>().join(",")
        };
        let mut rows = of_policy(&rules.policy, rules.clients_max);
        rows.extend([
            ("admin_users", listed(&rules.operators.command), ""),
            ("auth_type", "scram-sha-256".to_owned(), "md5"),
            ("listen_addr", listen.join(","), ""),
            ("listen_port", self.options.rw_port.to_string(), "6432"),
            ("stats_users", listed(&rules.operators.look), ""),
            ("tcp_keepidle", rules.keepalive.0.as_secs().to_string(), "0"),
        ]);
        shown(rows)
    }
}

/// A name that is drawn anew at each start: a node may be called as this proxy is, and is not it.
pub fn nobody() -> anyhow::Result<NodeName> {
    let drawn: String =
        howdah_tls::random::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("nobody-{drawn}").parse().context("make up a name")
}
