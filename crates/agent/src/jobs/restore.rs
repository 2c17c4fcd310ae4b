//! A standby's directory from the repository: restored beside its place, brought up to the end of the WAL
//! that is there by a server that nobody else reaches, and put in its place like a copy.
//!
//! Only then is it a directory of the cluster, with an identity of its own; until then no rule knows of
//! it, it confirms nothing, and what there was before stays. From there on it streams: its slot, which
//! was made beforehand, keeps the WAL that the repository has not.

use std::time::Duration;

use howdah_base::record::{Leader, Member, key};
use howdah_base::{Lsn, Term};
use howdah_postgres::directory::DirectoryFile;
use howdah_postgres::{basebackup, slot};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Order;
use super::create::Shown;
use crate::{FromRepository, Told};

/// What the leader is asked about its slot takes no longer.
const ASK_WITHIN: Duration = Duration::from_secs(20);
/// It makes it within a turn or two.
const SLOT_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Answers with what was made of what.
pub(super) async fn standby(
    order: &Order,
    term: Term,
    file: &DirectoryFile,
    shown: &Shown<'_>,
) -> Result<String, String> {
    let config = &order.shared.config;
    let own = config.own();
    let leader = leader(order)?;
    let history = leader.history.clone().ok_or("the leader has not told its history")?;
    let initialize = order.store.initialize.as_ref().ok_or("the record `initialize` is missing")?;
    let slot = Slot { order, leader, name: file.id.slot(term) };
    slot.is_there().await?;
    shown.say("made from the repository".to_owned());
    let (told, seen) = watch::channel(Told::default());
    let wanted = FromRepository {
        spec: order.shared.spec(),
        into: basebackup::begin(&own.data_dir).await.map_err(|e| e.to_string())?,
        system_identifier: initialize.system_identifier,
        history,
        sizes: leader.sizes.clone(),
        told,
    };
    let made = tokio::select! {
        made = config.backups.standby(wanted) => made?,
        () = follow(seen, &slot, shown) => return Err("nobody tells how far it is".to_owned()),
    };
    match leads(order, leader).await {
        Leads::Still => slot.suffices(made.replayed).await?,
        // Another leader has made a slot of its own, from the moment on at which it took over.
        Leads::Another => {}
        // What lies here may be all that is left of what was acknowledged.
        Leads::Nobody => return Err("nobody leads any more; what is here stays".to_owned()),
    }
    let finished = basebackup::finish(&own.data_dir, &own.state_dir, file).await;
    finished.map_err(|e| e.to_string())?;
    Ok(format!("made from the repository, {}", made.said))
}

fn leader(order: &Order) -> Result<&Member, String> {
    let leader = order.store.leader.as_ref().ok_or("there is no leader")?;
    let member = order.store.members.get(&leader.value.node);
    member.ok_or_else(|| "the leader's record is gone".to_owned())
}

enum Leads {
    /// In the same term, as far as is known.
    Still,
    Another,
    Nobody,
}

async fn leads(order: &Order, leader: &Member) -> Leads {
    let Ok(snapshot) = order.shared.config.store.snapshot().await else { return Leads::Still };
    let term = order.store.leader.as_ref().map(|leader| leader.value.term);
    match snapshot.get::<Leader>(key::LEADER).ok().flatten() {
        None => Leads::Nobody,
        Some((now, _)) if now.node == leader.node && Some(now.term) == term => Leads::Still,
        Some(_) => Leads::Another,
    }
}

/// Passes on how far it is. What the repository holds the leader need not keep: it may take hours.
async fn follow(mut seen: watch::Receiver<Told>, slot: &Slot<'_>, shown: &Shown<'_>) {
    let mut freed = Lsn(0);
    while seen.changed().await.is_ok() {
        let Told { said, held } = seen.borrow_and_update().clone();
        shown.say(format!("made from the repository: {said}"));
        let Some(held) = held.filter(|held| *held > freed) else { continue };
        freed = held;
        if let Err(error) = slot.keeps_from(Some(held)).await {
            tracing::warn!("`{}` keeps WAL that the repository holds: {error}", slot.leader.node);
        }
    }
}

/// The one that was made on the leader for the new directory.
struct Slot<'a> {
    order: &'a Order,
    leader: &'a Member,
    name: String,
}

impl Slot<'_> {
    /// The leader may just have heard of the new directory.
    async fn is_there(&self) -> Result<(), String> {
        let begun = Instant::now();
        while self.keeps_from(None).await?.is_none() {
            if begun.elapsed() > SLOT_WITHIN {
                let name = &self.leader.node;
                return Err(format!("`{name}` keeps no WAL for it: it has not made its slot"));
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Whether what the new directory lacks will stream.
    async fn suffices(&self, replayed: Lsn) -> Result<(), String> {
        let name = &self.leader.node;
        match self.keeps_from(None).await? {
            Some(kept) if kept <= replayed => Ok(()),
            Some(kept) => Err(format!(
                "WAL from {replayed} on would have to stream, and `{name}` keeps it from {kept} on"
            )),
            None => Err(format!("`{name}` gave its slot up meanwhile (max_slot_wal_keep_size)")),
        }
    }

    async fn keeps_from(&self, to: Option<Lsn>) -> Result<Option<Lsn>, String> {
        let shared = &self.order.shared;
        let source = shared.conninfo(&self.leader.node, "howdah")?;
        let asked = slot::keeps_from(shared.config.install()?, &source, &self.name, to);
        let asked = timeout(ASK_WITHIN, asked).await;
        let asked = asked.map_err(|_| format!("`{}` does not answer", self.leader.node))?;
        asked.map_err(|error| error.to_string())
    }
}
