//! Damage, on the server and in the repository, is named.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;

use howdah_archive::restore::plan::Target;
use howdah_archive::restore::write::RestoreError;
use howdah_base::Lsn;
use howdah_postgres::control;
use howdah_repo::RepoError;
use howdah_repo::manifest::BadPage;
use howdah_testkit::majors;

use crate::place::Place;

#[test]
fn a_damaged_page_is_named_and_the_backup_goes_on() {
    majors::each(|mut node| {
        node.start();
        let sums = node.query("show data_checksums") == ["on"];
        node.query("create table t as select g from generate_series(1, 100000) g");
        node.query("create table small as select g from generate_series(1, 100) g");
        let path = |table: &str| {
            node.query("checkpoint");
            node.query(&format!("select pg_relation_filepath('{table}')")).remove(0)
        };
        let (large, small) = (path("t"), path("small"));
        let place = Place::of(&node);
        let _ships = place.ships(&node);
        assert_eq!(place.backs_up(&node, "sound").bad_pages, []);
        for (file, at) in [(&large, 7 * 8192 + 4000), (&large, 90 * 8192 + 100), (&small, 4000)] {
            flip(&node.data_dir().join(file), at);
        }
        // Such a page claims to be from the future; it is none that the server writes now.
        let far = Lsn(1 << 50).0;
        let file = fs::File::options().write(true).open(node.data_dir().join(&large));
        let high = u32::try_from(far >> 32).expect("half");
        file.expect("opened").write_all_at(&high.to_le_bytes(), 11 * 8192).expect("written");
        let report = place.backs_up(&node, "damaged");
        let page = |path: &String, page| BadPage { path: path.clone(), page };
        let mut named = vec![page(&large, 7), page(&large, 11), page(&large, 90), page(&small, 0)];
        named.sort();
        let named = if sums { named } else { vec![] };
        assert_eq!(report.bad_pages, named);
        let label = "damaged".parse().expect("a label");
        let about = place.runtime.block_on(place.lineage.about_backup(&label)).expect("kept");
        assert_eq!(about.bad_pages, named);
    });
}

#[test]
fn a_damaged_pack_is_found_and_no_server_starts_on_what_is_there() {
    majors::each(|mut node| {
        node.start();
        node.query("create table t as select g from generate_series(1, 100000) g");
        let place = Place::of(&node);
        let _ships = place.ships(&node);
        place.backs_up(&node, "full");
        let pack = place.folder.join("0000000000000003/backups/full/pack-0");
        let size = fs::metadata(&pack).expect("there").len();
        let at = size / 3;
        flip(&pack, at);
        let target = place.folder_for_servers("target");
        let error = place.restores("full", &target, BTreeMap::new(), Target::Latest);
        match error {
            Err(RestoreError::Repository(RepoError::Damaged { name, .. })) => {
                assert!(name.ends_with("full/pack-0"), "{name}");
            }
            other => panic!("{other:?}"),
        }
        assert!(!target.join("global/pg_control").exists());
        assert!(!target.join("backup_label").exists());
        flip(&pack, at);
        let whole = place.folder_for_servers("whole");
        place.restores("full", &whole, BTreeMap::new(), Target::Latest).expect("sound again");
        assert!(whole.join("global/pg_control").exists());
    });
}

#[test]
fn a_half_written_pg_control_is_told_from_a_whole_one() {
    majors::each(|node| {
        let mut bytes = fs::read(node.data_dir().join("global/pg_control")).expect("read");
        assert!(control::is_whole(&bytes));
        for at in [0, 40, 120, 200] {
            bytes[at] ^= 1;
            assert!(!control::is_whole(&bytes), "byte {at}");
            bytes[at] ^= 1;
        }
        assert!(!control::is_whole(&bytes[..100]) && !control::is_whole(&[]));
        assert!(!control::is_whole(&[0; 8192]));
    });
}

fn flip(path: &std::path::Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).expect("opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 0x10], at).expect("written");
}
