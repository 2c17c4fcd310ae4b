//! The pooler's console on a node: who is let in, what is the cluster's business, and the same figures
//! over HTTP.

use howdah_testkit::{Cluster, http};
use tokio::runtime::Builder;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::ROWS_WITHIN;

#[test]
fn admins_command_monitors_look_and_others_stay_outside() {
    let setup =
        Cluster::of(1, env!("CARGO_BIN_EXE_howdah")).set("pools", "mode", "\"transaction\"");
    let setup = setup.set("roles.boss", "kind", "\"admin\"");
    let setup = setup.set("roles.boss", "password", "{ file = \"boss\" }");
    let setup = setup.set("roles.eye", "kind", "\"monitor\"");
    let cluster = setup.set("roles.eye", "password", "{ file = \"eye\" }").start();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let app = cluster.hosts(|ports| ports.rw).remove(0);
    let app = runtime.block_on(connect(&app)).expect("let in");
    let one = runtime.block_on(app.simple_query("select 1"));
    one.unwrap_or_else(|error| panic!("{error:?}\n{}", cluster.seen()));

    let [boss, eye] = ["boss", "eye"].map(|role| {
        let config = console(&cluster, role);
        cluster
            .wait_for("the role is there", ROWS_WITHIN, || runtime.block_on(connect(&config)).ok())
    });
    let ask = |who: &Client, sql: &str| runtime.block_on(asked(who, sql));
    for who in [&boss, &eye] {
        let pools = ask(who, "show pools").expect("rows");
        let wanted = |row: &Vec<String>| row[..3] == ["app", "app", "1"];
        assert!(pools.iter().any(wanted), "{pools:?}");
    }
    assert_eq!(ask(&eye, "pause app"), Err("admin access needed".to_owned()));
    for sql in ["pause app", "resume app", "reload"] {
        ask(&boss, sql).unwrap_or_else(|error| panic!("`{sql}`: {error}\n{}", cluster.seen()));
    }
    assert_eq!(ask(&boss, "shutdown"), Err("this pooler is part of a node".to_owned()));
    assert_eq!(ask(&boss, "set pool_mode = 'session'"), Err("SET failed".to_owned()));
    let config = ask(&boss, "show config").expect("rows");
    let mode = config.iter().find(|row| row[0] == "pool_mode").expect("a row");
    assert_eq!(mode[1..], ["transaction", "session", "no"]);
    let refused = runtime.block_on(connect(&console(&cluster, "app"))).err();
    let refused = refused.and_then(|error| Some(error.as_db_error()?.message().to_owned()));
    assert_eq!(refused.as_deref(), Some("not allowed"));

    let page = http::get(cluster.nodes()[0].ports.http, "/metrics").expect("an answer").body;
    for line in [
        "pgbouncer_up 1",
        "pgbouncer_pools_client_active_connections{database=\"app\",user=\"app\"} 1",
        "howdah_endpoint_clients{endpoint=\"rw\"} 3",
        "howdah_endpoint_refused_total 1",
    ] {
        assert!(page.lines().any(|other| other == line), "{line}\n{page}");
    }
    // Whoever waited for the cluster has asked something too.
    let queries = "pgbouncer_stats_queries_pooled_total{database=\"app\"} ";
    let count = page.lines().find_map(|line| line.strip_prefix(queries)?.parse::<u64>().ok());
    assert!(count.is_some_and(|count| count > 0), "{page}");
    assert!(page.contains("patroni_primary"), "what was there before\n{page}");
}

fn console(cluster: &Cluster, role: &str) -> Config {
    let mut config = cluster.hosts(|ports| ports.rw).remove(0);
    config.user(role).password(cluster.password(role)).dbname("pgbouncer");
    config
}

async fn connect(host: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, session) = host.connect(NoTls).await?;
    tokio::spawn(session);
    Ok(client)
}

/// Rows as texts, or the error's message.
async fn asked(client: &Client, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let messages = client.simple_query(sql).await.map_err(|error| match error.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => format!("{error:?}"),
    })?;
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => {
            let value = |at| row.get(at).unwrap_or("NULL").to_owned();
            Some((0..row.len()).map(value).collect())
        }
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}
