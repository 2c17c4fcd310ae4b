//! The format: bytes that must stay what they are, and what must be found when they do not.
//!
//! The golden bytes are those of version 1. When one of these fails, either undo the change, or
//! give the format a new version and keep the reader of the old one.

use howdah_base::{Lsn, Redacted, Timeline};
use howdah_repo::envelope::{self, BadObject, ENVELOPE_BYTES, Identity, Writer};
use howdah_repo::frame::{self, Head, PLAIN_BYTES_MAX};
use howdah_repo::kind::Kind;
use howdah_repo::manifest::{
    About, Content, FileEntry, Manifest, MapRef, PackId, PackRef, Piece, Span, Statistics,
    Tablespace,
};
use howdah_repo::name::{Family, LineageId};
use howdah_repo::pack::{self, Builder, Footing, Index};
use howdah_repo::page_map::{PageMap, Run, decode_sums, encode_sums, page_sum};
use howdah_repo::seal::Cipher;

const SALT: [u8; 32] = [9; 32];

fn ciphers() -> [Cipher; 2] {
    [Cipher::None, Cipher::Aes256Gcm(Redacted::new([7; 32]))]
}

fn identity(number: u64) -> Identity {
    Identity::new(Kind::Config, LineageId(1).config(number))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn short_hash(bytes: &[u8]) -> String {
    hex(&pack::hash(bytes)[..8])
}

#[test]
fn an_object_is_the_bytes_that_it_was() {
    // The second is what Python's `cryptography` makes of docs/repository.md.
    let golden = [
        "060000000600000001000000686f776461684a88d6c96c79bc0d75f55fc70d9f709d",
        "06000000060000000100000096c63e91ef6458786836c304c6ae3e53210a5520ff5a",
    ];
    for (cipher, golden) in ciphers().iter().zip(golden) {
        let object = envelope::seal(cipher, &identity(1), SALT, b"howdah");
        assert_eq!(hex(&object[ENVELOPE_BYTES..]), golden);
        assert_eq!(object[..8], [b'H', b'W', b'D', b'H', 1, 2, cipher.byte(), 0]);
        assert_eq!(object[8..40], SALT);
    }
}

#[test]
fn a_pack_is_the_bytes_that_it_was() {
    let cipher = &ciphers()[1];
    let identity = Identity::new(
        Kind::Pack,
        LineageId(1).pack(&"label".parse().expect("a label"), Family::Pack, 0),
    );
    let mut pack = Builder::new(cipher, &identity, SALT);
    pack.add(b"one");
    pack.add(b"two");
    let (bytes, footing, index) = pack.finish().expect("whole");
    assert_eq!(short_hash(&bytes), "a14037b416a508f2");
    assert_eq!((footing.size, footing.index_at, footing.frames), (bytes.len() as u64, 102, 2));
    assert_eq!(pack::read_trailer(&bytes[bytes.len() - 16..]), Some((102, 2)));
    let key = cipher.object(identity.kind, identity.name.as_str(), &footing.salt);
    let range = footing.index_range();
    let sealed = &bytes[range.start as usize..range.end as usize];
    assert_eq!(pack::open_index(&key, &footing, sealed), Some(index.clone()));
    let place = index.place(1).expect("there");
    let stored = &bytes[place.offset as usize..place.end() as usize];
    assert_eq!(pack::open_frame(&key, &place, stored).expect("opens"), b"two");
    // It is also a whole object, but for what follows its last frame.
    let object = envelope::open(cipher, &identity, &bytes[..bytes.len() - 16], 1000);
    assert!(object.expect("opens").starts_with(b"onetwo"));
    let other = Footing { index_hash: [0; 32], ..footing };
    assert_eq!(pack::open_index(&key, &other, sealed), None);
}

fn manifest() -> Manifest {
    let pack = |family, frames| PackRef {
        id: PackId { label: "label".parse().expect("a label"), family, number: 3 },
        footing: Footing { salt: [1; 32], size: 900, frames, index_at: 800, index_hash: [2; 32] },
    };
    let file = |path: &str, size, content| FileEntry {
        path: path.to_owned(),
        size,
        mode: 0o600,
        mtime_ms: -5,
        hash: [3; 32],
        content,
    };
    let piece = Piece { pack: 0, frame: 1, at: 2, len: 300 };
    let (runs, sums) = (Span { frame: 0, count: 1 }, Span { frame: 1, count: 2 });
    Manifest {
        about: About {
            label: "label".to_owned(),
            lineage: "0000000000000001".to_owned(),
            system_identifier: u64::MAX,
            postgres_version: 180_001,
            timeline: Timeline(2),
            start_lsn: Lsn(0x1_0000_0028),
            stop_lsn: Lsn(0x1_0000_0138),
            stop_timeline: None,
            started_ms: 1_700_000_000_000,
            stopped_ms: 1_700_000_001_000,
            backup_label: "START\n".to_owned(),
            tablespace_map: "1 /x\n".to_owned(),
            tablespaces: vec![Tablespace { oid: 1, path: "/x".to_owned() }],
            base: Some("earlier".to_owned()),
            page_size: 8192,
            wal_segment_size: 16 << 20,
            tenure: 4,
            statistics: Statistics { bytes: 1, stored: 2, new: 3, reused: 4 },
            bad_pages: Vec::new(),
        },
        packs: vec![pack(Family::Pack, 2), pack(Family::Map, 3)],
        files: vec![
            file("base", 0, Content::Folder),
            file("base/1/16384", 8192, Content::Pages(MapRef { pack: 1, runs, sums })),
            file("base/1/16385", 300, Content::Whole(vec![piece])),
            file("base/ä", 0, Content::Whole(vec![])),
            file("base/å", 0, Content::Whole(vec![])),
        ],
    }
}

#[test]
fn a_manifest_is_the_bytes_that_it_was() {
    let manifest = manifest();
    let head = manifest.about.encode().expect("encodes");
    let golden = "HWMF\u{1}{\"label\":\"label\",\"lineage\":\"0000000000000001\",\
        \"system_identifier\":18446744073709551615,\"postgres_version\":180001,\"timeline\":2,\
        \"start_lsn\":\"1/28\",\"stop_lsn\":\"1/138\",\"started_ms\":1700000000000,\
        \"stopped_ms\":1700000001000,\"backup_label\":\"START\\n\",\
        \"tablespace_map\":\"1 /x\\n\",\"tablespaces\":[{\"oid\":1,\"path\":\"/x\"}],\
        \"base\":\"earlier\",\"page_size\":8192,\"wal_segment_size\":16777216,\"tenure\":4,\
        \"statistics\":{\"bytes\":1,\"stored\":2,\"new\":3,\"reused\":4}}";
    assert_eq!(String::from_utf8_lossy(&head), golden);
    let body = manifest.encode_body();
    let (ones, twos, threes) = ("01".repeat(32), "02".repeat(32), "03".repeat(32));
    let golden = [
        "02",
        &format!("056c6162656c0003840702a006{ones}{twos}"),
        &format!("056c6162656c0103840703a006{ones}{twos}"),
        "05",
        &format!("00046261736500800309{threes}00"),
        &format!("04082f312f31363338348040800309{threes}020100010102"),
        &format!("0b0135ac02800309{threes}0101000102ac02"),
        &format!("0502c3a400800309{threes}0100"),
        &format!("0502c3a500800309{threes}0100"),
    ];
    assert_eq!(hex(&body), golden.concat());
    let about = About::decode(&head).expect("decodes");
    assert_eq!(Manifest::decode(about, &body), Ok(manifest));
}

#[test]
fn a_page_map_is_the_bytes_that_it_was() {
    let pack = PackId { label: "label".parse().expect("a label"), family: Family::Pack, number: 3 };
    let run = |first, count, frame| Run { first, count, pack: 0, frame, page: 5 };
    let map = PageMap { packs: vec![pack], runs: vec![run(0, 300, 1), run(300, 1, 2)] };
    assert_eq!(hex(&map.encode()), "0101056c6162656c000302ac0200010501000205");
    assert_eq!(PageMap::decode(&map.encode()), Some(map.clone()));
    assert_eq!(map.pages(), 301);
    assert_eq!(format!("{:016x}", page_sum(&[0; 8192])), "620797930ab0991a");
    assert_eq!(decode_sums(&encode_sums(&[1, u64::MAX])), Some(vec![1, u64::MAX]));
    assert_eq!(decode_sums(&[0; 7]), None);
}

/// A stream of numbers that is the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % bound.max(1)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        // Half of it repeats, so that some frames compress and some do not.
        let noisy = self.below(2) == 0;
        (0..len).map(|at| if noisy { self.below(256) as u8 } else { (at / 50) as u8 }).collect()
    }
}

