//! Removes what Patroni has left, when every node is Howdah's: its slots, its keys in etcd, and
//! what was kept for going back.

use anyhow::Context;
use howdah_base::record::ServerState;
use howdah_base::status::ClusterStatus;
use howdah_import::patroni::{Dcs, DcsKind};
use howdah_store::etcd::{Etcd, EtcdOptions, TlsFiles};
use howdah_store::{Store, Txn};

use super::super::look::ask;
use super::here::Here;
use super::rest::Who;
use super::{Journal, Order, Step, begin, node, tell};
use crate::ask::block_on;
use crate::failure::Failure;
use crate::prepare::Prepared;

/// Legal only when no Patroni runs any more. Afterwards there is no way back.
pub fn finish(order: &Order<'_>, here: &Here) -> anyhow::Result<()> {
    let Some(journal) = here.journal.as_ref().filter(|journal| journal.step == Step::Taken) else {
        return Err(Failure::failed(
            "this node was not taken over from Patroni, or not to the end",
        )
        .hint("howdah adopt --patroni FILE --yes")
        .into());
    };
    let prepared = begin::folders(order, here, false)?.context("prepare this machine")?;
    let status = node::status(&prepared).context("ask the cluster")?;
    check(here, journal, &status)?;
    if status.leader.as_ref() == Some(&here.node) {
        drop_slots(&prepared, here, journal)?;
        forget_cluster(here)?;
    } else {
        tell("slots and keys of Patroni's go when this is said where the primary is");
    }
    prepared.server.act(|| Journal::forget(&here.spec.state_dir))?;
    tell("what was kept for going back is removed");
    Ok(())
}

fn check(here: &Here, journal: &Journal, status: &ClusterStatus) -> anyhow::Result<()> {
    for member in &journal.members {
        if !matches!(here.rest.who(&member.api)?, Who::Howdah(_)) {
            return Err(Failure::failed(format!("{} is not Howdah's yet", member.name))
                .hint("on its machine: howdah adopt --patroni FILE --yes")
                .into());
        }
    }
    let well = |state| matches!(state, ServerState::Primary | ServerState::Streaming);
    match status.nodes.iter().find(|node| node.member.is_some() && !well(node.state)) {
        None => Ok(()),
        Some(node) => Err(Failure::failed(format!("node {} does not stream yet", node.node))
            .hint("howdah status")
            .into()),
    }
}

/// One for each member, by its name.
fn drop_slots(prepared: &Prepared, here: &Here, journal: &Journal) -> anyhow::Result<()> {
    let names: Vec<String> =
        journal.members.iter().map(|m| format!("'{}'", slot_name(&m.name))).collect();
    let sql = format!(
        "select coalesce(string_agg(slot_name, ', '), '') from (select slot_name, \
         pg_drop_replication_slot(slot_name) from pg_replication_slots \
         where slot_type = 'physical' and not active and slot_name in ({})) dropped",
        names.join(", ")
    );
    let sockets = here.spec.state_dir.join("run");
    let place = (sockets.as_path(), here.spec.postgres_port);
    let dropped = ask(&here.install, &prepared.server.name, "postgres", place, &sql)?;
    if !dropped.is_empty() {
        tell(format!("Patroni's slots are removed: {dropped}"));
    }
    Ok(())
}

/// As Patroni makes it of a member's name (`slot_name_from_member_name`): letters in lower case,
/// `-` and `.` as `_`, others as `u` and four digits of their number; 63 characters.
fn slot_name(member: &str) -> String {
    let mut slot = String::new();
    for letter in member.to_lowercase().chars() {
        match letter {
            'a'..='z' | '0'..='9' | '_' => slot.push(letter),
            '-' | '.' => slot.push('_'),
            other => slot += &format!("u{:04}", u32::from(other)),
        }
    }
    slot.chars().take(63).collect()
}

/// Patroni's keys: without them one that is started by mistake would make a new cluster, which
/// finds the directory marked and in use.
fn forget_cluster(here: &Here) -> anyhow::Result<()> {
    let scope = here.config.scope.as_deref().context("find `scope` in Patroni's file")?;
    let prefix = format!("{}{scope}/", here.config.namespace);
    let Some(dcs) = here.config.dcs.as_ref().filter(|dcs| dcs.kind == DcsKind::Etcd3) else {
        tell(format!("Patroni's keys are still in its store, below `{prefix}`: remove them there"));
        return Ok(());
    };
    let count = block_on(async {
        let store = Etcd::open(options(dcs, &prefix)).await?;
        let keys: Vec<String> = store.snapshot().await?.entries.into_keys().collect();
        let count = keys.len();
        store.txn(keys.into_iter().fold(Txn::new(), Txn::delete)).await?;
        Ok(count)
    })
    .with_context(|| format!("remove Patroni's keys: `{prefix}`"))?;
    tell(format!("Patroni's {count} keys are removed from etcd: `{prefix}`"));
    Ok(())
}

fn options(dcs: &Dcs, prefix: &str) -> EtcdOptions {
    let protocol = if dcs.https { "https" } else { "http" };
    let client = dcs.cert.clone().zip(dcs.key.clone());
    EtcdOptions {
        endpoints: dcs.hosts.iter().map(|host| format!("{protocol}://{host}")).collect(),
        prefix: prefix.to_owned(),
        tls: dcs.ca.clone().filter(|_| dcs.https).map(|ca| TlsFiles { ca, client }),
        login: dcs.user.clone().zip(dcs.password.clone()),
        timeout: EtcdOptions::TIMEOUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_named_as_patroni_names_it() {
        assert_eq!(slot_name("db-1.Example"), "db_1_example");
        assert_eq!(slot_name("db@1"), "dbu00641");
        assert_eq!(slot_name(&"n".repeat(70)).len(), 63);
    }
}
