//! What an operator asks for over HTTP: read once, here, into values that the agent can act on.
//!
//! Pure: a body and what is known of the cluster in, an [`Ask`] or a refusal with its code out.
//! Words and codes are Patroni's (`patroni/api.py`); what only Howdah knows is in words of its
//! own. What is not understood is refused and never ignored.

use axum::http::StatusCode;
use howdah_base::NodeName;
use howdah_base::ask::{Ask, Receipt, Refusal, RefusalClass};
use howdah_base::record::Conditions;
use howdah_base::status::ClusterStatus;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use crate::fields::{flag, moment, name, names, seconds, text};
use crate::preflight;
use crate::routes::Op;

/// One request on its way to the agent, which answers it exactly once.
#[derive(Debug)]
pub struct Request {
    pub kind: Ask,
    /// Who asked, for the history.
    pub by: String,
    /// What came of it, or why it is refused.
    pub reply: oneshot::Sender<Result<Receipt, Refusal>>,
}

/// What the node knows when it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub status: &'a ClusterStatus,
    /// Milliseconds since 1970.
    pub now: u64,
    /// Names and values behind the path's `?`.
    pub query: &'a [(String, String)],
}

/// What is to be asked of the agent, and how its answer is worded.
#[derive(Clone, PartialEq, Debug)]
pub struct Wish {
    pub ask: Ask,
    /// The code when it is done.
    pub done: StatusCode,
    /// How long the answer is waited for, in seconds; the usual time if `None`.
    pub within: Option<u64>,
}

/// A refusal with its code.
#[derive(Clone, PartialEq, Debug)]
pub struct Refused {
    pub code: StatusCode,
    pub refusal: Refusal,
}

type Object = Map<String, Value>;

/// Reads the body of a change.
pub fn read(op: Op, body: &Object, known: Known<'_>) -> Result<Wish, Refused> {
    let me = || vec![known.status.seen_by.clone()];
    Ok(match op {
        Op::Switchover => return switchover(body, known),
        Op::Failover => failover(body, known)?.into(),
        Op::Restart => return restart(body, known),
        Op::AbortSwitchover => Ask::AbortSwitchover.into(),
        Op::CancelRestart => Ask::CancelRestart { node: node_of_query(known)? }.into(),
        Op::Reload => {
            let nodes = names(body, "nodes")?.unwrap_or_else(me);
            Wish { done: StatusCode::ACCEPTED, ..Ask::Reload { nodes }.into() }
        }
        Op::Reinitialize => reinit(body, known)?.into(),
        Op::Pause => Ask::Pause.into(),
        Op::Resume => Ask::Resume.into(),
        Op::Fence => Ask::Fence { node: required(body, "node")? }.into(),
        Op::Unfence => Ask::Unfence { node: required(body, "node")? }.into(),
        Op::Stop => Ask::Stop.into(),
        _ => {
            let refusal = Refusal::new("this path changes nothing").hint("GET /api");
            return Err(Refused::new(StatusCode::NOT_IMPLEMENTED, refusal));
        }
    })
}

/// Reads `POST /apply`: the body is the cluster file itself.
pub fn apply(text: &str, known: Known<'_>) -> Result<Wish, Refused> {
    if text.trim().is_empty() {
        let refusal = Refusal::new("the body is empty; it must be the text of the cluster file");
        return Err(bad(refusal.hint("`howdah apply`, or `curl --data-binary @howdah.toml`")));
    }
    let asked = known.query.iter().find(|(name, _)| name == "revision");
    let revision = asked.map(|(_, value)| value.parse()).transpose();
    let revision =
        revision.map_err(|_| bad(Refusal::new("`revision` must be the number of a revision")))?;
    Ok(Ask::Apply { text: text.to_owned(), revision }.into())
}

