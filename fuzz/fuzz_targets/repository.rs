//! Every decoder of the repository's format: whatever the bytes, each answers, and what one reads
//! is written back as the same bytes.
#![no_main]

use howdah_repo::envelope::{self, Identity};
use howdah_repo::frame::{self, Head};
use howdah_repo::kind::Kind;
use howdah_repo::manifest::{About, Manifest};
use howdah_repo::name::{Label, LineageId, Name, WalObject};
use howdah_repo::pack::{Footing, Index, open_index, read_trailer};
use howdah_repo::page_map::{PageMap, decode_sums, encode_sums};
use howdah_repo::runs::{self, Begun, Ended};
use howdah_repo::seal::Cipher;
use libfuzzer_sys::fuzz_target;

const ABOUT: &str = concat!(
    "HWMF\x01",
    r#"{"label":"l","lineage":"1","system_identifier":1,"postgres_version":150000,"timeline":1,"#,
    r#""start_lsn":"0/1","stop_lsn":"0/2","started_ms":1,"stopped_ms":2,"backup_label":"","#,
    r#""page_size":8192,"wal_segment_size":16777216,"statistics":"#,
    r#"{"bytes":0,"stored":0,"new":0,"reused":0}}"#
);

fuzz_target!(|bytes: &[u8]| {
    let identity = Identity::new(Kind::Config, LineageId(1).config(1));
    // Without a key, for then it is cheap to meet what is sealed.
    if let Ok(plain) = envelope::open(&Cipher::None, &identity, bytes, 1 << 20) {
        assert!(plain.len() <= 1 << 20);
    }
    if let Ok(head) = Head::read(bytes) {
        assert!(head.frame_len <= frame::FRAME_BYTES_MAX);
    }
    let key = Cipher::None.object(Kind::Pack, "x", &[0; 32]);
    let _ = frame::open(&key, 0, bytes);
    let _ = read_trailer(bytes);
    if let Some(index) = Index::decode(bytes) {
        assert_eq!(index.places().count() as u32, index.len());
    }
    let footing = Footing { salt: [0; 32], size: 0, frames: 1, index_at: 40, index_hash: [0; 32] };
    assert!(open_index(&key, &footing, bytes).is_none(), "no bytes have a hash of zeros");
    if let Some(map) = PageMap::decode(bytes) {
        assert_eq!(map.encode(), bytes);
    }
    if let Some(sums) = decode_sums(bytes) {
        assert_eq!(encode_sums(&sums), bytes);
    }
    let _ = About::decode(bytes);
    let about = About::decode(ABOUT.as_bytes()).expect("the sample is one");
    if let Ok(manifest) = Manifest::decode(about.clone(), bytes) {
        let again = Manifest::decode(about, &manifest.encode_body());
        assert_eq!(again, Ok(manifest));
    }
    let _ = runs::decode::<Begun>(bytes);
    let _ = runs::decode::<Ended>(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Name::read(text);
        let _ = text.parse::<Label>();
        let _ = text.parse::<LineageId>();
        let _ = WalObject::read(LineageId(1), text);
    }
});
