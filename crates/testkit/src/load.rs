//! pgbench against a bare server.

use std::process::{Child, Command, Stdio};

use crate::{PgNode, pg_node};

/// Two clients that update and insert; they end on drop.
#[derive(Debug)]
pub struct Load(Child);

impl Load {
    /// Fills the tables, and returns when the clients are on their way for `seconds`.
    #[track_caller]
    pub fn on(node: &PgNode, seconds: u32) -> Load {
        let made = pgbench(node).args(["-i", "-q", "-s", "2", "postgres"]).status();
        assert!(made.expect("pgbench").success(), "pgbench -i");
        let seconds = seconds.to_string();
        let load = pgbench(node).args(["-N", "-c", "2", "-T", &seconds, "postgres"]).spawn();
        Load(load.expect("pgbench"))
    }

    /// Waits for the end of its time.
    #[track_caller]
    pub fn ends(mut self) {
        assert!(self.0.wait().expect("pgbench").success(), "pgbench fails");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The machine's own; it speaks to every major.
fn pgbench(node: &PgNode) -> Command {
    let mut command = Command::new(pg_node::bin_dir().join("pgbench"));
    command.args(["-h", "127.0.0.1", "-p", &node.port().to_string(), "-U", "postgres"]);
    command.env("PGPASSWORD", pg_node::PASSWORD).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
