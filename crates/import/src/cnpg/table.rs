//! Fields of Kubernetes' objects that have no place in the cluster file.

use crate::table::Meaning::{ByHand, Replaced};
use crate::table::Row;

pub(super) const UNKNOWN: &str = "not a field of CloudNativePG's that Howdah knows";

/// Fields that every object has.
pub(super) const META: &[Row] = &[
    ("apiVersion", Replaced("the form of the manifest")),
    ("kind", Replaced("the form of the manifest")),
    ("metadata.namespace", Replaced("nodes are found by `host` in `[nodes.NAME]`")),
    ("metadata.annotations.**", Replaced("words of Kubernetes' own")),
    ("metadata.labels.**", Replaced("words of Kubernetes' own")),
    ("metadata.**", Replaced("words of Kubernetes' own")),
    ("status.**", Replaced("a state, not a setting")),
];

/// The rows of an object's kind.
pub(super) fn rows_of(kind: &str) -> &'static [Row] {
    match kind {
        "Cluster" => CLUSTER,
        "Database" => DATABASE,
        "DatabaseRole" => ROLE,
        "Pooler" => POOLER,
        "Backup" | "ScheduledBackup" | "ObjectStore" => BACKUP,
        "Secret" | "ExternalSecret" | "SealedSecret" => SECRET,
        "PodMonitor" | "ServiceMonitor" | "PrometheusRule" => METRICS,
        "ImageCatalog" | "ClusterImageCatalog" => IMAGES,
        "Publication" | "Subscription" => LOGICAL,
        _ => OTHER,
    }
}

const IMAGE: &str = "install PostgreSQL on the nodes; `major` says which";
const SIZES: &str = "Howdah takes its sizes from the machine, or from the limits of its cgroup";
const DISK: &str = "mount a disk of that size at the node's `data_dir`";
const PODS: &str = "it is about pods; nodes are machines";
const BACKUPS: &str = "backups are not built yet: keep what makes them now";
const MONITORING: &str =
    "metrics are not built yet; `howdah status --json` and HTTP tell the state";
const OBJECT_STORE: &str =
    "restoring from a repository is not built yet; `howdah adopt` takes a directory";
const ONCE: &str = "run it once, through `howdah psql`";
const INITDB: &str = "it matters only when a cluster is made";
const ENDPOINTS: &str = "every node has endpoints: rw, ro, any";
const GUARD: &str = "the guard ends a server before its lease does";
const START: &str = "a start has failed when it makes no progress for `start_timeout`";
const CERTIFICATES: &str = "certificates come from the cluster's own authority";
const ZONES: &str = "say where each node stands: `tags = { zone = \"a\" }`";
const REPLICA: &str = "there are no standby clusters yet";
const OTHER_ROLE: &str = "no kind of role has it; alter the role by hand";
const LOCALE: &str = "`locale` in `[postgresql]` stands for all of them";
const VOTERS: &str = "which standbys confirm follows from the nodes and their tags";

