//! WAL of a server that is down: given to nodes of the cluster, in its own term only, and never
//! once the server may be on its way up again.

use std::path::PathBuf;
use std::sync::Arc;

use howdah_base::{Term, WalFile};
use howdah_proxy::Endpoint::Peer;
use howdah_proxy::{WalAsk, fetch_wal};

use crate::rig::{ALL, Node, Tls, config};

const FILE: &str = "000000010000000000000003";
const LEN: usize = 1 << 20;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("howdah-wal-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        std::fs::write(path.join(FILE), vec![7; LEN]).expect("a file");
        std::fs::write(path.join("secret"), "none of theirs").expect("a file");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A node that is called as its certificate says.
async fn giver(tls: &Tls, folder: &Folder) -> Node {
    let mut config = config("localhost", tls, &[ALL]);
    config.peers.as_mut().expect("a node").wal_dir.clone_from(&folder.0);
    Node::start("localhost", 1, config).await
}

fn ask(node: &Node, tls: &Tls, term: u64, file: &str) -> WalAsk {
    WalAsk {
        tls: tls.peer_client.clone(),
        cluster: "test".parse().expect("a name"),
        from: "localhost".parse().expect("a name"),
        host: "127.0.0.1".to_owned(),
        peer_port: node.address(Peer).port(),
        term: Term(term),
        file: file.parse::<WalFile>().expect("a WAL file"),
        len: LEN as u64,
    }
}

async fn fetched(ask: &WalAsk) -> Result<Vec<u8>, String> {
    let mut into = Vec::new();
    fetch_wal(ask, &mut into).await.map(|()| into)
}

#[tokio::test]
async fn a_file_is_given_out_whole_while_the_server_is_down_in_that_term() {
    let (tls, folder) = (Tls::new(), Folder::new("whole"));
    let node = giver(&tls, &folder).await;
    node.learns(5, None, &[(&node, None)]);
    let refused = fetched(&ask(&node, &tls, 5, FILE)).await.expect_err("the server may run");
    assert!(refused.contains("not given out in term `5`"), "{refused}");

    node.ended(Some(5));
    assert_eq!(fetched(&ask(&node, &tls, 5, FILE)).await, Ok(vec![7; LEN]));
    for (term, why) in [(4, "not given out"), (6, "not given out")] {
        let refused = fetched(&ask(&node, &tls, term, FILE)).await.expect_err("another term");
        assert!(refused.contains(why), "{refused}");
    }
    let absent = fetched(&ask(&node, &tls, 5, "000000010000000000000004")).await;
    assert!(absent.is_err_and(|why| why.contains("cannot read")));
    let short = WalAsk { len: 5, ..ask(&node, &tls, 5, FILE) };
    assert!(fetched(&short).await.is_err_and(|why| why.contains("instead of 5")));
    let other = WalAsk { cluster: "other".parse().expect("a name"), ..ask(&node, &tls, 5, FILE) };
    assert!(fetched(&other).await.is_err_and(|why| why.contains("of `test`")));
    let stranger = WalAsk { tls: Arc::new(tls.stranger.clone()), ..ask(&node, &tls, 5, FILE) };
    assert!(fetched(&stranger).await.is_err(), "it shows no certificate");
}

/// What was read while the server was being started again is not what its WAL will be.
#[tokio::test]
async fn a_file_that_was_under_way_when_the_server_was_started_counts_for_nothing() {
    let (tls, folder) = (Tls::new(), Folder::new("started"));
    let big = vec![7; 64 * LEN];
    std::fs::write(folder.0.join(FILE), &big).expect("a file");
    let node = giver(&tls, &folder).await;
    node.learns(5, None, &[(&node, None)]);
    node.ended(Some(5));
    let ask = WalAsk { len: big.len() as u64, ..ask(&node, &tls, 5, FILE) };
    let (mut reader, mut writer) = tokio::io::duplex(1 << 16);
    let fetching = tokio::spawn(async move { fetch_wal(&ask, &mut writer).await });
    let mut first = vec![0; 1 << 16];
    tokio::io::AsyncReadExt::read_exact(&mut reader, &mut first).await.expect("some of it");
    node.ended(None);
    let rest = tokio::spawn(async move {
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut rest).await
    });
    let refused = fetching.await.expect("it ends").expect_err("it counts for nothing");
    assert!(refused.contains("not given out"), "{refused}");
    rest.await.expect("it ends").expect("what came of it");
}

#[tokio::test]
async fn nothing_but_a_wal_file_can_be_named() {
    let (tls, folder) = (Tls::new(), Folder::new("named"));
    let node = giver(&tls, &folder).await;
    node.learns(5, None, &[(&node, None)]);
    node.ended(Some(5));
    for name in ["secret", "../secret", "/etc/passwd", "000000010000000000000003/../secret", ""] {
        let preamble = format!(
            r#"{{"version":1,"cluster":"test","to":"localhost","term":5,"want":"Wal","client":"10.0.0.1","file":"{name}"}}"#
        );
        let said = crate::peers::greet(&node, tls.peer_client.clone(), &preamble).await;
        assert_eq!(said, None, "hung up on `{name}`");
    }
}
