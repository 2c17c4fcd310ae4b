//! One request from its arrival to its answer.
//!
//! ```text
//! find --> check, reading                                       (open to whoever asks)
//!      \-> admit --> audit "asked" --> read --> agent --> audit "answered"   (changing)
//! ```

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::header::{ALLOW, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use howdah_base::ask::{Receipt, Refusal};
use howdah_base::status::ClusterStatus;
use tokio::time::timeout;

use crate::audit::{Audit, Entry, Outcome};
use crate::auth::{CHALLENGE, Denied, Proof, admit};
use crate::routes::{Found, Right, Route, find, methods};
use crate::{
    Access, Asker, Bounds, CertName, Feeds, FileInForce, MoreMetrics, changing, page, reading,
};

/// What the paths read and write.
#[derive(Debug)]
pub struct Ports {
    pub feeds: Feeds,
    pub audit: Arc<Audit>,
    pub access: Access,
    /// The lease of the file that the node was started with.
    pub lease_ttl: Duration,
    pub more_metrics: Option<MoreMetrics>,
}

/// The same, at hand for each request.
#[derive(Clone, Debug)]
pub struct Desk {
    pub feeds: Feeds,
    pub access: Arc<Access>,
    pub audit: Arc<Audit>,
    lease_ttl: Duration,
    pub more_metrics: Option<MoreMetrics>,
}

/// One request, its body aside.
#[derive(Debug)]
pub struct Call {
    pub asker: Asker,
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
}

/// All paths.
pub fn routes(ports: Ports) -> Router {
    let Ports { feeds, audit, access, lease_ttl, more_metrics } = ports;
    let desk = Desk { feeds, access: Arc::new(access), audit, lease_ttl, more_metrics };
    Router::new().fallback(answer).with_state(desk)
}

impl Desk {
    pub fn status(&self) -> Arc<ClusterStatus> {
        self.feeds.status.borrow().clone()
    }

    pub fn file(&self) -> Option<Arc<FileInForce>> {
        self.feeds.file.borrow().clone()
    }

    pub fn bounds(&self) -> Bounds {
        let file = self.file();
        let ha = file.as_ref().map(|file| &file.spec.ha);
        Bounds {
            lease: ha.map_or(self.lease_ttl, |ha| ha.lease.0),
            ready_lag: ha.map_or(READY_LAG, |ha| ha.max_lag_on_failover.0),
        }
    }
}

/// Until the file is known: the default of `max_lag_on_failover`, bytes.
const READY_LAG: u64 = 1 << 20;

async fn answer(
    State(desk): State<Desk>,
    Extension(asker): Extension<Asker>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query = pairs(&parts.uri);
    let call = Call { asker, method: parts.method, path, query, headers: parts.headers };
    let answer = match find(&call.method, &call.path) {
        Found::Check(check) => reading::check(&desk, &call, check),
        Found::Route(route) => match route.right {
            Right::Read => reading::answer(&desk, &call, route.op).await,
            Right::Inspect => match admit(&desk.access, &call.asker, &call.headers) {
                Ok(_) => reading::answer(&desk, &call, route.op).await,
                Err(denied) => deny(&desk, &call, &denied).await,
            },
            Right::Change => change(&desk, &call, route, body).await,
        },
        Found::OtherMethod => other_method(&call),
        Found::Nothing => {
            let refusal = Refusal::new(format!("nothing here takes `{}`", call.method));
            refuse(&call, StatusCode::NOT_IMPLEMENTED, &refusal.hint(SEE_API))
        }
    };
    // A balancer that sends OPTIONS reads the code and nothing more.
    if call.method == Method::OPTIONS { answer.status().into_response() } else { answer }
}

const SEE_API: &str = "`/api` lists all paths";

/// A change: nobody but who may, and never without a line in the audit log.
async fn change(
    desk: &Desk,
    call: &Call,
    route: &'static Route,
    body: axum::body::Body,
) -> Response {
    let proof = match admit(&desk.access, &call.asker, &call.headers) {
        Ok(proof) => proof,
        Err(denied) => return deny(desk, call, &denied).await,
    };
    let begun = tokio::time::Instant::now();
    let text = match changing::read_body(&route.body, &call.headers, body).await {
        Ok(text) => text,
        Err(refused) => return refuse(call, refused.code, &refused.refusal),
    };
    let entry = call.entry(Some(&proof));
    let id = match desk.audit.asked(&entry, &text).await {
        Ok(id) => id,
        Err(error) => return unwritten(call, &error),
    };
    let said = changing::carry_out(desk, call, route, &text, &call.by(&proof)).await;
    let outcome =
        Outcome { code: said.code.as_u16(), took: begun.elapsed(), message: said.message.clone() };
    if let Err(error) = desk.audit.answered(&id, &entry, &outcome).await {
        tracing::error!(%error, %id, "the end of a change is missing in the audit log");
    }
    respond(call, said)
}

/// What is said to an asker, whose form is his own choice.
#[derive(Debug)]
pub struct Said {
    pub code: StatusCode,
    pub message: String,
    /// Instead of the message, where the answer is data.
    pub data: Option<serde_json::Value>,
    pub receipt: Option<Receipt>,
    pub refused: Option<Refusal>,
}

impl Said {
    pub fn of(code: StatusCode, refusal: Refusal) -> Said {
        let message = refusal.error.clone();
        Said { code, message, data: None, receipt: None, refused: Some(refusal) }
    }

    pub fn done(code: StatusCode, receipt: Receipt) -> Said {
        let message = receipt.message.clone();
        Said { code, message, data: None, receipt: Some(receipt), refused: None }
    }
}

fn respond(call: &Call, said: Said) -> Response {
    if let Some(data) = said.data {
        return page::json(said.code, &data);
    }
    if let Some(refusal) = said.refused {
        return refuse(call, said.code, &refusal);
    }
    page::plain_or_json(&call.headers, said.code, &said.message, &said.receipt)
}

/// A refusal: a line of text for Patroni's clients, an object for those who ask for JSON.
pub fn refuse(call: &Call, code: StatusCode, refusal: &Refusal) -> Response {
    let hint = refusal.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    page::plain_or_json(&call.headers, code, &format!("{}{hint}", refusal.error), refusal)
}

async fn deny(desk: &Desk, call: &Call, denied: &Denied) -> Response {
    let code = denied.code.as_u16();
    let outcome = Outcome { code, took: Duration::ZERO, message: denied.refusal.error.clone() };
    if let Err(error) = desk.audit.denied(&call.entry(None), &outcome).await {
        tracing::warn!(%error, "a denied request is missing in the audit log");
    }
    let answer = refuse(call, denied.code, &denied.refusal);
    if denied.code == StatusCode::UNAUTHORIZED {
        return ([(WWW_AUTHENTICATE, CHALLENGE)], answer).into_response();
    }
    answer
}

fn unwritten(call: &Call, error: &std::io::Error) -> Response {
    tracing::error!(%error, "a change is refused: the audit log cannot be written");
    let refusal = Refusal::new(format!(
        "nothing was done: the audit log of this node cannot be written: {error}"
    ));
    let hint = "make room or mend the disk of its state_dir, or ask another node";
    refuse(call, StatusCode::SERVICE_UNAVAILABLE, &refusal.hint(hint))
}

fn other_method(call: &Call) -> Response {
    let allowed = methods(&call.path);
    if call.method == Method::OPTIONS {
        return ([(ALLOW, allowed)], StatusCode::OK).into_response();
    }
    let refusal = Refusal::new(format!("this path takes {allowed}")).hint(SEE_API);
    let answer = refuse(call, StatusCode::METHOD_NOT_ALLOWED, &refusal);
    ([(ALLOW, allowed)], answer).into_response()
}

impl Call {
    /// Who asked, for the history: whom the asker names, else what is known.
    fn by(&self, proof: &Proof) -> String {
        match (self.named(), proof) {
            // What a certificate proves, no header takes away.
            (_, Proof::Certificate(name @ CertName::Operator(_))) => name.to_string(),
            (Some(named), _) => named,
            (None, Proof::User(user)) => format!("{user} ({})", self.asker.address.ip()),
            (None, _) => self.asker.to_string(),
        }
    }

    fn named(&self) -> Option<String> {
        let named = self.headers.get("x-howdah-by")?.to_str().ok()?;
        Some(named.chars().take(BY_LEN_MAX).collect())
    }

    fn entry(&self, proof: Option<&Proof>) -> Entry {
        let told = |name: &str| ["node", "revision"].contains(&name);
        let query: Vec<String> = self
            .query
            .iter()
            .filter(|(name, _)| told(name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        Entry {
            who: proof.map(ToString::to_string),
            address: self.asker.address.ip().to_string(),
            tls: self.asker.tls,
            by: self.named(),
            method: self.method.to_string(),
            path: self.path.clone(),
            query: query.join("&"),
        }
    }
}

/// Characters of `X-Howdah-By` that are kept.
const BY_LEN_MAX: usize = 64;

fn pairs(uri: &Uri) -> Vec<(String, String)> {
    Query::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default()
}

/// Too late and broken off are one to who waits.
pub async fn bounded<T, E>(
    most: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, ()> {
    timeout(most, work).await.map_err(|_| ())?.map_err(|_| ())
}
