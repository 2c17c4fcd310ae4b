//! Servers that go away while a client is on its way in: it hears nothing of them, up to where
//! it has been told what only that server knows.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use howdah_base::Span;
use howdah_proxy::Endpoint::{Ro, Rw};
use howdah_wire::ErrorResponse;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::pg::Pg;
use crate::rig::{ALL, Node, Tls, config, connect, refusal, server_of};

/// What becomes of a client that comes to a [`Door`].
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The connection is reset before a word.
    Reset,
    /// Its packet is read and nothing said.
    HangsUp,
    /// An error is the answer to its packet.
    Says(&'static str),
    /// The server hangs up after this many messages of its own.
    Answers(usize),
}

use Fate::{Answers, HangsUp, Reset, Says};

/// Stands before a server: the first clients meet their fates, the others the server.
struct Door {
    port: u16,
    came: Arc<AtomicUsize>,
}

impl Door {
    async fn before(pg: &Pg, fates: &'static [Fate]) -> Door {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let (came, server) = (Arc::new(AtomicUsize::new(0)), pg.port);
        let count = came.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let fate = fates.get(count.fetch_add(1, Ordering::Relaxed)).copied();
                tokio::spawn(meet(client, fate, server));
            }
        });
        Door { port, came }
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }
}

async fn meet(mut client: TcpStream, fate: Option<Fate>, server: u16) {
    let mut packet = [0; 1024];
    match fate {
        Some(Reset) => client.set_zero_linger().expect("an option"),
        Some(HangsUp) => drop(client.read(&mut packet).await),
        Some(Says(code)) => {
            assert!(client.read(&mut packet).await.expect("a packet") > 0);
            let mut said = Vec::new();
            ErrorResponse::fatal(code, "said at the door").encode(&mut said);
            client.write_all(&said).await.expect("sent");
        }
        Some(Answers(times)) => {
            let mut real = call(server).await;
            // Each packet is one read: either side waits for the other's answer.
            for time in 0..=times {
                let len = client.read(&mut packet).await.expect("a packet");
                if time < times {
                    real.write_all(&packet[..len]).await.expect("sent");
                    let len = real.read(&mut packet).await.expect("an answer");
                    client.write_all(&packet[..len]).await.expect("sent");
                }
            }
        }
        None => drop(copy_bidirectional(&mut client, &mut call(server).await).await),
    }
}

/// As the proxy calls: the server lets nobody else in.
async fn call(server: u16) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::new(127, 72, 68, 1), 0).into()).expect("the proxy's address");
    socket.connect((Ipv4Addr::LOCALHOST, server).into()).await.expect("the server")
}

/// A primary behind a door, its own endpoint, and one on another node.
async fn behind(pg: &Pg, fates: &'static [Fate]) -> (Door, Node, Node) {
    let (tls, door) = (Tls::new(), Door::before(pg, fates).await);
    let patient = |name| {
        let mut config = config(name, &tls, &[ALL]);
        config.connect_wait = Span(Duration::from_secs(10));
        config
    };
    let a = Node::start("a", door.port, patient("a")).await;
    let b = Node::start("b", 1, patient("b")).await;
    for learner in [&a, &b] {
        learner.learns(1, Some("a"), &[(&a, None), (&b, None)]);
    }
    (door, a, b)
}

#[tokio::test]
async fn a_client_hears_nothing_of_servers_that_go_away_while_it_comes() {
    const FATES: &[Fate] = &[
        Reset,
        HangsUp,
        Says("57P03"),
        Says("57P01"),
        Says("57P02"),
        Says("28000"),
        Answers(1),
        Answers(1),
    ];
    let pg = Pg::start();
    let (door, a, _b) = behind(&pg, FATES).await;
    let own = connect(a.address(Rw)).await.expect("the server, at last");
    assert_eq!((server_of(&own).await, door.came()), (pg.port, FATES.len() + 1));

    let (door, _a, b) = behind(&pg, FATES).await;
    let relayed = connect(b.address(Rw)).await.expect("the server, at last");
    assert_eq!((server_of(&relayed).await, door.came()), (pg.port, FATES.len() + 1));
}

#[tokio::test]
async fn a_client_that_has_been_told_a_server_s_nonce_is_lost_with_it() {
    let pg = Pg::start();
    let (door, a, _b) = behind(&pg, &[Answers(2)]).await;
    let error = refusal(connect(a.address(Rw)).await);
    assert!(error.contains("UnexpectedEof") || error.contains("Closed"), "{error}");
    assert_eq!(door.came(), 1, "no other server could go on with it");
}

#[tokio::test]
async fn what_a_server_means_for_the_client_reaches_it_at_once() {
    let pg = Pg::start();
    let (door, a, b) = behind(&pg, &[Says("53300"), Says("53300")]).await;
    for entry in [&a, &b] {
        let refused = refusal(connect(entry.address(Rw)).await);
        assert_eq!(refused, "FATAL 53300: said at the door");
    }
    assert_eq!(door.came(), 2);
}

#[tokio::test]
async fn a_server_that_stays_away_is_given_up_when_the_wait_is_over() {
    const FATES: &[Fate] = &[Says("57P03"); 64];
    let (pg, tls) = (Pg::start(), Tls::new());
    let door = Door::before(&pg, FATES).await;
    let a = Node::start("a", door.port, config("a", &tls, &[ALL])).await;
    a.learns(1, Some("a"), &[(&a, None)]);
    let refused = refusal(connect(a.address(Rw)).await);
    assert_eq!(refused, "FATAL 57P03: the rw endpoint has no server to offer");
    assert!((2..FATES.len()).contains(&door.came()), "{} attempts", door.came());
}

#[tokio::test]
async fn ro_goes_on_to_another_standby() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let door = Door::before(&pg, &[Says("57P03"); 64]).await;
    let a = Node::start("a", door.port, config("a", &tls, &[ALL])).await;
    let b = Node::start("b", pg.port, config("b", &tls, &[ALL])).await;
    for learner in [&a, &b] {
        learner.learns(1, None, &[(&a, Some(0)), (&b, Some(0))]);
    }
    for _ in 0..4 {
        let reader = connect(a.address(Ro)).await.expect("the other standby");
        assert_eq!(server_of(&reader).await, pg.port);
    }
    assert!(door.came() > 0, "the first one was asked");
}
