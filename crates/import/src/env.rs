//! Environment variables: of the images that run PostgreSQL, of its clients, of what stands
//! around it.

pub(crate) mod dotenv;
mod families;
mod table;
mod url;

use crate::draft::{ANY_NODE, Claim, Draft, Key, LeafId, Rank, Value};
use crate::finding::Fate;
use crate::parameters::{self, Origin};
use crate::patroni::carry::initdb_option;
use crate::{hba, names, pgbouncer};

/// One variable with its leaf.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub(crate) name: String,
    /// Empty where it is not given: whoever starts the container passes its own.
    pub(crate) value: String,
    pub(crate) leaf: LeafId,
}

/// Variables that one process gets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) variables: Vec<Variable>,
    /// The node that they are of, in the cluster file's words.
    pub(crate) node: Option<String>,
    /// Paths are those inside a container.
    pub(crate) container: bool,
}

impl Scope {
    fn get(&self, names: &[&str]) -> Option<&Variable> {
        names.iter().find_map(|name| self.variables.iter().find(|v| v.name == *name))
    }
}

/// Carries over what can be, and tells of everything else but Patroni's own variables.
pub(crate) fn carry(draft: &mut Draft, scopes: &[Scope]) {
    for scope in scopes {
        families::carry(draft, scope);
        for variable in &scope.variables {
            url::carry(draft, variable);
            if !draft.is_settled(variable.leaf) {
                one(draft, scope, variable);
            }
        }
    }
}

/// Whom standbys connect as in these scopes.
pub(crate) fn replicators(scopes: &[Scope]) -> impl Iterator<Item = String> {
    scopes.iter().flat_map(families::replicators)
}

/// A variable that means something by itself.
fn one(draft: &mut Draft, scope: &Scope, variable: &Variable) {
    let Variable { name, value, leaf } = variable;
    let node = scope.node.as_deref().unwrap_or(ANY_NODE);
    match name.as_str() {
        "PGDATA" | "POSTGRESQL_DATA_DIR" if scope.container => {
            let what = "a path inside the container; give the directory that is mounted there to \
                        `howdah adopt`";
            draft.tell(*leaf, Fate::not_carried(what));
        }
        "PGDATA" | "POSTGRESQL_DATA_DIR" if value.starts_with('/') => {
            let key = Key::of(&["nodes", node, "data_dir"]);
            draft.claim(Claim::new(key, Value::text(value), *leaf, Rank::Environment));
        }
        _ if table::is_poolers(name) => {
            let key = name.strip_prefix("PGBOUNCER_").unwrap_or(name).to_ascii_lowercase();
            pgbouncer::take(draft, &key, value, *leaf, Rank::Environment);
        }
        "POSTGRES_PORT" | "POSTGRESQL_PORT_NUMBER" => port(draft, node, variable),
        "POSTGRES_INITDB_ARGS" | "POSTGRESQL_INITDB_ARGS" => initdb(draft, variable),
        "LANG" | "LC_ALL" if !value.is_empty() => {
            let key = Key::of(&["postgresql", "locale"]);
            draft.claim(Claim::new(key, Value::text(value), *leaf, Rank::Environment));
        }
        "PGVERSION" | "PG_MAJOR" | "POSTGRES_VERSION" | "PG_VERSION" => major(draft, variable),
        "POSTGRES_HOST_AUTH_METHOD" => {
            hba::take(draft, *leaf, &format!("host all all all {value}"), Rank::Environment);
        }
        "POSTGRESQL_NUM_SYNCHRONOUS_REPLICAS" => {
            let quorum = value.parse::<u32>().is_ok_and(|count| count > 0);
            let value = Value::text(if quorum { "quorum" } else { "async" });
            let key = Key::of(&["durability"]);
            draft.claim(Claim::new(key, value, *leaf, Rank::Environment));
        }
        _ => match table::parameter(name) {
            Some(_) if value.is_empty() => draft.tell(*leaf, Fate::not_carried("it is empty")),
            Some(parameter) => {
                parameters::take(draft, *leaf, parameter, value, Rank::Environment, Origin::Other)
            }
            None => {
                if let Some(fate) = table::fate(name) {
                    draft.tell(*leaf, fate);
                }
            }
        },
    }
}

fn port(draft: &mut Draft, node: &str, variable: &Variable) {
    match variable.value.parse() {
        Ok(port) => {
            let key = Key::of(&["nodes", node, "postgres_port"]);
            draft.claim(Claim::new(key, Value::Number(port), variable.leaf, Rank::Environment));
        }
        Err(_) => draft.tell(variable.leaf, Fate::not_carried("not a port")),
    }
}

fn major(draft: &mut Draft, variable: &Variable) {
    match names::major(&variable.value) {
        Some(major) => {
            let key = Key::of(&["postgresql", "major"]);
            draft.claim(Claim::new(key, Value::Number(major), variable.leaf, Rank::Environment));
        }
        None => draft.tell(variable.leaf, Fate::not_carried("not a version")),
    }
}

/// Options of initdb in one text.
fn initdb(draft: &mut Draft, variable: &Variable) {
    let Some(words) = names::words(&variable.value) else {
        return draft.tell(variable.leaf, Fate::not_carried("a quote is not closed"));
    };
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, words.next_if(|next| !next.starts_with('-'))),
        };
        let name = name.trim_start_matches('-');
        match (name, value) {
            ("locale", Some(locale)) => {
                let key = Key::of(&["postgresql", "locale"]);
                let locale = Value::text(locale);
                draft.claim(Claim::new(key, locale, variable.leaf, Rank::Environment));
            }
            (name, value) => match initdb_option(name, value) {
                Fate::NotCarried(what) => {
                    draft.tell(variable.leaf, Fate::not_carried(format!("`{name}`: {what}")));
                }
                fate => draft.tell(variable.leaf, fate),
            },
        }
    }
}

/// Tells of every variable that nobody has said anything of.
pub(crate) const UNKNOWN: &str = "not a variable of PostgreSQL's surroundings that Howdah knows";
