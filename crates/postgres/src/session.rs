//! SQL with the local server, as its superuser, over the private socket.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use howdah_base::record::LogicalSlot;
use howdah_base::{History, Lsn, Redacted, Timeline};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, NoTls, Row, SimpleQueryMessage};

use crate::PgError;
use crate::conf::REPLICATOR;

mod archive;
mod drill;
mod opted_out;
mod probe;
mod source;
mod summaries;

pub use archive::BackupEnd;
pub use drill::Canary;
pub use probe::{Probe, Receiver, Sender, Slot};
pub use source::SourceFacts;
pub use summaries::{Change, Fork, Summary};

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Statements that wait for nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(600);
/// How long a reload may take to show.
const SHOW_WITHIN: Duration = Duration::from_secs(5);
const ASK_EVERY: Duration = Duration::from_millis(5);

/// One connection. Dropping it closes it.
#[derive(Debug)]
pub struct Session {
    client: Client,
    connect: tokio_postgres::Config,
}

impl Session {
    /// Connects over the Unix socket in `socket_dir`.
    pub async fn connect(socket_dir: &Path, port: u16, database: &str) -> Result<Session, PgError> {
        let mut connect = tokio_postgres::Config::new();
        connect
            .host_path(socket_dir)
            .port(port)
            .user("postgres")
            .dbname(database)
            .application_name("howdah")
            // Howdah's own commits wait for nobody: what must be confirmed is asked for.
            .options("-c synchronous_commit=local -c log_min_duration_statement=-1")
            .connect_timeout(CONNECT_WITHIN);
        Session::open(connect).await
    }

    async fn open(connect: tokio_postgres::Config) -> Result<Session, PgError> {
        let connecting = timeout(CONNECT_WITHIN, connect.connect(NoTls)).await;
        let (client, connection) = connecting.map_err(|_| PgError::Silent(CONNECT_WITHIN))??;
        tokio::spawn(async move {
            // Its end shows in every later request.
            let _ = connection.await;
        });
        Ok(Session { client, connect })
    }

    /// Whether it answers the least question `within` the bound.
    pub async fn answers(&self, within: Duration) -> bool {
        self.within(within, "select 1").await.is_ok()
    }

    /// Everything that the agent looks at, in one round trip.
    pub async fn probe(&self) -> Result<Probe, PgError> {
        let rows = self.query(probe::SQL).await?;
        let row = rows.first().ok_or_else(|| PgError::Unexpected("no row".to_owned()))?;
        probe::read(row)
    }

    /// The history file of `timeline` as this server has it.
    pub async fn history(&self, timeline: Timeline) -> Result<History, PgError> {
        let path = format!("pg_wal/{:08X}.history", timeline.0);
        let text = self.text(&format!("select pg_read_file('{path}')")).await?;
        History::parse(timeline, &text).map_err(|e| PgError::Unexpected(e.to_string()))
    }

    /// What the server keeps of the password of a role that may log in now. `any`: also of one that
    /// may do more than any user: a superuser, one that replicates, one of Howdah's own.
    pub async fn verifier(
        &self,
        role: &str,
        any: bool,
    ) -> Result<Option<Redacted<String>>, PgError> {
        let sql = "SELECT rolpassword FROM pg_catalog.pg_authid \
                   WHERE rolname = $1::pg_catalog.text::pg_catalog.name AND rolcanlogin \
                   AND (rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now()) \
                   AND ($2 OR NOT (rolsuper OR rolreplication \
                   OR pg_catalog.starts_with(rolname::pg_catalog.text, 'howdah_')))";
        let asking = timeout(ANSWER_WITHIN, self.client.query_opt(sql, &[&role, &any])).await;
        let row = asking.map_err(|_| PgError::Silent(ANSWER_WITHIN))??;
        let text: Option<String> = row.map(|row| row.try_get(0)).transpose()?.flatten();
        Ok(text.map(Redacted::new))
    }

    pub async fn reload(&self) -> Result<(), PgError> {
        self.run("select pg_reload_conf()").await
    }

    pub async fn checkpoint(&self) -> Result<(), PgError> {
        self.within(CHECKPOINT_WITHIN, "checkpoint").await.map(drop)
    }

    /// Of a copy of somebody else's server: none of the subscriptions that came along receives any more,
    /// and none knows the publisher's slot, which `DROP SUBSCRIPTION` would take with it. How many.
    pub async fn disable_subscriptions(&self) -> Result<usize, PgError> {
        let sql = "with gone as (update pg_subscription set subenabled = false, \
                   subslotname = null returning 1) select count(*)::text from gone";
        self.text(sql).await?.parse().map_err(|_| PgError::Unexpected("a count".to_owned()))
    }

    /// Begins another WAL file. A standby that connects anew is sent its file from the beginning.
    pub async fn switch_wal(&self) -> Result<(), PgError> {
        self.run("select pg_switch_wal()").await
    }

