//! The node's watchdog, which the guard keeps: how it is wanted, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use howdah_guard::{WatchdogState, WatchdogWish};
use howdah_spec::{ClusterSpec, WatchdogMode};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::shared::Shared;

/// The guard is asked this often what has become of it.
const EVERY: Duration = Duration::from_secs(5);
/// While the device is being tried.
const AGAIN: Duration = Duration::from_millis(200);

/// What is wrong with the watchdog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Amiss {
    /// For the operator.
    pub said: String,
    /// Nothing may write here without it.
    pub bars: bool,
}

/// What the guard is to do by the cluster file in force. `started_with`: its lease is this node's
/// until it is started anew.
///
/// Two renewals may fail before the food stops. Others lead a margin after the deadline at the
/// earliest; half of it remains for clocks that drift.
pub(crate) fn wish(spec: &ClusterSpec, started_with: &ClusterSpec) -> Option<WatchdogWish> {
    let required = match spec.ha.watchdog {
        WatchdogMode::Off => return None,
        WatchdogMode::Automatic => false,
        WatchdogMode::Required => true,
    };
    let ha = &started_with.ha;
    let (lease, renew) = (ha.lease.0, ha.renew.0);
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let seconds = lease.saturating_sub(renew * 2).as_secs().max(1);
    Some(WatchdogWish {
        device: spec.ha.watchdog_device.clone(),
        timeout_s: u32::try_from(seconds).unwrap_or(u32::MAX),
        timeout_max_ms: millis(lease.saturating_sub(renew)),
        margin_ms: millis(ha.margin.0 / 2),
        required,
    })
}

/// Runs until the agent is gone.
pub(crate) async fn keep(shared: Arc<Shared>, told: watch::Sender<Option<Amiss>>) {
    let mut spec = shared.watch_spec();
    let mut last = None;
    loop {
        let wish = wish(&spec.borrow_and_update().clone(), &shared.config.spec);
        if wish.is_none() && last == Some(None) {
            // Nothing is kept, and nothing is to be told.
            if spec.changed().await.is_err() {
                return;
            }
            continue;
        }
        let state = shared.guard.watch(wish.clone()).await;
        let pause = if state == Ok(WatchdogState::Unknown) { AGAIN } else { EVERY };
        let amiss = wish.as_ref().and_then(|wish| amiss(wish, state));
        told.send_if_modified(|before| {
            if let Some(amiss) = amiss.as_ref().filter(|amiss| before.as_ref() != Some(*amiss)) {
                tracing::warn!("{}", amiss.said);
            }
            let changed = *before != amiss;
            *before = amiss;
            changed
        });
        last = Some(wish);
        let _ = timeout(pause, spec.changed()).await;
    }
}

fn amiss(wish: &WatchdogWish, state: Result<WatchdogState, String>) -> Option<Amiss> {
    let why = match state {
        Ok(WatchdogState::Failed { why }) => why,
        Ok(_) => return None,
        // A guard of an older version, for instance, goes on until its server is restarted.
        Err(error) => format!("the guard does not keep it: {error}"),
    };
    let (then, bars) = match wish.required {
        true => ("no server may write here without it", true),
        false => ("a machine that freezes as a whole is not reset", false),
    };
    let said =
        format!("the watchdog does not work, {then}: {why}; hint: [ha] watchdog, watchdog_device");
    Some(Amiss { said, bars })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_amiss_bars_a_primary_only_where_it_is_required() {
        let wish = |required| WatchdogWish {
            device: "/dev/watchdog".into(),
            timeout_s: 4,
            timeout_max_ms: 5_000,
            margin_ms: 500,
            required,
        };
        let failed = || Ok(WatchdogState::Failed { why: "no device".to_owned() });
        assert!(amiss(&wish(true), failed()).is_some_and(|amiss| amiss.bars));
        assert!(amiss(&wish(false), failed()).is_some_and(|amiss| !amiss.bars));
        assert!(amiss(&wish(true), Err("malformed".to_owned())).is_some_and(|amiss| amiss.bars));
        for fine in [WatchdogState::Unknown, WatchdogState::Armed { timeout_s: 4 }] {
            assert_eq!(amiss(&wish(true), Ok(fine)), None);
        }
    }
}
