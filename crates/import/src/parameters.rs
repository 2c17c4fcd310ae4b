//! One server parameter of an input: carried, Howdah's own, gone from PostgreSQL, or a part of
//! the cluster file under another name.

use std::net::{IpAddr, Ipv4Addr};

use howdah_spec::parameters::{obsolete, owned};

use crate::draft::{ANY_NODE, Claim, Draft, Key, LeafId, Rank, Value};
use crate::finding::Fate;
use crate::names;

/// Where a parameter comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// postgresql.conf: addresses, ports and directories in it are the node's own.
    Conf,
    /// Somebody else's file, which has keys of its own for them.
    Other,
}

/// The size of a WAL segment, MB, of which old parameters count whole ones.
const SEGMENT_MB: u64 = 16;

/// Claims the parameter `name`, or tells why not.
pub(crate) fn take(
    draft: &mut Draft,
    leaf: LeafId,
    name: &str,
    value: &str,
    rank: Rank,
    origin: Origin,
) {
    let name = name.to_ascii_lowercase();
    let node = |key| Key::of(&["nodes", ANY_NODE, key]);
    match name.as_str() {
        _ if !is_name(&name) => {
            return draft.tell(leaf, Fate::Unknown("not a parameter's name".to_owned()));
        }
        "cluster_name" if origin == Origin::Conf && !value.is_empty() => {
            // Debian's is `15/main`.
            let short = value.rsplit('/').next().unwrap_or(value);
            let named = Value::text(names::tidy(short, "c"));
            return draft.claim(Claim::new(Key::of(&["cluster"]), named, leaf, rank));
        }
        "port" if origin == Origin::Conf => {
            let claim = |port| Claim::new(node("postgres_port"), Value::Number(port), leaf, rank);
            return match value.parse() {
                Ok(port) => draft.claim(claim(port)),
                Err(_) => draft.tell(leaf, Fate::not_carried("not a port")),
            };
        }
        "listen_addresses" if origin == Origin::Conf => return listen(draft, leaf, value, rank),
        "data_directory" if origin == Origin::Conf => {
            directory(draft, leaf, value, rank);
            return;
        }
        "synchronous_standby_names" if !value.trim().is_empty() => {
            let note = "the quorum's members follow from the nodes";
            let key = Key::of(&["durability"]);
            return draft.claim(Claim::new(key, Value::text("quorum"), leaf, rank).noted(note));
        }
        _ => {}
    }
    if name == "hba_file" && draft.has_rules {
        return draft.tell(leaf, Fate::replaced("its rules stand in `hba`"));
    }
    if let Some(fate) = fate(&name, value, origin) {
        return draft.tell(leaf, fate);
    }
    if let Some((successor, size)) = successor(&name, value) {
        let note = format!("in place of {name}");
        let claim = Claim::new(Key::parameter(successor), Value::text(size), leaf, rank);
        return draft.claim(claim.noted(note));
    }
    if let Some(gone) = obsolete(&name).filter(|gone| gone.removed_in <= OLDEST) {
        return draft
            .tell(leaf, Fate::not_carried(format!("PostgreSQL has dropped it; {}", gone.now)));
    }
    draft.claim(Claim::new(Key::parameter(&name), Value::setting(value), leaf, rank));
}

/// The oldest major version that a cluster file may have: what was dropped by then is gone for
/// all. What was dropped later the file's own check finds, knowing its version.
const OLDEST: u32 = 14;

