//! `[postgresql]`, `[ha]`, `[store]` and `[endpoints]`, with their defaults.

use std::path::Path;
use std::time::Duration;

use howdah_base::{Bytes, ClusterName, Span};

use super::etcd;
use super::keys;
use super::reader::Table;
use super::{Paths, choice};
use crate::types::{EndpointsSpec, HaSpec, PostgresqlSpec, StoreSpec, WatchdogMode};

/// The oldest and the newest major version that Howdah runs; the oldest only as legacy.
pub(crate) const MAJOR_MIN: u32 = 14;
pub(crate) const MAJOR_MAX: u32 = 19;

const MB: u64 = 1 << 20;

const WATCHDOG_MODES: [(&str, WatchdogMode); 3] = [
    ("off", WatchdogMode::Off),
    ("automatic", WatchdogMode::Automatic),
    ("required", WatchdogMode::Required),
];

pub(super) fn read_postgresql(top: &Table<'_>, paths: &Paths<'_>) -> PostgresqlSpec {
    let table = top.table("postgresql", &keys::POSTGRESQL);
    PostgresqlSpec {
        major: table.integer("major", i64::from(MAJOR_MIN)..=i64::from(MAJOR_MAX)),
        bin_dir: paths.read(&table, "bin_dir"),
        locale: table.text("locale").unwrap_or_else(|| "C.UTF-8".to_owned()),
        parameters: table.names("parameters").settings(),
    }
}

pub(super) fn read_ha(top: &Table<'_>, paths: &Paths<'_>) -> HaSpec {
    let table = top.table("ha", &keys::HA);
    let span = |key, default| table.span(key).unwrap_or(Span(default));
    HaSpec {
        lease: span("lease", Duration::from_secs(6)),
        renew: span("renew", Duration::from_secs(1)),
        margin: span("margin", Duration::from_millis(500)),
        max_lag_on_failover: table.bytes("max_lag_on_failover").unwrap_or(Bytes(MB)),
        drain_timeout: span("drain_timeout", Duration::from_secs(5)),
        switchover_timeout: span("switchover_timeout", Duration::from_secs(30)),
        start_timeout: span("start_timeout", Duration::from_secs(60)),
        hung_after: span("hung_after", Duration::from_secs(10)),
        disk_stalled_after: span("disk_stalled_after", Duration::from_secs(10)),
        disk_reserve: table.bytes("disk_reserve").unwrap_or(Bytes(64 * MB)),
        watchdog: table
            .get("watchdog")
            .and_then(|mode| choice(mode, &WATCHDOG_MODES))
            .unwrap_or(WatchdogMode::Off),
        watchdog_device: paths
            .read(&table, "watchdog_device")
            .unwrap_or_else(|| "/dev/watchdog".into()),
    }
}

/// The kinds of `[store]`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Embedded,
    Etcd,
}

/// `etcd` is chosen by `kind` or by the table `[store.etcd]`.
pub(super) fn read_store(
    top: &Table<'_>,
    paths: &Paths<'_>,
    base_dir: &Path,
    cluster: &ClusterName,
) -> StoreSpec {
    let table = top.table("store", &keys::STORE);
    let kinds = [("embedded", Kind::Embedded), ("etcd", Kind::Etcd)];
    let kind = table.get("kind").and_then(|kind| choice(kind, &kinds));
    if table.get("etcd").is_some() && kind == Some(Kind::Embedded) {
        if let Some(etcd) = table.get("etcd") {
            let hint = "drop one of the two";
            etcd.wrong("the store is `embedded`, and this describes etcd".to_owned(), hint);
        }
    } else if table.get("etcd").is_some() || kind == Some(Kind::Etcd) {
        return StoreSpec::Etcd(etcd::read(&table, paths, base_dir, cluster));
    }
    StoreSpec::Embedded {
        path: paths.read(&table, "path").unwrap_or_else(|| base_dir.join("store")),
    }
}

pub(super) fn read_endpoints(top: &Table<'_>) -> EndpointsSpec {
    let table = top.table("endpoints", &keys::ENDPOINTS);
    let span = |key, seconds| table.span(key).unwrap_or(Span(Duration::from_secs(seconds)));
    EndpointsSpec {
        ro_max_lag: table.bytes("ro_max_lag").unwrap_or(Bytes(16 * MB)),
        ro_primary_fallback: table.flag("ro_primary_fallback").unwrap_or(true),
        clients_max: table.integer("clients_max", 1..=100_000).unwrap_or(1000),
        connect_wait: span("connect_wait", 15),
        keepalive: span("keepalive", 30),
        user_timeout: span("user_timeout", 10),
    }
}
