//! What an error of etcd, gRPC or TLS means for whoever runs the store.

use etcd_client::Error;
use tonic::{Code, Status};

/// Why one try at one member failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// It may answer later, or another member does.
    Away {
        why: String,
        /// etcd itself said so: the connection is good.
        spoken: bool,
    },
    /// It will say the same until a person changes something.
    Refused { why: String, hint: &'static str },
    /// The lease of a put has ended; nothing was applied.
    LeaseGone,
    /// etcd's authentication is off, although a user is given.
    NoAuthentication,
}

impl Fault {
    pub(super) fn away(why: impl Into<String>) -> Fault {
        Fault::Away { why: why.into(), spoken: false }
    }

    /// Whether the connection should not be used again.
    pub(super) fn ends_connection(&self) -> bool {
        !matches!(self, Fault::Away { spoken: true, .. } | Fault::LeaseGone)
    }

    pub(super) fn why(&self) -> &str {
        match self {
            Fault::Away { why, .. } | Fault::Refused { why, .. } => why,
            Fault::LeaseGone => "the lease has ended",
            Fault::NoAuthentication => "its authentication is off",
        }
    }
}

/// The meaning of `error`.
pub(super) fn judge(error: &Error) -> Fault {
    match error {
        Error::GRpcStatus(status) => of_status(status),
        Error::TransportError(error) => of_chain(chain(error)),
        other => Fault::away(other.to_string()),
    }
}

pub(super) fn judge_transport(error: &tonic::transport::Error) -> Fault {
    of_chain(chain(error))
}

fn of_status(status: &Status) -> Fault {
    let said = status.message();
    if let Some(known) = SAID.iter().find(|known| said.contains(known.0)) {
        return known.1.fault(said);
    }
    match status.code() {
        Code::PermissionDenied => Meaning::Refused(GRANT).fault(said),
        Code::OutOfRange => Meaning::Refused(TOO_MUCH).fault(said),
        _ if said.starts_with("etcdserver:") => Meaning::Later.fault(said),
        // No word of etcd's: the connection broke.
        _ => of_chain(format!("{said}{}", sources(status))),
    }
}

/// What etcd says, and what it means. Words, because etcd's codes do not tell these apart; they
/// have been the same since 3.0 (`api/v3rpc/rpctypes/error.go`).
const SAID: [(&str, Meaning); 10] = [
    ("requested lease not found", Meaning::LeaseGone),
    ("authentication is not enabled", Meaning::NoAuthentication),
    ("authentication failed", Meaning::Refused(PASSWORD)),
    ("user name is empty", Meaning::Refused("etcd wants a user: give `user` and `password`")),
    ("permission denied", Meaning::Refused(GRANT)),
    // A token that is too old, or from before a change of users: a new connection logs in anew.
    ("invalid auth token", Meaning::Reconnect),
    ("revision of auth store is old", Meaning::Reconnect),
    ("database space exceeded", Meaning::Refused(FULL)),
    ("request is too large", Meaning::Refused(LARGE)),
    ("message larger than max", Meaning::Refused(LARGE)),
];

#[derive(Clone, Copy)]
enum Meaning {
    LeaseGone,
    NoAuthentication,
    Reconnect,
    Later,
    Refused(&'static str),
}

impl Meaning {
    fn fault(self, said: &str) -> Fault {
        let why = said.trim_start_matches("etcdserver: ").to_owned();
        match self {
            Meaning::LeaseGone => Fault::LeaseGone,
            Meaning::NoAuthentication => Fault::NoAuthentication,
            Meaning::Reconnect => Fault::Away { why, spoken: false },
            Meaning::Later => Fault::Away { why, spoken: true },
            Meaning::Refused(hint) => Fault::Refused { why, hint },
        }
    }
}

/// Of a connection that could not be made, or broke.
fn of_chain(why: String) -> Fault {
    if why.contains("tls handshake eof") {
        // Or the member has just ended.
        return Fault::away(format!("{why}: is it one that speaks TLS?"));
    }
    match BROKEN.iter().find(|known| why.contains(known.0)) {
        Some((_, hint)) => Fault::Refused { why, hint },
        None => Fault::away(why),
    }
}

/// Words of rustls.
const BROKEN: [(&str, &str); 4] = [
    (
        "invalid peer certificate",
        "is the CA the one that signed etcd's certificates, do they \
                                  name the endpoint's host, are they still valid?",
    ),
    (
        "received fatal alert",
        "etcd refuses this node's certificate: is it signed by the CA that \
                              etcd trusts, and still valid?",
    ),
    (
        "received corrupt message",
        "the endpoint does not speak TLS: write `http://`, or turn \
                                  etcd's TLS on",
    ),
    ("InvalidCertificate", "is the file a certificate in PEM form?"),
];

const PASSWORD: &str = "check `user` and `password`; `etcdctl user list` names the users";
const GRANT: &str = "let the user read and write below the prefix: \
                     `etcdctl role grant-permission --prefix ROLE readwrite PREFIX`";
const FULL: &str = "etcd's quota is used up: compact, defragment, then \
                    `etcdctl alarm disarm`; howdah goes on by itself";
const LARGE: &str = "raise etcd's `--max-request-bytes`";
const TOO_MUCH: &str = "there is more below the prefix than howdah keeps: is it howdah's alone?";

/// The innermost words say the most, the outer ones where.
fn chain(error: &tonic::transport::Error) -> String {
    format!("{error}{}", sources(error))
}

fn sources(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(source) = next {
        let words = source.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        next = source.source();
    }
    text
}
