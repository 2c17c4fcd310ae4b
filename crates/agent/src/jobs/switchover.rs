//! The planned end of a primary: everything that can be done before the shutdown is done
//! before, so that the shutdown is short (DESIGN, switchover).
//!
//! Every phase is bounded. Up to the seal it is abandoned cleanly, and whoever asked hears in
//! which phase and why; after it the server ends, and the term moves or comes back.

use std::sync::Arc;
use std::time::Duration;

use howdah_base::NodeName;
use howdah_ledger::seal_txn;
use howdah_postgres::session::Session;
use howdah_postgres::{PgError, control};
use howdah_spec::PoolMode;
use howdah_store::TxnOutcome;
use tokio::time::{Instant, sleep, timeout};

use super::{Order, blocking, progress};
use crate::event::Outcome;

const ASK_EVERY: Duration = Duration::from_millis(10);
/// The CHECKPOINT that makes the shutdown's own short may take this long.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(20);
/// A CHECKPOINT that took longer than this is followed by another: what has been written meanwhile is
/// what the shutdown would have to write while clients wait. So often at most.
const CHECKPOINT_IS_SHORT: Duration = Duration::from_millis(200);
const CHECKPOINTS_MAX: u32 = 3;
/// A disk that needs longer than this is not asked again: the bound is there for the first.
const CHECKPOINT_IS_LONG: Duration = Duration::from_secs(5);
/// Each question to the server before the shutdown.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A server that has written its last checkpoint waits for the archiver, and for standbys that
/// have not confirmed it. Its WAL is complete then, and what is not archived or sent stays on this
/// disk: they are not waited for longer than this.
const ARCHIVE_WITHIN: Duration = Duration::from_secs(5);
/// A shutdown that takes longer than this is looked at on the disk, and how often.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Other nodes have heard of the seal by then, and their pools begin nothing more.
const POOLS_HEAR_WITHIN: Duration = Duration::from_millis(50);
/// Transactions of pools, which were all begun before the seal.
const POOLS_WITHIN: Duration = Duration::from_millis(300);
/// Who is left is only for the log, and no reason to wait.
const LEFT_WITHIN: Duration = Duration::from_millis(500);

/// What the shutdown will have to write is written before it, as far as that goes.
async fn checkpoint(session: &Session) -> Result<(), String> {
    for _ in 0..CHECKPOINTS_MAX {
        let since = Instant::now();
        match timeout(CHECKPOINT_WITHIN, session.checkpoint()).await {
            Ok(done) => done.map_err(|e| e.to_string())?,
            Err(_) => return Err(format!("it was not done within {CHECKPOINT_WITHIN:?}")),
        }
        let took = since.elapsed();
        if took < CHECKPOINT_IS_SHORT || took > CHECKPOINT_IS_LONG {
            break;
        }
    }
    Ok(())
}

/// What was written since is written while the last transactions end. They are waited for, not this.
async fn checkpoint_beside(order: &Order) {
    if let Ok(session) = order.session().await {
        tokio::spawn(async move {
            // The shutdown ends it, and makes its own.
            let _ = session.checkpoint().await;
        });
    }
}

/// Transactions that run now get `drain_timeout` to end; those that begin meanwhile do not
/// count, or a busy server would never be shut down.
async fn drain(order: &Order, session: &Session) -> Result<(), String> {
    let within = order.shared.spec().ha.drain_timeout.0;
    let since = answered(session.clock()).await?;
    let begun = Instant::now();
    while begun.elapsed() < within {
        let running = answered(session.transactions_before(&since)).await?;
        if running == 0 {
            break;
        }
        sleep(ASK_EVERY).await;
    }
    Ok(())
}

/// The seal holds pooled clients back on every node: what they have begun may end. Those without a
/// pool go on beginning, and are not waited for.
async fn drain_pools(session: &Session) {
    let begun = Instant::now();
    while begun.elapsed() < POOLS_WITHIN {
        let running = async {
            let now = session.clock().await?;
            session.transactions_before(&now).await
        };
        match answered(running).await {
            Ok(0) if begun.elapsed() >= POOLS_HEAR_WITHIN => return,
            Ok(_) => sleep(ASK_EVERY).await,
            Err(_) => return,
        }
    }
}

