//! What both are asked: every path by every method, then requests that are meant.

/// Paths that Patroni knows, and some that only its rules of matching make sense of.
pub const PATHS: [&str; 48] = [
    "/",
    "/primary",
    "/read-write",
    "/master",
    "/leader",
    "/standby-leader",
    "/standby_leader",
    "/replica",
    "/replica?lag=100MB",
    "/replica?lag=104857600",
    "/replica?lag=",
    "/replica?lag=much",
    "/replica?tag_zone=a",
    "/replica?tag_zone=b",
    "/replica?tag_rack=7",
    "/read-only",
    "/read-only?tag_zone=b",
    "/read-only-sync",
    "/read-only-synchronous",
    "/read-only-quorum",
    "/sync",
    "/synchronous",
    "/quorum",
    "/async",
    "/asynchronous",
    "/sync/",
    "/health",
    "/healthz",
    "/my-primary-check",
    "/replica-of-the-primary",
    "/x/read-only",
    "/nothing",
    "/liveness",
    "/readiness",
    "/patroni",
    "/patroni/x",
    "/cluster",
    "/history",
    "/config",
    "/metrics",
    "/failsafe",
    "/restart",
    "/reload",
    "/switchover",
    "/failover",
    "/reinitialize",
    "/sigterm",
    "/citus",
];

pub const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];

