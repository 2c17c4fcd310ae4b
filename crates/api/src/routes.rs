//! Which path is what: one table, from which requests are routed and the description is made.
//!
//! As in Patroni, the first part of a path decides, and a GET that nothing else has is a health
//! check whose rule depends on what the path contains.

use axum::http::Method;

use crate::Check;
pub use crate::answer::{Ports, routes};

/// What HTTP can be asked for, besides health checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    Status,
    Explain,
    History,
    Patroni,
    Cluster,
    Metrics,
    Liveness,
    Readiness,
    Config,
    Failsafe,
    Description,
    ApiPage,
    File,
    Audit,
    PatchConfig,
    PutConfig,
    Switchover,
    AbortSwitchover,
    Failover,
    Restart,
    CancelRestart,
    Reload,
    Reinitialize,
    PostFailsafe,
    Sigterm,
    Citus,
    Pause,
    Resume,
    Fence,
    Unfence,
    Apply,
    Stop,
    /// Answered by [`crate::join`]; here for the description, and where nobody is let in.
    Join,
    Certificate,
}

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right {
    /// Whoever reaches the port.
    Read,
    /// Reads what is not everybody's: needs a proof.
    Inspect,
    /// Changes something: needs a proof and leaves a line in the audit log.
    Change,
}

/// Whose contract a path is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kin {
    Patroni,
    Howdah,
}

/// One line of the table.
#[derive(Debug)]
pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
    pub op: Op,
    pub right: Right,
    pub kin: Kin,
    pub summary: &'static str,
    pub body: Body,
    /// Codes besides those of [`Right`], with what they say.
    pub answers: &'static [(u16, &'static str)],
}

/// What a request carries.
#[derive(Debug)]
pub enum Body {
    None,
    /// A JSON object of these fields.
    Json {
        required: bool,
        fields: &'static [Field],
    },
    /// Patroni's dynamic configuration.
    Settings,
    /// The text of a cluster file.
    Toml,
}

/// A field of a JSON body: name, JSON type, and what it says.
pub type Field = (&'static str, &'static str, &'static str);

/// Where a request leads.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    Route(&'static Route),
    Check(Check),
    /// The path is one of Howdah's own and knows other methods.
    OtherMethod,
    /// Neither path nor method mean anything.
    Nothing,
}

/// Patroni's `parse_request`. Of a path that GET knows by name, HEAD and OPTIONS tell GET's code.
pub fn find(method: &Method, path: &str) -> Found {
    let of = |method: &str| at(path).find(|route| route.method == method);
    if let Some(route) = of(method.as_str()) {
        return Found::Route(route);
    }
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    if reads && let Some(route) = of("GET") {
        return Found::Route(route);
    }
    if at(path).any(|route| route.kin == Kin::Howdah) {
        return Found::OtherMethod;
    }
    if reads { Found::Check(Check::of(path)) } else { Found::Nothing }
}

/// The methods that a path knows.
pub fn methods(path: &str) -> String {
    let names: Vec<&str> = at(path).map(|route| route.method).collect();
    names.join(", ")
}

fn at(path: &str) -> impl Iterator<Item = &'static Route> {
    let first = first(path).to_owned();
    ROUTES.iter().filter(move |route| self::first(route.path) == first)
}

