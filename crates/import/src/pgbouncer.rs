//! pgbouncer.ini: pools are not built yet, so that little of it has a place.

use crate::draft::{Claim, Draft, Key, LeafId, Rank, Value};
use crate::finding::Fate;
use crate::input::Input;
use crate::yaml::Path;

const POOLER: &str = "transactions are not pooled yet; endpoints lead each client to a server";

/// Tells of every `name = value` below a `[section]`.
pub(crate) fn carry(draft: &mut Draft, source: usize, input: &Input) {
    let mut section = String::new();
    for (place, line) in input.text.lines().enumerate() {
        let (line, number) = (line.trim(), place + 1);
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let (name, value) = (name.trim(), value.trim());
        // A line without an equals sign may hold anything.
        let is_key = line.contains('=');
        let key = if is_key { format!("{section}.{name}") } else { format!("line {number}") };
        let path = Path(vec![section.clone(), key.clone()]);
        let leaf = draft.leaves(source).add_at(&path, &key, number);
        match name {
            _ if !is_key => draft.tell(leaf, Fate::Unknown("not name = value".to_owned())),
            "max_client_conn" => clients_max(draft, value, leaf),
            _ => draft.tell(leaf, Fate::not_carried(POOLER)),
        }
    }
}

/// How many clients one pooler takes; an endpoint stands where it stood.
pub(crate) fn clients_max(draft: &mut Draft, value: &str, leaf: LeafId) {
    match value.parse() {
        Ok(count) => {
            let key = Key::of(&["endpoints", "clients_max"]);
            draft.claim(Claim::new(key, Value::Number(count), leaf, Rank::Environment));
        }
        Err(_) => draft.tell(leaf, Fate::not_carried("not a number; set `endpoints.clients_max`")),
    }
}
