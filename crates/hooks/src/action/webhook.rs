//! A firing as JSON, posted to an address. 2xx is success; anything else is tried again.

use std::path::PathBuf;

use howdah_spec::HookSpec;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request};
use tokio::time::timeout;

use super::https::{self, Answer, Target};
use crate::calls::{Attempt, Outcome};

/// Each attempt of a firing carries the same, so that a receiver can tell a repetition (IETF
/// draft "The Idempotency-Key HTTP Header Field").
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// So much of an answer stands in a message, characters.
const ANSWER_SHOWN_MAX: usize = 200;

/// Posts within the hook's timeout, name resolution and TLS included.
pub async fn post(
    address: &str,
    spec: &HookSpec,
    attempt: &Attempt,
    ca_file: Option<PathBuf>,
) -> Outcome {
    let exchange = async {
        let target = Target::of(address)?;
        let request = request(&target, attempt).map_err(|error| error.to_string())?;
        https::send(&target, request, ca_file.as_deref())
            .await
            .map_err(|error| format!("{error}: `{}`", target.authority))
    };
    match timeout(spec.timeout.0, exchange).await {
        Ok(Ok(Answer { code: 200..=299, .. })) => Outcome::Succeeded,
        Ok(Ok(answer)) => Outcome::Failed(refused(&answer)),
        Ok(Err(error)) => Outcome::Failed(error),
        Err(_) => Outcome::Failed(format!("no answer within `{}`", spec.timeout)),
    }
}

fn request(target: &Target, attempt: &Attempt) -> hyper::http::Result<Request<Full<Bytes>>> {
    Request::builder()
        .method(Method::POST)
        .uri(&target.path)
        .header(HOST, &target.authority)
        .header(USER_AGENT, concat!("howdah/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .header(IDEMPOTENCY_KEY, &attempt.firing.id)
        .body(Full::from(attempt.firing.body(&attempt.hook)))
}

fn refused(answer: &Answer) -> String {
    let plain = answer.body.chars().map(|c| if c.is_control() { ' ' } else { c });
    let body: String = plain.take(ANSWER_SHOWN_MAX).collect();
    let hint = match answer.code {
        300..=399 => "; hint: redirects are not followed, write the address it leads to",
        401 | 403 | 404 | 410 => "; hint: is the address still valid?",
        _ => "",
    };
    let code = answer.code;
    let said = if body.trim().is_empty() { String::new() } else { format!(": {}", body.trim()) };
    format!("it answered `{code}`{said}{hint}")
}
