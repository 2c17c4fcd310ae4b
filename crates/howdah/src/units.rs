//! The units of systemd for the nodes of one machine, as texts.
//!
//! ```text
//! howdah-CLUSTER@NODE.service       the agent; guard, PostgreSQL and the store's member are its
//!                                   children by birth, and outlive its restarts
//! howdah-CLUSTER-certs.timer        daily: certificates that are due
//! ```

use std::path::{Path, PathBuf};

use howdah_base::{ClusterName, NodeName};

use crate::failure::Exit;
use crate::leave::LEFT;

/// Where a machine's administrator puts units.
const FOLDER: &str = "etc/systemd/system";
/// How long a stop may take, seconds: PostgreSQL writes its last checkpoint. After that systemd
/// gives up waiting, and kills nothing.
const STOP_WITHIN_S: u32 = 600;

/// One file to install.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unit {
    pub path: PathBuf,
    pub text: String,
}

/// What the units are about.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    pub cluster: &'a ClusterName,
    pub program: &'a Path,
    /// The resolved cluster file.
    pub file: &'a Path,
}

impl Service<'_> {
    /// The unit of one node.
    pub fn node_unit(&self, node: &NodeName) -> String {
        format!("howdah-{}@{node}.service", self.cluster)
    }

    pub fn timer(&self) -> String {
        format!("howdah-{}-certs.timer", self.cluster)
    }

    /// All files, below `root`.
    pub fn units(&self, root: &Path) -> Vec<Unit> {
        let at = |name: String| root.join(FOLDER).join(name);
        let cluster = self.cluster;
        vec![
            Unit { path: at(format!("howdah-{cluster}@.service")), text: self.agent() },
            Unit { path: at(format!("howdah-{cluster}-certs.service")), text: self.renewal() },
            Unit { path: at(self.timer()), text: self.daily() },
        ]
    }

    fn agent(&self) -> String {
        let Service { cluster, program, file } = self;
        let (program, file) = (quoted(program), quoted(file));
        let last = Exit::FINAL.map(|exit| (exit as u8).to_string()).join(" ");
        format!(
            "# Written by `howdah install`; what you add in a drop-in (systemctl edit) stays.\n\
             [Unit]\n\
             Description=Howdah, node %i of cluster {cluster}\n\
             Wants=network-online.target\n\
             After=network-online.target time-sync.target\n\
             StartLimitIntervalSec=0\n\
             \n\
             [Service]\n\
             Type=exec\n\
             # Root prepares folders and keys; then it is `run_as` for good.\n\
             ExecStart={program} run --node %i --file {file}\n\
             # A restart leaves PostgreSQL running, under its guard, for the agent that comes next; a\n\
             # stop shuts it down, and a standby takes over.\n\
             ExecStop={program} unit-stop --unit %n --pid=${{MAINPID}}\n\
             # Guard, PostgreSQL and etcd end when the agent says so, and by nobody else.\n\
             KillMode=process\n\
             SendSIGKILL=no\n\
             TimeoutStopSec={STOP_WITHIN_S}\n\
             # Who was asked to stop stays stopped; who left for another is followed by one.\n\
             Restart=on-failure\n\
             RestartForceExitStatus={LEFT}\n\
             SuccessExitStatus={LEFT}\n\
             # A wrong file, directory or cluster is for a person to mend.\n\
             RestartPreventExitStatus={last}\n\
             RestartSec=1\n\
             # A backend that the kernel kills for memory is PostgreSQL's own affair.\n\
             OOMPolicy=continue\n\
             LimitNOFILE=65536\n\
             TasksMax=infinity\n\
             \n\
             [Install]\n\
             WantedBy=multi-user.target\n"
        )
    }

    fn renewal(&self) -> String {
        let Service { cluster, program, file } = self;
        format!(
            "# Written by `howdah install`.\n\
             [Unit]\n\
             Description=Howdah, certificates of cluster {cluster}\n\
             \n\
             [Service]\n\
             Type=oneshot\n\
             # Running nodes notice new files by themselves.\n\
             ExecStart={} certs renew --file {}\n",
            quoted(program),
            quoted(file)
        )
    }

    fn daily(&self) -> String {
        format!(
            "# Written by `howdah install`.\n\
             [Unit]\n\
             Description=Howdah, certificates of cluster {}, daily\n\
             \n\
             [Timer]\n\
             OnCalendar=daily\n\
             # Not all machines at once.\n\
             RandomizedDelaySec=6h\n\
             Persistent=true\n\
             \n\
             [Install]\n\
             WantedBy=timers.target\n",
            self.cluster
        )
    }
}

/// A path as one word of a command line (systemd.service(5), "Command lines").
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string().replace('%', "%%").replace('$', "$$");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%$".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_one_word() {
        assert_eq!(quoted(Path::new("/usr/bin/howdah")), "/usr/bin/howdah");
        assert_eq!(quoted(Path::new("/srv/my db/50%")), "\"/srv/my db/50%%\"");
    }

    #[test]
    fn a_node_is_not_killed_with_its_unit() {
        let cluster = "demo".parse().expect("a name");
        let (program, file) = (Path::new("/usr/bin/howdah"), Path::new("/var/x/howdah.toml"));
        let service = Service { cluster: &cluster, program, file };
        let units = service.units(Path::new("/"));
        let names: Vec<_> = units.iter().map(|unit| unit.path.display().to_string()).collect();
        let at = "/etc/systemd/system/howdah-demo";
        let wanted = ["@.service", "-certs.service", "-certs.timer"];
        assert_eq!(names, wanted.map(|end| format!("{at}{end}")));
        let agent = &units[0].text;
        for line in [
            "KillMode=process",
            "SendSIGKILL=no",
            "OOMPolicy=continue",
            "Restart=on-failure",
            "RestartPreventExitStatus=64 78",
        ] {
            assert!(agent.lines().any(|there| there == line), "{line}\n{agent}");
        }
        let start = "ExecStart=/usr/bin/howdah run --node %i --file /var/x/howdah.toml";
        assert!(agent.lines().any(|line| line == start), "{agent}");
        let node = "db1".parse().expect("a name");
        assert_eq!(service.node_unit(&node), "howdah-demo@db1.service");
    }
}
