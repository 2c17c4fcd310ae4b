//! Which path answers what.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use howdah_base::status::ClusterStatus;
use howdah_base::{Redacted, Tick};
use nix::time::{ClockId, clock_gettime};
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::health::CHECKS;
use crate::{Access, Ask, Asker, Check, Feeds, Question, Refusal, Request, page, render, request};

/// Largest body of a request: a cluster file is a hundredth of it.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// How long a body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(10);
/// How long the agent may take to accept a request into its queue.
const QUEUE_WAIT: Duration = Duration::from_secs(5);
/// How long the agent may take to answer: a switchover answers when it is done.
const ANSWER_WAIT: Duration = Duration::from_secs(180);

/// What the paths read and write.
#[derive(Clone)]
pub struct Ports {
    pub feeds: Feeds,
    pub access: Access,
    pub lease_ttl: Duration,
}

/// All paths. Reading is open to whoever reaches the port; changing needs the token.
pub fn routes(ports: Ports) -> Router {
    let mut router = Router::new()
        .route("/", get(screen))
        .route("/status", get(status))
        .route("/explain", get(explain))
        .route("/history", get(history))
        .route("/patroni", get(patroni))
        .route("/switchover", post(switchover))
        .route("/failover", post(failover))
        .route("/apply", post(apply))
        .route("/stop", post(stop))
        .fallback(no_such_path);
    for (path, check) in CHECKS {
        let answer = move |method: Method, ports: State<Ports>, query: Query<Pairs>| async move {
            health(check, &method, &ports, &query)
        };
        router = router.route(path, get(answer).options(answer));
    }
    router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(ports)
}

type Pairs = Vec<(String, String)>;

async fn screen(State(ports): State<Ports>, headers: HeaderMap) -> Response {
    let status = current(&ports);
    let title = format!("{}: {}", status.cluster, render::verdict(&status));
    page::answer(&headers, &title, render::screen(&status), &*status)
}

async fn status(State(ports): State<Ports>) -> Response {
    page::json(StatusCode::OK, &*current(&ports))
}

async fn explain(State(ports): State<Ports>, headers: HeaderMap) -> Response {
    let status = current(&ports);
    let nodes: Vec<_> = status
        .nodes
        .iter()
        .map(|node| {
            json!({
                "node": node.node,
                "rule": node.rule,
                "reason": node.reason,
                "not_promotable": node.not_promotable,
                "problems": node.problems,
                "member": node.member,
            })
        })
        .collect();
    let title = format!("{}: explain", status.cluster);
    page::answer(&headers, &title, render::explain(&status), &nodes)
}

async fn history(State(ports): State<Ports>, headers: HeaderMap) -> Response {
    let status = current(&ports);
    let title = format!("{}: history", status.cluster);
    page::answer(&headers, &title, render::history(&status), &status.history)
}

async fn patroni(State(ports): State<Ports>) -> Response {
    page::json(StatusCode::OK, &ports.feeds.health.borrow().body(boot_time()))
}

fn health(check: Check, method: &Method, ports: &Ports, query: &[(String, String)]) -> Response {
    let question = match Question::parse(query) {
        Ok(question) => question,
        Err(error) => {
            let hint = "write `?lag=16MB`, or a number of bytes";
            return refuse(StatusCode::BAD_REQUEST, &Refusal::new(error).hint(hint));
        }
    };
    let now = boot_time();
    let health = ports.feeds.health.borrow();
    let passes = health.passes(check, &question, now, ports.lease_ttl);
    let code = if passes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if method == Method::OPTIONS {
        return code.into_response();
    }
    page::json(code, &health.body(now))
}