fn first(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

const DONE: (u16, &str) = (200, "It is done.");
const LATER: (u16, &str) = (202, "It is planned.");
const BAD: (u16, &str) = (400, "The body makes no sense.");
const NO_LENGTH: (u16, &str) = (411, "There is no body, and no `Content-Length`.");
const CONFLICT: (u16, &str) = (409, "It does not go together with what is there.");
const NOT_FIT: (u16, &str) = (412, "The cluster is not in a state in which it can be done.");
const BAD_TIME: (u16, &str) = (422, "The time cannot be read, or lies in the past.");
const FAILED: (u16, &str) = (503, "It was not done, or nobody knows.");

const fn read(path: &'static str, op: Op, kin: Kin, summary: &'static str) -> Route {
    let answers = &[(200, "The answer.")];
    let (right, body) = (Right::Read, Body::None);
    Route { method: "GET", path, op, right, kin, summary, body, answers }
}

const fn probe(path: &'static str, op: Op, summary: &'static str) -> Route {
    let answers = &[(200, "Yes."), (503, "No.")];
    Route { answers, ..read(path, op, Kin::Patroni, summary) }
}

const fn inspect(path: &'static str, op: Op, summary: &'static str) -> Route {
    Route { right: Right::Inspect, ..read(path, op, Kin::Howdah, summary) }
}

/// A change by POST without a body.
const fn change(path: &'static str, op: Op, kin: Kin, summary: &'static str) -> Route {
    let answers = &[DONE, CONFLICT, NOT_FIT, FAILED];
    Route { method: "POST", right: Right::Change, answers, ..read(path, op, kin, summary) }
}

const fn json(required: bool, fields: &'static [Field]) -> Body {
    Body::Json { required, fields }
}

/// All paths that are no health checks. Howdah's own words in a body of Patroni's are marked.
pub static ROUTES: [Route; 34] = [
    read("/status", Op::Status, Kin::Howdah, "The cluster as this node sees it."),
    read("/explain", Op::Explain, Kin::Howdah, "Each node's last decision, and why."),
    read("/history", Op::History, Kin::Patroni, "The timelines that have ended, and why."),
    read("/patroni", Op::Patroni, Kin::Patroni, "This node, in Patroni's shape."),
    read("/cluster", Op::Cluster, Kin::Patroni, "The cluster, in Patroni's shape."),
    read("/metrics", Op::Metrics, Kin::Patroni, "Patroni's metrics, for Prometheus."),
    probe("/liveness", Op::Liveness, "The agent takes its turns."),
    probe(
        "/readiness",
        Op::Readiness,
        "The primary, or a standby that streams and is not further behind than `lag`.",
    ),
    Route {
        answers: &[(200, "The settings."), (502, "The store has not been read yet.")],
        ..read("/config", Op::Config, Kin::Patroni, "The cluster file as dynamic configuration.")
    },
    Route {
        answers: &[(502, "There is no failsafe mode.")],
        ..read("/failsafe", Op::Failsafe, Kin::Patroni, "There is no failsafe mode.")
    },
    read("/openapi.json", Op::Description, Kin::Howdah, "This description."),
    read("/api", Op::ApiPage, Kin::Howdah, "All paths, for people."),
    inspect("/file", Op::File, "The cluster file in force, as text; its revision in `ETag`."),
    inspect("/audit", Op::Audit, "The last lines of this node's audit log (`?lines=200`)."),
    Route {
        method: "PATCH",
        body: Body::Settings,
        answers: &[
            (200, "The settings in force from now on."),
            (400, "A setting makes no sense, or nobody knows it."),
            (409, "Howdah does it differently, or the file was changed in the meantime."),
            NO_LENGTH,
            FAILED,
        ],
        ..change("/config", Op::PatchConfig, Kin::Patroni, "Change settings; `null` removes one.")
    },
    Route {
        method: "PUT",
        body: Body::Settings,
        answers: &[
            (200, "The settings in force from now on."),
            (400, "A setting makes no sense, or nobody knows it."),
            (409, "Howdah does it differently, or the file was changed in the meantime."),
            NO_LENGTH,
            FAILED,
        ],
        ..change("/config", Op::PutConfig, Kin::Patroni, "Replace all settings.")
    },
    Route {
        body: json(
            true,
            &[
                ("leader", "string", "The leader that is meant."),
                ("candidate", "string", "Who takes over; the best standby if missing."),
                ("member", "string", "As `candidate`."),
                ("scheduled_at", "string", "When: RFC 3339 with its offset."),
                ("to", "string", "Howdah's own: as `candidate`; the leader need not be named."),
                ("at", "string", "Howdah's own: as `scheduled_at`; also `+10min`."),
            ],
        ),
        answers: &[DONE, LATER, BAD, CONFLICT, NO_LENGTH, NOT_FIT, BAD_TIME, FAILED],
        ..change(
            "/switchover",
            Op::Switchover,
            Kin::Patroni,
            "Move the primary while its node is alive.",
        )
    },
    Route {
        method: "DELETE",
        answers: &[DONE, (404, "None is planned."), CONFLICT, FAILED],
        ..change(
            "/switchover",
            Op::AbortSwitchover,
            Kin::Patroni,
            "Drop the switchover that is planned, or give up one that can be.",
        )
    },
    Route {
        body: json(
            true,
            &[
                ("candidate", "string", "Who takes over."),
                ("member", "string", "As `candidate`."),
                ("leader", "string", "The leader that is meant: then it is a switchover."),
                ("scheduled_at", "string", "Refused: a failover is not planned."),
                ("to", "string", "Howdah's own: as `candidate`, and never a switchover."),
                ("accept_loss", "boolean", "Howdah's own: also if commits may be missing."),
            ],
        ),
        answers: &[DONE, BAD, CONFLICT, NO_LENGTH, NOT_FIT, FAILED],
        ..change(
            "/failover",
            Op::Failover,
            Kin::Patroni,
            "Let a standby take over although the leader cannot be reached.",
        )
    },
    Route {
        body: json(
            false,
            &[
                ("schedule", "string", "When: RFC 3339 with its offset."),
                ("role", "string", "Only while the server is `primary` or `replica`."),
                ("postgres_version", "string", "Only where PostgreSQL is older."),
                ("restart_pending", "boolean", "Only where parameters wait for it."),
                ("timeout", "integer", "Most seconds to wait for the end."),
                ("nodes", "array", "Howdah's own: these, one by one; `[]` is all."),
                ("at", "string", "Howdah's own: as `schedule`; also `+10min`."),
            ],
        ),
        answers: &[
            DONE,
            LATER,
            BAD,
            (409, "Another restart is planned."),
            BAD_TIME,
            (500, "It cannot be planned while the cluster is paused."),
            FAILED,
        ],
        ..change("/restart", Op::Restart, Kin::Patroni, "Restart this node's server.")
    },
    Route {
        method: "DELETE",
        answers: &[DONE, (404, "None is planned."), FAILED],
        ..change(
            "/restart",
            Op::CancelRestart,
            Kin::Patroni,
            "Drop the restart planned for this node (`?node=n2`: for that one).",
        )
    },
    Route {
        body: json(false, &[("nodes", "array", "Howdah's own: these; `[]` is all.")]),
        answers: &[(202, "It will be done."), BAD, FAILED],
        ..change(
            "/reload",
            Op::Reload,
            Kin::Patroni,
            "Write this node's files anew and let its server read them.",
        )
    },
    Route {
        body: json(
            false,
            &[
                ("force", "boolean", "Patroni's word; what runs is not cut short."),
                ("from_leader", "boolean", "Copy from the leader, whatever the tags say."),
                ("node", "string", "Howdah's own: that node instead of this one."),
                ("from", "string", "Howdah's own: copy from this node."),
                ("from_repository", "boolean", "Howdah's own: from the newest backup and WAL."),
            ],
        ),
        answers: &[(200, "It has begun."), BAD, FAILED],
        ..change(
            "/reinitialize",
            Op::Reinitialize,
            Kin::Patroni,
            "Make this standby's directory anew.",
        )
    },
    Route {
        answers: &[(502, "There is no failsafe mode.")],
        ..change("/failsafe", Op::PostFailsafe, Kin::Patroni, "There is no failsafe mode.")
    },
    Route {
        answers: &[(501, "Refused.")],
        ..change("/sigterm", Op::Sigterm, Kin::Patroni, "Refused: a service manager stops nodes.")
    },
    Route {
        answers: &[(501, "Refused.")],
        ..change("/citus", Op::Citus, Kin::Patroni, "Refused: there is no support of Citus.")
    },
    change("/pause", Op::Pause, Kin::Howdah, "From now on nothing is promoted by itself."),
    change("/resume", Op::Resume, Kin::Howdah, "The end of a pause."),
    Route {
        body: json(true, &[("node", "string", "Whose server is to be down.")]),
        answers: &[DONE, BAD, CONFLICT, NO_LENGTH, NOT_FIT, FAILED],
        ..change("/fence", Op::Fence, Kin::Howdah, "Stop a server and keep it stopped.")
    },
    Route {
        body: json(true, &[("node", "string", "Whose server may run again.")]),
        answers: &[DONE, BAD, (404, "It is not fenced."), NO_LENGTH, FAILED],
        ..change("/unfence", Op::Unfence, Kin::Howdah, "Let a fenced server run again.")
    },
    Route {
        body: Body::Toml,
        answers: &[DONE, BAD, CONFLICT, FAILED],
        ..change(
            "/apply",
            Op::Apply,
            Kin::Howdah,
            "Take a cluster file into force (`?revision=7`: only while that one is).",
        )
    },
    change("/stop", Op::Stop, Kin::Howdah, "Stop this node, its server with it."),
    Route {
        method: "POST",
        body: json(
            true,
            &[
                ("id", "string", "Which token."),
                ("secret", "string", "Its secret."),
                ("node", "string", "Which node the machine will be."),
                ("request", "string", "A certificate request, PEM."),
            ],
        ),
        answers: &[
            (200, "Everything that the machine needs to be the node."),
            BAD,
            (403, "The token is wrong, used or expired, or came in the clear."),
            (404, "This node lets nobody in."),
            (409, "The node cannot be this machine."),
            (429, "Too many tokens were refused in the last minute."),
            (500, "What is needed to answer cannot be used."),
            (503, "The audit log cannot be written."),
        ],
        ..read("/join", Op::Join, Kin::Howdah, "Let a machine in, by a one-time token.")
    },
    Route {
        answers: &[
            (200, "The certificate, PEM."),
            (400, "That is no node's name."),
            (404, "None waits, or this node lets nobody in."),
        ],
        ..read(
            "/certificates/{node}",
            Op::Certificate,
            Kin::Howdah,
            "A newer certificate that waits for a node which cannot sign its own.",
        )
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn led(method: &str, path: &str) -> String {
        let method = Method::from_bytes(method.as_bytes()).expect("method");
        match find(&method, path) {
            Found::Route(route) => format!("{:?}", route.op),
            Found::Check(check) => format!("check {check:?}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_first_part_of_a_path_decides_and_the_rest_are_checks() {
        for (method, path, wanted) in [
            ("GET", "/", "check Primary"),
            ("GET", "/cluster", "Cluster"),
            ("GET", "/cluster/", "Cluster"),
            ("GET", "/cluster/anything", "Cluster"),
            ("GET", "//cluster", "Cluster"),
            ("HEAD", "/liveness", "Liveness"),
            ("OPTIONS", "/readiness", "Readiness"),
            ("GET", "/clusters", "check Unknown"),
            ("OPTIONS", "/my-primary-check", "check Primary"),
            ("GET", "/leader", "check Primary"),
            ("GET", "/standby_leader", "check StandbyLeader"),
            ("GET", "/standby-leader/x", "check StandbyLeader"),
            ("GET", "/replica-of-the-primary", "check Primary"),
            ("GET", "/replica", "check Replica"),
            ("GET", "/read-only", "check ReadOnly"),
            ("GET", "/x/read-only", "check ReadOnly"),
            ("GET", "/read-only-sync", "check ReadOnlySync"),
            ("GET", "/read-only-quorum", "check ReadOnlySync"),
            ("GET", "/read-only-sync/", "check Unknown"),
            ("GET", "/healthz", "check Running"),
            ("GET", "/sync", "check Sync"),
            ("GET", "/sync/", "check Unknown"),
            ("GET", "/asynchronous", "check Async"),
            ("GET", "/restart", "check Unknown"),
            ("POST", "/restart", "Restart"),
            ("DELETE", "/restart", "CancelRestart"),
            ("PUT", "/restart", "Nothing"),
            ("POST", "/primary", "Nothing"),
            ("DELETE", "/cluster", "Nothing"),
            ("BREW", "/", "Nothing"),
            ("GET", "/apply", "OtherMethod"),
            ("POST", "/status", "OtherMethod"),
        ] {
            assert_eq!(led(method, path), wanted, "{method} {path}");
        }
        assert_eq!(methods("/switchover"), "POST, DELETE");
    }

    #[test]
    fn no_line_of_the_table_hides_another() {
        for (number, route) in ROUTES.iter().enumerate() {
            let same = |other: &&Route| other.method == route.method && other.path == route.path;
            let first = ROUTES.iter().position(|other| same(&other));
            assert_eq!(first, Some(number), "{} {}", route.method, route.path);
        }
    }
}
