//! Roles and databases of CloudNativePG's.

use super::RANK;
use crate::draft::{Claim, Draft, Key, Value};
use crate::finding::Fate;
use crate::names;
use crate::roles::{self, Attributes};
use crate::tree::Tree;

/// `bootstrap.initdb`: an application's database and who owns it. Both are called `app` where
/// the manifest does not say.
pub(super) fn bootstrap(draft: &mut Draft, spec: &Tree<'_>) {
    let Some(initdb) = spec.at(&["bootstrap", "initdb"]) else { return };
    let database = initdb.text(&["database"]).unwrap_or("app");
    let owner = initdb.text(&["owner"]).unwrap_or(database);
    for leaf in initdb.at(&["owner"]).map(|tree| tree.leaves(draft)).unwrap_or_default() {
        roles::declare(draft, owner, Attributes::default(), leaf, RANK);
    }
    for leaf in initdb.at(&["database"]).map(|tree| tree.leaves(draft)).unwrap_or_default() {
        roles::database(draft, database, Some(owner), leaf, RANK);
        roles::declare(draft, owner, Attributes::default(), leaf, RANK);
    }
    if let Some(secret) = initdb.at(&["secret", "name"]) {
        password(draft, owner, &secret);
    }
}

/// One of `managed.roles`, or the spec of a `DatabaseRole`.
pub(super) fn role(draft: &mut Draft, tree: &Tree<'_>) {
    let Some(name) = tree.text(&["name"]) else { return };
    if tree.text(&["ensure"]) == Some("absent") {
        return tree.tell(draft, &Fate::not_carried("Howdah drops no role; drop it by hand"));
    }
    let flag = |key: &str| tree.node.get(key).and_then(crate::yaml::Node::truth);
    let attributes = Attributes {
        superuser: flag("superuser").unwrap_or(false),
        createdb: flag("createdb").unwrap_or(false),
        createrole: flag("createrole").unwrap_or(false),
        replication: flag("replication").unwrap_or(false),
        no_login: flag("login") != Some(true),
        monitor: false,
    };
    let naming = ["name", "ensure", "login", "superuser", "createdb", "createrole", "replication"];
    for part in naming.iter().filter_map(|key| tree.at(&[key])) {
        if let Some(leaf) = part.leaf(draft) {
            roles::declare(draft, name, attributes, leaf, RANK);
        }
    }
    if roles::is_superuser(name) {
        let why = "postgres is the superuser of Howdah's own sessions";
        return tree.tell(draft, &Fate::replaced(why));
    }
    let key = |key: &str| Key::of(&["roles", name, key]);
    if let Some(part) = tree.at(&["connectionLimit"])
        && let Some(limit) = part.node.number()
    {
        part.claim(draft, &key("connection_limit"), &Value::Number(limit), RANK);
    }
    if let Some(part) = tree.at(&["inRoles"]).filter(|part| !part.node.items().is_empty()) {
        let groups = part.node.texts().into_iter().map(str::to_owned).collect();
        part.claim(draft, &key("member_of"), &Value::Texts(groups), RANK);
    }
    if let Some(secret) = tree.at(&["passwordSecret", "name"]) {
        password(draft, name, &secret);
    }
}

/// A password in a Secret: the manifest has only its name.
fn password(draft: &mut Draft, role: &str, secret: &Tree<'_>) {
    let (Some(leaf), Some(name)) = (secret.leaf(draft), secret.node.text()) else { return };
    if roles::is_superuser(role) {
        return draft
            .tell(leaf, Fate::replaced("Howdah's own sessions come through a private socket"));
    }
    let file = format!("{}.password", names::tidy(role, "role-"));
    let note = format!(
        "kubectl get secret {name} -o jsonpath='{{.data.password}}' | base64 -d > <base_dir>/client/secrets/{file}"
    );
    let key = Key::of(&["roles", role, "password"]);
    draft.claim(Claim::new(key, Value::Secret("file", file.clone()), leaf, RANK).noted(note));
    draft.secret(&format!("role {role}"), format!("<base_dir>/client/secrets/{file}"), leaf);
}

/// A `Database`.
pub(super) fn database(draft: &mut Draft, tree: &Tree<'_>) {
    let Some(spec) = tree.at(&["spec"]) else { return };
    let Some(name) = spec.text(&["name"]) else { return };
    if spec.text(&["ensure"]) == Some("absent") {
        return spec.tell(draft, &Fate::not_carried("Howdah drops no database; drop it by hand"));
    }
    let owner = spec.text(&["owner"]);
    for part in ["name", "owner", "ensure"].iter().filter_map(|key| spec.at(&[key])) {
        if let Some(leaf) = part.leaf(draft) {
            roles::database(draft, name, owner, leaf, RANK);
        }
    }
    let Some(list) = spec.at(&["extensions"]) else { return };
    let wanted = |item: &Tree<'_>| item.text(&["ensure"]) != Some("absent");
    let names: Vec<String> = list
        .items()
        .filter(wanted)
        .filter_map(|item| item.text(&["name"]).map(str::to_owned))
        .collect();
    for item in list.items().filter(wanted) {
        for part in ["name", "ensure"].iter().filter_map(|key| item.at(&[key])) {
            let key = Key::of(&["databases", name, "extensions"]);
            part.claim(draft, &key, &Value::Texts(names.clone()), RANK);
        }
    }
}
