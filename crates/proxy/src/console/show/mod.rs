//! What SHOW shows: one table a name, with PgBouncer's columns in PgBouncer's order and ours behind
//! them, for whoever reads columns by their names.

pub(super) mod databases;
pub(super) mod pools;
pub(super) mod small;
pub(super) mod sockets;
pub(super) mod stats;

/// A table that can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::console) enum Show {
    ActiveSockets,
    Clients,
    Config,
    Databases,
    DnsHosts,
    DnsZones,
    Fds,
    Help,
    Lists,
    Mem,
    PeerPools,
    Peers,
    Pools,
    Servers,
    Sockets,
    State,
    Stats,
    StatsAverages,
    StatsTotals,
    Totals,
    Users,
    Version,
}

const ALL: [(&str, Show); 22] = [
    ("active_sockets", Show::ActiveSockets),
    ("clients", Show::Clients),
    ("config", Show::Config),
    ("databases", Show::Databases),
    ("dns_hosts", Show::DnsHosts),
    ("dns_zones", Show::DnsZones),
    ("fds", Show::Fds),
    ("help", Show::Help),
    ("lists", Show::Lists),
    ("mem", Show::Mem),
    ("peer_pools", Show::PeerPools),
    ("peers", Show::Peers),
    ("pools", Show::Pools),
    ("servers", Show::Servers),
    ("sockets", Show::Sockets),
    ("state", Show::State),
    ("stats", Show::Stats),
    ("stats_averages", Show::StatsAverages),
    ("stats_totals", Show::StatsTotals),
    ("totals", Show::Totals),
    ("users", Show::Users),
    ("version", Show::Version),
];

impl Show {
    pub fn named(name: &str) -> Option<Show> {
        ALL.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, show)| *show)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Instant;

    use super::databases::Around;
    use super::{databases, pools, small, sockets, stats};
    use crate::console::seen::Seen;
    use crate::console::table::{Kind, Table};
    use crate::policy::Policy;

    /// A letter a column, as PgBouncer's source has them, and ours behind a blank.
    fn letters(table: &Table, ours: usize) -> String {
        let letter = |(_, kind): &(&str, Kind)| match kind {
            Kind::Text => 's',
            Kind::Int4 => 'i',
            Kind::Int8 => 'q',
            Kind::Numeric => 'N',
        };
        let mut letters: String = table.columns.iter().map(letter).collect();
        for row in &table.rows {
            assert_eq!(row.0.len(), table.columns.len(), "{row:?}");
        }
        if ours > 0 {
            letters.insert(letters.len() - ours, ' ');
        }
        letters
    }

    #[test]
    fn columns_have_the_types_of_pgbouncers_source() {
        let now = Instant::now();
        let (seen, past) = (Seen::nothing(now), stats::Past::new(now));
        let (policy, disabled) = (Policy::default(), BTreeSet::from(["shut".to_owned()]));
        let around = Around {
            policy: &policy,
            host: None,
            port: 5432,
            places: &crate::console::Places::default(),
            own_port: 6432,
            paused: &|_| false,
            disabled: &disabled,
        };
        for (name, table, ours, want) in [
            ("pools", pools::show(&seen), 4, "ssiiiiiiiiiiiiiss siqq"),
            ("stats", stats::stats(&seen, &past), 0, "sNNNNNNNNNNNNNNNNNNNNNNNN"),
            ("stats_totals", stats::totals(&seen), 0, "sNNNNNNNNNNNN"),
            ("stats_averages", stats::averages(&seen, &past), 0, "sNNNNNNNNNNNN"),
            ("totals", stats::all(&seen, &past), 0, "sN"),
            ("clients", sockets::clients(&seen), 2, "ssssssisissiiississii si"),
            ("servers", sockets::servers(&seen), 2, "ssssssisissiiississii ss"),
            ("sockets", sockets::sockets(&seen, false), 0, "ssssssisissiiississiiiiiiiii"),
            ("databases", databases::databases(&seen, &around), 0, "ssissiiiissiiiiii"),
            ("users", databases::users(&seen, &policy), 0, "ssssiiii"),
            ("lists", small::lists(&seen, &around), 0, "si"),
            ("config", small::config(&[]), 0, "ssss"),
            ("mem", small::mem(), 0, "siiii"),
            ("state", small::state(false), 0, "ss"),
            ("version", small::version(), 0, "s"),
            ("peers", small::peers(), 0, "isii"),
            ("peer_pools", small::peer_pools(), 0, "iiiii"),
            ("dns_hosts", small::dns_hosts(), 0, "sqs"),
            ("dns_zones", small::dns_zones(), 0, "sqi"),
        ] {
            assert_eq!(letters(&table, ours), want, "{name}");
        }
    }
}
