//! On which store a cluster under test keeps its record.
//!
//! Stories say nothing of it and run on the embedded store; `HOWDAH_TEST_STORE=etcd` runs them on
//! the nodes' own etcd, and [`on_etcd`] does so for one test.

use std::cell::Cell;

/// Where the record lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Store {
    /// SQLite in one file.
    Embedded,
    /// etcd, one member a node, run by the nodes themselves.
    Etcd,
}

thread_local! {
    static FORCED: Cell<Option<Store>> = const { Cell::new(None) };
}

impl Store {
    /// What clusters of this test get when they do not ask.
    pub fn usual() -> Store {
        FORCED.get().unwrap_or_else(|| match std::env::var("HOWDAH_TEST_STORE").as_deref() {
            Ok("etcd") => Store::Etcd,
            Ok("embedded") | Err(_) => Store::Embedded,
            Ok(other) => panic!("HOWDAH_TEST_STORE is `etcd` or `embedded`, not `{other}`"),
        })
    }
}

/// Runs a story on etcd.
pub fn on_etcd(story: impl FnOnce()) {
    FORCED.set(Some(Store::Etcd));
    story();
    FORCED.set(None);
}