#[test]
fn whatever_is_sealed_opens_and_nothing_else_does() {
    let mut numbers = Numbers(42);
    for round in 0..40 {
        let cipher = &ciphers()[round % 2];
        let len = [0, 1, 1000, PLAIN_BYTES_MAX, PLAIN_BYTES_MAX + 1, 600_000][numbers.below(6)];
        let plain = numbers.bytes(len);
        let object = envelope::seal(cipher, &identity(1), SALT, &plain);
        let open = |bytes: &[u8]| envelope::open(cipher, &identity(1), bytes, 1 << 20);
        assert!(open(&object).as_ref() == Ok(&plain), "{len}");
        // Another name, another kind, another key, another salt.
        let renamed = envelope::open(cipher, &identity(2), &object, 1 << 20);
        assert!(renamed.is_err(), "{len}");
        let kind = Identity { kind: Kind::Proof, ..identity(1) };
        assert_eq!(envelope::open(cipher, &kind, &object, 1 << 20), Err(BadObject::Kind));
        let other = Cipher::Aes256Gcm(Redacted::new([8; 32]));
        assert!(envelope::open(&other, &identity(1), &object, 1 << 20).is_err());
        for _ in 0..20 {
            let mut bent = object.clone();
            bent[numbers.below(object.len())] ^= 1 << numbers.below(8);
            assert!(open(&bent).is_err(), "a flipped bit");
            assert!(open(&object[..numbers.below(object.len())]).is_err(), "cut off");
        }
        assert_eq!(open(&[&object[..], b"x"].concat()), Err(BadObject::Trailing));
        if !plain.is_empty() {
            let most = plain.len() - 1;
            let long = envelope::open(cipher, &identity(1), &object, most);
            assert_eq!(long, Err(BadObject::TooLong(most)));
        }
    }
}

