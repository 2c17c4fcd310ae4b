//! Howdah as it comes: three nodes of the built binary with the defaults, durability `quorum`,
//! clients through the `rw` endpoints by a URL with several hosts.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use howdah_testkit::{Cluster, Plan};

use crate::{Fault, GIVE_UP_AFTER, Stack};

/// A running Howdah cluster; it ends when this is dropped.
#[derive(Debug)]
pub struct Howdah {
    cluster: Cluster,
    /// The node that [`Fault::HostLoss`] took away.
    lost: Option<String>,
    on_machines: bool,
}

impl Howdah {
    /// Starts three nodes of the binary that lies beside this program, or that `HOWDAH_BIN`
    /// names.
    pub fn start() -> Result<Howdah> {
        let cluster = Cluster::of(3, binary()?).start();
        Ok(Howdah { cluster, lost: None, on_machines: false })
    }

    /// The same with pools: clients share `size` servers of each node's.
    pub fn start_pooled(size: u32) -> Result<Howdah> {
        let setup = Cluster::of(3, binary()?).set("pools", "mode", "\"transaction\"");
        let cluster = setup.set("pools", "size", &size.to_string()).start();
        Ok(Howdah { cluster, lost: None, on_machines: false })
    }

    /// The same on three machines, each a network namespace, with the nodes' own etcd. For root.
    pub fn start_on_machines() -> Result<Howdah> {
        let setup = Cluster::of(3, binary()?).on_machines();
        let cluster = setup.context("network namespaces, which are for root")?.start();
        Ok(Howdah { cluster, lost: None, on_machines: true })
    }
}

impl Stack for Howdah {
    fn name(&self) -> &'static str {
        "Howdah"
    }

    fn description(&self) -> String {
        let status = self.cluster.status();
        let place = match self.on_machines {
            true => "three machines (network namespaces), the nodes' own etcd",
            false => "three nodes of one machine, the embedded store",
        };
        format!(
            "{}; {place}; durability `{}`, every other setting as it comes",
            env!("CARGO_PKG_VERSION"),
            status.durability
        )
    }

    fn sit_down(&self) {
        self.cluster.sit_down();
    }

    fn plan(&self) -> Plan {
        let mut plan = self.cluster.plan();
        if self.on_machines {
            (plan.row_bound, plan.connect_bound) = (GIVE_UP_AFTER, GIVE_UP_AFTER);
        }
        plan
    }

    fn amiss(&self) -> Option<String> {
        self.cluster.amiss()
    }

    fn incarnation(&self) -> Option<String> {
        let primary = self.cluster.find_primary()?;
        Some(format!("{} {}", primary.name, primary.postmaster_pid()?))
    }

    fn inflict(&mut self, fault: Fault) -> Result<()> {
        let primary = self.cluster.find_primary().context("a primary")?;
        match fault {
            Fault::Crash => primary.kill9_postmaster(),
            Fault::HostLoss => {
                match self.on_machines {
                    true => self.cluster.lose_host(primary),
                    false => primary.kill9_everything(),
                }
                self.lost = Some(primary.name.clone());
            }
            Fault::Switchover => {
                let output = self.cluster.howdah(&["switchover"]);
                let words = String::from_utf8_lossy(&output.stderr);
                ensure!(output.status.success(), "switchover refused: {words}");
            }
        }
        Ok(())
    }

    fn bring_back(&mut self) -> Result<()> {
        if let Some(name) = self.lost.take() {
            let node = self.cluster.node(&name);
            match self.on_machines {
                true => self.cluster.return_host(node),
                false => node.start(),
            }
        }
        Ok(())
    }

    fn keepers(&self) -> Vec<i32> {
        let Some(node) = self.cluster.find_primary() else { return Vec::new() };
        [node.agent_pid(), node.guard_pid()].into_iter().flatten().collect()
    }

    fn logs(&self) -> String {
        self.cluster.seen()
    }
}

/// What is measured.
pub fn binary() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("HOWDAH_BIN") {
        return Ok(named.into());
    }
    let beside = std::env::current_exe()?.with_file_name("howdah");
    ensure!(
        beside.exists(),
        "no howdah beside this program: `{}`\nhint: cargo build --release -p howdah",
        beside.display()
    );
    Ok(beside)
}
