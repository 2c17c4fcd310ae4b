//! CloudNativePG's manifests: a `Cluster`, with `Database`s and `DatabaseRole`s beside it. What
//! else Kubernetes keeps is told of by its kind.
//!
//! Source of the fields: the types of CloudNativePG's API `postgresql.cnpg.io/v1`.

mod members;
mod table;

use crate::draft::{Claim, Draft, Key, Rank, Value};
use crate::finding::Fate;
use crate::names;
use crate::parameters::{self, Origin};
use crate::table::tell_rest;
use crate::tree::Tree;
use crate::{hba, patroni, pgbouncer};

const GROUP: &str = "postgresql.cnpg.io/";
const RANK: Rank = Rank::Manifest;

/// More instances than a cluster file takes nodes are a mistake.
const INSTANCES_MAX: i64 = 32;

/// Reads the documents of one or more inputs. Returns how many nodes were made whose addresses
/// nobody knows.
pub(crate) fn carry(draft: &mut Draft, documents: &[Tree<'_>]) -> usize {
    let is = |tree: &&Tree<'_>, kind: &str| {
        let ours = tree.text(&["apiVersion"]).is_some_and(|version| version.starts_with(GROUP));
        ours && tree.text(&["kind"]) == Some(kind)
    };
    let mut clusters = documents.iter().filter(|tree| is(tree, "Cluster"));
    let mut nodes = 0;
    if let Some(first) = clusters.next() {
        nodes = cluster(draft, first);
    }
    for other in clusters {
        other.tell(draft, &Fate::not_carried("another cluster: import it into a file of its own"));
    }
    for tree in documents.iter().filter(|tree| is(tree, "Database")) {
        members::database(draft, tree);
    }
    for tree in documents.iter().filter(|tree| is(tree, "DatabaseRole")) {
        if let Some(role) = tree.at(&["spec"]) {
            members::role(draft, &role);
        }
    }
    for tree in documents.iter().filter(|tree| is(tree, "Pooler")) {
        pooler(draft, tree);
    }
    for tree in documents {
        let kind = tree.text(&["kind"]).unwrap_or_default();
        let rows = table::rows_of(kind);
        tell_rest(draft, tree.source, &tree.root, table::META.iter().chain(rows), table::UNKNOWN);
    }
    nodes
}

/// Keys of PgBouncer's that it is told.
fn pooler(draft: &mut Draft, tree: &Tree<'_>) {
    let Some(spec) = tree.at(&["spec", "pgbouncer"]) else { return };
    let parameters = spec.at(&["parameters"]);
    let keys =
        parameters.iter().flat_map(Tree::entries).map(|(name, tree)| (name.to_owned(), tree));
    for (name, tree) in
        keys.chain(spec.at(&["poolMode"]).map(|mode| ("pool_mode".to_owned(), mode)))
    {
        if let Some(text) = tree.node.text()
            && let Some(Ok((key, value))) = pgbouncer::place(&name, text)
        {
            tree.claim(draft, &key, &value, RANK);
        }
    }
}

fn cluster(draft: &mut Draft, tree: &Tree<'_>) -> usize {
    if let Some(name) = tree.at(&["metadata", "name"])
        && let Some(text) = name.node.text()
    {
        let tidy = names::tidy(text, "c");
        let note = format!("was {text}");
        match tidy == text {
            true => name.claim(draft, &Key::of(&["cluster"]), &Value::text(tidy), RANK),
            false => {
                name.claim_noted(draft, &Key::of(&["cluster"]), &Value::text(tidy), RANK, &note);
            }
        }
    }
    let Some(spec) = tree.at(&["spec"]) else { return 0 };
    let nodes = instances(draft, &spec, tree.text(&["metadata", "name"]).unwrap_or("n"));
    major(draft, &spec);
    durability(draft, &spec);
    server(draft, &spec);
    members::bootstrap(draft, &spec);
    for role in spec.at(&["managed", "roles"]).iter().flat_map(Tree::items) {
        members::role(draft, &role);
    }
    nodes.len()
}

