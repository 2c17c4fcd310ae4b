//! The door for a machine that is not a node yet: a one-time secret for a certificate.
//!
//! ```text
//! howdah join --TLS, the CA known by its fingerprint--> POST /join --Doorkeeper--> Welcome
//! witness, daily ------------------------------------> GET /certificates/<node>
//! ```
//!
//! It opens before the agent has a picture of the cluster: a store of three members has no
//! majority until the second machine has joined.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONNECTION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use howdah_base::NodeName;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use crate::audit::{Audit, Entry, Outcome};
use crate::{Asker, Refusal, page};

/// Largest request to join, in bytes: a certificate request has a tenth of it.
const BODY_BYTES_MAX: usize = 16 * 1024;
const BODY_WAIT: Duration = Duration::from_secs(10);
/// Tokens that may be refused in [`REFUSALS_WITHIN`], over all askers; then nobody is heard until
/// that time is over. A secret of 192 bits is not guessed: this keeps the log readable.
const REFUSALS_MAX: usize = 20;
const REFUSALS_WITHIN: Duration = Duration::from_secs(60);

/// What a new machine sends.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// Which token; no secret.
    pub id: String,
    pub secret: String,
    pub node: NodeName,
    /// A certificate request (PEM) for the key that the machine has made.
    pub request: String,
}

/// Everything that the machine needs to be the node.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// PEM, of the node.
    pub certificate: String,
    /// PEM, of the CA.
    pub authority: String,
    /// The CA's key (PEM), for a node with data: it can admit others and renew what it has.
    pub authority_key: Option<String>,
    /// The cluster file in force.
    pub file: String,
    /// The API's token.
    pub token: String,
    /// Files of the folder of secrets, by name.
    pub secrets: BTreeMap<String, String>,
}

impl fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinRequest")
            .field("id", &self.id)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Welcome")
            .field("data_node", &self.authority_key.is_some())
            .finish_non_exhaustive()
    }
}

/// Why a machine is not let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Denied {
    /// The token is wrong, used or expired.
    Token(Refusal),
    /// The token is good; the node cannot be this machine.
    Node(Refusal),
    /// Here is what is needed to answer, and it cannot be used.
    Broken(Refusal),
}

/// Judges tokens and signs; the binary, which knows the files.
pub trait Doorkeeper: Send + Sync + fmt::Debug {
    /// Redeems a token. May wait for a disk; is never called from a thread that answers others.
    ///
    /// # Errors
    /// Why not, with a hint for whoever types `howdah join`.
    fn admit(&self, request: &JoinRequest) -> Result<Welcome, Denied>;

    /// A newer certificate (PEM) that waits for a node which cannot sign its own.
    fn waiting(&self, node: &NodeName) -> Option<String>;
}

#[derive(Clone, Debug)]
struct Door {
    keeper: Arc<dyn Doorkeeper>,
    audit: Arc<Audit>,
    refusals: Arc<Mutex<VecDeque<Instant>>>,
}

/// The two paths.
pub(crate) fn routes(keeper: Arc<dyn Doorkeeper>, audit: Arc<Audit>) -> Router {
    Router::new()
        .route("/join", post(join))
        .route("/certificates/{node}", get(waiting))
        .with_state(Door { keeper, audit, refusals: Arc::default() })
}

/// What answers before the agent has its first picture.
pub(crate) fn early(keeper: Option<Arc<dyn Doorkeeper>>, audit: Arc<Audit>) -> Router {
    keeper.map(|keeper| routes(keeper, audit)).unwrap_or_default().fallback(starting)
}

