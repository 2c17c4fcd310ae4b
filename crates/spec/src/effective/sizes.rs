//! Parameters that a standby needs at least as high as its primary (PostgreSQL documentation,
//! "Hot Standby", "Administrator's Overview"): in which order the nodes get a new value.
//!
//! Rising, the standbys come first: one that has less than its primary stops replaying, or does
//! not start. Falling, the primary comes first. Each takes effect at a restart only, so what is
//! decided here is what a node's next start will find in its `postgresql.conf`.

use std::collections::BTreeMap;

use super::Effective;

/// Their names; all are whole numbers without a unit.
pub const SIZES: [&str; 5] = [
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
];

/// Values by name.
pub type Sizes = BTreeMap<String, u64>;

/// What else counts besides the wanted values.
#[derive(Clone, Debug)]
pub enum Place<'a> {
    /// This node leads: its own values in force, where it runs, and those of live standbys.
    Primary { own: Option<&'a Sizes>, standbys: Vec<&'a Sizes> },
    /// It does not: what must not be undercut, such as the leader's values in force, or those in
    /// its own control file while its server is down.
    Standby { at_least: Vec<&'a Sizes> },
}

/// The wanted values among all parameters of a node. A parameter that nobody sets is left to
/// the server's default and is not among them.
pub fn wanted(effective: &BTreeMap<String, Effective>) -> Sizes {
    let read = |name: &&str| Some(((*name).to_owned(), effective.get(*name)?.value.parse().ok()?));
    SIZES.iter().filter_map(read).collect()
}

/// The values for this node's next start.
pub fn due(wanted: &Sizes, place: &Place<'_>) -> Sizes {
    let value = |name: &String, want: u64| match place {
        Place::Standby { at_least } => {
            at_least.iter().filter_map(|sizes| sizes.get(name)).fold(want, |most, v| most.max(*v))
        }
        Place::Primary { own, standbys } => {
            let short = standbys.iter().any(|sizes| sizes.get(name).is_some_and(|v| *v < want));
            let own = own.and_then(|sizes| sizes.get(name)).copied();
            own.filter(|own| short && *own < want).unwrap_or(want)
        }
    };
    wanted.iter().map(|(name, want)| (name.clone(), value(name, *want))).collect()
}

/// The names whose wanted value waits for other nodes.
pub fn held<'a>(wanted: &'a Sizes, due: &Sizes) -> Vec<&'a str> {
    let waits = |(name, want): &(&String, &u64)| due.get(*name) != Some(want);
    wanted.iter().filter(waits).map(|(name, _)| name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(connections: u64) -> Sizes {
        [("max_connections".to_owned(), connections)].into()
    }

    #[test]
    fn rising_goes_to_standbys_first() {
        let (old, new) = (sizes(100), sizes(200));
        let standby = Place::Standby { at_least: vec![&old] };
        assert_eq!(due(&new, &standby), new);
        let waits = Place::Primary { own: Some(&old), standbys: vec![&new, &old] };
        assert_eq!(due(&new, &waits), old, "a standby still has less");
        assert_eq!(held(&new, &due(&new, &waits)), ["max_connections"]);
        let ready = Place::Primary { own: Some(&old), standbys: vec![&new, &new] };
        assert_eq!(due(&new, &ready), new);
    }

    #[test]
    fn falling_goes_to_the_primary_first() {
        let (old, new) = (sizes(200), sizes(100));
        let primary = Place::Primary { own: Some(&old), standbys: vec![&old] };
        assert_eq!(due(&new, &primary), new);
        let before = Place::Standby { at_least: vec![&old] };
        assert_eq!(due(&new, &before), old, "its primary still has more");
        let after = Place::Standby { at_least: vec![&new] };
        assert_eq!(due(&new, &after), new);
    }

    #[test]
    fn a_control_file_counts_as_the_leader_does() {
        let (control, leader) = (sizes(300), sizes(100));
        let place = Place::Standby { at_least: vec![&leader, &control] };
        assert_eq!(due(&sizes(150), &place), sizes(300));
    }

    #[test]
    fn alone_a_primary_waits_for_nobody() {
        let old = sizes(100);
        assert_eq!(
            due(&sizes(200), &Place::Primary { own: Some(&old), standbys: vec![] }),
            sizes(200)
        );
        assert_eq!(
            due(&sizes(200), &Place::Primary { own: None, standbys: vec![&old] }),
            sizes(200)
        );
    }
}