#[test]
fn frames_open_in_their_own_place_only() {
    for cipher in ciphers() {
        let mut writer = Writer::new(&cipher, &identity(1), SALT);
        for frame in [b"one", b"two", b"six"] {
            writer.push(frame);
            writer.cut();
        }
        let object = writer.finish();
        let (mut at, mut frames) = (ENVELOPE_BYTES, Vec::new());
        while at < object.len() {
            let len = Head::read(&object[at..]).expect("a frame").frame_len;
            frames.push(object[at..at + len].to_vec());
            at += len;
        }
        assert_eq!(frames.len(), 4, "an empty one ends it");
        let open = |order: &[usize]| {
            let frames = order.iter().flat_map(|number| frames[*number].clone());
            let bytes: Vec<u8> = object[..ENVELOPE_BYTES].iter().copied().chain(frames).collect();
            envelope::open(&cipher, &identity(1), &bytes, 1000)
        };
        assert_eq!(open(&[0, 1, 2, 3]), Ok(b"onetwosix".to_vec()));
        for order in
            [&[1, 0, 2, 3][..], &[0, 2, 1, 3], &[0, 1, 3], &[0, 1, 2], &[0, 0, 1, 2, 3], &[3]]
        {
            assert!(open(order).is_err(), "{order:?}");
        }
        // Nor in the same place of another object, though its name and bytes be the same.
        let other = envelope::seal(&cipher, &identity(1), [8; 32], b"one");
        let mixed = [&other[..ENVELOPE_BYTES], &object[ENVELOPE_BYTES..]].concat();
        assert!(envelope::open(&cipher, &identity(1), &mixed, 1000).is_err());
    }
}

#[test]
fn what_cannot_be_right_is_refused_before_anything_is_allocated() {
    let mut head = [0_u8; 12];
    head[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    head[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(Head::read(&head), Err(frame::BadFrame::Head));
    assert_eq!(Index::decode(&[0xff; 44]), None);
    let about = manifest().about;
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert!(Manifest::decode(about.clone(), &huge).is_err());
    // Every shorter body, and every bent one, is answered.
    let body = manifest().encode_body();
    for len in 0..body.len() {
        assert!(Manifest::decode(about.clone(), &body[..len]).is_err(), "{len}");
    }
    for at in 0..body.len() {
        for bit in 0..8 {
            let mut bent = body.clone();
            bent[at] ^= 1 << bit;
            Manifest::decode(about.clone(), &bent).ok();
            PageMap::decode(&bent);
            Index::decode(&bent);
            About::decode(&bent).ok();
        }
    }
}

#[test]
fn references_that_lead_nowhere_are_refused() {
    let broken = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = manifest();
        change(&mut manifest);
        Manifest::decode(manifest.about.clone(), &manifest.encode_body()).is_err()
    };
    assert!(!broken(&|_| ()));
    let piece = Piece { pack: 0, frame: 1, at: 2, len: 300 };
    let pieces: [fn(&mut Piece); 4] =
        [|p| p.pack = 1, |p| p.frame = 2, |p| p.len = 299, |p| p.at = 262_144];
    for change in pieces {
        let mut piece = piece;
        change(&mut piece);
        assert!(broken(&|m| m.files[2].content = Content::Whole(vec![piece])), "{piece:?}");
    }
    for path in ["", "/etc/passwd", "../x", "base//1", "a/..", "a\0b"] {
        assert!(broken(&|m| m.files[0].path = path.to_owned()), "{path}");
    }
}
