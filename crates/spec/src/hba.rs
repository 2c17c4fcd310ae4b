//! pg_hba rules: parsed where the cluster file is read, matched against a client's own address.
//!
//! A client that comes through an endpoint reaches the server from the proxy's address, so the
//! server cannot judge it; [`judge`] does, with `check_hba` of PostgreSQL's
//! `src/backend/libpq/hba.c` as the model. Two rules of ours: a proxied client never matches a
//! `local` line, and `trust` does not exist.

mod parse;
mod token;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use parse::BadRule;

/// One pg_hba line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HbaRule {
    /// The line as written, for `pg_hba.conf`.
    pub line: String,
    pub transport: Transport,
    pub databases: Vec<DatabaseMatch>,
    pub roles: Vec<RoleMatch>,
    /// `None` on a `local` line.
    pub address: Option<AddressMatch>,
    pub method: Method,
    /// `name=value` after the method, in order.
    pub options: Vec<(String, String)>,
}

/// The first word of a line: how the client is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    Local,
    Host,
    HostSsl,
    HostNoSsl,
    /// Never matches here: endpoints do not speak GSSAPI encryption.
    HostGssEnc,
    HostNoGssEnc,
}

/// One entry of the database list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DatabaseMatch {
    /// Every database, but not physical replication.
    All,
    SameUser,
    /// Physical replication, and only that.
    Replication,
    Name(String),
}

/// One entry of the role list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RoleMatch {
    All,
    Name(String),
}

/// The address column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressMatch {
    All,
    /// Any address of the machine that the client connected to.
    SameHost,
    /// Both are of one family; the mask need not be a prefix, as in PostgreSQL.
    Masked {
        address: IpAddr,
        mask: IpAddr,
    },
}

/// How a matching client proves itself. The password methods are all SCRAM through an endpoint,
/// because the server sees the proxy's rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    ScramSha256,
    Md5,
    Password,
    Cert,
    /// On `local` lines only.
    Peer,
    /// Only where [`HbaRule::parse_trusting`] has read the rule.
    Trust,
    Reject,
}

/// A client that asks to be let in through an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Who<'a> {
    /// Cut to 63 bytes as the server does, or a longer name would slip past a rule.
    pub database: &'a str,
    pub user: &'a str,
    pub address: IpAddr,
    /// `address` is one of this machine's own.
    pub same_host: bool,
    pub tls: bool,
    /// Physical replication; a logical walsender is judged by its database.
    pub replication: bool,
}

/// What the rules say. The first that matches decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict<'a> {
    Allow(&'a HbaRule),
    Reject(&'a HbaRule),
    NoRule,
}

/// Judges a client that has come by a Unix socket to a pooler alone: `local` lines are about it.
pub fn judge_local<'a>(rules: &'a [HbaRule], who: &Who<'_>) -> Verdict<'a> {
    let about = |rule: &&HbaRule| rule.transport == Transport::Local && rule.names(who);
    verdict(rules.iter().find(about))
}

/// Judges one client.
pub fn judge<'a>(rules: &'a [HbaRule], who: &Who<'_>) -> Verdict<'a> {
    verdict(rules.iter().find(|rule| rule.matches(who)))
}

fn verdict(first: Option<&HbaRule>) -> Verdict<'_> {
    match first {
        None => Verdict::NoRule,
        Some(rule) if rule.method == Method::Reject => Verdict::Reject(rule),
        Some(rule) => Verdict::Allow(rule),
    }
}

impl Verdict<'_> {
    /// What PostgreSQL tells a client that is kept out; nothing when it is let in.
    pub fn refusal(&self, who: &Who<'_>) -> Option<String> {
        let Who { database, user, address, tls, replication, .. } = who;
        let start = match (self, replication) {
            (Verdict::Allow(rule), _) if rule.wants_certificate() => {
                return Some("client certificates are not judged at endpoints yet".to_owned());
            }
            (Verdict::Allow(_), _) => return None,
            (Verdict::Reject(_), false) => "pg_hba.conf rejects connection for",
            (Verdict::Reject(_), true) => "pg_hba.conf rejects replication connection for",
            (Verdict::NoRule, false) => "no pg_hba.conf entry for",
            (Verdict::NoRule, true) => "no pg_hba.conf entry for replication connection from",
        };
        let database =
            if *replication { String::new() } else { format!(", database \"{database}\"") };
        let encryption = if *tls { "SSL encryption" } else { "no encryption" };
        Some(format!("{start} host \"{address}\", user \"{user}\"{database}, {encryption}"))
    }
}

impl HbaRule {
    /// Reads one line as PostgreSQL 15 does.
    pub fn parse(line: &str) -> Result<HbaRule, BadRule> {
        parse::rule(line, false)
    }

    /// Reads one line for a pooler alone, which has `trust` as well.
    pub fn parse_trusting(line: &str) -> Result<HbaRule, BadRule> {
        parse::rule(line, true)
    }

    /// Whether a client must show a certificate: `cert`, or a password method with `clientcert`.
    pub fn wants_certificate(&self) -> bool {
        self.method == Method::Cert || self.options.iter().any(|(name, _)| name == "clientcert")
    }

    fn matches(&self, who: &Who<'_>) -> bool {
        self.transport.matches(who.tls)
            && self.address.is_some_and(|address| address.matches(who))
            && self.names(who)
    }

    fn names(&self, who: &Who<'_>) -> bool {
        self.databases.iter().any(|database| database.matches(who))
            && self.roles.iter().any(|role| role.matches(who.user))
    }
}

impl Transport {
    fn matches(self, tls: bool) -> bool {
        match self {
            Transport::Host | Transport::HostNoGssEnc => true,
            Transport::HostSsl => tls,
            Transport::HostNoSsl => !tls,
            Transport::Local | Transport::HostGssEnc => false,
        }
    }
}

impl DatabaseMatch {
    fn matches(&self, who: &Who<'_>) -> bool {
        match self {
            DatabaseMatch::Replication => who.replication,
            _ if who.replication => false,
            DatabaseMatch::All => true,
            DatabaseMatch::SameUser => who.database == who.user,
            DatabaseMatch::Name(name) => who.database == name,
        }
    }
}

impl RoleMatch {
    fn matches(&self, user: &str) -> bool {
        match self {
            RoleMatch::All => true,
            RoleMatch::Name(name) => user == name,
        }
    }
}

impl AddressMatch {
    /// An IPv4 entry matches only IPv4 clients and an IPv6 entry only IPv6 clients, "even if the
    /// represented address is in the IPv4-in-IPv6 range" (PostgreSQL, "The pg_hba.conf File").
    fn matches(self, who: &Who<'_>) -> bool {
        match self {
            AddressMatch::All => true,
            AddressMatch::SameHost => who.same_host,
            AddressMatch::Masked { address, mask } => within(who.address, address, mask),
        }
    }
}

fn within(client: IpAddr, address: IpAddr, mask: IpAddr) -> bool {
    match (client, address, mask) {
        (IpAddr::V4(client), IpAddr::V4(address), IpAddr::V4(mask)) => {
            (client.to_bits() ^ address.to_bits()) & mask.to_bits() == 0
        }
        (IpAddr::V6(client), IpAddr::V6(address), IpAddr::V6(mask)) => {
            (client.to_bits() ^ address.to_bits()) & mask.to_bits() == 0
        }
        _ => false,
    }
}