async fn answered<T>(answer: impl Future<Output = Result<T, PgError>>) -> Result<T, String> {
    let answer = timeout(ANSWER_WITHIN, answer).await;
    answer
        .map_err(|_| format!("the server did not answer within {ANSWER_WITHIN:?}"))?
        .map_err(|e| e.to_string())
}

/// The point of no return: an operator may have given it up meanwhile, and cannot any more once
/// it is sealed. What nobody asked for, the end of a fenced node, needs no seal.
async fn seal(order: &Order) -> Result<(), String> {
    if order.store.intent.is_none() {
        return Ok(());
    }
    let txn = seal_txn(&order.store).ok_or("this node does not lead")?;
    match order.shared.config.store.txn(txn).await.map_err(|e| e.to_string())? {
        TxnOutcome::Applied { .. } => Ok(()),
        TxnOutcome::Refused { .. } => Err("it was given up".to_owned()),
    }
}

/// CHECKPOINT, drain, then a fast shutdown in which the standbys receive everything.
pub(crate) async fn begin(order: Order, to: NodeName) -> Result<Outcome, String> {
    let abandoned = |phase: &str, why: String| {
        format!("the switchover to `{to}` is abandoned: {phase}: {why}; nothing was changed")
    };
    let session = order.session().await.map_err(|e| abandoned("before the CHECKPOINT", e))?;
    checkpoint(&session)
        .await
        .map_err(|why| abandoned("the CHECKPOINT before the shutdown", why))?;
    // The others follow the new primary from the beginning of a file: it is to be short.
    if let Err(why) = answered(session.switch_wal()).await {
        tracing::debug!(%why, "the WAL file is not switched");
    }
    let drained = drain(&order, &session).await;
    drained.map_err(|why| abandoned("letting transactions end", why))?;
    seal(&order).await.map_err(|why| abandoned("the last word before the shutdown", why))?;
    if order.shared.spec().pools.pool.mode != PoolMode::Off {
        tokio::join!(checkpoint_beside(&order), drain_pools(&session));
    }
    drop(session);
    let mut closed = order.shared.closing.begin();
    closed.let_in().await;
    shut_down(&order).await?;
    Ok(Outcome { said: Some(format!("shut down for `{to}`")), ..Outcome::default() })
}

/// A fast shutdown; at `switchover_timeout` the guard ends what is left.
async fn shut_down(order: &Order) -> Result<(), String> {
    let guard = &order.shared.guard;
    let within = order.shared.config.spec.ha.switchover_timeout.0;
    let within_ms = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
    guard.stop(howdah_guard::StopMode::Fast, within_ms).await?;
    let (begun, mut looked, mut complete) = (Instant::now(), Instant::now(), None);
    let mut ended = false;
    while guard.alive().await? {
        if begun.elapsed() > within + Duration::from_secs(5) {
            return Err(format!("processes of the server are left after {within:?}"));
        }
        if complete.is_none() && looked.elapsed() > LOOK_EVERY {
            complete = is_complete(order).await.then(Instant::now);
            looked = Instant::now();
        }
        if !ended && complete.is_some_and(|since: Instant| since.elapsed() > ARCHIVE_WITHIN) {
            tracing::warn!(
                "the shutdown is complete, and who is left is not waited for any longer: {}; hint: \
                 with the archiver, WAL files stay unarchived on this disk: see archive_command",
                who_is_left(order).await
            );
            guard.kill().await?;
            ended = true;
        }
        sleep(ASK_EVERY).await;
    }
    Ok(())
}

/// The titles of the processes that the server waits for.
async fn who_is_left(order: &Order) -> String {
    let postmaster = order.shared.guard.postmaster_pid().await.ok().flatten();
    let titles = blocking(move || {
        let children = postmaster.into_iter().flat_map(progress::children);
        Ok(children.map(|(title, _)| format!("`{title}`")).collect::<Vec<_>>())
    });
    match timeout(LEFT_WITHIN, titles).await {
        Ok(Ok(titles)) if !titles.is_empty() => titles.join(", "),
        _ => "it is not known who".to_owned(),
    }
}

/// The last checkpoint is written: no record comes after it.
async fn is_complete(order: &Order) -> bool {
    let shared = Arc::clone(&order.shared);
    let control = blocking(move || {
        let config = &shared.config;
        control::read(config.install()?, &config.own().data_dir).map_err(|e| e.to_string())
    });
    control.await.is_ok_and(|control| control.clean_shutdown())
}
