//! pgbouncer.ini on its way into a cluster file: little of it has a place there.

use super::lines::{Says, lines};
use crate::draft::{Claim, Draft, Key, LeafId, Rank, Value};
use crate::finding::Fate;
use crate::input::Input;
use crate::yaml::Path;

const POOLER: &str = "transactions are not pooled yet; endpoints lead each client to a server";

/// Tells of every `name = value` below a `[section]`.
pub(crate) fn carry(draft: &mut Draft, source: usize, input: &Input) {
    for line in lines(&input.file, &input.text) {
        let (section, number) = (&line.section, line.number);
        // A line that is not understood may hold anything.
        let key = match &line.says {
            Says::Key(name, _) => format!("{section}.{name}"),
            Says::Include(_) => format!("{section}.%include"),
            Says::Nothing => format!("line {number}"),
        };
        let path = Path(vec![section.clone(), key.clone()]);
        let leaf = draft.leaves(source).add_at(&path, &key, number);
        match &line.says {
            Says::Nothing => draft.tell(leaf, Fate::Unknown("not name = value".to_owned())),
            Says::Key(name, value) if name == "max_client_conn" => clients_max(draft, value, leaf),
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
