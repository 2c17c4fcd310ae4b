//! What the servers get is what they take, and what Howdah promises.

use howdah_base::Bytes;

use super::*;
use crate::parameters::{ServerParameters, check_value, obsolete, owned};
use crate::parse::{Context, parse};

const DESCRIBED: &str = include_str!("../../tests/describe-config-15.tsv");

fn spec(parameters: &str) -> ClusterSpec {
    let text = format!("cluster = \"demo\"\n[nodes.n1]\n[postgresql.parameters]\n{parameters}\n");
    let context = Context { default_base: "/var/lib/howdah".into(), relative_to: "/".into() };
    parse("howdah.toml", &text, &context).expect("valid")
}

fn of(parameters: &str, gigabytes: u64, major: u32) -> BTreeMap<String, Effective> {
    let machine = Machine { memory: Bytes(gigabytes << 30), cores: 4, nodes_here: 1 };
    effective(&spec(parameters), &"n1".parse().expect("name"), &machine, major)
}

fn value(all: &BTreeMap<String, Effective>, name: &str) -> String {
    all[name].value.clone()
}

#[test]
fn postgresql_15_takes_every_value() {
    let server = ServerParameters::parse(15, DESCRIBED).expect("described");
    for (name, one) in of("", 16, 15) {
        assert_eq!(check_value(&server, &name, &one.value), Ok(()), "{name}");
    }
}

#[test]
fn no_major_gets_a_parameter_that_it_dropped() {
    for major in 14..=19 {
        for name in of("", 16, major).keys() {
            let gone = obsolete(name).is_some_and(|gone| gone.removed_in <= major);
            assert!(!gone, "{name} for {major}");
        }
    }
    assert!(!of("", 16, 16).contains_key("summarize_wal"));
    assert!(of("", 16, 17).contains_key("summarize_wal"));
}

#[test]
fn what_is_fixed_is_owned_or_refused() {
    for (name, one) in of("", 16, 17) {
        let refused = matches!(name.as_str(), "fsync" | "full_page_writes");
        let fixed = matches!(one.source, Source::Owned(_));
        assert_eq!(fixed, owned(&name).is_some() || refused, "{name}");
    }
}

#[test]
fn the_file_wins_over_memory_and_defaults() {
    let all = of("shared_buffers = \"1GB\"\nmax_connections = 50", 16, 15);
    assert_eq!(all["shared_buffers"].source, Source::File);
    assert_eq!(value(&all, "shared_buffers"), "1GB");
    assert_eq!(value(&all, "max_connections"), "50");
    // (16 GB - 4 GB) / 200 sorts.
    assert_eq!(value(&all, "work_mem"), "61MB");
}

#[test]
fn memory_follows_the_guides_that_operators_know() {
    let all = of("", 32, 15);
    assert_eq!(value(&all, "shared_buffers"), "8GB");
    assert_eq!(value(&all, "effective_cache_size"), "24GB");
    assert_eq!(value(&all, "maintenance_work_mem"), "2GB");
    let shared = Machine { memory: Bytes(3 << 30), cores: 2, nodes_here: 3 };
    let all = effective(&spec(""), &"n1".parse().expect("name"), &shared, 15);
    assert_eq!(value(&all, "shared_buffers"), "256MB");
}

#[test]
fn libraries_of_the_file_come_first_and_ours_are_never_missing() {
    let libraries = |given: &str| value(&of(given, 16, 15), "shared_preload_libraries");
    assert_eq!(libraries(""), "pg_stat_statements,auto_explain");
    assert_eq!(
        libraries("shared_preload_libraries = \"citus, pg_stat_statements\""),
        "citus,pg_stat_statements,auto_explain"
    );
}
