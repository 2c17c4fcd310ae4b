//! `howdah apply` brings parameters, roles and databases to what the file says, on all nodes,
//! without a restart where PostgreSQL needs none.

use std::fs;
use std::process::Command;
use std::time::Duration;

use howdah_testkit::{Cluster, Plan, writer};

use crate::three;

#[test]
pub fn apply_changes_parameters_roles_and_databases() {
    let mut cluster = three().start();
    let servers: Vec<_> = cluster.nodes().iter().map(|node| node.postmaster_pid()).collect();
    cluster.file.set("postgresql.parameters", "work_mem", "\"7MB\"");
    cluster.file.set("roles.reports", "kind", "\"readonly\"");
    cluster.file.set("roles.reports", "connection_limit", "5");
    cluster.file.set("roles.reports", "password", "{ file = \"reports\" }");
    cluster.file.set("databases.archive", "owner", "\"app\"");
    cluster.write_file();

    cluster.file.set("pools", "mode", "\"session\"");
    cluster.write_file();
    let said = cluster.howdah(&["apply", "--diff"]).stderr;
    let said = String::from_utf8_lossy(&said);
    let note = "note: each node follows this from its next start on: `[pools] mode`\nhint: ";
    assert!(said.contains(note), "{said}");
    cluster.file.set("pools", "mode", "\"off\"");
    cluster.write_file();
    let said = cluster.howdah(&["apply", "--diff"]).stderr;
    assert!(!String::from_utf8_lossy(&said).contains("note:"));

    let diff = cluster.howdah_ok(&["apply", "--diff"]);
    for word in ["work_mem", "reports", "archive"] {
        assert!(diff.contains(word), "`{word}` is not in the difference\n{diff}");
    }
    let primary = cluster.primary();
    assert_ne!(primary.sql("SHOW work_mem").expect("asked"), "7MB", "--diff changes nothing");

    cluster.howdah_ok(&["apply"]);
    for node in cluster.nodes() {
        cluster.wait_for("the parameter is in force", Duration::from_secs(30), || {
            (node.sql("SHOW work_mem").ok()? == "7MB").then_some(())
        });
    }
    let after: Vec<_> = cluster.nodes().iter().map(|node| node.postmaster_pid()).collect();
    assert_eq!(after, servers, "work_mem needs no restart");

    let mut hosts = cluster.hosts(|ports| ports.rw);
    let password = cluster.password("reports");
    for host in &mut hosts {
        host.user("reports").password(&password).dbname("archive");
    }
    let plan = Plan::to(hosts);
    cluster.wait_for("the new role reads the new database", Duration::from_secs(30), || {
        writer::query(&plan, "SELECT 1").ok()
    });
    let again = cluster.howdah(&["apply", "--diff"]);
    let words = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(!words.contains("work_mem"), "nothing is left to do\n{words}");
}

/// The file in the operator's folder is older than what another operator has edited in place.
#[test]
fn an_outdated_file_takes_nothing_back_unawares() {
    let mut cluster = Cluster::of(1, env!("CARGO_BIN_EXE_howdah")).start();
    let edited = Command::new(env!("CARGO_BIN_EXE_howdah"))
        .args(["config", "edit", "--yes", "-f"])
        .arg(cluster.file_path())
        .env("EDITOR", "sed -i s/^lease.*/lease=\"8s\"/")
        .env_remove("VISUAL")
        .output()
        .expect("run howdah");
    assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));

    cluster.file.set("postgresql.parameters", "work_mem", "\"7MB\"");
    cluster.write_file();
    for words in [&["apply"][..], &["apply", "--json"]] {
        let output = cluster.howdah(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("since it was last applied:\n    [ha]\n  - lease = \"8s\"\n  + "),
            "{said}"
        );
        assert!(said.contains("--force") && !said.contains("- work_mem"), "{said}");
    }
    let shown = cluster.howdah_ok(&["config"]);
    assert!(shown.contains("lease = \"8s\"") && !shown.contains("7MB"), "{shown}");

    cluster.file.set("ha", "lease", "\"8s\"");
    cluster.write_file();
    cluster.howdah_ok(&["apply"]);
    cluster.file.set("ha", "lease", "\"7s\"");
    cluster.write_file();
    cluster.howdah_ok(&["apply"]);

    // A copy that this machine has never seen: by its heading, or not at all.
    let copy = cluster.scratch().join("copy.toml");
    let shown = cluster.howdah_ok(&["config"]);
    let apply = |text: &str, words: &[&str]| {
        fs::write(&copy, text).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
        let output = command.args(["apply", "-f"]).arg(&copy).args(words).output();
        let output = output.expect("run howdah");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let old = shown.replace("\"7MB\"", "\"5MB\"");
    let bare: String = old.lines().skip(1).map(|line| format!("{line}\n")).collect();
    let (done, said) = apply(&bare, &[]);
    assert!(!done && said.contains("- work_mem = \"7MB\""), "{said}");
    let (done, said) = apply(&old, &[]);
    assert!(done, "{said}");
    let (done, said) = apply(&shown, &["--force"]);
    assert!(done, "{said}");
}
