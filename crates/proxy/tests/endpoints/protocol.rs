//! What is negotiated before a login, and what binds the login to TLS.

use std::process::Output;

use howdah_proxy::Endpoint::Rw;
use howdah_wire::scram::MECHANISM_PLUS;
use howdah_wire::{Authentication, Message};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::hand::{begin, hear, log_in, say};
use crate::pg::{PASSWORD, Pg};
use crate::pooled::{clients, pooled, value};
use crate::rig::{Node, Tls, until};

fn key(told: &[(u8, Vec<u8>)]) -> Vec<u8> {
    told.iter().find(|(kind, _)| *kind == b'K').expect("a key").1.clone()
}

#[tokio::test]
async fn a_protocol_that_is_newer_is_negotiated_down() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    for (version, more, negotiated, key_len) in [
        ([0, 3, 0, 0], "", None, 8),
        ([0, 3, 0, 1], "", None, 8),
        ([0, 3, 0, 2], "", None, 36),
        ([0, 3, 0x27, 0x0f], "", Some(&b"\0\x03\0\x02\0\0\0\0"[..]), 36),
        ([0, 3, 0, 0], "_pq_.x|1|", Some(b"\0\x03\0\0\0\0\0\x01_pq_.x\0"), 8),
    ] {
        let mut tcp = begin(&node, version, more).await;
        if let Some(negotiated) = negotiated {
            let (kind, body) = hear(&mut tcp).await;
            assert_eq!((kind, &body[..]), (b'v', negotiated), "{version:?} {more}");
        }
        let told = log_in(&mut tcp).await;
        assert_eq!(key(&told).len(), key_len, "{version:?} {more}");
        say(&mut tcp, b"Q\0\0\0\x0dselect 7\0").await;
        let kinds = [hear(&mut tcp).await.0, hear(&mut tcp).await.0];
        assert_eq!(kinds, *b"TD");
    }
    let mut tcp = begin(&node, [0, 4, 0, 0], "").await;
    let (kind, body) = hear(&mut tcp).await;
    let refused = Message { kind, body: &body };
    assert_eq!(refused.sqlstate(), Some(&b"0A000"[..]));
}

#[tokio::test]
async fn a_long_key_cancels_too() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let [other] = &clients(&node, 1).await[..] else { panic!("a client") };
    let mut tcp = begin(&node, [0, 3, 0, 2], "").await;
    let key = key(&log_in(&mut tcp).await);
    say(&mut tcp, b"Q\0\0\0\x18select pg_sleep(30)\0").await;
    let seen = "select count(*) from pg_stat_activity where query ~ '^select pg_sleep'";
    until("it sleeps", async || match &*value(other, seen).await {
        "1" => Ok(()),
        other => Err(other.to_owned()),
    })
    .await;
    let cancel = async |key: &[u8]| {
        let mut tcp = TcpStream::connect(node.address(Rw)).await.expect("a listener");
        let len = u32::try_from(8 + key.len()).expect("short").to_be_bytes();
        say(&mut tcp, &[&len[..], &[0x04, 0xd2, 0x16, 0x2e], key].concat()).await;
        let _ = tcp.read_u8().await;
    };
    let mut wrong = key.clone();
    wrong[35] ^= 1;
    cancel(&wrong).await;
    assert_eq!(value(other, seen).await, "1");
    cancel(&key).await;
    let (kind, body) = loop {
        match hear(&mut tcp).await {
            (b'T', _) => {}
            other => break other,
        }
    };
    let cancelled = Message { kind, body: &body };
    assert_eq!(cancelled.sqlstate(), Some(&b"57014"[..]), "{}", body.escape_ascii());
}

async fn psql(node: &Node, options: &str) -> Output {
    let port = node.address(Rw).port();
    let target = format!("host=localhost port={port} user=app dbname=postgres {options}");
    let mut psql = Command::new("psql");
    psql.args(["-X", "-At", "-d", &target, "-c", "select 5"]).env("PGPASSWORD", PASSWORD);
    psql.env("PGCONNECT_TIMEOUT", "5").output().await.expect("psql")
}

#[tokio::test]
async fn a_login_is_bound_to_its_channel() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    for (options, said) in [
        ("sslmode=require channel_binding=require", "5"),
        ("sslmode=require channel_binding=disable", "5"),
        ("sslmode=require", "5"),
        ("sslmode=disable", "5"),
    ] {
        let output = psql(&node, options).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), said, "{options}: {error}");
    }
    let bare = psql(&node, "sslmode=disable channel_binding=require").await;
    assert!(!bare.status.success(), "there is no channel to bind");
    // What is offered without TLS.
    let mut tcp = begin(&node, [0, 3, 0, 0], "").await;
    let (_, body) = hear(&mut tcp).await;
    assert!(!Authentication::read(&body).expect("a question").offers(MECHANISM_PLUS));
}
