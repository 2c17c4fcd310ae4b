//! Changes: from a body to what the agent is asked, and from its answer to a code.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::{HeaderMap, StatusCode};
use howdah_base::ask::{Ask, Receipt, Refusal, RefusalClass};
use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::answer::{Call, Desk, Said, bounded};
use crate::patroni::config::{self, Change};
use crate::reading::NO_FAILSAFE;
use crate::request::{self, Known, Refused, Request, Wish, code_of};
use crate::routes::{Body, Op, Route};
use crate::{FileInForce, fields, when};

/// Largest body of a request: a cluster file is a hundredth of it.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// How long a body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(10);
/// How long the agent may take to accept a request into its queue.
const QUEUE_WAIT: Duration = Duration::from_secs(5);
/// How long the agent may take to answer: a switchover answers when it is done.
const ANSWER_WAIT: Duration = Duration::from_secs(180);

/// The body as text. One that must be there needs a length, or to come in chunks.
pub async fn read_body(
    wanted: &Body,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<String, Refused> {
    let refused = |code, error: &str| Err(Refused::new(code, Refusal::new(error)));
    let told = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    let required = matches!(wanted, Body::Settings | Body::Json { required: true, .. });
    if required && !told {
        return refused(StatusCode::LENGTH_REQUIRED, "there is no body, and no `Content-Length`");
    }
    let Ok(read) = timeout(BODY_WAIT, axum::body::to_bytes(body, BODY_BYTES_MAX)).await else {
        return refused(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time");
    };
    let Ok(bytes): Result<Bytes, _> = read else {
        return refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or broke off");
    };
    match String::from_utf8(bytes.into()) {
        Ok(text) => Ok(text),
        Err(_) => refused(StatusCode::BAD_REQUEST, "the body is not UTF-8"),
    }
}

/// Does what the route says; what comes back is what the asker is told.
pub async fn carry_out(desk: &Desk, call: &Call, route: &Route, text: &str, by: &str) -> Said {
    let body = match fields::object(&route.body, text) {
        Ok(body) => body,
        Err(refused) => return refused.into(),
    };
    match route.op {
        Op::PatchConfig | Op::PutConfig => settings(desk, route.op, &body, by).await,
        Op::PostFailsafe => Said::of(StatusCode::BAD_GATEWAY, Refusal::new(NO_FAILSAFE)),
        Op::Sigterm => {
            let refusal = Refusal::new("nodes are stopped by their service manager, not by this");
            Said::of(StatusCode::NOT_IMPLEMENTED, refusal.hint("howdah down, or `/stop`"))
        }
        Op::Citus => {
            let refusal = Refusal::new("there is no support of Citus");
            Said::of(StatusCode::NOT_IMPLEMENTED, refusal)
        }
        op => match wish(desk, call, op, &body, text) {
            Ok(wish) => grant(desk, op, wish, by).await,
            Err(refused) => refused.into(),
        },
    }
}

fn wish(
    desk: &Desk,
    call: &Call,
    op: Op,
    body: &Map<String, Value>,
    text: &str,
) -> Result<Wish, Refused> {
    let status = desk.status();
    let known = Known { status: &status, now: when::now_unix_ms(), query: &call.query };
    if op == Op::Apply { request::apply(text, known) } else { request::read(op, body, known) }
}

async fn grant(desk: &Desk, op: Op, wish: Wish, by: &str) -> Said {
    let within = wish.within.map_or(ANSWER_WAIT, Duration::from_secs);
    match ask(desk, wish.ask, by, within).await {
        Ok(receipt) => Said::done(wish.done, receipt),
        Err(refusal) => {
            let next = refusal.hint.clone().unwrap_or_else(|| "howdah status".to_owned());
            Said::of(code_of(op, refusal.class), refusal.hint(next))
        }
    }
}

/// `PATCH` and `PUT /config`: at most a new cluster file and a pause, in this order.
async fn settings(desk: &Desk, op: Op, body: &Map<String, Value>, by: &str) -> Said {
    let Some(file) = desk.file() else {
        let refusal = Refusal::new("the cluster file in force is not known yet");
        return Said::of(StatusCode::SERVICE_UNAVAILABLE, refusal.hint("howdah status"));
    };
    let change = match planned(&file, desk.status().paused.is_some(), op, body) {
        Ok(change) => change,
        Err(refusal) => return Said::of(code_of(op, refusal.class), refusal),
    };
    let mut done = Vec::new();
    for wanted in change.asks {
        match ask(desk, wanted, by, ANSWER_WAIT).await {
            Ok(receipt) => done.push(receipt.message),
            Err(refusal) => return Said::of(code_of(op, refusal.class), refusal),
        }
    }
    let message = if done.is_empty() { "nothing changes".to_owned() } else { done.join("; ") };
    Said { code: StatusCode::OK, message, data: Some(change.shown), receipt: None, refused: None }
}

fn planned(
    file: &FileInForce,
    paused: bool,
    op: Op,
    body: &Map<String, Value>,
) -> Result<Change, Refusal> {
    if op == Op::PutConfig {
        config::replace(file, paused, body)
    } else {
        config::patch(file, paused, body)
    }
}

/// No answer of the agent's means that nobody knows what came of the request.
async fn ask(desk: &Desk, kind: Ask, by: &str, within: Duration) -> Result<Receipt, Refusal> {
    let unavailable = |what: &str| Refusal::new(what).class(RefusalClass::Unavailable);
    let (reply, answer) = oneshot::channel();
    let request = Request { kind, by: by.to_owned(), reply };
    bounded(QUEUE_WAIT, desk.feeds.requests.send(request))
        .await
        .map_err(|()| unavailable("the node's agent takes no requests now; nothing was started"))?;
    bounded(within, answer).await.map_err(|()| {
        let what = "the node's agent gave no answer in time; the request may still be carried out";
        unavailable(what).hint("howdah status")
    })?
}

impl From<Refused> for Said {
    fn from(refused: Refused) -> Said {
        Said::of(refused.code, refused.refusal)
    }
}
