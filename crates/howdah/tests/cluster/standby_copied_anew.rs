//! A standby's disk is replaced: its data directory is gone. It copies the primary and streams
//! again, as a directory with a new identity.

use std::fs;

use howdah_testkit::Writer;

use crate::{ROWS_WITHIN, three};

#[test]
fn standby_without_its_directory_copies_anew() {
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let standby = cluster.standbys()[0];
    let identity = || fs::read_to_string(standby.data_dir.join("howdah.json"));
    let before = identity().expect("an identity");

    standby.kill9_everything();
    fs::remove_dir_all(&standby.data_dir).expect("the directory is lost");
    standby.start();
    cluster.wait_whole();
    assert_ne!(identity().expect("an identity"), before, "a new copy is a new directory");
    client.wait_for_rows(100, ROWS_WITHIN);
    client.stop_and_check();
}
