//! Golden cases: each `cases/*.toml` with what is said of it in the `.txt` beside it. Cases
//! named `server-*` are also checked against the parameters of a real PostgreSQL 15.
//!
//! `HOWDAH_BLESS=1 cargo nextest run -p howdah-spec` writes the `.txt` files anew; review the
//! diff.

use std::path::{Path, PathBuf};

use howdah_spec::parameters::{ServerParameters, check_against};
use howdah_spec::{Context, Mistakes, parse, parse_with_places, to_toml};

/// As `postgres --describe-config` printed it, without the descriptions.
const DESCRIBED: &str = include_str!("describe-config-15.tsv");

#[test]
fn every_case_says_what_is_written_beside_it() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries = std::fs::read_dir(dir).expect("cases");
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    cases.sort();
    assert!(cases.len() > 20, "cases are missing");
    let wrong: Vec<_> = cases.iter().filter_map(|path| check(path)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What differs, if anything does.
fn check(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).expect("case");
    let name = path.file_stem().expect("name").to_string_lossy();
    let said = said(&text, name.starts_with("server-"));
    let beside = path.with_extension("txt");
    if std::env::var_os("HOWDAH_BLESS").is_some() {
        std::fs::write(&beside, &said).expect("bless");
    }
    let wanted = std::fs::read_to_string(&beside).unwrap_or_default();
    (said != wanted).then(|| format!("--- {name}: wanted\n{wanted}--- {name}: said\n{said}"))
}

fn said(text: &str, with_server: bool) -> String {
    let context = Context { default_base: "/var/lib/howdah".into(), relative_to: "/etc/h".into() };
    let parsed = match parse_with_places("howdah.toml", text, &context) {
        Ok(parsed) => parsed,
        Err(mistakes) => return format!("{mistakes}\n"),
    };
    if !with_server {
        let written = to_toml(&parsed.spec);
        let again = parse("again.toml", &written, &context).expect("what is written is valid");
        assert_eq!(again, parsed.spec, "reads back as something else:\n{written}");
        return written;
    }
    let server = ServerParameters::parse(15, DESCRIBED).expect("described");
    format!("{}\n", Mistakes(check_against("howdah.toml", &parsed, &server)))
}
