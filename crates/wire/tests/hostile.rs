//! Lengths that promise too much or too little, on both sides of the relay: refused by the head
//! alone, or let pass without being kept.

use howdah_wire::relay::statements::{Held, Known};
use howdah_wire::relay::{ClientHalf, Cuts, Followed, Linked, ServerHalf, Then};

const PARSE_MAX: usize = 1_000;

/// What becomes of a client that says this first, and how much of it goes to its server.
fn says(bytes: &[u8]) -> Result<(Followed, usize), String> {
    let (mut client, mut server) = (ClientHalf::new(PARSE_MAX), ServerHalf::default());
    speak(&mut client, &mut server, bytes)
}

fn speak(
    client: &mut ClientHalf,
    server: &mut ServerHalf,
    bytes: &[u8],
) -> Result<(Followed, usize), String> {
    let (mut held, mut known) = (Held::default(), Known::new(10_000, [7; 32]));
    let mut cuts = Cuts::default();
    let (held, known, to_server) = (&mut held, &mut known, &mut cuts);
    let mut linked = Linked { server, held, known, settings: 0, to_server };
    let followed = client.speak(bytes, &mut linked).map_err(|lost| lost.to_string())?;
    Ok((followed, cuts.len()))
}

fn head(kind: u8, len: u32) -> Vec<u8> {
    [&[kind][..], &len.to_be_bytes()].concat()
}

#[test]
fn a_client_s_length_that_cannot_be_ends_its_session_by_the_head() {
    for kind in b"QPBFdCDEHSXcf" {
        for len in [0, 3, 0x4000_0000, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            let lost = says(&head(*kind, len)).expect_err("no such length");
            assert_eq!(lost, "invalid message length", "{} {len}", char::from(*kind));
        }
    }
    for kind in b"CDEHSXcf" {
        says(&head(*kind, 10_001)).expect_err("more than any of these has");
    }
    for kind in *b"p\0zK" {
        assert!(says(&head(kind, 4)).is_err(), "{}", char::from(kind));
    }
}

#[test]
fn what_has_to_be_whole_is_bounded_and_what_passes_is_not_kept() {
    let lost = says(&head(b'P', 5_000)).expect_err("too long to be kept");
    assert_eq!(lost, "a statement of more than 1000 bytes cannot be prepared through the pooler");
    for (kind, need) in [(b'P', 1_000), (b'Q', 1_000), (b'B', 2_048), (b'D', 1_000)] {
        let len = if kind == b'P' || kind == b'D' { 1_004 } else { 0x3000_0000 };
        let (followed, _) = says(&head(kind, len)).expect("more is to come");
        assert_eq!(followed.then, Then::Need(5 + need), "{}", char::from(kind));
    }
    // A Bind of 800 MB goes by in pieces, and none of it stays.
    let (mut client, mut server) = (ClientHalf::new(PARSE_MAX), ServerHalf::default());
    let bind = [&head(b'B', 0x3000_0000)[..], b"\0\0", &[7; 100_000]].concat();
    let (followed, gone) = speak(&mut client, &mut server, &bind).expect("followed");
    assert_eq!((followed.used, gone), (bind.len(), bind.len()));
    let (followed, gone) = speak(&mut client, &mut server, &bind).expect("its body goes on");
    assert_eq!((followed.used, gone), (bind.len(), bind.len()));
    assert!(!client.is_between());
}

#[test]
fn a_server_s_length_that_cannot_be_loses_it() {
    let hears = |bytes: &[u8]| {
        let mut server = ServerHalf::default();
        server.hear(bytes, &mut Cuts::default(), |_| {}).map_err(|lost| lost.to_string())
    };
    for kind in b"ZCDETSNA123ntsIGHWcdKRVv" {
        for len in [0, 3] {
            assert!(hears(&head(*kind, len)).is_err(), "{} {len}", char::from(*kind));
        }
    }
    assert!(hears(&head(b'Z', u32::MAX)).is_err());
    for kind in b"Qp\0X" {
        assert!(hears(&head(*kind, 4)).is_err(), "{}", char::from(*kind));
    }
    // What is judged is judged by its beginning, however long it says that it is.
    assert_eq!(hears(&head(b'A', 0x7fff_ffff)), Ok(5));
    assert_eq!(hears(&head(b'E', 0x7fff_ffff)), Ok(0));
}
