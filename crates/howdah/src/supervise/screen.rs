//! What `up` prints when the cluster runs: its state, how to connect, and how to see it
//! survive. A new user pastes these lines, so each of them works as it stands.

use std::fmt::Write;
use std::path::Path;

use howdah_api::render;
use howdah_base::NodeName;
use howdah_base::status::ClusterStatus;
use howdah_spec::ClusterSpec;

use super::ready::{Outcome, READY_TIMEOUT};
use crate::prepare::client::{self, Endpoint};
use crate::prepare::{Account, Layout, Prepared};
use crate::talk::{out, say};

/// After `up` has waited for the cluster in the foreground.
pub fn print_welcome(prepared: &Prepared, outcome: &Outcome) {
    print_outcome(prepared, outcome);
    say("\nCtrl-C stops the cluster");
}

/// The cluster's state, and what can be done now.
pub fn print_outcome(prepared: &Prepared, outcome: &Outcome) {
    let Prepared { spec, layout, server, .. } = prepared;
    match outcome {
        Outcome::Ready(status) => print_running(spec, layout, server, status),
        Outcome::Without(status, nodes) => {
            print_running(spec, layout, server, status);
            for node in nodes {
                say(format!(
                    "howdah: {node} was refused and is not tried again; it said why above"
                ));
            }
        }
        Outcome::TimedOut(status) => {
            let minutes = READY_TIMEOUT.as_secs() / 60;
            say(format!(
                "howdah: the cluster is not complete after {minutes} min; it goes on trying"
            ));
            say("hint: howdah explain, and howdah logs");
            if let Some(status) = status {
                out(render::screen(status));
            }
        }
    }
}

/// For a cluster that runs.
pub fn print_running(
    spec: &ClusterSpec,
    layout: &Layout,
    server: &Account,
    status: &ClusterStatus,
) {
    out(format!("\n{}", render::screen(status)));
    out(next_steps(spec, layout, primary_pid(spec, server, status.leader.as_ref())));
    if let Some(remedy) = client::remedy(layout) {
        say(format!("\n{remedy}"));
    }
}

fn next_steps(spec: &ClusterSpec, layout: &Layout, primary: Option<i32>) -> String {
    let (howdah, file) = (program(), quoted(&layout.file()));
    let mut text = "\n".to_owned();
    if let Some(role) = client::usual_role(spec) {
        let database = client::usual_database(spec, role);
        let url = client::url(spec, layout, Endpoint::Rw, role, database);
        let _ = writeln!(
            text,
            "connect (rw leads to the primary, wherever it is):\n  psql \"{url}\"\n"
        );
    }
    let _ = writeln!(text, "watch:\n  {howdah} status -f {file} --watch\n");
    let _ = writeln!(
        text,
        "move the primary in a second, clients reconnect:\n  {howdah} switchover -f {file}"
    );
    if let Some(pid) = primary {
        let _ = writeln!(text, "\nor lose it, and watch a standby take over:\n  kill -9 {pid}");
    }
    text
}

/// The postmaster of the primary: the first line of its pid file.
fn primary_pid(spec: &ClusterSpec, server: &Account, leader: Option<&NodeName>) -> Option<i32> {
    let path = spec.nodes.get(leader?)?.data_dir.join("postmaster.pid");
    let text = server.act(|| Ok(std::fs::read_to_string(path)?)).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// This program as it was called: one that was called by its path may not stand in PATH.
fn program() -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    let by_path = called.to_string_lossy().contains('/');
    let path = by_path.then(std::env::current_exe).and_then(Result::ok);
    path.map_or_else(|| "howdah".to_owned(), |path| quoted(&path))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        assert_eq!(quoted(Path::new("/var/lib/howdah/demo")), "/var/lib/howdah/demo");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