/// The code of the agent's refusal.
pub fn code_of(op: Op, class: RefusalClass) -> StatusCode {
    use RefusalClass::{Absent, Conflict, Malformed, Precondition, Unavailable};
    match (op, class) {
        (_, Malformed) => StatusCode::BAD_REQUEST,
        (_, Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
        // Patroni's one word for a restart or a copy that did not come about.
        (Op::Restart | Op::Reload | Op::Reinitialize, Precondition | Absent)
        | (Op::Reload | Op::Reinitialize, Conflict) => StatusCode::SERVICE_UNAVAILABLE,
        (_, Absent) => StatusCode::NOT_FOUND,
        (_, Precondition) => StatusCode::PRECONDITION_FAILED,
        (_, Conflict) => StatusCode::CONFLICT,
    }
}

/// In the order of Patroni's checks, so that the same mistake gets the same code.
fn switchover(body: &Object, known: Known<'_>) -> Result<Wish, Refused> {
    let own_words = body.contains_key("to") || body.contains_key("at");
    let leader = name(body, "leader")?;
    if leader.is_none() && !own_words {
        return Err(bad(Refusal::new("a switchover names the leader that it means")
            .hint(r#"send `{"leader": "n1", "candidate": "n2"}`, or Howdah's `{"to": "n2"}`"#)));
    }
    let paused = known.status.paused.is_some();
    if paused && (is_set(body, "scheduled_at") || is_set(body, "at")) {
        return Err(bad(Refusal::new(
            "a switchover cannot be planned while the cluster is paused",
        )
        .hint("howdah resume, or switch over now")));
    }
    let at = moment(body, "scheduled_at", known.now)?.or(moment(body, "at", known.now)?);
    let to = candidate(body)?;
    if paused && to.is_none() {
        return Err(bad(Refusal::new("in a pause, a switchover names its candidate")
            .hint("howdah switchover NODE")));
    }
    if leader.is_some() && leader == to {
        return Err(bad(Refusal::new("the leader cannot be its own candidate")));
    }
    preflight::is_leader(known.status, leader.as_ref()).map_err(not_fit)?;
    if at.is_none() {
        preflight::can_switch_over(known.status, to.as_ref()).map_err(not_fit)?;
    }
    let done = if at.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(Wish { done, ..Ask::Switchover { to, at_unix_ms: at }.into() })
}

fn is_set(body: &Object, field: &str) -> bool {
    body.get(field).is_some_and(|value| !value.is_null() && value != "")
}

fn failover(body: &Object, known: Known<'_>) -> Result<Ask, Refused> {
    let own_words = body.contains_key("to");
    let leader = name(body, "leader")?;
    let Some(to) = candidate(body)? else {
        return Err(bad(
            Refusal::new("a failover names its candidate").hint(r#"send `{"candidate": "n2"}`"#)
        ));
    };
    if text(body, "scheduled_at")?.is_some() {
        return Err(bad(Refusal::new("a failover cannot be planned").hint("plan a switchover")));
    }
    if leader.as_ref() == Some(&to) {
        return Err(bad(Refusal::new("the leader cannot be its own candidate")));
    }
    let accept_loss = flag(body, "accept_loss")?.unwrap_or(false);
    preflight::is_leader(known.status, leader.as_ref()).map_err(not_fit)?;
    // Patroni's failover under a living leader hands over; that is a switchover here.
    if leader.is_some() || (!own_words && preflight::leader_lives(known.status)) {
        preflight::can_switch_over(known.status, Some(&to)).map_err(not_fit)?;
        return Ok(Ask::Switchover { to: Some(to), at_unix_ms: None });
    }
    preflight::is_member(known.status, &to).map_err(not_fit)?;
    if !accept_loss && !own_words {
        preflight::can_take_over(known.status, Some(&to)).map_err(not_fit)?;
    }
    Ok(Ask::Failover { to, accept_loss })
}

fn candidate(body: &Object) -> Result<Option<NodeName>, Refused> {
    for word in ["candidate", "member", "to"] {
        // Patroni's clients send an empty name for none.
        if text(body, word)?.is_some_and(|name| !name.is_empty()) {
            // A name that no node can have is a node that there is not.
            return name(body, word).map_err(|refused| not_fit(refused.refusal));
        }
    }
    Ok(None)
}

fn restart(body: &Object, known: Known<'_>) -> Result<Wish, Refused> {
    if (is_set(body, "schedule") || is_set(body, "at")) && known.status.paused.is_some() {
        let refusal = Refusal::new("a restart cannot be planned while the cluster is paused")
            .hint("howdah resume, or restart now");
        return Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, refusal));
    }
    let at = moment(body, "schedule", known.now)?.or(moment(body, "at", known.now)?);
    let role = match text(body, "role")? {
        None => None,
        Some("primary" | "master") => Some("primary".to_owned()),
        Some("replica" | "standby") => Some("standby".to_owned()),
        Some(other) => {
            return Err(bad(Refusal::new(format!(
                "`role` is `primary` or `replica`, not `{other}`"
            ))));
        }
    };
    let older_than = text(body, "postgres_version")?.map(str::to_owned);
    if let Some(version) = older_than.as_ref().filter(|version| !is_version(version)) {
        let refusal = Refusal::new(format!("not a version of PostgreSQL: `{version}`"));
        return Err(bad(refusal.hint("write it as `15.9`")));
    }
    let within = seconds(body, "timeout")?;
    let pending = flag(body, "restart_pending")?.unwrap_or(false);
    let nodes = names(body, "nodes")?.unwrap_or_else(|| vec![known.status.seen_by.clone()]);
    let conditions = Conditions { pending, role, older_than };
    let ask = Ask::Restart { nodes, conditions, at_unix_ms: at };
    let done = if at.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(Wish { ask, done, within })
}

/// `15.9`, or three parts before version 10: as `patroni`'s `postgres_version_to_int` reads it.
fn is_version(text: &str) -> bool {
    let parts: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
    match parts.as_deref() {
        Some([major, _]) => *major >= 10,
        Some([_, _, _]) => true,
        _ => false,
    }
}

fn reinit(body: &Object, known: Known<'_>) -> Result<Ask, Refused> {
    flag(body, "force")?;
    let node = name(body, "node")?.unwrap_or_else(|| known.status.seen_by.clone());
    let from = match name(body, "from")? {
        Some(from) => Some(from),
        None if flag(body, "from_leader")? == Some(true) => known.status.leader.clone(),
        None => None,
    };
    let repository = flag(body, "from_repository")?.unwrap_or(false);
    if repository && from.is_some() {
        return Err(bad(Refusal::new(
            "it is made from the repository or from a node, not from both",
        )));
    }
    Ok(Ask::Reinit { node, from, repository })
}

fn node_of_query(known: Known<'_>) -> Result<NodeName, Refused> {
    match known.query.iter().find(|(name, _)| name == "node") {
        None => Ok(known.status.seen_by.clone()),
        Some((_, value)) => value
            .parse()
            .map_err(|_| bad(Refusal::new(format!("not the name of a node: `{value}`")))),
    }
}

fn required(body: &Object, field: &str) -> Result<NodeName, Refused> {
    name(body, field)?.ok_or_else(|| {
        bad(Refusal::new(format!("`{field}` is missing")).hint(r#"send `{"node": "n2"}`"#))
    })
}

impl Refused {
    pub fn new(code: StatusCode, refusal: Refusal) -> Refused {
        Refused { code, refusal }
    }
}

/// 400: the request itself makes no sense.
pub fn bad(refusal: Refusal) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, refusal.class(RefusalClass::Malformed))
}

/// 412: no fit candidate.
fn not_fit(refusal: Refusal) -> Refused {
    Refused::new(StatusCode::PRECONDITION_FAILED, refusal.class(RefusalClass::Precondition))
}

impl From<Ask> for Wish {
    fn from(ask: Ask) -> Wish {
        Wish { ask, done: StatusCode::OK, within: None }
    }
}

#[cfg(test)]
#[path = "request/tests.rs"]
mod tests;
