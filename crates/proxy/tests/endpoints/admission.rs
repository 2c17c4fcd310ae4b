//! Who is let in, by the client's own address and by number.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use howdah_proxy::Endpoint::{Ro, Rw};
use howdah_proxy::bind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_postgres::NoTls;

use crate::pg::Pg;
use crate::rig::{ALL, Node, Tls, config, connect, connect_from, refusal, until};

#[tokio::test]
async fn the_rules_are_judged_by_the_client_s_own_address() {
    let tls = Tls::new();
    let pg = Pg::start();
    let rules = [
        "local all all peer",
        "host all all 127.0.0.5/32 reject",
        "hostssl all all 127.0.0.6/32 scram-sha-256",
        "host all all samehost scram-sha-256",
    ];
    // The entry node judges; the node of the server has other rules and is not asked.
    let a = Node::start("a", pg.port, config("a", &tls, &[])).await;
    let b = Node::start("b", 1, config("b", &tls, &rules)).await;
    a.learns(1, Some("a"), &[(&a, None)]);
    b.learns(1, Some("a"), &[(&a, None)]);
    let from = |last| connect_from(Ipv4Addr::new(127, 0, 0, last).into(), b.address(Rw));
    from(1).await.expect("samehost");
    assert_eq!(
        refusal(from(5).await),
        r#"FATAL 28000: pg_hba.conf rejects connection for host "127.0.0.5", user "app", database "postgres", no encryption"#
    );
    assert_eq!(
        refusal(from(6).await),
        r#"FATAL 28000: no pg_hba.conf entry for host "127.0.0.6", user "app", database "postgres", no encryption"#
    );
    refusal(connect(a.address(Rw)).await);
    assert_eq!(b.counters.refused.load(std::sync::atomic::Ordering::Relaxed), 2);
}

/// `samehost` and loopback in a rule are about the hosts of nodes.
#[tokio::test]
async fn a_client_on_the_host_of_a_proxy_without_a_node_comes_from_that_host() {
    let tls = Tls::new();
    let pg = Pg::start();
    let a = Node::start("a", pg.port, config("a", &tls, &[])).await;
    let rules = ["host all all 127.0.0.0/8 scram-sha-256", "host all all samehost scram-sha-256"];
    let host: IpAddr = [192, 0, 2, 7].into();
    let elsewhere = |rules: &[&str]| {
        let mut config = config("nobody", &tls, rules);
        config.known_as = Some(watch::channel(host).1);
        config
    };
    let closed = Node::start("b", 1, elsewhere(&rules)).await;
    let open = Node::start("c", 1, elsewhere(&["host all all 192.0.2.7/32 scram-sha-256"])).await;
    for node in [&a, &closed, &open] {
        node.learns(1, Some("a"), &[(&a, None)]);
    }
    let said = refusal(connect(closed.address(Rw)).await);
    assert!(said.contains(r#"no pg_hba.conf entry for host "192.0.2.7""#), "{said}");
    for from in [[127_u8, 0, 0, 1], [127, 0, 0, 5]].map(IpAddr::from) {
        connect_from(from, open.address(Rw)).await.expect("let in");
    }
}

#[tokio::test]
async fn one_client_too_many_is_told_so_and_may_still_cancel() {
    let tls = Tls::new();
    let pg = Pg::start();
    let mut few = config("b", &tls, &[ALL]);
    few.clients_max = 1;
    let a = Node::start("a", pg.port, config("a", &tls, &[])).await;
    let b = Node::start("b", 1, few).await;
    a.learns(1, Some("a"), &[(&a, None), (&b, Some(0))]);
    b.learns(1, Some("a"), &[(&a, None), (&b, Some(0))]);
    let only = connect(b.address(Rw)).await.expect("the one place");
    let refused = refusal(connect(b.address(Ro)).await);
    assert_eq!(refused, "FATAL 53300: sorry, too many clients already");

    // The session is on a; the request goes to b, as libpq would send it.
    let token = only.cancel_token();
    let sleeping = tokio::spawn(async move {
        let slept = only.batch_execute("select pg_sleep(60)").await;
        (slept.expect_err("cancelled").code().map(|code| code.code().to_owned()), only)
    });
    let cancelled = tokio::time::timeout(Duration::from_secs(10), async {
        // A request that comes before the query has started is ignored by the server.
        while !sleeping.is_finished() {
            let tcp = TcpStream::connect(b.address(Rw)).await.expect("a listener");
            token.cancel_query_raw(tcp, NoTls).await.expect("passed on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sleeping.await.expect("no panic")
    });
    let (code, only) = cancelled.await.expect("cancelled in time");
    assert_eq!(code.as_deref(), Some("57014"));
    drop(only);
    until("the place is free again", async || match connect(b.address(Rw)).await {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_say_what_it_wants_is_dropped() {
    let tls = Tls::new();
    let a = Node::start("a", 1, config("a", &tls, &[ALL])).await;
    let mut slow = TcpStream::connect(a.address(Rw)).await.expect("a listener");
    slow.write_all(b"\0\0\0").await.expect("sent");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(12), slow.read_to_end(&mut rest));
    ended.await.expect("dropped in time").expect("an orderly end");
    assert!(rest.is_empty());
}

#[tokio::test]
async fn nonsense_is_answered_as_postgresql_answers_it() {
    let tls = Tls::new();
    let a = Node::start("a", 1, config("a", &tls, &[ALL])).await;
    for (said, answer) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], ""),
        (b"\0\0\0\x08\0\x02\0\0", "unsupported frontend protocol 2.0"),
        (b"\0\0\0\x09\0\x03\0\0\0", "no PostgreSQL user name specified in startup packet"),
    ] {
        let mut client = TcpStream::connect(a.address(Rw)).await.expect("a listener");
        client.write_all(said).await.expect("sent");
        let mut got = Vec::new();
        match client.read_to_end(&mut got).await {
            Ok(_) => {}
            // What was sent beyond the refused head has not been read.
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        let got = String::from_utf8_lossy(&got).into_owned();
        assert!(got.contains(answer) && got.is_empty() == answer.is_empty(), "{got:?}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address: SocketAddr = taken.local_addr().expect("its number");
    let mut config = config("a", &Tls::new(), &[ALL]);
    config.ro_port = address.port();
    let error = bind(&config).await.expect_err("in use").to_string();
    assert!(error.starts_with("the ro endpoint cannot listen, Address already in use"), "{error}");
    assert!(
        error.contains(&format!("`{address}`\nhint: give the node another `ro_port`")),
        "{error}"
    );
}
