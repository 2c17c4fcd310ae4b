//! A pooled client proves that it knows its role's password, by SCRAM-SHA-256 and the role's own
//! verifier. What it shows in doing so opens servers for it later; the password nobody here learns.

use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use howdah_wire::scram::{self, Key, Refused, Verifier};
use howdah_wire::{Authentication, ErrorResponse, InitialResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::relay::Stream;

/// PostgreSQL's default `authentication_timeout`.
pub(crate) const PROOF_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of an answer: PostgreSQL's PG_MAX_SASL_MESSAGE_LENGTH.
const ANSWER_MAX: usize = 1_024;
const NONCE_LEN: usize = 18;

/// Asks a client for its proof. The key that it has shown, or why it is not let in. `end_point`:
/// what binds the proof to the client's TLS connection, where there is one.
///
/// # Errors
/// It has gone.
pub(crate) async fn prove(
    client: &mut impl Stream,
    verifier: &Verifier,
    end_point: Option<&[u8]>,
) -> io::Result<Result<Key, Refused>> {
    let plus = end_point.map(|_| scram::MECHANISM_PLUS);
    let offered: String =
        plus.into_iter().chain([scram::MECHANISM]).map(|name| format!("{name}\0")).collect();
    say(client, Authentication::Sasl { mechanisms: offered.as_bytes() }).await?;
    let Some(answer) = hear(client).await? else { return Ok(Err(Refused::Malformed)) };
    let Some(first) = InitialResponse::read(&answer) else { return Ok(Err(Refused::Malformed)) };
    let begun = scram::answer_first(first.mechanism, first.data, &nonce(), verifier, end_point);
    let (challenge, question) = match begun {
        Ok(begun) => begun,
        Err(refused) => return Ok(Err(refused)),
    };
    say(client, Authentication::SaslContinue(question.as_bytes())).await?;
    let Some(answer) = hear(client).await? else { return Ok(Err(Refused::Malformed)) };
    let Ok(text) = std::str::from_utf8(&answer) else { return Ok(Err(Refused::Malformed)) };
    match challenge.answer_final(text) {
        Ok(accepted) => {
            say(client, Authentication::SaslFinal(accepted.last.as_bytes())).await?;
            Ok(Ok(accepted.client_key))
        }
        Err(refused) => Ok(Err(refused)),
    }
}

/// Drawn anew for each login.
pub(crate) fn nonce() -> String {
    STANDARD.encode(howdah_tls::random::<NONCE_LEN>())
}

pub(crate) async fn say(client: &mut impl Stream, message: Authentication<'_>) -> io::Result<()> {
    let mut out = Vec::new();
    message.write(&mut out);
    client.write_all(&out).await?;
    client.flush().await
}

/// The body of a message `p`, and not a byte beyond it. `None`: it is none.
pub(crate) async fn hear(client: &mut impl Stream) -> io::Result<Option<Vec<u8>>> {
    let kind = client.read_u8().await?;
    if kind != b'p' {
        return Ok(None);
    }
    let len = client.read_u32().await? as usize;
    let Some(len) = len.checked_sub(4).filter(|len| *len <= ANSWER_MAX) else { return Ok(None) };
    let mut answer = vec![0; len];
    client.read_exact(&mut answer).await?;
    Ok(Some(answer))
}

/// What a client is told that has not proved itself. Nothing in it tells whether the name is known.
pub(crate) fn refusal(refused: Refused, user: &str) -> ErrorResponse {
    match refused {
        Refused::Malformed => ErrorResponse::fatal("08P01", refused.to_string()),
        Refused::Downgraded | Refused::Binding => {
            ErrorResponse::fatal("28000", refused.to_string())
        }
        Refused::Password => {
            let message = format!("password authentication failed for user \"{user}\"");
            ErrorResponse::fatal("28P01", message)
        }
    }
}
