//! A client that comes through an endpoint is judged by the pg_hba rules against its own
//! address, although PostgreSQL sees only the proxy.

use howdah_testkit::{Plan, writer};

use crate::three;

#[test]
fn rules_are_judged_by_the_clients_own_address() {
    let cluster = three()
        .set("roles.visitor", "kind", "\"app\"")
        .set("roles.visitor", "connection_limit", "5")
        .set("roles.visitor", "password", "{ file = \"visitor\" }")
        .set(
            "",
            "hba",
            "[\"host app app 127.0.0.1/32 scram-sha-256\", \
              \"host app visitor 127.0.0.2/32 scram-sha-256\"]",
        )
        .start();
    let password = cluster.password("visitor");
    for mut host in cluster.hosts(|ports| ports.rw) {
        host.user("visitor").password(&password);
        let plan = Plan::to(vec![host]);
        let error = writer::query(&plan, "SELECT 1").expect_err("refused from 127.0.0.1");
        let words = format!("{error:#}");
        assert!(words.contains("28000") && words.contains("127.0.0.1"), "{words}");
        assert!(words.contains("visitor"), "{words}");

        let from_elsewhere = Plan { from: Some([127, 0, 0, 2].into()), ..plan };
        let answer = writer::query(&from_elsewhere, "SELECT current_user");
        assert_eq!(answer.expect("let in from 127.0.0.2"), ["visitor"]);
    }
}

/// The server's own answer reaches the client, in its own words, and nothing changes.
#[test]
fn a_wrong_password_is_refused_in_postgresqls_words() {
    let cluster = three().start();
    let term = cluster.status().term;
    for mut host in cluster.hosts(|ports| ports.rw) {
        host.password("not the password");
        let error = writer::query(&Plan::to(vec![host]), "SELECT 1").expect_err("refused");
        let words = format!("{error:#}");
        assert!(words.contains("28P01"), "{words}");
        assert!(words.contains("password authentication failed for user \"app\""), "{words}");
        assert!(!words.contains("not the password"), "{words}");
    }
    assert_eq!(cluster.status().term, term);
}
