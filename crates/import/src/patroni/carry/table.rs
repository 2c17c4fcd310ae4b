//! Keys of `patroni.yml` that have no place in the cluster file, and what is to be said of each.
//! Source of the keys: Patroni's documentation, "YAML Configuration Settings" and "Dynamic
//! Configuration Settings".

use crate::table::Meaning::{ByHand, Replaced};
use crate::table::Row;

pub(super) const UNKNOWN: &str = "not a key of Patroni's that Howdah knows";

/// Rows for a whole file. Much of what nodes share may stand in a node's own file too.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> + Clone {
    FILE.iter().chain(SERVER).chain(SHARED)
}

const LEASE: &str = "the lease is short already (6s); `ha.lease` makes it longer";
const EVENTS: &str = "Howdah acts on events; nothing is polled";
const REWIND: &str = "what can be rewound is, else it is copied beside and then exchanged";
const CERTIFICATES: &str = "nodes prove themselves by certificates of the cluster's own authority";
const TLS: &str = "certificates come from the cluster's own authority";
const LOG: &str = "Howdah logs to standard error; the service manager keeps it";
const METHOD: &str =
    "standbys are copied by pg_basebackup, or made of Howdah's own backups: `[backup]` standbys";
const ARCHIVE: &str = "restoring from an archive is not built yet";
const OTHER_STORE: &str = "Howdah keeps its lease in etcd; with `[store.etcd] managed = true` the nodes run it themselves";
const ROLE_ONLY: &str = "one set for all nodes: whoever is primary now may be standby next";
const WATCHDOG: &str = "the guard ends a server before its lease does, whatever the agent does";
const STANDBY_CLUSTER: &str = "there are no standby clusters yet";
const SLOT: &str = "make the slot by hand if it is not there yet: users' slots, logical ones too, are kept on all nodes";
const CALLBACK: &str = "no hook holds a promotion up; see `[hooks]` for calls afterwards";
const INITDB: &str = "it matters only when a cluster is made";
const CITUS: &str = "there is no support for Citus's metadata";

/// The configuration that all nodes share.
pub(super) const SHARED: &[Row] = &[
    ("ttl", Replaced(LEASE)),
    ("loop_wait", Replaced(EVENTS)),
    ("retry_timeout", Replaced("the store is asked again for as long as the lease allows")),
    ("maximum_lag_on_failover", ByHand("not a number; set `ha.max_lag_on_failover`")),
    ("maximum_lag_on_syncnode", Replaced("who does not stream stops being a voter")),
    ("max_timelines_history", Replaced("the history keeps the last 200 changes of leader")),
    ("check_timeline", Replaced("only a standby on the leader's timeline is ever promoted")),
    ("primary_start_timeout", Replaced("a start has failed when it makes no progress for 60s")),
    ("master_start_timeout", Replaced("a start has failed when it makes no progress for 60s")),
    ("primary_stop_timeout", Replaced(WATCHDOG)),
    ("master_stop_timeout", Replaced(WATCHDOG)),
    ("primary_race_backoff", Replaced("nobody is promoted before its voters have answered")),
    ("synchronous_node_count", Replaced("how many confirm follows from the voters")),
    ("synchronous_mode_strict", Replaced("without `synchronous_mode` it says nothing")),
    ("failsafe_mode", Replaced("the store has several members: losing one does not end it")),
    ("member_slots_ttl", Replaced("`max_slot_wal_keep_size` bounds what an absent node keeps")),
    ("pause", ByHand("a state, not a setting: `howdah pause`")),
    ("slots", Replaced("empty")),
    ("slots.**", ByHand(SLOT)),
    ("ignore_slots.**", Replaced("slots that Howdah has not made are left alone")),
    ("standby_cluster.**", ByHand(STANDBY_CLUSTER)),
    ("postgresql.use_pg_rewind", Replaced(REWIND)),
    ("postgresql.use_slots", Replaced("each standby has a slot")),
    ("postgresql.remove_data_directory_on_rewind_failure", Replaced(REWIND)),
    ("postgresql.remove_data_directory_on_diverged_timelines", Replaced(REWIND)),
    ("postgresql.recovery_conf.**", ByHand(ARCHIVE)),
    ("postgresql.parameters", Replaced("empty")),
    ("postgresql.pg_hba", Replaced("empty")),
    ("postgresql.parameters_primary.**", ByHand(ROLE_ONLY)),
    ("postgresql.parameters_replica.**", ByHand(ROLE_ONLY)),
    ("postgresql.parameters_standby_leader.**", ByHand(ROLE_ONLY)),
    ("postgresql.pg_hba_primary.**", ByHand(ROLE_ONLY)),
    ("postgresql.pg_hba_replica.**", ByHand(ROLE_ONLY)),
    ("postgresql.pg_hba_standby_leader.**", ByHand(ROLE_ONLY)),
    (
        "postgresql.pg_ident.**",
        ByHand("there are no maps of system users; give the role a password"),
    ),
    ("postgresql.pg_ident_primary.**", ByHand(ROLE_ONLY)),
    ("postgresql.pg_ident_replica.**", ByHand(ROLE_ONLY)),
    ("postgresql.pg_ident_standby_leader.**", ByHand(ROLE_ONLY)),
    ("postgresql.pg_hosts.**", ByHand("certificates by host name are not built yet")),
    ("postgresql.create_replica_methods.**", ByHand(METHOD)),
    ("postgresql.create_replica_method.**", ByHand(METHOD)),
    ("postgresql.basebackup.**", ByHand(METHOD)),
    ("postgresql.callbacks.**", ByHand("write them into the nodes' own files")),
    ("postgresql.pg_ctl_timeout", Replaced("every start and stop has its own bound, see `[ha]`")),
    ("postgresql.use_unix_socket", Replaced("Howdah's own sessions use a private socket")),
    ("postgresql.use_unix_socket_repl", Replaced(CERTIFICATES)),
    ("postgresql.bin_name.**", ByHand("binaries have PostgreSQL's own names")),
];

