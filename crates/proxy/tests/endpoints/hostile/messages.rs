//! Messages of a client on its way in, and of one that is in: what ends its session at the server
//! ends it at the node, in the same words; what is one batch's error there is that here; and its
//! server serves the next client.

use howdah_wire::message as frame;

use super::openings::noise;
use super::{heard, log_in, startup, to_node, to_server, zeros};
use crate::pg::Pg;
use crate::pooled::{PID, clients, pooled, value};
use crate::rig::Tls;

fn one(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame(&mut out, kind, &[body]);
    out
}

/// A head that says so.
fn head(kind: u8, len: u32) -> Vec<u8> {
    [&[kind][..], &len.to_be_bytes()].concat()
}

fn app() -> Vec<u8> {
    startup(&zeros("user|app|database|postgres||"))
}

/// The same; or the protocol is violated, and the session over: here it is told of even where the
/// server only logs it.
fn tells_as_much(own: &str, server: &str) -> bool {
    let ends = own.starts_with("[FATAL 08P01 ") && own.ends_with("] end");
    let violates = ["end", "[FATAL 08P01 "].iter().any(|s| server.starts_with(s));
    // A length that is none, in an answer about a password.
    let denied = server.starts_with("[FATAL 28P01 ");
    own == server || ends && (violates || denied)
}

/// What comes in place of the answer to the first question about the password.
fn answers() -> Vec<(&'static str, Vec<u8>)> {
    let sasl = |data: &str, len: i32| {
        let len = len.to_be_bytes();
        one(b'p', &[b"SCRAM-SHA-256\0", &len[..], data.as_bytes()].concat())
    };
    let mut all = vec![
        ("a query", one(b'Q', b"select 1\0")),
        ("an end", one(b'X', b"")),
        ("another mechanism", one(b'p', b"PLAIN\0\0\0\0\x01x")),
        ("no mechanism", one(b'p', b"")),
        ("a length beyond the message", sasl("n,,n=,r=abc", 0x7fff_ffff)),
        ("a negative length", sasl("n,,n=,r=abc", -2)),
        ("too little", sasl("n,,n=,r=abc", 3)),
        ("nothing in it", sasl("", 0)),
        ("no SCRAM", sasl("hello", 5)),
        ("noise", one(b'p', &noise(7, 900))),
    ];
    for len in [0, 3, 4, 1_029, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
        all.push(("a length", head(b'p', len)));
    }
    all
}

/// Told apart by the server, and here one like the other.
fn unsupported() -> Vec<Vec<u8>> {
    let sasl = |data: &[u8]| {
        let len = u32::try_from(data.len()).expect("short").to_be_bytes();
        one(b'p', &[b"SCRAM-SHA-256\0", &len[..], data].concat())
    };
    let all = ["n,a=admin,n=,r=abc", "n,,m=1,n=,r=abc", "n,,n=,r=", "p=tls-exporter,,n=,r=abc"];
    let text = all.iter().map(|text| sasl(text.as_bytes()));
    text.chain([sasl(b"n,,n=\xff\xfe,r=abc")]).collect()
}

#[tokio::test]
async fn an_answer_about_the_password_that_is_none_is_told_as_the_server_tells_it() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    for (about, said) in answers() {
        let mut told = Vec::new();
        for mut tcp in [to_server(&pg).await, to_node(&node).await] {
            assert_eq!(heard(&mut tcp, &app()).await, "R");
            told.push(heard(&mut tcp, &said).await);
        }
        assert!(tells_as_much(&told[1], &told[0]), "{about}: {}: {told:?}", said.escape_ascii());
    }
    for said in unsupported() {
        let mut tcp = to_node(&node).await;
        assert_eq!(heard(&mut tcp, &app()).await, "R");
        let own = heard(&mut tcp, &said).await;
        assert_eq!(own, "[FATAL 08P01 malformed SCRAM message] end", "{}", said.escape_ascii());
    }
    assert_eq!(clients(&node, 1).await.len(), 1);
}

/// What comes of a client that is in; a Sync at the end where its session may go on.
fn messages() -> Vec<(&'static str, Vec<u8>)> {
    let synced = |kind, body: &[u8]| [one(kind, body), one(b'S', b"")].concat();
    let mut all = vec![
        ("no such message", one(b'z', b"")),
        ("a zero", vec![0; 40]),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("an answer nobody asked for", one(b'p', b"secret\0")),
        ("a query without an end", one(b'Q', b"select 1")),
        ("a query with more than an end", one(b'Q', b"select 1\0select 2\0")),
        ("an empty query", one(b'Q', b"\0")),
        ("nothing", one(b'Q', b"")),
        ("no UTF-8", one(b'Q', b"select '\xff\xfe'\0")),
        ("a zero character", one(b'Q', b"select E'\\000'\0")),
        ("a Parse of nothing", synced(b'P', b"")),
        ("a Parse without an end", synced(b'P', b"a")),
        ("a Parse without types", synced(b'P', b"\0select 1\0")),
        ("a Parse of more types than there are", synced(b'P', b"\0select 1\0\xff\xff")),
        ("a Parse with a rest", synced(b'P', b"\0select 1\0\0\0x")),
        ("a Bind of nothing", synced(b'B', b"")),
        ("a Bind of no statement", synced(b'B', b"\0nobody\0\0\0\0\0\0\0")),
        ("a Bind of more than there is", synced(b'B', b"\0\0\xff\xff")),
        ("a Bind without an end", synced(b'B', b"p\0s")),
        ("a Describe with a rest", synced(b'D', b"Sa\0x")),
        ("a Close with a rest", synced(b'C', b"Sa\0x")),
        ("a Describe of what", synced(b'D', b"xa\0")),
        ("a Describe of nothing", synced(b'D', b"")),
        ("a Close of what", synced(b'C', b"xa\0")),
        ("an Execute of nothing", synced(b'E', b"")),
        ("an Execute of no portal", synced(b'E', b"nobody\0\0\0\0\0")),
        ("an Execute of half a number", synced(b'E', b"\0\0\0")),
        ("what is passed over behind it", {
            let rest = [one(b'P', b"b\0select 1\0\0\0"), one(b'B', b""), one(b'S', b"")];
            [one(b'P', b"a"), rest.concat()].concat()
        }),
        ("a Sync with a body", one(b'S', b"body")),
        ("a call of no function", one(b'F', b"\xff\xff\xff\xff\0\0\0\0\0\0")),
        ("a call of half a function", one(b'F', b"\0")),
        ("data nobody asked for", synced(b'd', b"data")),
        ("the end of data nobody asked for", synced(b'c', b"")),
    ];
    for kind in *b"QPBDCEHSXFdcfp" {
        for len in [0, 3, 0x4000_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
            all.push(("a length", head(kind, len)));
        }
    }
    for kind in *b"DCEHScf" {
        all.push(("too long for its kind", head(kind, 10_001)));
    }
    all
}

#[tokio::test]
async fn a_message_that_is_none_is_told_as_the_server_tells_it() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let good = clients(&node, 1).await.remove(0);
    for (about, said) in messages() {
        let mut told = Vec::new();
        for mut tcp in [to_server(&pg).await, to_node(&node).await] {
            assert_eq!(log_in(&mut tcp, &app()).await, "Z");
            told.push(heard(&mut tcp, &said).await);
        }
        assert!(tells_as_much(&told[1], &told[0]), "{about}: {}: {told:?}", said.escape_ascii());
        value(&good, PID).await;
    }
}
