//! The cluster file of a test: three nodes on leased ports, one role, one database, and
//! whatever the test sets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::{PortLease, majors};

/// A node's ports, as the file names them.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub postgres: u16,
    pub peer: u16,
    pub http: u16,
    pub rw: u16,
    pub ro: u16,
    pub any: u16,
    /// Of a managed store's member, for clients and for its peers.
    pub store: u16,
    pub store_peer: u16,
}

impl Ports {
    pub fn lease(lease: &mut PortLease) -> Ports {
        Ports {
            postgres: lease.next_port(),
            peer: lease.next_port(),
            http: lease.next_port(),
            rw: lease.next_port(),
            ro: lease.next_port(),
            any: lease.next_port(),
            store: lease.next_port(),
            store_peer: lease.next_port(),
        }
    }
}

/// Sections with their keys; values are TOML.
#[derive(Clone, Debug)]
pub struct ClusterFile {
    sections: BTreeMap<String, BTreeMap<String, String>>,
}

impl ClusterFile {
    /// What every test has: small servers, so that many clusters fit on one machine.
    pub fn new(base_dir: &Path, nodes: &[(String, Ports)]) -> ClusterFile {
        let mut file = ClusterFile { sections: BTreeMap::new() };
        file.set("", "cluster", "\"test\"");
        file.set("", "base_dir", &format!("{:?}", base_dir.display().to_string()));
        for (name, ports) in nodes {
            let section = format!("nodes.{name}");
            file.set(&section, "host", "\"127.0.0.1\"");
            for (key, port) in [
                ("postgres_port", ports.postgres),
                ("peer_port", ports.peer),
                ("http_port", ports.http),
                ("rw_port", ports.rw),
                ("ro_port", ports.ro),
                ("any_port", ports.any),
                ("store_port", ports.store),
                ("store_peer_port", ports.store_peer),
            ] {
                file.set(&section, key, &port.to_string());
            }
        }
        if let Some(programs) = majors::chosen_bin_dir() {
            file.set("postgresql", "bin_dir", &format!("{:?}", programs.display().to_string()));
        }
        file.set("postgresql.parameters", "shared_buffers", "\"32MB\"");
        file.set("postgresql.parameters", "max_connections", "\"60\"");
        file.set("roles.app", "kind", "\"app\"");
        file.set("roles.app", "connection_limit", "40");
        file.set("roles.app", "password", "{ file = \"app\" }");
        file.set("databases.app", "owner", "\"app\"");
        file
    }

    /// Sets `key` in `section` (`""` for the top) to a TOML value.
    pub fn set(&mut self, section: &str, key: &str, value: &str) {
        let section = self.sections.entry(section.to_owned()).or_default();
        section.insert(key.to_owned(), value.to_owned());
    }

    /// Backups by themselves are for the tests that look at them.
    pub(crate) fn without_schedule(&mut self) {
        if self.sections.contains_key("backup") && !self.sections.contains_key("backup.schedule") {
            for task in ["backup", "full", "verify", "drill", "expire"] {
                self.set("backup.schedule", task, "\"off\"");
            }
        }
    }

    /// Takes a whole section out.
    pub fn remove(&mut self, section: &str) {
        self.sections.remove(section);
    }

    /// The file's text. The top comes first, because its name sorts first.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (section, keys) in &self.sections {
            if !section.is_empty() {
                writeln!(text, "\n[{section}]").expect("a string takes it");
            }
            for (key, value) in keys {
                writeln!(text, "{key} = {value}").expect("a string takes it");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_stands_under_its_section() {
        let mut file = ClusterFile::new(Path::new("/tmp/x"), &[]);
        file.set("ha", "lease", "\"3s\"");
        let text = file.text();
        assert!(text.starts_with("base_dir = \"/tmp/x\"\ncluster = \"test\"\n"), "{text}");
        assert!(text.contains("\n[ha]\nlease = \"3s\"\n"), "{text}");
    }
}