async fn switchover(
    State(ports): State<Ports>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Response {
    let leader = current(&ports).leader.clone();
    let read = |text: &str| request::switchover(text, leader.as_ref());
    settle(&ports, asker, &headers, body, read).await
}

async fn failover(
    State(ports): State<Ports>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Response {
    settle(&ports, asker, &headers, body, request::failover).await
}

async fn apply(
    State(ports): State<Ports>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Response {
    settle(&ports, asker, &headers, body, request::apply).await
}

async fn stop(
    State(ports): State<Ports>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Response {
    settle(&ports, asker, &headers, body, |_| Ok(Ask::Stop)).await
}

async fn no_such_path() -> Response {
    let hint = "the paths are `/`, `/status`, `/explain`, `/history` and the health checks";
    refuse(StatusCode::NOT_FOUND, &Refusal::new("there is no such path").hint(hint))
}

/// A request that changes something: authorise, read, pass to the agent, wait for its answer.
async fn settle(
    ports: &Ports,
    asker: Asker,
    headers: &HeaderMap,
    body: axum::body::Body,
    read: impl FnOnce(&str) -> Result<Ask, Refusal>,
) -> Response {
    if !authorised(headers, &ports.access.token) {
        let hint = "send `Authorization: Bearer <token>`; `howdah` finds the token by itself";
        let refusal = Refusal::new("this request needs the cluster's token").hint(hint);
        let refused = refuse(StatusCode::UNAUTHORIZED, &refusal);
        return ([(WWW_AUTHENTICATE, "Bearer")], refused).into_response();
    }
    let text = match read_body(body).await {
        Ok(text) => text,
        Err((code, refusal)) => return refuse(code, &refusal),
    };
    let kind = match read(&text) {
        Ok(kind) => kind,
        Err(refusal) => return refuse(StatusCode::BAD_REQUEST, &refusal),
    };
    let by = headers.get("x-howdah-by").and_then(|value| value.to_str().ok());
    let by = by.map_or_else(|| format!("http {}", asker.address.ip()), str::to_owned);
    match ask(ports, kind, by).await {
        Ok(Ok(message)) => page::json(StatusCode::OK, &json!({ "message": message })),
        Ok(Err(refusal)) => refuse(StatusCode::CONFLICT, &refusal),
        Err(refusal) => refuse(StatusCode::SERVICE_UNAVAILABLE, &refusal),
    }
}

async fn read_body(body: axum::body::Body) -> Result<String, (StatusCode, Refusal)> {
    let bad = |code, error: &str| Err((code, Refusal::new(error)));
    let Ok(read) = timeout(BODY_WAIT, axum::body::to_bytes(body, BODY_BYTES_MAX)).await else {
        return bad(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time");
    };
    let Ok(bytes): Result<Bytes, _> = read else {
        return bad(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or broke off");
    };
    match String::from_utf8(bytes.into()) {
        Ok(text) => Ok(text),
        Err(_) => bad(StatusCode::BAD_REQUEST, "the body is not UTF-8"),
    }
}

/// The outer error: the agent gave no answer, so nobody knows what came of the request.
async fn ask(ports: &Ports, kind: Ask, by: String) -> Result<Result<String, Refusal>, Refusal> {
    let (reply, answer) = oneshot::channel();
    let request = Request { kind, by, reply };
    let busy = |_| Refusal::new("the node's agent takes no requests now; nothing was started");
    bounded(QUEUE_WAIT, ports.feeds.requests.send(request)).await.map_err(busy)?;
    bounded(ANSWER_WAIT, answer).await.map_err(|_| {
        Refusal::new("the node's agent gave no answer; the request may still be carried out")
            .hint("howdah status")
    })
}

/// Too late and broken off are one to who waits.
async fn bounded<T, E>(most: Duration, work: impl Future<Output = Result<T, E>>) -> Result<T, ()> {
    timeout(most, work).await.map_err(|_| ())?.map_err(|_| ())
}

/// Compares in constant time: how long a refusal takes tells nothing about the token.
fn authorised(headers: &HeaderMap, token: &Redacted<String>) -> bool {
    let wanted = token.expose().as_bytes();
    let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
    !wanted.is_empty() && bool::from(given.ct_eq(wanted))
}

fn refuse(code: StatusCode, refusal: &Refusal) -> Response {
    page::json(code, refusal)
}

fn current(ports: &Ports) -> Arc<ClusterStatus> {
    ports.feeds.status.borrow().clone()
}

/// The agent's clock. Should the kernel refuse to tell it, everything is too old to be believed.
fn boot_time() -> Tick {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
    now.map_or(Tick(u64::MAX), |since_boot| Tick::default() + since_boot)
}
