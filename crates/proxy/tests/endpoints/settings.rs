//! Settings of clients that share servers: told ahead of a client's word, found by their names, and
//! set back to what its first packet asked for.

use howdah_proxy::Endpoint::Rw;
use howdah_spec::PoolMode;
use tokio_postgres::{Client, Config, NoTls};

use crate::begun::{ask, of_one, session};
use crate::hand;
use crate::pg::{PASSWORD, Pg};
use crate::pooled::{clients, direct, pool_of, value};
use crate::rig::{Node, Tls, until};

#[tokio::test]
async fn settings_begin_and_statement_go_out_in_one_write() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = of_one(&pg, &tls, |_| {}).await;
    let (mut one, mut two) = (session(&node).await, session(&node).await);
    for (client, mark) in [(&mut one, "one"), (&mut two, "two")] {
        assert_eq!(ask(client, &format!("set app.mark = '{mark}'")).await, "SET");
        let said = client.ask(&format!("set application_name = '{mark}'")).await;
        assert_eq!(said.reported, [format!("application_name\0{mark}\0")]);
    }
    let looks = "select current_setting('app.mark') || current_setting('application_name')";
    for _ in 0..3 {
        for (client, mark) in [(&mut one, "oneone"), (&mut two, "twotwo")] {
            assert_eq!(ask(client, "begin").await, "BEGIN");
            let said = client.ask(looks).await;
            assert_eq!(said.rows, [[Some(mark.to_owned())]]);
            assert_eq!(said.reported, [""; 0], "it has set nothing");
            assert_eq!(ask(client, "commit").await, "COMMIT");
        }
        assert_eq!(ask(&mut one, looks).await, "oneone");
        // The server had it so before.
        let said = two.ask("set application_name = 'one'").await;
        assert_eq!(said.reported, ["application_name\0one\0"]);
        let said = two.ask("set application_name = 'two'").await;
        assert_eq!(said.reported, ["application_name\0two\0"]);
        assert_eq!(ask(&mut one, "begin").await, "BEGIN");
        // It ends what would refuse it: its settings go alone.
        assert_eq!(ask(&mut one, "commit").await, "COMMIT");
    }
}

#[tokio::test]
async fn settings_that_fail_carry_nothing_out() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = of_one(&pg, &tls, |_| {}).await;
    let control = direct(&pg).await;
    value(&control, "create role gone; create table t (a int)").await;
    let [one, two] = &clients(&node, 2).await[..] else { panic!("two clients") };
    value(one, "set role gone").await;
    assert_eq!(value(two, "select current_user").await, "app");
    value(&control, "drop role gone").await;
    let error = one.simple_query("insert into t values (1)").await.expect_err("its role is gone");
    assert_eq!(error.code().map(|code| code.code()), Some("22023"), "{error:?}");
    assert_eq!(value(two, "select count(*) from t").await, "0");
    assert_eq!(value(two, "select current_user").await, "app");
}

/// A session whose first packet asks for settings.
async fn asking(node: &Node, options: &str) -> Client {
    let mut config = Config::new();
    config.host("127.0.0.1").port(node.address(Rw).port()).dbname("postgres");
    config.user("app").password(PASSWORD).options(options);
    let (client, session) = config.connect(NoTls).await.expect("let in");
    tokio::spawn(session);
    client
}

#[tokio::test]
async fn reset_goes_back_to_what_the_first_packet_asked_for() {
    let (pg, tls) = (Pg::start(), Tls::new());
    for mode in [PoolMode::Transaction, PoolMode::Session] {
        for pins in ["", "create temp table mine (a int)"] {
            let node = pool_of(&pg, &tls, mode, 2).await;
            let one = asking(&node, "-c work_mem=7MB -c lock_timeout=3s").await;
            value(&one, pins).await;
            for resets in ["reset work_mem", "reset all", "discard all"] {
                assert_eq!(value(&one, "show work_mem").await, "7MB", "before {resets}");
                value(&one, "set work_mem = '9MB'").await;
                assert_eq!(value(&one, "show work_mem").await, "9MB");
                value(&one, resets).await;
                assert_eq!(value(&one, "show work_mem").await, "7MB", "{mode:?} {pins} {resets}");
                assert_eq!(value(&one, "show lock_timeout").await, "3s", "{resets}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_plain_set_leaves_is_asked_for_by_its_name() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pool_of(&pg, &tls, PoolMode::Transaction, 1).await;
    let [one, two] = &clients(&node, 2).await[..] else { panic!("two clients") };
    let control = direct(&pg).await;
    let sql = "select split_part(query, ' ', 2) from pg_stat_activity \
               where backend_type = 'client backend' and pid <> pg_backend_pid() \
               and query like '%current_setting%'";
    for (set, name, want) in [
        ("set search_path = \"$user\", pg_catalog", "search_path", "\"$user\", pg_catalog"),
        ("set session statement_timeout to 5000;", "statement_timeout", "5s"),
        ("SET App.Tenant = 'it''s one'", "app.tenant", "it's one"),
        ("set datestyle = german", "datestyle", "German, DMY"),
    ] {
        value(one, set).await;
        let asked = format!("E'{name}',");
        until("it is asked for", async || match value(&control, sql).await {
            seen if seen == asked => Ok(()),
            other => Err(other),
        })
        .await;
        let show = format!("select current_setting('{name}', true)");
        assert_ne!(value(two, &show).await, want, "it is another's");
        assert_eq!(value(one, &show).await, want);
    }
    assert_eq!(value(one, "show statement_timeout").await, "5s", "they are all there");
    assert_eq!(value(one, "show app.tenant").await, "it's one");
}

/// A word that comes while the server closes what it has too many of.
#[tokio::test]
async fn settings_are_put_back_before_a_word_that_comes_in_the_middle_of_something() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pool_of(&pg, &tls, PoolMode::Session, 1).await;
    let mut one = hand::begin(&node, [0, 3, 0, 0], "app.mark|mine|").await;
    hand::log_in(&mut one).await;
    let texts: Vec<_> = (0..501).map(|n| format!("s{n}\0select {n}\0\0\0")).collect();
    let mut asked: Vec<_> = texts.iter().map(|text| (b'P', text.as_bytes())).collect();
    asked.push((b'Q', b"reset all\0"));
    let heard = hand::ask(&mut one, &asked).await;
    assert!(heard.ends_with("1 1 C ZI"), "{heard}");
    let mark = (b'Q', &b"select 1 / (current_setting('app.mark') = 'mine')::int\0"[..]);
    assert_eq!(hand::ask(&mut one, &[mark]).await, "T D C ZI");
}