    /// The end of the last record that a standby has replayed.
    pub async fn replayed(&self) -> Result<Lsn, PgError> {
        parse_lsn(&self.text("select coalesce(pg_last_wal_replay_lsn(), '0/0')::text").await?)
    }

    /// When the last commit that a standby has replayed was made, by its primary's clock, UTC.
    pub async fn last_replayed_commit(&self) -> Result<Option<String>, PgError> {
        let sql = "select coalesce(to_char(pg_last_xact_replay_timestamp() at time zone 'UTC', \
                   'YYYY-MM-DD HH24:MI:SS.MS'), '')";
        Ok(Some(self.text(sql).await?).filter(|at| !at.is_empty()))
    }

    /// Where the next record will be inserted. One is, so that standbys can flush past the
    /// place: it may lie behind the header of a page that an idle server would never write.
    pub async fn insert_lsn(&self) -> Result<Lsn, PgError> {
        let lsn = parse_lsn(&self.text("select pg_current_wal_insert_lsn()").await?)?;
        self.run("select pg_logical_emit_message(true, 'howdah', 'past')").await?;
        Ok(lsn)
    }

    /// Waits until a *new* connection shows `value`: then the postmaster has reloaded.
    pub async fn shows(&self, name: &str, value: &str) -> Result<(), PgError> {
        let begun = Instant::now();
        loop {
            let fresh = Session::open(self.connect.clone()).await?;
            let shown = fresh.text(&format!("select current_setting('{name}')")).await?;
            if shown == value {
                return Ok(());
            }
            if begun.elapsed() > SHOW_WITHIN {
                return Err(PgError::Unexpected(format!(
                    "the server does not take {name} = `{value}`, it shows `{shown}`"
                )));
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// Waits until no WAL sender but those of `names` counts for synchronous commit:
    /// `sync_priority` is in shared memory and tells what each has in force.
    pub async fn prove_only(&self, names: &[String]) -> Result<(), PgError> {
        let counting = format!(
            "select count(*)::text from pg_stat_replication where sync_priority > 0 \
             and application_name not in ({})",
            literals(names)
        );
        self.until(&counting, "0", "leaving voters still count for synchronous commit").await
    }

    /// Ends the WAL senders of `names` that began before the last reload, and waits until none of
    /// them is left: how many confirmations a sender asks for shows nowhere, so each must begin
    /// anew with the new number. They come back by themselves.
    pub async fn renew_senders(&self, names: &[String]) -> Result<(), PgError> {
        // A new session has the postmaster's own time of the reload.
        let fresh = Session::open(self.connect.clone()).await?;
        let older = format!(
            "from pg_stat_replication where backend_start < pg_conf_load_time() \
             and application_name in ({})",
            literals(names)
        );
        fresh.run(&format!("select pg_terminate_backend(pid) {older}")).await?;
        let count = format!("select count(*)::text {older}");
        fresh.until(&count, "0", "WAL senders with the old setting are left").await
    }

    /// Ends every client's session, and gives their number; Howdah's own and WAL senders stay.
    pub async fn end_clients(&self) -> Result<u32, PgError> {
        let ended = self
            .text(
                "select count(pg_terminate_backend(pid))::text from pg_stat_activity \
                 where backend_type = 'client backend' \
                 and not (usename = 'postgres' and client_addr is null)",
            )
            .await?;
        ended.parse().map_err(|_| PgError::Unexpected(format!("not a number: `{ended}`")))
    }

    /// Waits until commits wait for standbys: the flag that makes them wait is set by the
    /// checkpointer. A probe commit in another session is seen waiting, then ended; the setting
    /// in force must be one that nobody can fulfil.
    pub async fn prove_waiting(&self) -> Result<(), PgError> {
        let begun = Instant::now();
        loop {
            let probe = Session::open(self.connect.clone()).await?;
            let pid = probe.text("select pg_backend_pid()::text").await?;
            let commit = tokio::spawn(async move {
                // Ended below while it waits; its message is of no meaning to anybody.
                probe.run("set synchronous_commit = on; select pg_logical_emit_message(true, 'howdah', 'probe')").await
            });
            let waits = format!(
                "select count(*)::text from pg_stat_activity where pid = {pid} and wait_event = 'SyncRep'"
            );
            let seen = loop {
                if self.text(&waits).await? == "1" {
                    break true;
                }
                if commit.is_finished() || begun.elapsed() > SHOW_WITHIN {
                    break false;
                }
                sleep(ASK_EVERY).await;
            };
            self.run(&format!("select pg_terminate_backend({pid})")).await?;
            commit.abort();
            if seen {
                return Ok(());
            }
            if begun.elapsed() > SHOW_WITHIN {
                return Err(PgError::Unexpected("commits do not wait for standbys".to_owned()));
            }
        }
    }

    /// A commit of no meaning, and the place just past it.
    pub async fn probe_commit(&self) -> Result<Lsn, PgError> {
        self.run("select pg_logical_emit_message(true, 'howdah', 'gate')").await?;
        parse_lsn(&self.text("select pg_current_wal_flush_lsn()").await?)
    }

    /// How many distinct `voters` have flushed past `lsn`.
    pub async fn confirmed(&self, lsn: Lsn, voters: &[String]) -> Result<usize, PgError> {
        let sql = format!(
            "select count(distinct application_name)::text from pg_stat_replication \
             where state = 'streaming' and flush_lsn >= '{lsn}' and application_name in ({})",
            literals(voters)
        );
        let count = self.text(&sql).await?;
        count.parse().map_err(|_| PgError::Unexpected(format!("not a number: `{count}`")))
    }

    /// The server's clock, for [`Session::transactions_before`].
    pub async fn clock(&self) -> Result<String, PgError> {
        self.text("select clock_timestamp()::text").await
    }

    /// How many clients' transactions run that began before `moment`; what Howdah itself does beside
    /// this session is none.
    pub async fn transactions_before(&self, moment: &str) -> Result<usize, PgError> {
        let sql = format!(
            "select count(*)::text from pg_stat_activity where backend_type = 'client backend' \
             and not (usename = 'postgres' and client_addr is null and application_name = 'howdah') \
             and pid <> pg_backend_pid() and xact_start < '{moment}'"
        );
        let count = self.text(&sql).await?;
        count.parse().map_err(|_| PgError::Unexpected(format!("not a number: `{count}`")))
    }

    /// Promotes and waits until the server accepts writes.
    pub async fn promote(&self, within: Duration) -> Result<(), PgError> {
        self.run("select pg_promote(false)").await?;
        let begun = Instant::now();
        while self.text("select pg_is_in_recovery()::text").await? != "false" {
            if begun.elapsed() > within {
                return Err(PgError::Unexpected(format!("not promoted within {within:?}")));
            }
            sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    pub async fn slots(&self) -> Result<Vec<Slot>, PgError> {
        Ok(self.probe().await?.slots)
    }

    /// A physical slot that holds WAL from now on.
    pub async fn create_slot(&self, name: &str) -> Result<(), PgError> {
        let name = literals(&[name.to_owned()]);
        self.run(&format!("select pg_create_physical_replication_slot({name}, true)")).await
    }

    /// Drops a slot; a WAL sender that uses it is ended first, as often as it comes back.
    pub async fn drop_slot(&self, name: &str) -> Result<(), PgError> {
        let name = literals(&[name.to_owned()]);
        let end = format!(
            "select pg_terminate_backend(active_pid) from pg_replication_slots \
             where slot_name = {name} and active_pid is not null"
        );
        let drop = format!(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots \
             where slot_name = {name} and not active"
        );
        let left =
            format!("select count(*)::text from pg_replication_slots where slot_name = {name}");
        let begun = Instant::now();
        loop {
            self.run(&end).await?;
            // A receiver that comes back in this moment makes the drop fail: again.
            let dropped = self.run(&drop).await;
            if self.text(&left).await? == "0" {
                return Ok(());
            }
            if begun.elapsed() > SHOW_WITHIN {
                dropped?;
                return Err(PgError::Unexpected(format!("the slot is still in use: {name}")));
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// On a standby: makes the slots of `wanted`, for those that stream from it, and drops every
    /// other one that Howdah made here and that nobody uses.
    pub async fn keep_own_slots(&self, wanted: &BTreeSet<String>) -> Result<(), PgError> {
        let there = self.slots().await?;
        let known = |name: &String| there.iter().any(|slot| slot.name == *name);
        for name in wanted.iter().filter(|name| !known(name)) {
            self.create_slot(name).await?;
        }
        let ours = |slot: &&Slot| slot.physical && slot.name.starts_with("howdah_");
        let idle = there.iter().filter(ours).filter(|slot| !slot.active);
        for slot in idle.filter(|slot| !wanted.contains(&slot.name)) {
            self.drop_slot(&slot.name).await?;
        }
        Ok(())
    }

    /// Users' own physical slots, as they stand on the primary: made, moved forward, and
    /// dropped where the primary has none of that name any more.
    pub async fn keep_user_slots(
        &self,
        wanted: &BTreeMap<String, Option<Lsn>>,
    ) -> Result<(), PgError> {
        let there = self.slots().await?;
        for (name, at) in wanted {
            let mut known = there.iter().find(|slot| slot.name == *name);
            if at.is_some() && known.is_some_and(|slot| slot.restart_lsn.is_none()) {
                // A copy that was given up holds nothing, and is never moved again.
                self.drop_slot(name).await?;
                known = None;
            }
            let literal = literals(std::slice::from_ref(name));
            if known.is_none() {
                let reserve = at.is_some();
                let make =
                    format!("select pg_create_physical_replication_slot({literal}, {reserve})");
                self.run(&make).await?;
            }
            let Some(at) = at else { continue };
            if known.and_then(|slot| slot.restart_lsn).is_some_and(|here| here < *at) {
                let advance = format!(
                    "select pg_replication_slot_advance({literal}, \
                     least('{at}'::pg_lsn, pg_last_wal_replay_lsn()))"
                );
                self.run(&advance).await?;
            }
        }
        let ours = |slot: &&Slot| slot.physical && !slot.name.starts_with("howdah_");
        for slot in there.iter().filter(ours).filter(|slot| !wanted.contains_key(&slot.name)) {
            self.drop_slot(&slot.name).await?;
        }
        Ok(())
    }

    /// Of users' logical slots on a standby: drops those that the primary has not any more.
    pub async fn drop_logical_slots(
        &self,
        wanted: &BTreeMap<String, LogicalSlot>,
    ) -> Result<(), PgError> {
        let there = self.slots().await?;
        let ours = there.iter().filter(|slot| !slot.physical && !slot.kept);
        for slot in ours.filter(|slot| !wanted.contains_key(&slot.name)) {
            self.drop_slot(&slot.name).await?;
        }
        Ok(())
    }

    /// Since 17, on a standby: drops kept slots of the time when this server was the primary.
    /// PostgreSQL's worker that copies the primary's slots makes none beside one of the same name
    /// (documentation, "Logical Decoding Concepts"), and they would hold WAL back for ever.
    pub async fn drop_former_slots(&self) -> Result<(), PgError> {
        self.run(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots \
             where failover and not synced and not active and pg_is_in_recovery()",
        )
        .await
    }

    /// Moves a logical slot forward to where its consumer is, as far as this standby has replayed.
    /// Legal only in a session in the slot's own database.
    pub async fn advance_logical_slot(&self, name: &str, to: Lsn) -> Result<(), PgError> {
        let name = literals(&[name.to_owned()]);
        self.run(&format!(
            "select pg_replication_slot_advance({name}, \
             least('{to}'::pg_lsn, pg_last_wal_replay_lsn()))"
        ))
        .await
    }

    /// The role that standbys log in as; does nothing when it is there.
    pub async fn ensure_replicator(&self) -> Result<(), PgError> {
        let there = format!("select count(*)::text from pg_roles where rolname = '{REPLICATOR}'");
        if self.text(&there).await? == "1" {
            return Ok(());
        }
        // pg_rewind's needs: documentation of pg_rewind, "Notes".
        self.run(&format!(
            "begin; create role {REPLICATOR} login replication; \
             grant execute on function pg_ls_dir(text, boolean, boolean), \
             pg_stat_file(text, boolean), pg_read_binary_file(text), \
             pg_read_binary_file(text, bigint, bigint, boolean) to {REPLICATOR}; commit"
        ))
        .await
    }

    async fn until(&self, sql: &str, wanted: &str, otherwise: &str) -> Result<(), PgError> {
        let begun = Instant::now();
        while self.text(sql).await? != wanted {
            if begun.elapsed() > SHOW_WITHIN {
                return Err(PgError::Unexpected(otherwise.to_owned()));
            }
            sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    async fn query(&self, sql: &str) -> Result<Vec<Row>, PgError> {
        let asking = timeout(ANSWER_WITHIN, self.client.query(sql, &[])).await;
        Ok(asking.map_err(|_| PgError::Silent(ANSWER_WITHIN))??)
    }

    async fn run(&self, sql: &str) -> Result<(), PgError> {
        self.within(ANSWER_WITHIN, sql).await.map(drop)
    }

    /// The first column of the first row.
    async fn text(&self, sql: &str) -> Result<String, PgError> {
        let messages = self.within(ANSWER_WITHIN, sql).await?;
        let first = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        first.ok_or_else(|| PgError::Unexpected("the server gave no row".to_owned()))
    }

    async fn within(&self, bound: Duration, sql: &str) -> Result<Vec<SimpleQueryMessage>, PgError> {
        let asking = timeout(bound, self.client.simple_query(sql)).await;
        Ok(asking.map_err(|_| PgError::Silent(bound))??)
    }
}

fn parse_lsn(text: &str) -> Result<Lsn, PgError> {
    text.parse().map_err(|e: howdah_base::BadLsn| PgError::Unexpected(e.to_string()))
}

/// SQL string literals; an impossible name when there is none, since `in ()` is no SQL.
fn literals(names: &[String]) -> String {
    if names.is_empty() {
        return "''".to_owned();
    }
    let quoted: Vec<String> =
        names.iter().map(|name| format!("'{}'", name.replace('\'', "''"))).collect();
    quoted.join(", ")
}
