//! What is one node's own: its name, addresses, directories, parameters, and who asks Patroni.

use super::{Member, cluster, parameters, rules};
use crate::draft::{Draft, Key, Rank, Value};
use crate::finding::Fate;
use crate::names;
use crate::parameters::{addresses, guess_major};
use crate::patroni::address::{Address, Listen};
use crate::roles;

/// Ports that Patroni takes where an address has none.
const POSTGRES_PORT: u16 = 5432;
const REST_PORT: u16 = 8008;

pub(super) fn carry(draft: &mut Draft, member: &Member<'_>) {
    let rank = member.rank;
    if let (Some(tree), Some(scope)) = (member.at(&["scope"]), member.tree.text(&["scope"])) {
        let leaves = tree.leaves(draft);
        leaves.into_iter().for_each(|leaf| cluster(draft, leaf, scope, rank));
    }
    name(draft, member);
    connect_address(draft, member);
    listen(draft, member);
    rest_api(draft, member);
    directories(draft, member);
    superuser(draft, member);
    watchdog(draft, member);
    if let Some(tree) = member.at(&["postgresql", "parameters"]) {
        parameters(draft, &tree, rank);
    }
    if let Some(tree) = member.at(&["postgresql", "pg_hba"]) {
        rules(draft, &tree, rank);
    }
}

/// Words as Patroni reads them (`parse_mode` in watchdog/base.py); the safety margin follows from
/// the lease.
fn watchdog(draft: &mut Draft, member: &Member<'_>) {
    let mode_of = |text: &str| match text.to_ascii_lowercase().as_str() {
        "require" | "required" => Some("required"),
        "auto" | "automatic" => Some("automatic"),
        "off" | "no" | "false" | "disable" | "disabled" => Some("off"),
        _ => None,
    };
    if let Some(tree) = member.at(&["watchdog", "mode"])
        && let Some(mode) = tree.node.text().and_then(mode_of)
    {
        tree.claim(draft, &Key::of(&["ha", "watchdog"]), &Value::text(mode), member.rank);
    }
    if let Some(tree) = member.at(&["watchdog", "device"])
        && let Some(device) = tree.node.text()
    {
        tree.claim(draft, &Key::of(&["ha", "watchdog_device"]), &Value::text(device), member.rank);
    }
}

fn name(draft: &mut Draft, member: &Member<'_>) {
    let (Some(tree), Some(given)) = (member.at(&["name"]), member.tree.text(&["name"])) else {
        return;
    };
    let key = member.key(&[]);
    if member.name == given {
        tree.claim(draft, &key, &Value::Table, member.rank);
    } else {
        tree.claim_noted(draft, &key, &Value::Table, member.rank, &format!("was {given}"));
    }
}

fn connect_address(draft: &mut Draft, member: &Member<'_>) {
    let keys = ["postgresql", "connect_address"];
    let Some(tree) = member.at(&keys) else { return };
    match tree.node.text().and_then(|text| Address::parse(text, POSTGRES_PORT)) {
        Some(Address { host, port }) => {
            tree.claim(draft, &member.key(&["host"]), &Value::text(host), member.rank);
            // What the server listens on is stronger.
            let port = Value::Number(i64::from(port));
            tree.claim(draft, &member.key(&["postgres_port"]), &port, Rank::Shared);
        }
        None => {
            tree.tell(draft, &Fate::not_carried("not an address; set `host` in `[nodes.NAME]`"))
        }
    }
}

fn listen(draft: &mut Draft, member: &Member<'_>) {
    let Some(tree) = member.at(&["postgresql", "listen"]) else { return };
    let listen = tree.node.text().and_then(|text| Listen::parse(text, POSTGRES_PORT));
    let Some(Listen { hosts, port }) = listen else {
        return tree
            .tell(draft, &Fate::not_carried("not an address; set `listen` in `[nodes.NAME]`"));
    };
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    if let Some(found) = addresses(&hosts) {
        tree.claim(draft, &member.key(&["listen"]), &Value::Texts(found), member.rank);
    }
    let port = Value::Number(i64::from(port));
    tree.claim(draft, &member.key(&["postgres_port"]), &port, member.rank);
}

fn rest_api(draft: &mut Draft, member: &Member<'_>) {
    let rank = member.rank;
    for (key, rank) in [("listen", rank), ("connect_address", Rank::Shared)] {
        let Some(tree) = member.at(&["restapi", key]) else { continue };
        match tree.node.text().and_then(|text| Listen::parse(text, REST_PORT)) {
            Some(Listen { port, .. }) => {
                let port = Value::Number(i64::from(port));
                tree.claim(draft, &member.key(&["http_port"]), &port, rank);
            }
            None => tree.tell(draft, &Fate::not_carried("not an address; set `http_port`")),
        }
    }
    let auth = ["restapi", "authentication"];
    if let Some(tree) = member.at(&[&auth[..], &["username"]].concat())
        && let Some(user) = tree.node.text()
    {
        tree.claim(draft, &Key::of(&["http", "user"]), &Value::text(user), rank);
    }
    if let Some(tree) = member.at(&[&auth[..], &["password"]].concat())
        && let (Some(leaf), Some(password)) = (tree.leaf(draft), tree.node.text())
    {
        let key = Key::of(&["http", "password"]);
        roles::secret(draft, "HTTP", key, "rest-password", password, leaf, rank);
    }
}

fn directories(draft: &mut Draft, member: &Member<'_>) {
    let rank = member.rank;
    let here =
        |key| Some((member.at(&["postgresql", key])?, member.tree.text(&["postgresql", key])?));
    if let Some((tree, dir)) = here("data_dir") {
        match dir.starts_with('/') {
            true => tree.claim(draft, &member.key(&["data_dir"]), &Value::text(dir), rank),
            false => {
                let what = "a relative path; set `data_dir` in `[nodes.NAME]`";
                tree.tell(draft, &Fate::not_carried(what));
            }
        }
        guess_major(draft, names::major_of_path(dir), dir);
    }
    let Some((tree, dir)) = here("bin_dir") else { return };
    if dir.is_empty() {
        return tree.tell(draft, &Fate::replaced("the server is searched for"));
    }
    tree.claim(draft, &Key::of(&["postgresql", "bin_dir"]), &Value::text(dir), rank);
    guess_major(draft, names::major_of_path(dir), dir);
}

fn superuser(draft: &mut Draft, member: &Member<'_>) {
    let keys = ["postgresql", "authentication", "superuser", "username"];
    let Some(tree) = member.at(&keys) else { return };
    let Some(name) = tree.node.text().filter(|name| !roles::is_superuser(name)) else { return };
    let what = format!(
        "Howdah's own superuser is postgres, which `howdah adopt` makes; {name} stays as it is"
    );
    if let Some(leaf) = tree.leaf(draft) {
        draft.tell(leaf, Fate::not_carried(what));
    }
}
