//! SQL in what a first packet asks for: it is a value or a name, and nobody carries it out.

use tokio::net::TcpStream;

use super::{LONG, log_in, startup, to_node, to_server, zeros};
use crate::pg::Pg;
use crate::pooled::{clients, pooled, value};
use crate::raw::{Raw, Said};
use crate::rig::Tls;

const SQL: &str = "x'); drop table victim; --";

/// A first packet of `app`, with these parameters.
fn asks(more: &str) -> Vec<u8> {
    startup(&zeros(&format!("user|app|database|postgres|{more}|")))
}

async fn shown(tcp: TcpStream, sql: &str) -> Said {
    let mut raw = Raw::from(tcp);
    tokio::time::timeout(LONG, raw.ask(sql)).await.expect("an answer")
}

#[tokio::test]
async fn sql_in_a_value_is_a_value() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let good = clients(&node, 1).await.remove(0);
    value(&good, "create table victim(a int)").await;
    for text in
        [SQL, "\\", "\\'; drop table victim; --", "'", "''", "\\\\'", "$$", "a\nb", "\u{4e01}\\"]
    {
        for (parameter, show) in [
            ("application_name", "show application_name"),
            ("search_path", "show search_path"),
            ("custom.name", "select current_setting('custom.name', true)"),
        ] {
            let first = asks(&format!("{parameter}|{text}|"));
            let (mut server, mut own) = (to_server(&pg).await, to_node(&node).await);
            let told = [log_in(&mut server, &first).await, log_in(&mut own, &first).await];
            assert_eq!(told[1], told[0], "{parameter} {text:?}");
            if told[0] == "Z" {
                let answers = (shown(own, show).await, shown(server, show).await);
                assert_eq!(answers.0, answers.1, "{parameter} {text:?}");
            }
            value(&good, "select from victim").await;
        }
    }
}

/// What no server takes ends the login as it does there.
#[tokio::test]
async fn sql_in_a_name_is_no_setting() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let good = clients(&node, 1).await.remove(0);
    value(&good, "create table victim(a int)").await;
    for parameters in [
        format!("{SQL}|1|"),
        "no_such_setting|1|".to_owned(),
        "work_mem|many|".to_owned(),
        "is_superuser|on|".to_owned(),
        "session_authorization|postgres|".to_owned(),
        "role|nobody|".to_owned(),
        "a.b.c d|1|".to_owned(),
        "shared_buffers|1|".to_owned(),
        "client_encoding|x'; drop table victim; --|".to_owned(),
        "search_path|\u{fffd}|".to_owned(),
        format!("options|-c search_path={}|", SQL.replace(' ', "\\ ")),
        format!("options|-c {}=1|", SQL.replace(' ', "\\ ")),
        "options|--no-such=1|".to_owned(),
        "options|-c|".to_owned(),
        "options|-c x|".to_owned(),
    ] {
        let first = asks(&parameters);
        let told = [
            log_in(&mut to_server(&pg).await, &first).await,
            log_in(&mut to_node(&node).await, &first).await,
        ];
        assert_eq!(told[1], told[0], "{parameters:?}");
        value(&good, "select from victim").await;
    }
    for (user, database) in [(SQL, "postgres"), ("app", SQL), ("app'", "postgres'")] {
        let first = startup(&zeros(&format!("user|{user}|database|{database}||")));
        let told = [
            log_in(&mut to_server(&pg).await, &first).await,
            log_in(&mut to_node(&node).await, &first).await,
        ];
        assert_eq!(told[1], told[0], "{user:?} {database:?}");
        value(&good, "select from victim").await;
    }
}
