//! What people read is true: the reference example, the first file, and the texts of
//! `howdah check` and `howdah tune`.

use std::path::Path;

use howdah_base::{Bytes, NodeName};
use howdah_spec::parameters::{ServerParameters, check_against};
use howdah_spec::{
    ClusterSpec, Context, Machine, check_text, init_text, nodes_here, parse, parse_with_places,
    to_toml, tune_text,
};

const REFERENCE: &str = include_str!("../../../examples/reference.toml");
const DESCRIBED: &str = include_str!("describe-config-15.tsv");

fn context() -> Context {
    Context { default_base: "/var/lib/howdah".into(), relative_to: "/etc/howdah".into() }
}

fn spec(text: &str) -> ClusterSpec {
    parse("howdah.toml", text, &context()).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn node(name: &str) -> NodeName {
    name.parse().expect("name")
}

/// 4 GB for each of three nodes.
fn machine() -> Machine {
    Machine { memory: Bytes(12 << 30), cores: 4, nodes_here: 3 }
}

/// Compares with a file beside this one; `HOWDAH_BLESS=1` writes it.
fn check(name: &str, said: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/texts").join(name);
    if std::env::var_os("HOWDAH_BLESS").is_some() {
        std::fs::write(&path, said).expect("bless");
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(said == wanted, "{name}: wanted\n{wanted}\n{name}: said\n{said}");
}

#[test]
fn the_reference_example_shows_the_defaults() {
    let reference = spec(REFERENCE);
    let least = spec("cluster = \"shop\"\n[nodes.n1]\n[nodes.n2]\n[nodes.n3]\n");
    assert_eq!(reference.durability, least.durability);
    assert_eq!(reference.strict, least.strict);
    assert_eq!(reference.run_as, least.run_as);
    assert_eq!(reference.base_dir, least.base_dir);
    assert_eq!(reference.ha, least.ha);
    assert_eq!(reference.store, least.store);
    assert_eq!(reference.endpoints, least.endpoints);
    assert_eq!(reference.pools, least.pools);
    assert_eq!(reference.postgresql.locale, least.postgresql.locale);
    assert_eq!(reference.nodes[&node("n2")], least.nodes[&node("n2")]);
    let (mut shown, mut default) = (reference, least);
    let shown = shown.nodes.get_mut(&node("n1")).expect("n1");
    let default = default.nodes.get_mut(&node("n1")).expect("n1");
    default.tags.zone = shown.tags.zone.clone();
    default.tags.free = shown.tags.free.clone();
    assert_eq!(shown, default);
}

#[test]
fn the_reference_example_shows_the_default_of_each_kind_of_role() {
    for (kind, role) in spec(REFERENCE).roles {
        let line = format!("#   {:<8} {:>4}  ", kind, role.connection_limit);
        assert!(kind == "readers" || REFERENCE.contains(&line), "`{line}`");
    }
}

#[test]
fn a_server_takes_the_reference_example() {
    let parsed = parse_with_places("reference.toml", REFERENCE, &context()).expect("valid");
    let server = ServerParameters::parse(15, DESCRIBED).expect("described");
    assert_eq!(check_against("reference.toml", &parsed, &server), []);
}

#[test]
fn what_is_written_back_reads_the_same() {
    let reference = spec(REFERENCE);
    assert_eq!(spec(&to_toml(&reference)), reference);
}

/// Whatever half a file says, it is answered and not died of.
#[test]
fn half_a_file_is_answered() {
    for end in (0..REFERENCE.len()).step_by(11).filter(|end| REFERENCE.is_char_boundary(*end)) {
        if let Err(mistakes) = parse("half.toml", &REFERENCE[..end], &context()) {
            assert!(!mistakes.0.is_empty(), "refused without a reason at byte {end}");
        }
    }
}

#[test]
fn the_first_file_is_short_and_valid() {
    let text =
        init_text(&"demo".parse().expect("name"), 3, Path::new("/var/lib/howdah/demo/backups"));
    assert!(text.lines().count() <= 60, "{text}");
    let spec = spec(&text);
    assert_eq!((spec.nodes.len(), spec.roles.len()), (3, 5));
    assert_eq!(spec.databases["app"].owner.as_deref(), Some("app"));
    assert_eq!(nodes_here(&spec, &node("n2")), 3);
    check("init.txt", &text);
}

#[test]
fn check_prints_every_value_in_force() {
    let text = check_text(&spec(REFERENCE), &node("n1"), &machine(), 17);
    check("check.txt", &text);
}

#[test]
fn tune_prints_each_formula() {
    check("tune.txt", &tune_text(&spec(REFERENCE), &machine()));
}
