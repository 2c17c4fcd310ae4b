//! TLS ends in the proxy: with psql as it is, and with a client that starts TLS at once.

use std::process::Output;
use std::sync::Arc;

use howdah_proxy::Endpoint::Rw;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;

use crate::pg::{PASSWORD, Pg};
use crate::rig::{Node, Tls, config};

const ONLY_TLS: &str = "hostssl all all all scram-sha-256";

async fn psql(node: &Node, options: &str, sql: &str) -> Output {
    let port = node.address(Rw).port();
    let target = format!("host=localhost port={port} user=app dbname=postgres {options}");
    let mut psql = Command::new("psql");
    psql.args(["-X", "-At", "-d", &target, "-c", sql]).env("PGPASSWORD", PASSWORD);
    psql.env("PGCONNECT_TIMEOUT", "5").output().await.expect("psql")
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

#[tokio::test]
async fn psql_verifies_the_node_and_a_bare_connection_is_kept_out() {
    let tls = Tls::new();
    let pg = Pg::start();
    let a = Node::start("a", pg.port, config("a", &tls, &[ONLY_TLS])).await;
    let b = Node::start("b", 1, config("b", &tls, &[ONLY_TLS])).await;
    a.learns(1, Some("a"), &[(&a, None)]);
    b.learns(1, Some("a"), &[(&a, None)]);
    let ca = pg.dir.join("ca.crt");
    std::fs::write(&ca, &tls.ca_pem).expect("the CA's file");
    let verified = format!("sslmode=verify-full sslrootcert={}", ca.display());

    // Big enough that buffers fill up on the way.
    for node in [&a, &b] {
        let output = psql(node, &verified, "select repeat('x', 9000000)").await;
        assert!(output.status.success(), "{}", said(&output.stderr));
        assert_eq!(output.stdout.len(), 9_000_001);
        assert_eq!(said(&output.stderr), "", "psql complains of nothing");
    }
    let bare = psql(&a, "sslmode=disable", "select 1").await;
    assert!(said(&bare.stderr).contains("no pg_hba.conf entry"), "{}", said(&bare.stderr));
    assert!(said(&bare.stderr).contains("no encryption"), "{}", said(&bare.stderr));
    let bound = psql(&a, "sslmode=require channel_binding=require", "select 1").await;
    assert!(said(&bound.stderr).contains("channel binding"), "{}", said(&bound.stderr));
}

#[tokio::test]
async fn tls_may_start_without_asking_if_the_protocol_is_named() {
    let tls = Tls::new();
    let pg = Pg::start();
    let a = Node::start("a", pg.port, config("a", &tls, &[ONLY_TLS])).await;
    a.learns(1, Some("a"), &[(&a, None)]);
    for (named, answer) in [(true, Some(b'R')), (false, None)] {
        let mut client = tls.stranger.clone();
        client.alpn_protocols = if named { vec![b"postgresql".to_vec()] } else { Vec::new() };
        let tcp = TcpStream::connect(a.address(Rw)).await.expect("a listener");
        let name = ServerName::try_from("localhost").expect("a name");
        let mut session =
            TlsConnector::from(Arc::new(client)).connect(name, tcp).await.expect("a handshake");
        // Without the name the proxy hangs up, at once or after this.
        let _ = session.write_all(b"\0\0\0\x12\0\x03\0\0user\0app\0\0").await;
        assert_eq!(session.read_u8().await.ok(), answer, "ALPN named: {named}");
    }
}
