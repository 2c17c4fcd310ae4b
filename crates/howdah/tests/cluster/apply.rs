//! `howdah apply` brings parameters, roles and databases to what the file says, on all nodes,
//! without a restart where PostgreSQL needs none.

use std::time::Duration;

use howdah_testkit::{Plan, writer};

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