const CLUSTER: &[Row] = &[
    ("spec.description", Replaced("a word to the reader")),
    ("spec.instances", ByHand("write a table `[nodes.NAME]` for each")),
    ("spec.imageName", ByHand(IMAGE)),
    ("spec.imageCatalogRef.**", ByHand(IMAGE)),
    ("spec.imagePullPolicy", ByHand(IMAGE)),
    ("spec.imagePullSecrets.**", ByHand(IMAGE)),
    ("spec.minSyncReplicas", ByHand("set `durability`")),
    ("spec.maxSyncReplicas", Replaced(VOTERS)),
    ("spec.postgresql.parameters.*", Replaced("without a value, as PostgreSQL's default")),
    ("spec.postgresql.parameters", Replaced("empty")),
    ("spec.postgresql.synchronous.**", Replaced(VOTERS)),
    ("spec.postgresql.syncReplicaElectionConstraint.**", Replaced(VOTERS)),
    ("spec.postgresql.pg_hba", Replaced("empty")),
    (
        "spec.postgresql.pg_ident.**",
        ByHand("there are no maps of system users; give the role a password"),
    ),
    ("spec.postgresql.ldap.**", ByHand("passwords are SCRAM; there is no LDAP")),
    ("spec.postgresql.promotionTimeout", Replaced("promotion ends when the server says so")),
    ("spec.postgresql.enableAlterSystem", Replaced("the cluster file is the one place")),
    ("spec.postgresql.extensions.**", ByHand("install the extension's package on the nodes")),
    ("spec.podSelectorRefs.**", ByHand("write addresses into `hba`")),
    (
        "spec.replicationSlots.**",
        Replaced("each standby has a slot, and users' slots are on all nodes"),
    ),
    ("spec.bootstrap.initdb.localeCollate", ByHand(LOCALE)),
    ("spec.bootstrap.initdb.localeCType", ByHand(LOCALE)),
    ("spec.bootstrap.initdb.localeProvider", ByHand(LOCALE)),
    ("spec.bootstrap.initdb.icuLocale", ByHand(LOCALE)),
    ("spec.bootstrap.initdb.icuRules", ByHand(LOCALE)),
    ("spec.bootstrap.initdb.builtinLocale", ByHand(LOCALE)),
    ("spec.bootstrap.initdb.walSegmentSize", ByHand(INITDB)),
    ("spec.bootstrap.initdb.options.**", ByHand(INITDB)),
    ("spec.bootstrap.initdb.postInitSQL.**", ByHand(ONCE)),
    ("spec.bootstrap.initdb.postInitApplicationSQL.**", ByHand(ONCE)),
    ("spec.bootstrap.initdb.postInitTemplateSQL.**", ByHand(ONCE)),
    ("spec.bootstrap.initdb.postInitSQLRefs.**", ByHand(ONCE)),
    ("spec.bootstrap.initdb.postInitApplicationSQLRefs.**", ByHand(ONCE)),
    ("spec.bootstrap.initdb.postInitTemplateSQLRefs.**", ByHand(ONCE)),
    (
        "spec.bootstrap.initdb.import.**",
        ByHand("dump and restore by hand, through the rw endpoint"),
    ),
    ("spec.bootstrap.initdb.secret.**", ByHand("set `password` in `[roles.NAME]`")),
    ("spec.bootstrap.recovery.**", ByHand(OBJECT_STORE)),
    (
        "spec.bootstrap.pg_basebackup.**",
        ByHand("`howdah adopt` takes a directory; standbys are copied from it"),
    ),
    ("spec.replica.**", ByHand(REPLICA)),
    ("spec.externalClusters.**", ByHand(REPLICA)),
    ("spec.superuserSecret.**", Replaced("Howdah's own sessions come through a private socket")),
    ("spec.enableSuperuserAccess", Replaced("Howdah's own sessions come through a private socket")),
    ("spec.certificates.**", Replaced(CERTIFICATES)),
    ("spec.storage.**", ByHand(DISK)),
    ("spec.walStorage.**", ByHand("WAL lies in the data directory; size its disk for both")),
    (
        "spec.tablespaces.**",
        ByHand("tablespaces are not declared yet; make them by hand on all nodes"),
    ),
    ("spec.ephemeralVolumeSource.**", ByHand(DISK)),
    ("spec.ephemeralVolumesSizeLimit.**", ByHand(DISK)),
    ("spec.projectedVolumeTemplate.**", ByHand(PODS)),
    ("spec.startDelay", Replaced(START)),
    ("spec.stopDelay", Replaced(GUARD)),
    ("spec.smartShutdownTimeout", Replaced("running transactions get `drain_timeout`")),
    ("spec.switchoverDelay", Replaced("a switchover is given up after `switchover_timeout`")),
    ("spec.failoverDelay", Replaced("a node is given up when its lease ends")),
    ("spec.livenessProbeTimeout", Replaced("`/liveness` never touches the disk")),
    ("spec.probes.**", Replaced("each node judges its own health: `/liveness`, `/readiness`")),
    ("spec.primaryLease.**", Replaced("the lease of the primary: `ha.lease`")),
    ("spec.resources.**", Replaced(SIZES)),
    ("spec.affinity.topologyKey", ByHand(ZONES)),
    ("spec.affinity.**", ByHand(ZONES)),
    ("spec.topologySpreadConstraints.**", ByHand(ZONES)),
    ("spec.priorityClassName", ByHand(PODS)),
    ("spec.schedulerName", ByHand(PODS)),
    ("spec.postgresUID", ByHand("set `run_as`")),
    ("spec.postgresGID", ByHand("set `run_as`")),
    ("spec.seccompProfile.**", ByHand(PODS)),
    ("spec.podSecurityContext.**", ByHand(PODS)),
    ("spec.securityContext.**", ByHand(PODS)),
    ("spec.serviceAccountTemplate.**", ByHand(PODS)),
    ("spec.serviceAccountName", ByHand(PODS)),
    ("spec.inheritedMetadata.**", ByHand(PODS)),
    ("spec.env.**", ByHand("set the environment of `howdah run` in its unit")),
    ("spec.envFrom.**", ByHand("set the environment of `howdah run` in its unit")),
    ("spec.enablePDB", ByHand(PODS)),
    ("spec.nodeMaintenanceWindow.**", ByHand("before work on a machine: `howdah switchover`")),
    ("spec.primaryUpdateStrategy", ByHand("upgrade standbys first, then `howdah switchover`")),
    ("spec.primaryUpdateMethod", ByHand("upgrade standbys first, then `howdah switchover`")),
    ("spec.logLevel", Replaced("`RUST_LOG` says how much Howdah logs")),
    ("spec.managed.services.**", Replaced(ENDPOINTS)),
    ("spec.managed.roles.*.comment", ByHand(OTHER_ROLE)),
    ("spec.managed.roles.*.validUntil", ByHand(OTHER_ROLE)),
    ("spec.managed.roles.*.inherit", ByHand(OTHER_ROLE)),
    ("spec.managed.roles.*.bypassrls", ByHand(OTHER_ROLE)),
    (
        "spec.managed.roles.*.disablePassword",
        Replaced("a role without `password` cannot log in by one"),
    ),
    ("spec.managed.roles.**", ByHand("declare a table `[roles.NAME]`")),
    ("spec.managed", Replaced("empty")),
    ("spec.backup.**", ByHand(BACKUPS)),
    ("spec.plugins.**", ByHand(BACKUPS)),
    ("spec.monitoring.**", ByHand(MONITORING)),
];

