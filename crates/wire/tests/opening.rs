//! The first packet: golden packets fed at all splits, and hostile ones.

use howdah_wire::{Malformed, Opening, Step, opening};

fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(8 + body.len()).expect("short");
    [&len.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
}

/// `user=a|database=b` as a StartupMessage of protocol 3.0.
fn startup(parameters: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for parameter in parameters.split('|').filter(|text| !text.is_empty()) {
        let (name, value) = parameter.split_once('=').expect("a value");
        body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    packet(3 << 16, &[&body[..], b"\0"].concat())
}

fn shown(bytes: &[u8]) -> String {
    match opening(bytes) {
        Err(error) => format!("malformed: {error}"),
        Ok(Step::Need(more)) => format!("need {more}"),
        Ok(Step::Packet(Opening::Startup(startup), used)) => {
            assert_eq!(used, bytes.len());
            let replication = startup.replication;
            format!("3.{} {} {} {replication:?}", startup.minor, startup.user(), startup.database())
        }
        Ok(Step::Packet(packet, used)) => format!("{packet:?} {used}"),
    }
}

const SSL: u32 = 80_877_103;
const GSSENC: u32 = 80_877_104;
const CANCEL: u32 = 80_877_102;

#[test]
fn each_opening_is_known() {
    assert_eq!(shown(&packet(SSL, b"")), "SslRequest 8");
    assert_eq!(shown(&packet(GSSENC, b"")), "GssEncRequest 8");
    assert_eq!(shown(&packet(CANCEL, &[7; 8])), "Cancel 16");
    assert_eq!(shown(&packet(CANCEL, &[7; 260])), "Cancel 268");
    assert_eq!(shown(b"\x16"), "DirectTls 0");
    assert_eq!(shown(&startup("user=app|database=shop")), "3.0 app shop No");
    assert_eq!(shown(&packet(3 << 16 | 2, b"user\0a\0\0")), "3.2 a a No");
}

#[test]
fn parameters_mean_what_the_server_makes_of_them() {
    let long = "x".repeat(64);
    for (parameters, want) in [
        ("user=a|user=b|database=c|database=d", "3.0 b d No".to_owned()),
        ("user=a|database=", "3.0 a a No".to_owned()),
        (
            &format!("user={long}|database=y{long}"),
            format!("3.0 {} y{} No", &long[1..], &long[2..]),
        ),
        ("user=a|replication=database", "3.0 a a Logical".to_owned()),
        ("user=a|replication=TRU", "3.0 a a Physical".to_owned()),
        ("user=a|replication=1|replication=of", "3.0 a a No".to_owned()),
        ("user=a|replication=database|replication=on", "3.0 a a Logical".to_owned()),
        (
            "user=a|replication=o",
            r#"malformed: invalid value for parameter "replication": "o""#.to_owned(),
        ),
    ] {
        assert_eq!(shown(&startup(parameters)), want, "{parameters}");
    }
}

#[test]
fn a_packet_is_read_at_all_splits_and_never_beyond_its_end() {
    for whole in [packet(SSL, b""), packet(CANCEL, &[1; 8]), startup("user=app|database=shop")] {
        let answer = shown(&whole);
        for split in 0..whole.len() {
            let Ok(Step::Need(more)) = opening(&whole[..split]) else { panic!("split {split}") };
            assert!((1..=whole.len() - split).contains(&more), "split {split} asks for {more}");
        }
        // Whoever reads only what is asked for ends at the packet's last byte.
        let mut read = 0;
        while let Ok(Step::Need(more)) = opening(&whole[..read]) {
            read += more;
        }
        assert_eq!(read, whole.len());
        let follows = [&whole[..], b"\x16\x03\x01"].concat();
        let Ok(Step::Packet(_, used)) = opening(&follows) else { panic!("{answer}") };
        assert_eq!(used, whole.len());
    }
}

#[test]
fn a_hostile_length_is_refused_before_anything_is_read_for_it() {
    for word in [0_u32, 4, 7, 10_005, u32::MAX / 2, u32::MAX] {
        assert_eq!(opening(&word.to_be_bytes()), Err(Malformed::Length(word)), "{word}");
    }
    for word in [8_u32, 10_004] {
        assert_eq!(opening(&word.to_be_bytes()), Ok(Step::Need(4)), "{word}");
    }
    for body in [&b""[..], &[0; 7], &[0; 261]] {
        assert_eq!(
            opening(&packet(CANCEL, body)),
            Err(Malformed::CancelLength(body.len())),
            "{body:?}"
        );
    }
}

#[test]
fn a_hostile_startup_is_refused() {
    let body = |body: &[u8]| shown(&packet(3 << 16, body));
    let layout = "malformed: invalid startup packet layout: expected terminator as last byte";
    for bad in
        [&b""[..], b"user\0a", b"user\0a\0", b"user\0\0", b"user\0a\0\0\0", b"user\0a\0x\0\0"]
    {
        assert_eq!(body(bad), layout, "{}", bad.escape_ascii());
    }
    for bad in [&b"\0"[..], b"user\0\0\0", b"database\0a\0\0"] {
        let want = "malformed: no PostgreSQL user name specified in startup packet";
        assert_eq!(body(bad), want, "{}", bad.escape_ascii());
    }
    assert_eq!(
        shown(&packet(2 << 16, b"")),
        "malformed: unsupported frontend protocol 2.0: server supports 3.0 to 3.2"
    );
}

/// Every short packet over a small alphabet: no panic, and no read beyond the end.
#[test]
fn no_bytes_can_hurt() {
    const ALPHABET: [u8; 5] = [0, b'u', b'\x16', 3, 255];
    for seed in 0..ALPHABET.len().pow(6) {
        let tail: Vec<u8> = (0..6).map(|n| ALPHABET[seed / 5_usize.pow(n) % 5]).collect();
        for whole in [tail.clone(), packet(3 << 16, &tail), packet(CANCEL, &tail)] {
            for end in 0..=whole.len() {
                if let Ok(Step::Packet(_, used)) = opening(&whole[..end]) {
                    assert!(used <= end);
                }
            }
        }
    }
}

#[test]
fn what_postgresql_says_to_the_client_is_said() {
    assert_eq!(Malformed::Length(3).answer(), None);
    let answer = Malformed::Version { major: 2, minor: 0 }.answer().expect("an answer");
    assert_eq!(answer.code, "0A000");
}

#[test]
fn what_is_newer_than_is_spoken_here_is_negotiated_down() {
    let answer = |minor: u8, parameters: &str| {
        let body = format!("user\0app\0{}\0", parameters.replace('|', "\0"));
        let mut packet = u32::try_from(body.len() + 8).expect("short").to_be_bytes().to_vec();
        packet.extend([0, 3, 0, minor]);
        packet.extend(body.as_bytes());
        match opening(&packet) {
            Ok(Step::Packet(Opening::Startup(startup), _)) => {
                startup.negotiation().map(|answer| answer.escape_ascii().to_string())
            }
            other => panic!("not a first packet: {other:?}"),
        }
    };
    for minor in [0, 1, 2] {
        assert_eq!(answer(minor, "database|_pq_.|"), None, "{minor}");
    }
    let version = |len: u8, minor, count| {
        Some([b'v', 0, 0, 0, len, 0, 3, 0, minor, 0, 0, 0, count].escape_ascii().to_string())
    };
    assert_eq!(answer(3, ""), version(12, 2, 0));
    assert_eq!(answer(255, ""), version(12, 2, 0));
    let named = |len, minor| version(len, minor, 2).map(|head| head + "_pq_.a\\x00_pq_.b\\x00");
    assert_eq!(answer(0, "_pq_.a|x|_pq_.b|y|"), named(26, 0));
    assert_eq!(answer(9, "_pq_.a|x|_pq_.b|y|"), named(26, 2));
}
