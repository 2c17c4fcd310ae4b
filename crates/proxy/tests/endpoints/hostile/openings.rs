//! First packets: the node answers each as the server behind it does, and neither waits for bytes
//! that a length only promises.

use howdah_wire::message as frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{heard, packet, startup, to_node, to_server, zeros};
use crate::pg::Pg;
use crate::pooled::{clients, pooled, value};
use crate::rig::Tls;

const SSL: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSS: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];
const CANCEL: [u8; 4] = [0x04, 0xd2, 0x16, 0x2e];

/// Bytes that are the same in each run.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn app(more: &str) -> Vec<u8> {
    startup(&zeros(&format!("user|app|database|postgres|{more}|")))
}

#[tokio::test]
async fn each_is_answered_as_the_server_answers_it() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let mut cases: Vec<(&str, Vec<u8>)> = Vec::new();
    for len in [0, 1, 3, 4, 7, 10_005, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff_u32] {
        cases.push(("a length", len.to_be_bytes().to_vec()));
        cases.push(("a length, and a version", [&len.to_be_bytes()[..], &[0, 3, 0, 0]].concat()));
    }
    // Below 3 the server speaks as its forebears did.
    for (major, minor) in [(0, 0), (4, 0), (0xffff, 0xffff), (1234, 1), (0x300, 0)] {
        let version = [u16::to_be_bytes(major), u16::to_be_bytes(minor)].concat();
        cases.push(("a version", packet(&[&version[..], b"user\0app\0\0"].concat())));
    }
    for body in [
        "",
        "|",
        "||",
        "user",
        "user|",
        "user||",
        "user|app",
        "user|app|",
        "user|app|x|",
        "user|app|||",
        "database|postgres||",
        "user|app||database|postgres||",
        "user|app|replication|perhaps||",
        "user||database|postgres||",
    ] {
        cases.push(("parameters", startup(&zeros(body))));
    }
    for (about, name) in [("no UTF-8", &b"\xff\xfe\xc0"[..]), ("long", &[b'x'; 3_000])] {
        cases.push((about, startup(&[b"user\0", name, b"\0\0"].concat())));
        cases.push((about, startup(&[b"user\0app\0database\0", name, b"\0\0"].concat())));
    }
    // As long as a first packet may be: the length word is not counted.
    let most = 10_000 - 4 - b"user\0app\0database\0postgres\0application_name\0\0\0".len();
    cases.push(("the longest", app(&format!("application_name|{}|", "x".repeat(most)))));
    cases.push(("one more", app(&format!("application_name|{}|", "x".repeat(most + 1)))));
    for len in [0, 1, 3, 4, 5, 8, 9, 256, 257, 3_000] {
        cases
            .push(("a cancel request", packet(&[&CANCEL[..], &noise(len, len as usize)].concat())));
    }
    cases.push(("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()));
    let mut query = Vec::new();
    frame(&mut query, b'Q', &[b"select 1\0"]);
    cases.push(("a query", query));
    for (about, said) in &cases {
        let server = heard(&mut to_server(&pg).await, said).await;
        let own = heard(&mut to_node(&node).await, said).await;
        assert_eq!(own, server, "{about}: {}", said[..said.len().min(200)].escape_ascii());
    }
    assert_eq!(value(&clients(&node, 1).await[0], "select 1").await, "1");
}

/// CVE-2021-23214: what stands behind a request for encryption was said by anybody.
#[tokio::test]
async fn nothing_may_stand_behind_a_request_for_encryption() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    for (asked, name) in [(SSL, "SSL"), (GSS, "GSSAPI encryption")] {
        for behind in [app(""), vec![0], noise(1, 4_000)] {
            let own = heard(&mut to_node(&node).await, &[&asked[..], &behind].concat()).await;
            let why = format!("received unencrypted data after {name} request");
            assert_eq!(own, format!("[FATAL 08P01 {why}] end"));
        }
    }
    // Each may be asked for once, and after its answer.
    let mut tcp = to_node(&node).await;
    tcp.write_all(&GSS).await.expect("sent");
    assert_eq!(tcp.read_u8().await.expect("an answer"), b'N');
    let again = heard(&mut tcp, &GSS).await;
    assert_eq!(again, "[FATAL 0A000 unsupported frontend protocol 1234.5680] end");
    let mut tcp = to_node(&node).await;
    tcp.write_all(&GSS).await.expect("sent");
    assert_eq!(tcp.read_u8().await.expect("an answer"), b'N');
    tcp.write_all(&SSL).await.expect("sent");
    assert_eq!(tcp.read_u8().await.expect("an answer"), b'S');
    // In the clear after that: no handshake, and an end.
    tcp.write_all(&app("")).await.expect("sent");
    super::until_end(&mut tcp).await;
    assert_eq!(value(&clients(&node, 1).await[0], "select 1").await, "1");
}

#[tokio::test]
async fn noise_ends_at_once() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    for seed in 0..200 {
        let mut said = noise(seed, 1 + seed as usize * 7);
        // A handshake's first byte promises more than is said.
        said[0] |= 0x20;
        assert_eq!(heard(&mut to_node(&node).await, &said).await, "end", "{seed}");
        let said = packet(&said[..said.len().min(9_000)]);
        let own = heard(&mut to_node(&node).await, &said).await;
        assert!(own.starts_with("[FATAL 0A000 unsupported") || own == "end", "{seed}: {own}");
    }
    // A handshake that is none, and one that breaks off.
    for said in
        [&b"\x16\x03\x01\xff\xff\xff\xff\xff"[..], b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"]
    {
        let mut tcp = to_node(&node).await;
        tcp.write_all(said).await.expect("sent");
        tcp.shutdown().await.expect("half closed");
        super::until_end(&mut tcp).await;
    }
}
