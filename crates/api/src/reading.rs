//! Answers that change nothing: health checks, the status and its relatives.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use howdah_base::Tick;
use howdah_base::ask::Refusal;
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::answer::{Call, Desk, refuse};
use crate::patroni::{cluster, dynamic, history, metrics, node};
use crate::routes::Op;
use crate::{Check, Question, openapi, page, render, when};

/// A health check: the code says it all, the body who answers.
pub fn check(desk: &Desk, call: &Call, check: Check) -> Response {
    if call.path == "/" && call.method == Method::GET && page::is_browser(&call.headers) {
        return screen(desk, call);
    }
    let code = match judge(desk, call, check) {
        Ok(code) => code,
        Err(answer) => return *answer,
    };
    let mut body = body(desk);
    if check == Check::Unknown {
        body["hint"] = json!("no check and no page has this path; `/api` lists all paths");
    }
    page::json(code, &body)
}

fn judge(desk: &Desk, call: &Call, check: Check) -> Result<StatusCode, Box<Response>> {
    let question = Question::parse(&call.query).map_err(|error| {
        let refusal = Refusal::new(error).hint("write `?lag=16MB`, or a number of bytes");
        Box::new(refuse(call, StatusCode::BAD_REQUEST, &refusal))
    })?;
    let health = desk.feeds.health.borrow();
    let passes = health.passes(check, &question, boot_time(), desk.bounds());
    Ok(if passes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE })
}

/// Everything else that is only read.
pub async fn answer(desk: &Desk, call: &Call, op: Op) -> Response {
    let status = desk.status();
    let (headers, ok) = (&call.headers, StatusCode::OK);
    match op {
        Op::Status if page::is_browser(headers) || page::is_text(headers) => screen(desk, call),
        Op::Status => page::json(ok, &*status),
        Op::Explain => explain(desk, call),
        Op::History if page::is_browser(headers) || page::is_text(headers) => {
            let title = format!("{}: history", status.cluster);
            page::answer(headers, &title, render::history(&status), &status.history)
        }
        Op::History => page::json(ok, &history::history(&status)),
        Op::Patroni => page::json(ok, &body(desk)),
        Op::Cluster => page::json(ok, &cluster(&status)),
        Op::Metrics => {
            let health = desk.feeds.health.borrow().clone();
            let text = metrics::metrics(&status, &health, boot_time(), when::now_unix_ms());
            let text = text + &more_metrics(desk).await;
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Op::Liveness => probe(desk, call, Check::Liveness),
        Op::Readiness => probe(desk, call, Check::Readiness),
        Op::Config => match desk.file() {
            Some(file) => page::json(ok, &dynamic(&file.spec, status.paused.is_some())),
            None => refuse(call, StatusCode::BAD_GATEWAY, &no_file()),
        },
        Op::Description => page::json(ok, &openapi::description()),
        Op::ApiPage => {
            let title = format!("{}: paths", status.cluster);
            page::answer(headers, &title, openapi::page(), &openapi::description())
        }
        Op::File => match desk.file() {
            Some(file) if page::is_json(headers) => {
                page::json(ok, &json!({ "revision": file.revision, "text": file.text }))
            }
            Some(file) => {
                let etag = format!("\"{}\"", file.revision);
                let kind = [(CONTENT_TYPE, "application/toml".to_owned()), (ETAG, etag)];
                (kind, file.text.clone()).into_response()
            }
            None => refuse(call, StatusCode::BAD_GATEWAY, &no_file()),
        },
        Op::Audit => audit(desk, call).await,
        Op::Join | Op::Certificate => {
            let refusal = Refusal::new("this node lets nobody in").hint("ask another node");
            refuse(call, StatusCode::NOT_FOUND, &refusal)
        }
        _ => refuse(call, StatusCode::BAD_GATEWAY, &Refusal::new(NO_FAILSAFE)),
    }
}

/// Of the endpoints and the pools; nothing of them where nobody answers.
async fn more_metrics(desk: &Desk) -> String {
    let Some(more) = &desk.more_metrics else { return String::new() };
    let (reply, answer) = oneshot::channel();
    if more.try_send(reply).is_err() {
        return String::new();
    }
    timeout(MORE_TIMEOUT, answer).await.ok().and_then(Result::ok).unwrap_or_default()
}

/// Less than Prometheus waits for a scrape.
const MORE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why `/failsafe` is as if the mode were off.
pub const NO_FAILSAFE: &str = "there is no failsafe mode: the lease alone decides";

fn no_file() -> Refusal {
    Refusal::new("the cluster file in force is not known yet: the store has not answered")
        .hint("howdah status")
}

/// The probes have no body, as Patroni's.
fn probe(desk: &Desk, call: &Call, check: Check) -> Response {
    match judge(desk, call, check) {
        Ok(code) => code.into_response(),
        Err(answer) => *answer,
    }
}

fn screen(desk: &Desk, call: &Call) -> Response {
    let status = desk.status();
    let title = format!("{}: {}", status.cluster, render::verdict(&status));
    page::answer(&call.headers, &title, render::screen(&status), &*status)
}

fn explain(desk: &Desk, call: &Call) -> Response {
    let status = desk.status();
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
    page::answer(&call.headers, &title, render::explain(&status), &nodes)
}

fn body(desk: &Desk) -> Value {
    let health = desk.feeds.health.borrow().clone();
    node::node(&desk.status(), &health, boot_time(), when::now_unix_ms())
}

/// Lines that `/audit` gives when it is not asked for another number, and the most it gives.
const LINES: usize = 200;
const LINES_MAX: usize = 5_000;

async fn audit(desk: &Desk, call: &Call) -> Response {
    let asked = call.query.iter().find(|(name, _)| name == "lines");
    let most = asked.and_then(|(_, value)| value.parse().ok()).unwrap_or(LINES);
    match desk.audit.tail(most.min(LINES_MAX)).await {
        Ok(lines) => {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            ([(CONTENT_TYPE, "application/x-ndjson")], text).into_response()
        }
        Err(error) => {
            let refusal = Refusal::new(format!("cannot read the audit log: {error}"));
            refuse(call, StatusCode::SERVICE_UNAVAILABLE, &refusal)
        }
    }
}

/// The agent's clock. Should the kernel refuse to tell it, everything is too old to be believed.
fn boot_time() -> Tick {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
    now.map_or(Tick(u64::MAX), |since_boot| Tick::default() + since_boot)
}