const DATABASE: &[Row] = &[
    ("spec.cluster.**", Replaced("the file describes one cluster")),
    ("spec.extensions.*.version", ByHand("the newest version of the installed package counts")),
    ("spec.extensions.*.schema", ByHand("move the extension by hand, once it is made")),
    ("spec.extensions.**", ByHand("Howdah drops no extension; drop it by hand")),
    ("spec.connectionLimit", ByHand("alter the database by hand")),
    ("spec.databaseReclaimPolicy", Replaced("Howdah drops no database")),
    ("spec.**", ByHand("make or alter it by hand, through `howdah psql`")),
];

const ROLE: &[Row] = &[
    ("spec.cluster.**", Replaced("the file describes one cluster")),
    ("spec.disablePassword", Replaced("a role without `password` cannot log in by one")),
    ("spec.**", ByHand(OTHER_ROLE)),
];

const POOLING: &str = "every node has a pooler of its own, see `[pools]`";
const POOLER: &[Row] = &[
    ("spec.type", Replaced(ENDPOINTS)),
    ("spec.cluster.**", Replaced("the file describes one cluster")),
    ("spec.**", ByHand(POOLING)),
];
const BACKUP: &[Row] = &[("**", ByHand(BACKUPS))];
const SECRET: &[Row] = &[
    ("type", Replaced("the form of the manifest")),
    ("**", ByHand("a secret stays where it is; the file names where to find a password")),
];
const METRICS: &[Row] = &[("**", ByHand(MONITORING))];
const IMAGES: &[Row] = &[("**", ByHand(IMAGE))];
const LOGICAL: &[Row] = &[("**", ByHand("make it by hand, through `howdah psql`"))];
const OTHER: &[Row] = &[("**", ByHand("an object that is not CloudNativePG's"))];