/// What is said of a parameter that no cluster file has.
fn fate(name: &str, value: &str, origin: Origin) -> Option<Fate> {
    if let Some(owned) = owned(name) {
        return Some(match (name, origin) {
            ("hba_file", _) => Fate::not_carried("import that file too"),
            ("restore_command" | "archive_cleanup_command" | "recovery_end_command", _) => {
                Fate::not_carried("restoring from an archive is not built yet")
            }
            ("recovery_min_apply_delay", _) => Fate::not_carried(owned.reason),
            _ => Fate::replaced(owned.reason),
        });
    }
    if name == "shared_preload_libraries" && value.trim().is_empty() {
        return Some(Fate::replaced("pg_stat_statements and auto_explain are preloaded"));
    }
    if origin == Origin::Conf && INITDB.contains(&(name, value)) {
        return Some(Fate::replaced("initdb wrote it; Howdah's own value suits the machine"));
    }
    names::holds_secret(value).then(|| {
        Fate::not_carried(
            "the value seems to hold a secret; take that out and add the line by hand",
        )
    })
}

/// What initdb writes into every postgresql.conf, whatever the machine. Nobody chose it.
const INITDB: [(&str, &str); 3] =
    [("shared_buffers", "128MB"), ("max_wal_size", "1GB"), ("min_wal_size", "80MB")];

/// Parameters that were counted in WAL segments, as sizes. Sources: release notes of 9.5
/// ("max_wal_size = (3 * checkpoint_segments) * 16MB") and 13.
fn successor(name: &str, value: &str) -> Option<(&'static str, String)> {
    let segments: u64 = value.trim().parse().ok()?;
    let size = |segments: u64| Some(format!("{}MB", segments.checked_mul(SEGMENT_MB)?));
    match name {
        "checkpoint_segments" => Some(("max_wal_size", size(segments.checked_mul(3)?)?)),
        "wal_keep_segments" => Some(("wal_keep_size", size(segments)?)),
        _ => None,
    }
}

/// `'*'`, `'localhost, 10.0.0.1'`.
fn listen(draft: &mut Draft, leaf: LeafId, value: &str, rank: Rank) {
    let hosts: Vec<&str> = value.split(',').map(str::trim).filter(|h| !h.is_empty()).collect();
    let key = Key::of(&["nodes", ANY_NODE, "listen"]);
    match addresses(&hosts) {
        Some(found) => draft.claim(Claim::new(key, Value::Texts(found), leaf, rank)),
        None => {
            let what =
                "write the addresses into `listen` in `[nodes.NAME]`; names are not resolved";
            draft.tell(leaf, Fate::not_carried(what));
        }
    }
}

/// Addresses to listen on, as the cluster file writes them; nothing when none is one.
pub(crate) fn addresses(hosts: &[&str]) -> Option<Vec<String>> {
    let all = Ipv4Addr::UNSPECIFIED.to_string();
    let address = |host: &&str| match *host {
        "*" => Some(all.clone()),
        "localhost" => Some(Ipv4Addr::LOCALHOST.to_string()),
        host => host.parse::<IpAddr>().ok().map(|address| address.to_string()),
    };
    let mut found: Vec<String> = hosts.iter().filter_map(address).collect();
    if found.contains(&all) {
        found = vec![all];
    }
    found.dedup();
    (!found.is_empty()).then_some(found)
}

/// A data directory, which may tell the version too.
fn directory(draft: &mut Draft, leaf: LeafId, value: &str, rank: Rank) {
    if !value.starts_with('/') {
        return draft
            .tell(leaf, Fate::not_carried("a relative path; set `data_dir` in `[nodes.NAME]`"));
    }
    let key = Key::of(&["nodes", ANY_NODE, "data_dir"]);
    draft.claim(Claim::new(key, Value::text(value), leaf, rank));
    guess_major(draft, names::major_of_path(value), value);
}

/// The version that a path or an image tells.
pub(crate) fn guess_major(draft: &mut Draft, major: Option<i64>, from: &str) {
    if let Some(major) = major {
        let key = Key::of(&["postgresql", "major"]);
        draft.claim(Claim::guess(key, Value::Number(major), &format!("from {from}")));
    }
}

/// As PostgreSQL's `guc-file.l` takes names, a custom class included.
fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_' || !c.is_ascii())
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii())
    };
    !name.is_empty() && name.split('.').all(part)
}