/// A request with the user's password: method, path, body; names in braces stand for nodes.
pub type Request = (&'static str, &'static str, Option<&'static str>);

/// Requests that are refused whatever the state, by what they say. In any state but the one that
/// [`PAUSED`] is for.
pub const MALFORMED: &[Request] = &[
    ("POST", "/switchover", None),
    ("POST", "/switchover", Some("")),
    ("POST", "/switchover", Some("nonsense")),
    ("POST", "/switchover", Some("[]")),
    ("POST", "/switchover", Some("{}")),
    ("POST", "/switchover", Some(r#"{"candidate": "{standby}"}"#)),
    ("POST", "/switchover", Some(r#"{"leader": "{standby}", "candidate": "{leader}"}"#)),
    ("POST", "/switchover", Some(r#"{"leader": "{leader}", "candidate": "nobody"}"#)),
    ("POST", "/switchover", Some(r#"{"scheduled_at": "2099-01-01T00:00:00Z"}"#)),
    (
        "POST",
        "/switchover",
        Some(r#"{"leader": "{leader}", "scheduled_at": "2099-01-01T00:00:00"}"#),
    ),
    (
        "POST",
        "/switchover",
        Some(r#"{"leader": "{leader}", "scheduled_at": "2001-01-01T00:00:00Z"}"#),
    ),
    ("POST", "/switchover", Some(r#"{"leader": "{leader}", "scheduled_at": "soon"}"#)),
    ("POST", "/failover", None),
    ("POST", "/failover", Some("{}")),
    ("POST", "/failover", Some(r#"{"leader": "{leader}"}"#)),
    ("POST", "/failover", Some(r#"{"candidate": "nobody"}"#)),
    ("POST", "/failover", Some(r#"{"leader": "{standby}", "candidate": "{leader}"}"#)),
    ("POST", "/restart", Some("nonsense")),
    ("POST", "/restart", Some("[]")),
    ("POST", "/restart", Some(r#"{"role": "sync"}"#)),
    ("POST", "/restart", Some(r#"{"postgres_version": "fifteen"}"#)),
    ("POST", "/restart", Some(r#"{"postgres_version": "9.5"}"#)),
    ("POST", "/restart", Some(r#"{"timeout": 0}"#)),
    ("POST", "/restart", Some(r#"{"timeout": "soon"}"#)),
    ("POST", "/restart", Some(r#"{"unknown": 1}"#)),
    ("POST", "/restart", Some(r#"{"schedule": "2099-01-01T00:00:00"}"#)),
    ("POST", "/restart", Some(r#"{"schedule": "2001-01-01T00:00:00Z"}"#)),
    ("POST", "/restart", Some(r#"{"schedule": "soon"}"#)),
    ("DELETE", "/restart", None),
    ("DELETE", "/switchover", None),
    ("PATCH", "/config", None),
    ("PATCH", "/config", Some("")),
    ("PATCH", "/config", Some("nonsense")),
    ("PATCH", "/config", Some("[]")),
    ("PATCH", "/config", Some("{}")),
    ("PUT", "/config", None),
    ("PUT", "/config", Some("nonsense")),
    ("PUT", "/config", Some("{}")),
    ("POST", "/failsafe", Some(r#"{"name": "n1"}"#)),
    ("POST", "/failsafe", Some("")),
    ("GET", "/failsafe", None),
    ("POST", "/primary", Some("{}")),
    ("PUT", "/restart", Some("{}")),
    ("DELETE", "/config", None),
];

/// Asked of the primary: nothing that changes hands.
pub const OF_THE_PRIMARY: &[Request] = &[
    ("POST", "/reload", None),
    ("POST", "/reinitialize", None),
    ("POST", "/reinitialize", Some(r#"{"force": true}"#)),
    ("POST", "/restart", Some(r#"{"role": "replica"}"#)),
    ("POST", "/restart", Some(r#"{"restart_pending": true}"#)),
    ("POST", "/restart", Some(r#"{"postgres_version": "10.1"}"#)),
    ("POST", "/restart", Some(r#"{"schedule": "2099-01-01T00:00:00Z"}"#)),
    ("POST", "/restart", Some(r#"{"schedule": "2099-01-01T00:00:00Z"}"#)),
    ("DELETE", "/restart", None),
    ("DELETE", "/restart", None),
    (
        "POST",
        "/switchover",
        Some(r#"{"leader": "{leader}", "scheduled_at": "2099-01-01T00:00:00+01:00"}"#),
    ),
    ("DELETE", "/switchover", None),
    ("DELETE", "/switchover", None),
    ("PATCH", "/config", Some(r#"{"loop_wait": 2}"#)),
    ("PATCH", "/config", Some(r#"{"loop_wait": 1}"#)),
    ("PATCH", "/config", Some(r#"{"postgresql": {"parameters": {"work_mem": "7MB"}}}"#)),
    ("PATCH", "/config", Some(r#"{"postgresql": {"parameters": {"work_mem": null}}}"#)),
    ("PATCH", "/config", Some(r#"{"slots": {"extra": {"type": "physical"}}}"#)),
    ("PATCH", "/config", Some(r#"{"slots": null}"#)),
    ("PATCH", "/config", Some(r#"{"nobody_knows_this": 1}"#)),
    ("PATCH", "/config", Some(r#"{"nobody_knows_this": null}"#)),
    ("POST", "/sigterm", None),
    ("POST", "/citus", Some(r#"{"type": "before_demote"}"#)),
];

/// Asked of the standby.
pub const OF_THE_STANDBY: &[Request] = &[
    ("POST", "/reload", Some("{}")),
    ("POST", "/restart", Some(r#"{"role": "primary"}"#)),
    ("POST", "/restart", Some(r#"{"role": "replica", "timeout": 60}"#)),
];

/// Asked of a node of a paused cluster.
pub const PAUSED: &[Request] = &[
    ("POST", "/switchover", Some(r#"{"leader": "{leader}"}"#)),
    (
        "POST",
        "/switchover",
        Some(r#"{"leader": "{leader}", "scheduled_at": "2099-01-01T00:00:00Z"}"#),
    ),
    ("POST", "/restart", Some(r#"{"schedule": "2099-01-01T00:00:00Z"}"#)),
    ("PATCH", "/config", Some(r#"{"pause": true}"#)),
];

/// Asked of a standby that has the tag `nofailover`, without a leader.
pub const WITHOUT_LEADER: &[Request] = &[
    ("POST", "/switchover", Some(r#"{"leader": "{leader}", "candidate": "{standby}"}"#)),
    ("POST", "/failover", Some(r#"{"candidate": "{standby}"}"#)),
    ("POST", "/reinitialize", None),
];
