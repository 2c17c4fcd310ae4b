//! A second machine becomes a node: by one command there, and one here.

use std::fs;

use howdah_base::record::ServerState;

use crate::rig::{Site, mode, text};

#[test]
fn a_machine_joins_and_streams_and_could_admit_others() {
    let site = Site::prepared();
    site.run("n1", 1);
    site.wait_for("n1", ServerState::Primary);
    let token = site.token("n2", &[]);
    let base = site.base(2).display().to_string();
    let said = site.ok(&["join", &token, "--node", "n2", "--base-dir", &base]);
    assert!(said.contains("howdah install --node n2"), "{said}");

    let (one, two) = (site.base(1), site.base(2));
    let same = |path: &str| {
        let read = |base: &std::path::Path| fs::read(base.join(path)).expect(path);
        assert_eq!(read(&one), read(&two), "{path}");
    };
    for path in ["tls/ca.crt", "tls/ca.key", "secrets/token", "client/secrets/app"] {
        same(path);
    }
    for path in ["tls/ca.key", "tls/n2.key", "secrets/token", "client/operator.key"] {
        assert_eq!(mode(&two.join(path)), 0o600, "{path}");
    }
    let key = |base: &std::path::Path| fs::read(base.join("tls/n2.key")).expect("key");
    assert_ne!(key(&one), key(&two), "the key was made where it is used");
    let file = fs::read_to_string(two.join("howdah.toml")).expect("file");
    assert!(!file.contains(&*one.display().to_string()), "its paths are this machine's:\n{file}");
    let log = fs::read_to_string(site.path("n1.log")).expect("log");
    assert!(log.contains("a machine has joined"), "{log}");
    assert!(!log.contains(&token), "no log has the token");

    site.run("n2", 2);
    site.wait_for("n2", ServerState::Streaming);
    // The CA's key came along, so machine 1 may be lost.
    let printed = site.ok(&["token", "create", "n1", "-f", &site.resolved(2)]);
    assert!(printed.starts_with("howdah join howdah1-"), "{printed}");
    let spent = site.ok(&["token", "list", "-f", &site.resolved(1)]);
    assert!(spent.contains("used"), "{spent}");
}

#[test]
fn a_token_may_come_by_standard_input() {
    let site = Site::prepared();
    site.run("n1", 1);
    site.wait_for("n1", ServerState::Primary);
    let said = site.howdah(&["token", "create", "n2", "-f", &site.resolved(1)]);
    assert!(text(&said.stderr).contains("type `howdah join -`"), "{}", text(&said.stderr));
    let line = text(&said.stdout);
    let base = site.base(2);
    let mut child = std::process::Command::new(crate::rig::BINARY)
        .args(["join", "-", "--base-dir"])
        .arg(&base)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("howdah join");
    use std::io::Write;
    let mut input = child.stdin.take().expect("a pipe");
    write!(input, "{line}").expect("written");
    // The pipe stays open, as a terminal would.
    site.wait("it has joined", || child.try_wait().expect("looked at"));
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "{}", text(&output.stderr));
    drop(input);
    assert!(base.join("tls/n2.crt").exists());
}

/// The file had one node; a second one is added while the first runs.
#[test]
fn a_node_that_is_new_in_the_file_joins_a_cluster_that_runs() {
    let site = Site::new();
    let whole = fs::read_to_string(site.file()).expect("the file");
    let (before, rest) = whole.split_once("[nodes.n2]").expect("n2");
    let (_, after) = rest.split_once("\n\n").expect("a section after it");
    fs::write(site.file(), format!("{before}{after}")).expect("write");
    site.ok(&["prepare", "--node", "n1", "-f", &site.file()]);
    site.run("n1", 1);
    site.wait_for("n1", ServerState::Primary);
    let said = site.refused(&["token", "create", "n2", "-f", &site.file()]);
    assert!(said.contains("no such node: `n2`") && said.contains("howdah apply"), "{said}");

    fs::write(site.file(), &whole).expect("write");
    site.wait("the new file is in force", || {
        site.howdah(&["apply", "-f", &site.file()]).status.success().then_some(())
    });
    site.wait("the status knows of n2", || site.line(1, "n2"));
    let token = site.token("n2", &[]);
    let base = site.base(2).display().to_string();
    site.ok(&["join", &token, "--base-dir", &base]);
    site.run("n2", 2);
    site.wait_for("n2", ServerState::Streaming);
    let moved = site.ok(&["switchover", "--to", "n2", "-f", &site.file()]);
    site.wait_for("n2", ServerState::Primary);
    site.wait_for("n1", ServerState::Streaming);
    assert!(!moved.is_empty());
}
