//! What services of a compose file are, and what is told of their keys.

use crate::names;
use crate::table::Meaning::{ByHand, Replaced};
use crate::table::Row;

pub(super) const UNKNOWN: &str = "not a key of compose files that Howdah knows";

/// What a service is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Server,
    Pooler,
    Balancer,
    Store,
    Metrics,
    Backup,
    Other,
}

/// Words of images and services, the narrower ones first.
const WORDS: [(&str, Role); 15] = [
    ("pgbouncer", Role::Pooler),
    ("pgcat", Role::Pooler),
    ("odyssey", Role::Pooler),
    ("pgpool", Role::Balancer),
    ("haproxy", Role::Balancer),
    ("keepalived", Role::Balancer),
    ("etcd", Role::Store),
    ("consul", Role::Store),
    ("zookeeper", Role::Store),
    ("exporter", Role::Metrics),
    ("prometheus", Role::Metrics),
    ("grafana", Role::Metrics),
    ("backup", Role::Backup),
    ("barman", Role::Backup),
    ("pgadmin", Role::Other),
];

pub(super) fn role_of(service: &str, image: &str) -> Role {
    let name = image.rsplit('/').next().unwrap_or_default();
    let name = name.split([':', '@']).next().unwrap_or_default();
    let (service, named) = (service.to_ascii_lowercase(), name.to_ascii_lowercase());
    let word =
        |text: &str| WORDS.iter().find(|(word, _)| text.contains(word)).map(|(_, role)| *role);
    if let Some(role) = word(&named) {
        return role;
    }
    if names::is_server(&named) {
        // An image may bring along more than the server, and serve another purpose.
        return word(&service).unwrap_or(Role::Server);
    }
    if named.is_empty() && names::is_server(&service) { Role::Server } else { Role::Other }
}

const POOLER: &[Row] = &[("**", ByHand("a pooler: every node has one of its own, see `[pools]`"))];
const BALANCER: &[Row] = &[("**", Replaced("every node has endpoints: rw, ro, any"))];
const STORE: &[Row] =
    &[("**", ByHand("a store: with `[store.etcd] managed = true` the nodes run etcd themselves"))];
const METRICS: &[Row] = &[("**", ByHand("metrics are not built yet: keep it, and its role"))];
const BACKUP: &[Row] = &[("**", ByHand("backups are not built yet: keep it, and its role"))];
const CLIENT: &[Row] =
    &[("**", ByHand("a client: keep it, and let it connect to the endpoints of all nodes"))];
const OTHER: &[Row] = &[("**", ByHand("a service that is not PostgreSQL"))];

/// The rows for everything of a service that is no server, but for its variables.
pub(super) fn rows_of(role: Role) -> Vec<&'static [Row]> {
    match role {
        Role::Server => vec![CLIENT],
        Role::Pooler => vec![POOLER],
        Role::Balancer => vec![BALANCER],
        Role::Store => vec![STORE],
        Role::Metrics => vec![METRICS],
        Role::Backup => vec![BACKUP],
        Role::Other => vec![OTHER],
    }
}

const SUPERVISED: &str = "the service manager or `howdah up` starts nodes again";
const SIZES: &str = "Howdah takes its sizes from the machine, or from the limits of its cgroup";
const DISK: &str = "give the directory to `howdah adopt`, or set `data_dir` in `[nodes.NAME]`";
const PORTS: &str = "clients connect to the endpoints: rw 6432, ro 6433, any 6434";
const PLACE: &str = "set `host` and `listen` in `[nodes.NAME]`";
const CONTAINER: &str = "it is about the container, not about PostgreSQL";

/// Keys of a service that runs a server.
pub(super) const SERVER: &[Row] = &[
    ("image", ByHand("set `major` in `[postgresql]`")),
    ("build.**", ByHand("what the image adds, install on the nodes")),
    ("command.**", ByHand("a command of its own; what it prepares, prepare by hand")),
    ("entrypoint.**", ByHand("a command of its own; what it prepares, prepare by hand")),
    ("environment.**", ByHand("import it in the form `NAME: value`")),
    ("env_file.**", ByHand("import that file too")),
    ("healthcheck.**", Replaced("each node judges its own health: `/health`, `/readiness`")),
    ("restart", Replaced(SUPERVISED)),
    ("depends_on.**", Replaced("nodes find each other, in any order")),
    ("deploy.resources.**", Replaced(SIZES)),
    ("deploy.replicas", ByHand("write a table `[nodes.NAME]` for each")),
    ("deploy.**", Replaced(SUPERVISED)),
    ("mem_limit", Replaced(SIZES)),
    ("mem_reservation", Replaced(SIZES)),
    ("cpus", Replaced(SIZES)),
    ("shm_size", Replaced("shared memory is the machine's")),
    ("volumes.**", ByHand(DISK)),
    ("tmpfs.**", ByHand(DISK)),
    ("volumes_from.**", ByHand(DISK)),
    ("ports.**", ByHand(PORTS)),
    ("expose.**", ByHand(PORTS)),
    ("networks.**", ByHand(PLACE)),
    ("network_mode", ByHand(PLACE)),
    ("hostname", ByHand(PLACE)),
    ("links.**", ByHand(PLACE)),
    ("extra_hosts.**", ByHand(PLACE)),
    ("dns.**", ByHand(PLACE)),
    ("secrets.**", ByHand("write the file's place into `password` in `[roles.NAME]`")),
    ("configs.**", ByHand("import that file too")),
    ("container_name", Replaced("nodes have names of their own")),
    ("stop_grace_period", Replaced("a stop may take as long as the last checkpoint")),
    ("stop_signal", Replaced("Howdah stops PostgreSQL as is right for the occasion")),
    ("user", ByHand("set `run_as`")),
    ("logging.**", Replaced("server logs lie in `log` below the data directory for 7 days")),
    ("labels.**", ByHand(CONTAINER)),
    ("profiles.**", ByHand(CONTAINER)),
    ("platform", ByHand(CONTAINER)),
    ("pull_policy", ByHand(CONTAINER)),
    ("privileged", ByHand(CONTAINER)),
    ("security_opt.**", ByHand(CONTAINER)),
    ("cap_add.**", ByHand(CONTAINER)),
    ("cap_drop.**", ByHand(CONTAINER)),
    ("read_only", ByHand(CONTAINER)),
    ("init", ByHand(CONTAINER)),
    ("tty", ByHand(CONTAINER)),
    ("stdin_open", ByHand(CONTAINER)),
    ("ulimits.**", ByHand(CONTAINER)),
    ("sysctls.**", ByHand("set it on the machine")),
    ("working_dir", ByHand(CONTAINER)),
    ("extends.**", ByHand("import the service that it extends")),
];

/// Keys at the top.
pub(super) const TOP: &[Row] = &[
    ("version", Replaced("the form of the compose file")),
    ("x-*.**", Replaced("it counts where it is used")),
    ("name", ByHand("set `cluster`")),
    ("volumes.**", ByHand(DISK)),
    ("networks.**", ByHand(PLACE)),
    ("secrets.**", ByHand("write the file's place into `password` in `[roles.NAME]`")),
    ("configs.**", ByHand("import that file too")),
    ("include.**", ByHand("import that file too")),
];
