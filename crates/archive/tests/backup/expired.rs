//! Expiry takes what nobody needs, and the backup that stays is whole without it.

use std::collections::{BTreeMap, BTreeSet};

use howdah_archive::expire::reach::{Moments, Pack, bases, removal};
use howdah_archive::expire::run::{self, Removed};
use howdah_archive::proof;
use howdah_archive::restore::plan::Target;
use howdah_testkit::majors;

use crate::place::{Place, check, content, now_ms, options};

#[test]
fn what_goes_is_not_missed() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'\nautovacuum = off").start();
        let place = Place::of(&node);
        let ships = place.ships(&node);
        node.query(
            "create table t as select g a, md5(g::text) b from generate_series(1, 200000) g",
        );
        place.backs_up(&node, "first");
        node.query("update t set a = -a where a between 10 and 20");
        node.query("select pg_switch_wal()");
        let mut anew = options("second");
        anew.incremental = false;
        place.tries(&node, &anew).expect("taken");
        node.query("update t set a = -a where a between 199990 and 200000");
        node.query("select pg_switch_wal()");
        place.backs_up(&node, "third");
        node.query("insert into t values (0, 'behind it')");
        place.reaches(&ships, &node);
        let before = content(&node, &["t"]);

        let now = u64::try_from(now_ms()).expect("a moment");
        let all = place.runtime.block_on(run::look(&place.lineage)).expect("looked");
        assert_eq!((all.backups.len(), all.backups.iter().all(|b| !b.packs.is_empty())), (3, true));
        // The window begins now, and everything counts as settled.
        let moments = Moments { window_from: now, settled_before: now + 60_000 };
        let stay = bases(&all, moments.window_from);
        assert_eq!(stay, BTreeSet::from(["third".to_owned()]));
        let gone = removal(&all, &stay, moments);
        assert_eq!(gone.backups, ["first", "second"]);
        assert!(!gone.wal.is_empty() && !gone.packs.is_empty(), "{gone:?}");
        // Pages of the second are the third's; nobody has any of the first.
        let goes = |pack: &&Pack| gone.packs.contains(&pack.name);
        let of =
            |label: &str| all.packs.iter().filter(|p| p.name.contains(label)).collect::<Vec<_>>();
        assert!(of("/first/").iter().all(goes), "{gone:?}");
        assert!(!of("/second/").iter().all(goes), "{gone:?}");
        let remove = run::remove(&place.lineage, place.lease(), &gone, now_ms);
        let removed = place.runtime.block_on(remove).expect("removed");
        let counts = Removed { backups: 2, packs: gone.packs.len(), wal: gone.wal.len() };
        assert_eq!(removed, counts);
        assert_eq!(place.labels(), ["third"]);
        let missed = place.runtime.block_on(proof::missing(&place.lineage)).expect("looked");
        assert_eq!(missed, [], "what expired is not missed");
        let proofs = place.runtime.block_on(place.lineage.all_proofs()).expect("listed");
        assert!(proofs.keys().all(|label| label.as_str() == "third"), "{proofs:?}");

        let restored = place.server(&node, "third", BTreeMap::new(), Target::Latest);
        assert_eq!(content(&restored, &["t"]), before);
        check(restored);
        let again = place.runtime.block_on(run::look(&place.lineage)).expect("looked");
        assert_eq!(removal(&again, &stay, moments), Default::default(), "nothing more");
    });
}
