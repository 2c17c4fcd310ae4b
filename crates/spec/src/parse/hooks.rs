//! `[http]`, `[hooks.NAME]` and `[vip]`: what stands between the cluster and its surroundings.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use howdah_base::Span;

use super::members::read_secret;
use super::reader::{Table, Value};
use super::{choice, keys};
use crate::types::{HookAction, HookEvent, HookSpec, HttpSpec, VipSpec};

/// How long one attempt of a hook may take at most.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

pub(super) fn read_http(top: &Table<'_>, base_dir: &Path) -> HttpSpec {
    let table = top.table("http", &keys::HTTP);
    let spec = HttpSpec {
        plain_changes: table.flag("plain_changes").unwrap_or(false),
        user: table.text("user"),
        password: table.get("password").and_then(|value| read_secret(value, base_dir)),
    };
    if spec.user.is_some() != spec.password.is_some()
        && let Some(value) = table.get("user").or(table.get("password"))
    {
        let hint = "give both `user` and `password`, or neither";
        value.wrong("a user and a password go together".to_owned(), hint);
    }
    spec
}

pub(super) fn read(top: &Table<'_>) -> BTreeMap<String, HookSpec> {
    let table = top.names("hooks");
    let read = |(name, value): (&str, &Value<'_>)| {
        let hook = read_hook(&value.table(&keys::HOOK)?, value)?;
        Some((name.to_owned(), hook))
    };
    table.entries().filter_map(read).collect()
}

fn read_hook(table: &Table<'_>, hook: &Value<'_>) -> Option<HookSpec> {
    let on: Vec<HookEvent> = table
        .get("on")
        .map(Value::list)
        .unwrap_or_default()
        .iter()
        .filter_map(|value| choice(value, &HookEvent::WORDS))
        .collect();
    if table.get("on").is_none() {
        let hint = "add a line such as `on = [\"on_role_change\"]`";
        hook.wrong(format!("it is called for nothing: `{}`", hook.path), hint);
    }
    let timeout = table.span("timeout").unwrap_or(Span(Duration::from_secs(10)));
    if (timeout.0.is_zero() || timeout.0 > TIMEOUT_MAX)
        && let Some(value) = table.get("timeout")
    {
        value.wrong(format!("not a bound: `{timeout}`"), "write a time from `\"1ms\"` to `\"1h\"`");
    }
    let nodes = table.get("nodes").map(Value::list).unwrap_or_default();
    Some(HookSpec {
        on,
        action: read_action(table, hook)?,
        timeout,
        attempts: table.integer("attempts", 1..=100).unwrap_or(3),
        nodes: nodes
            .iter()
            .filter_map(|node| node.parsed("a node's name", "write the name of a node"))
            .collect(),
        every_node: table.flag("every_node").unwrap_or(false),
        patroni_arguments: table.flag("patroni_arguments").unwrap_or(false),
    })
}

fn read_action(table: &Table<'_>, hook: &Value<'_>) -> Option<HookAction> {
    let forms = "write `command = [\"program\", \"argument\"]` or `webhook = \"https://...\"`";
    match (table.get("command"), table.get("webhook")) {
        (Some(command), None) => {
            let words: Vec<String> = command.list().iter().filter_map(Value::text).collect();
            if words.is_empty() {
                command.wrong(format!("not a program: `{}`", command.path), forms);
                return None;
            }
            Some(HookAction::Command(words))
        }
        (None, Some(webhook)) => {
            let address = webhook.text()?;
            if !address.starts_with("https://") && !address.starts_with("http://") {
                webhook.wrong(format!("not an address: `{}`", webhook.path), forms);
                return None;
            }
            Some(HookAction::Webhook(address))
        }
        _ => {
            hook.wrong(format!("a hook has one action: `{}`", hook.path), forms);
            None
        }
    }
}

pub(super) fn read_vip(top: &Table<'_>) -> Option<VipSpec> {
    let given = top.get("vip")?;
    let table = given.table(&keys::VIP)?;
    let hint = "write `address = \"10.0.0.10/24\"` and `interface = \"eth0\"`";
    let (Some(address), Some(interface)) = (table.get("address"), table.text("interface")) else {
        given.wrong("an address and an interface make a virtual IP: `vip`".to_owned(), hint);
        return None;
    };
    let text = address.text()?;
    let split = text.split_once('/');
    let parsed = split.and_then(|(ip, bits)| Some((ip.parse().ok()?, bits.parse().ok()?)));
    let parsed =
        parsed.filter(|(ip, bits): &(IpAddr, u8)| *bits <= if ip.is_ipv4() { 32 } else { 128 });
    let Some((ip, prefix)) = parsed else {
        address.wrong(format!("not an address with its prefix: `{text}`"), hint);
        return None;
    };
    // IFNAMSIZ - 1 bytes, and nothing that a command could take for an option.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | ':');
    if interface.is_empty()
        || interface.len() > 15
        || interface.starts_with('-')
        || !interface.chars().all(plain)
    {
        given.wrong(format!("not an interface: `{interface}`"), hint);
        return None;
    }
    Some(VipSpec { address: ip, prefix, interface })
}