/// `<cluster>-1` and so on, as the operator calls them.
fn instances(draft: &mut Draft, spec: &Tree<'_>, cluster: &str) -> Vec<String> {
    let Some(tree) = spec.at(&["instances"]) else { return Vec::new() };
    let Some(count) = tree.node.number().filter(|count| (1..=INSTANCES_MAX).contains(count)) else {
        tree.tell(draft, &Fate::not_carried("write a table `[nodes.NAME]` for each"));
        return Vec::new();
    };
    // A long name keeps room for its number.
    let stem: String = cluster.chars().take(24).collect();
    let nodes: Vec<String> =
        (1..=count).map(|number| draft.node(&format!("{stem}-{number}"))).collect();
    for node in &nodes {
        tree.claim(draft, &Key::of(&["nodes", node]), &Value::Table, RANK);
        zone(draft, spec, node);
    }
    nodes
}

/// All pods in one zone say which.
fn zone(draft: &mut Draft, spec: &Tree<'_>, node: &str) {
    let Some(selector) = spec.at(&["affinity", "nodeSelector"]) else { return };
    for (label, tree) in selector.entries() {
        let is_zone = label.ends_with("kubernetes.io/zone");
        if let Some(text) = tree.node.text().filter(|_| is_zone) {
            tree.claim(draft, &Key::of(&["nodes", node, "tags", "zone"]), &Value::text(text), RANK);
        }
    }
}

fn major(draft: &mut Draft, spec: &Tree<'_>) {
    let key = Key::of(&["postgresql", "major"]);
    if let Some(image) = spec.at(&["imageName"])
        && let Some(major) = image.node.text().and_then(names::major_of_image)
    {
        image.claim(draft, &key, &Value::Number(major), RANK);
    }
    if let Some(tree) = spec.at(&["imageCatalogRef", "major"])
        && let Some(major) = tree.node.number()
    {
        tree.claim(draft, &key, &Value::Number(major), RANK);
    }
}

/// Without a word about it, CloudNativePG's standbys are asynchronous.
fn durability(draft: &mut Draft, spec: &Tree<'_>) {
    let key = Key::of(&["durability"]);
    let quorum = Value::text("quorum");
    let note = "CloudNativePG waits for no standby unless postgresql.synchronous says so";
    draft.claim(Claim::guess(key.clone(), Value::text("async"), note));
    if let Some(synchronous) = spec.at(&["postgresql", "synchronous"]) {
        for part in ["method", "number"].iter().filter_map(|part| synchronous.at(&[part])) {
            part.claim(draft, &key, &quorum, RANK);
        }
        // Required is what it does without a word.
        let required = synchronous.text(&["dataDurability"]) != Some("preferred");
        let strict = Key::of(&["strict"]);
        match synchronous.at(&["dataDurability"]) {
            Some(part) => part.claim(draft, &strict, &Value::Flag(required), RANK),
            None => {
                let note = "dataDurability is required unless it says otherwise";
                draft.claim(Claim::guess(strict, Value::Flag(required), note));
            }
        }
    }
    // The older form.
    if let Some(least) = spec.at(&["minSyncReplicas"]) {
        match least.node.number() {
            Some(count) if count > 0 => least.claim(draft, &key, &quorum, RANK),
            _ => least.claim(draft, &key, &Value::text("async"), RANK),
        }
    }
}

fn server(draft: &mut Draft, spec: &Tree<'_>) {
    let part = |key| spec.at(&["postgresql", key]);
    for (name, tree) in part("parameters").iter().flat_map(Tree::entries) {
        if let (Some(leaf), Some(value)) = (tree.leaf(draft), tree.node.text()) {
            parameters::take(draft, leaf, name, value, RANK, Origin::Other);
        }
    }
    if let Some(tree) = part("shared_preload_libraries") {
        let libraries = tree.node.texts().join(",");
        let key = Key::parameter("shared_preload_libraries");
        tree.claim(draft, &key, &Value::text(libraries), RANK);
    }
    for rule in part("pg_hba").iter().flat_map(Tree::items) {
        if let (Some(leaf), Some(line)) = (rule.leaf(draft), rule.node.text()) {
            hba::take(draft, leaf, line, RANK);
        }
    }
    if let Some(locale) = spec.at(&["bootstrap", "initdb", "locale"])
        && let Some(text) = locale.node.text()
    {
        locale.claim(draft, &Key::of(&["postgresql", "locale"]), &Value::text(text), RANK);
    }
    for name in ["encoding", "dataChecksums"] {
        if let Some(tree) = spec.at(&["bootstrap", "initdb", name]) {
            let option = if name == "encoding" { name } else { "data-checksums" };
            tree.tell(draft, &patroni::carry::initdb_option(option, tree.node.text()));
        }
    }
}