const FILE: &[Row] = &[
    ("namespace", Replaced("Howdah's keys lie below `/howdah/<cluster>/`")),
    ("scope", ByHand("set `cluster`")),
    ("name", ByHand("name a table `[nodes.NAME]`")),
    ("thread_pool_size", Replaced("every queue has its own bound")),
    ("thread_stack_size", Replaced("every queue has its own bound")),
    ("restapi.thread_pool_size", Replaced("every queue has its own bound")),
    ("postgresql.rewind.**", Replaced(REWIND)),
    ("log.**", Replaced(LOG)),
    ("watchdog.mode", ByHand("not a mode; set `ha.watchdog` to off, automatic or required")),
    ("watchdog.device", ByHand("not a path; set `ha.watchdog_device`")),
    ("watchdog.**", Replaced("when the device fires follows from the lease")),
    ("citus.**", ByHand(CITUS)),
    ("ctl.**", Replaced("`howdah` finds its token and certificates in `base_dir`")),
    ("restapi.certfile", Replaced(TLS)),
    ("restapi.keyfile", Replaced(TLS)),
    ("restapi.keyfile_password", Replaced(TLS)),
    ("restapi.cafile", Replaced(TLS)),
    ("restapi.ciphers", Replaced("TLS 1.2 and 1.3 with their safe ciphers only")),
    (
        "restapi.verify_client",
        Replaced(
            "who changes something shows a token, or a certificate of the cluster's authority",
        ),
    ),
    (
        "restapi.allowlist.**",
        ByHand("who may change something shows a token or certificate; filter addresses before it"),
    ),
    ("restapi.allowlist_include_members", Replaced(CERTIFICATES)),
    ("restapi.http_extra_headers.**", ByHand("put a proxy before it that adds them")),
    ("restapi.https_extra_headers.**", ByHand("put a proxy before it that adds them")),
    ("restapi.request_queue_size", Replaced("the number of connections is bounded already")),
    ("restapi.server_tokens", Replaced("the version is no secret of the status page")),
    ("restapi.authentication.**", ByHand("set `user` and `password` in `[http]`")),
    ("etcd.**", ByHand("set `endpoints` in `[store.etcd]`")),
    ("etcd3.**", ByHand("set `endpoints` in `[store.etcd]`")),
    ("consul.**", ByHand(OTHER_STORE)),
    ("zookeeper.**", ByHand(OTHER_STORE)),
    ("exhibitor.**", ByHand(OTHER_STORE)),
    ("raft.**", ByHand(OTHER_STORE)),
    ("kubernetes.**", ByHand(OTHER_STORE)),
    ("tags", Replaced("empty")),
    ("bootstrap.method", ByHand("a cluster is made by initdb, or taken over by `howdah adopt`")),
    ("bootstrap.keep_existing_recovery_conf", Replaced(INITDB)),
    ("bootstrap.initdb.**", ByHand(INITDB)),
    ("bootstrap.pg_hba.**", ByHand("not a rule")),
    ("bootstrap.users.**", ByHand("declare a table `[roles.NAME]`")),
    ("bootstrap.post_init", ByHand("run it once, through `howdah psql`")),
    ("bootstrap.post_bootstrap", ByHand("run it once, through `howdah psql`")),
];

/// `postgresql`: one node's server.
const SERVER: &[Row] = &[
    (
        "postgresql.authentication.superuser.**",
        Replaced("Howdah's own sessions use a private socket"),
    ),
    ("postgresql.authentication.replication.**", Replaced(CERTIFICATES)),
    ("postgresql.authentication.rewind.**", Replaced(CERTIFICATES)),
    ("postgresql.proxy_address", Replaced("every node has endpoints: rw, ro, any")),
    ("postgresql.config_dir", Replaced("Howdah writes its configuration into the data directory")),
    ("postgresql.custom_conf", ByHand("import that file too")),
    ("postgresql.pgpass", Replaced(CERTIFICATES)),
    ("postgresql.database", Replaced("Howdah's own sessions use `postgres`")),
    ("postgresql.pre_promote", ByHand(CALLBACK)),
    ("postgresql.before_stop", ByHand(CALLBACK)),
    ("postgresql.callbacks", Replaced("empty")),
    ("postgresql.recovery_conf.**", ByHand(ARCHIVE)),
];