async fn starting() -> Response {
    let refusal = Refusal::new("the node is starting and has no picture of the cluster yet")
        .hint("ask again in a moment; what it waits for stands in its log");
    let mut response = page::json(StatusCode::SERVICE_UNAVAILABLE, &refusal);
    // The next request on this connection would be answered as if the node still started.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

async fn join(
    State(door): State<Door>,
    Extension(asker): Extension<Asker>,
    body: Body,
) -> Response {
    if !asker.tls {
        let refusal = Refusal::new("a machine joins over TLS only: the answer carries keys");
        return page::json(StatusCode::FORBIDDEN, &refusal.hint("howdah join TOKEN"));
    }
    if let Some(wait) = door.full() {
        let refusal = Refusal::new("too many tokens were refused in the last minute");
        let refused = page::json(StatusCode::TOO_MANY_REQUESTS, &refusal.hint("try again then"));
        return ([(RETRY_AFTER, wait.as_secs().max(1).to_string())], refused).into_response();
    }
    let request = match read(body).await {
        Ok(request) => request,
        Err(refusal) => return page::json(StatusCode::BAD_REQUEST, &refusal),
    };
    let begun = Instant::now();
    let entry = entry(&asker, &request);
    let text = serde_json::to_string(&request).unwrap_or_default();
    let id = match door.audit.asked(&entry, &text).await {
        Ok(id) => id,
        Err(error) => return unwritten(&error),
    };
    let (keeper, node) = (door.keeper.clone(), request.node.clone());
    let admitted = tokio::task::spawn_blocking(move || keeper.admit(&request)).await;
    let told = |code: StatusCode, message: String| Outcome {
        code: code.as_u16(),
        took: begun.elapsed(),
        message,
    };
    let (code, refusal) = match admitted {
        Ok(Ok(welcome)) => {
            tracing::info!(%node, from = %asker.address.ip(), "a machine has joined");
            door.end(&id, &entry, &told(StatusCode::OK, format!("{node} has joined"))).await;
            return page::json(StatusCode::OK, &welcome);
        }
        Ok(Err(Denied::Token(refusal))) => {
            door.count();
            (StatusCode::FORBIDDEN, refusal)
        }
        Ok(Err(Denied::Node(refusal))) => (StatusCode::CONFLICT, refusal),
        Ok(Err(Denied::Broken(refusal))) => (StatusCode::INTERNAL_SERVER_ERROR, refusal),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, Refusal::new("the node could not answer")),
    };
    let why = &refusal.error;
    door.end(&id, &entry, &told(code, why.clone())).await;
    tracing::warn!(%node, from = %asker.address.ip(), "a machine was not let in: {why}");
    page::json(code, &refusal)
}

/// For the audit log; the token's id is no secret, and its secret is cut.
fn entry(asker: &Asker, request: &JoinRequest) -> Entry {
    Entry {
        who: Some(format!("join token {}", request.id)),
        address: asker.address.ip().to_string(),
        tls: asker.tls,
        by: None,
        method: "POST".to_owned(),
        path: "/join".to_owned(),
        query: String::new(),
    }
}

fn unwritten(error: &std::io::Error) -> Response {
    let refusal = Refusal::new(format!(
        "nobody is let in: the audit log of this node cannot be written: {error}"
    ));
    let hint = "make room or mend the disk of its state_dir, or join by another node";
    page::json(StatusCode::SERVICE_UNAVAILABLE, &refusal.hint(hint))
}

async fn read(body: Body) -> Result<JoinRequest, Refusal> {
    let bytes = timeout(BODY_WAIT, axum::body::to_bytes(body, BODY_BYTES_MAX)).await;
    let bytes = bytes.ok().and_then(Result::ok);
    let bytes = bytes.ok_or_else(|| Refusal::new("the request is too long, or broke off"))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::new(format!("cannot read the request to join: {error}")))
}

async fn waiting(State(door): State<Door>, Path(node): Path<String>) -> Response {
    let Ok(node) = node.parse::<NodeName>() else {
        return page::json(StatusCode::BAD_REQUEST, &Refusal::new("not a node's name"));
    };
    let keeper = door.keeper.clone();
    let found = tokio::task::spawn_blocking(move || keeper.waiting(&node)).await;
    match found.ok().flatten() {
        Some(certificate) => (StatusCode::OK, certificate).into_response(),
        None => {
            page::json(StatusCode::NOT_FOUND, &Refusal::new("no certificate waits for this node"))
        }
    }
}

impl Door {
    async fn end(&self, id: &str, entry: &Entry, outcome: &Outcome) {
        if let Err(error) = self.audit.answered(id, entry, outcome).await {
            tracing::error!(%error, %id, "the end of a change is missing in the audit log");
        }
    }

    /// How long nobody is heard any more, if so.
    fn full(&self) -> Option<Duration> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.retain(|at| at.elapsed() < REFUSALS_WITHIN);
        let oldest = refusals.front().filter(|_| refusals.len() >= REFUSALS_MAX)?;
        Some(REFUSALS_WITHIN.saturating_sub(oldest.elapsed()))
    }

    fn count(&self) {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).push_back(Instant::now());
    }
}
