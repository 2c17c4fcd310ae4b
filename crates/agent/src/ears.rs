//! Replication connections that only look alive: a process that is frozen goes on saying that it
//! streams, and its other end may be told to wait for ever.

use std::collections::{BTreeMap, BTreeSet};

use howdah_base::Tick;
use howdah_postgres::session::Probe;

/// The state of a connection that has said nothing for longer than PostgreSQL itself allows.
pub(crate) const SILENT: &str = "silent";

/// PostgreSQL ends such a connection at its timeout; it gets this much more, milliseconds.
const BEYOND_MS: u64 = 2_000;
/// Without a timeout: longer than any usual interval of replies, milliseconds.
const WITHOUT_TIMEOUT_MS: u64 = 60_000;

/// When each connection was last heard of, by this node's own clock: the other end's time of day
/// says nothing.
#[derive(Debug, Default)]
pub(crate) struct Ears(BTreeMap<String, (String, Tick)>);

/// A connection's name, the moment that it was last heard of, as text, and its timeout, ms.
type Said<'a> = (&'a str, Option<&'a str>, u64);

/// The name of this server's own receiver; a sender's is never empty.
const RECEIVER: &str = "";

impl Ears {
    /// The same, with the state of silent connections put right.
    pub fn judge(&mut self, mut probe: Probe, now: Tick) -> Probe {
        let receiver = probe.receiver.iter();
        let receiver = receiver.map(|r| (RECEIVER, r.heard.as_deref(), r.timeout_ms));
        let senders = probe.senders.iter();
        let senders =
            senders.map(|s| (s.application_name.as_str(), s.heard.as_deref(), s.timeout_ms));
        let silent = self.listen(receiver.chain(senders), now);
        if let Some(receiver) = probe.receiver.as_mut().filter(|_| silent.contains(RECEIVER)) {
            receiver.status = SILENT.to_owned();
        }
        for sender in probe.senders.iter_mut().filter(|s| silent.contains(&s.application_name)) {
            sender.state = SILENT.to_owned();
        }
        probe
    }

    fn listen<'a>(&mut self, said: impl Iterator<Item = Said<'a>>, now: Tick) -> BTreeSet<String> {
        let before = std::mem::take(&mut self.0);
        let mut silent = BTreeSet::new();
        for (name, at, timeout_ms) in said {
            let Some(at) = at else { continue };
            let since = before.get(name).filter(|(last, _)| last == at).map_or(now, |(_, t)| *t);
            self.0.insert(name.to_owned(), (at.to_owned(), since));
            let allowed = if timeout_ms == 0 { WITHOUT_TIMEOUT_MS } else { timeout_ms + BEYOND_MS };
            if now.0.saturating_sub(since.0) > allowed {
                silent.insert(name.to_owned());
            }
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent(steps: &[(u64, &str, u64)]) -> Vec<bool> {
        let mut ears = Ears::default();
        let mut listen = |(at, heard, timeout): &(u64, &str, u64)| {
            !ears.listen([("n2_a", Some(*heard), *timeout)].into_iter(), Tick(*at)).is_empty()
        };
        steps.iter().map(&mut listen).collect()
    }

    #[test]
    fn a_connection_that_says_nothing_for_longer_than_its_timeout_is_silent() {
        let steps = [(0, "a", 5_000), (6_900, "a", 5_000), (7_100, "a", 5_000)];
        assert_eq!(silent(&steps), [false, false, true]);
    }

    #[test]
    fn one_that_is_heard_again_is_not() {
        let steps = [(0, "a", 5_000), (7_100, "a", 5_000), (7_200, "b", 5_000)];
        assert_eq!(silent(&steps), [false, true, false]);
    }

    #[test]
    fn without_a_timeout_it_gets_a_minute() {
        let steps = [(0, "a", 0), (59_000, "a", 0), (61_000, "a", 0)];
        assert_eq!(silent(&steps), [false, false, true]);
    }
}
