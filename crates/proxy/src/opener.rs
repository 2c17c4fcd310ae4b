//! A session with a server for a pool: chosen, dialled, logged into with what a client has shown.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use std::{fmt, io};

use howdah_wire::scram::{Asked, Asking, ClientError, MECHANISM, Proved, Secret};
use howdah_wire::{
    Authentication, ErrorResponse, InitialResponse, Message, md5, password, sasl_response,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::credentials::Credentials;
use crate::data::{Line, NewServer, NotOpened, Parameters, PoolKey};
use crate::login::AWAY;
use crate::relay::Stream;
use crate::route::{Route, Site, Want, candidates};
use crate::{Proxy, gate};

const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of one message before a session begins.
const MESSAGE_MAX: usize = 64 * 1024;

/// What a server has told when it is ready.
#[derive(Default)]
pub(crate) struct Told {
    pub key: Vec<u8>,
    pub parameters: Parameters,
}

impl Proxy {
    /// Tries each server that is right, once.
    pub(crate) async fn open(
        &self,
        pool: &PoolKey,
        secret: &Credentials,
    ) -> Result<NewServer, NotOpened> {
        let login = Login { user: &pool.user, database: &pool.database, secret, proof: true };
        let mut tried = BTreeSet::new();
        let mut last = "no server is what is wanted".to_owned();
        loop {
            let mut now = self.topology.borrow().clone();
            now.nodes.retain(|node, _| !tried.contains(node));
            let (lag, fallback) = (self.config.ro_max_lag.0, self.config.ro_primary_fallback);
            let choice = candidates(&now, &self.config.node, pool.endpoint, lag, fallback);
            let Some((node, want, load)) = self.least_loaded(choice, 0) else {
                return Err(NotOpened::Away(last));
            };
            tried.insert(node.clone());
            let term = (want == Want::Primary).then_some(now.term);
            let local = node == self.config.node;
            let opening = async {
                let (line, told) = match local {
                    true => match self.open_own(want, &login, true).await {
                        // Its rules may be from before pools came that way.
                        Err(Failed::Away(_)) => self.open_own(want, &login, false).await?,
                        opened => opened?,
                    },
                    false => {
                        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
                        let mut peer = self.dial_peer(&node, want, &now, client).await?;
                        let told = log_in(&mut peer, &login).await?;
                        let (tcp, tls) = peer.into_inner();
                        let tls = Some(Box::new(rustls::Connection::Client(tls)));
                        (Line { socket: tcp.into_std()?, tls }, told)
                    }
                };
                Ok::<_, Failed>((line, told))
            };
            last = match timeout(OPEN_TIMEOUT, opening).await {
                Ok(Ok((line, told))) => {
                    let site = Site::Node(Route { local, node, term });
                    let Told { key, parameters } = told;
                    return Ok(NewServer { line, site, key, parameters, load });
                }
                Ok(Err(Failed::Refused(word) | Failed::Lacking(word))) => {
                    return Err(NotOpened::Refused(word));
                }
                Ok(Err(Failed::Away(why))) => format!("{node}: {why}"),
                Ok(Err(Failed::Io(error))) => format!("{node}: {error}"),
                Err(_) => format!("{node}: not within {OPEN_TIMEOUT:?}"),
            };
        }
    }
}

impl Proxy {
    /// `by_socket`: over the private one, where that is for this role.
    async fn open_own(
        &self,
        want: Want,
        login: &Login<'_>,
        by_socket: bool,
    ) -> Result<(Line, Told), Failed> {
        // Counted as arriving until the session has begun.
        let pooled = by_socket.then_some(login.user);
        let (mut tcp, _arriving) = self.dial_own_as(want, pooled).await?.into_parts();
        let told = log_in(&mut tcp, login).await?;
        Ok((Line { socket: tcp.into_std()?, tls: None }, told))
    }
}

/// Whom a session is for, and by what it is let in.
pub(crate) struct Login<'a> {
    pub user: &'a str,
    pub database: &'a str,
    pub secret: &'a Credentials,
    /// Only a server will do that proves that it knows the password.
    pub proof: bool,
}

/// Why there is no session.
pub(crate) enum Failed {
    Io(io::Error),
    Away(String),
    Refused(Vec<u8>),
    /// The server has said nothing wrong: what is needed to log in is not known here.
    Lacking(Vec<u8>),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Io(error) => error.fmt(f),
            Failed::Away(why) => f.write_str(why),
            Failed::Refused(word) | Failed::Lacking(word) => f.write_str(&text_of(word)),
        }
    }
}

/// The message of a whole ErrorResponse.
pub(crate) fn text_of(word: &[u8]) -> String {
    let mut fields = word.get(5..).unwrap_or_default().split(|byte| *byte == 0);
    let text = fields.find_map(|field| field.strip_prefix(b"M")).unwrap_or(b"refused");
    String::from_utf8_lossy(text).into_owned()
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Io(error)
    }
}

/// Where a login stands. AuthenticationOk counts only from a server that has proved itself.
enum Stage {
    Begun,
    Asking(Asking),
    Asked(Asked),
    Proved(Proved),
    In,
}

pub(crate) async fn log_in(server: &mut impl Stream, login: &Login<'_>) -> Result<Told, Failed> {
    server.write_all(&startup(login)).await?;
    server.flush().await?;
    let (mut stage, mut told) = (Stage::Begun, Told::default());
    loop {
        let (kind, body) = message(server).await?;
        match kind {
            b'R' => {
                let mut out = Vec::new();
                stage = step(stage, &body, login, &mut out)?;
                server.write_all(&out).await?;
                server.flush().await?;
            }
            b'E' => return Err(refused(&body)),
            b'S' => crate::data::note_parameter(&mut told.parameters, &body),
            b'K' => told.key = body,
            b'Z' if matches!(stage, Stage::In) => return Ok(told),
            b'N' | b'v' => {}
            _ => return Err(Failed::Away("it speaks another protocol".to_owned())),
        }
    }
}

fn step(stage: Stage, body: &[u8], login: &Login<'_>, out: &mut Vec<u8>) -> Result<Stage, Failed> {
    let asked = Authentication::read(body);
    let text = |data| std::str::from_utf8(data).unwrap_or_default();
    match (stage, asked) {
        (Stage::Begun, Some(offer @ Authentication::Sasl { .. })) if offer.offers(MECHANISM) => {
            let asking = Asking::new(&gate::nonce(), None);
            InitialResponse { mechanism: MECHANISM, data: &asking.first() }.write(out);
            Ok(Stage::Asking(asking))
        }
        (Stage::Asking(asking), Some(Authentication::SaslContinue(question))) => {
            let Credentials::Scram(secret) = login.secret else { return Err(no_password(login)) };
            let asked = asking.answer(text(question), secret).map_err(not_believed)?;
            sasl_response(out, &asked.last);
            Ok(Stage::Asked(asked))
        }
        (Stage::Asked(asked), Some(Authentication::SaslFinal(last))) => {
            Ok(Stage::Proved(asked.check(text(last)).map_err(not_believed)?))
        }
        (Stage::Proved(_), Some(Authentication::Ok)) => Ok(Stage::In),
        (Stage::Begun, Some(asked)) if !login.proof => trusting(asked, login, out),
        _ => Err(Failed::Away("it asks for another login than SCRAM-SHA-256".to_owned())),
    }
}

/// A server that proves nothing: whoever configured it so trusts the way to it.
fn trusting(
    asked: Authentication<'_>,
    login: &Login<'_>,
    out: &mut Vec<u8>,
) -> Result<Stage, Failed> {
    match (asked, login.secret) {
        (Authentication::Ok, _) => return Ok(Stage::In),
        (Authentication::Cleartext, Credentials::Scram(Secret::Password(text))) => {
            password(out, text);
        }
        (Authentication::Md5 { salt }, Credentials::Scram(Secret::Password(text))) => {
            let answer = md5::answer(&md5::hash(text, login.user), salt);
            password(out, &answer.unwrap_or_default());
        }
        (Authentication::Md5 { salt }, Credentials::Md5(hash)) => match md5::answer(hash, salt) {
            Some(answer) => password(out, &answer),
            None => return Err(no_password(login)),
        },
        (Authentication::Cleartext | Authentication::Md5 { .. }, _) => {
            return Err(no_password(login));
        }
        _ => return Err(Failed::Away("it asks for a login that nobody here knows".to_owned())),
    }
    Ok(Stage::Begun)
}

/// What is known of the role will not do for the way in which the server asks.
fn no_password(login: &Login<'_>) -> Failed {
    let mut word = Vec::new();
    let message = format!("server login failed: no password is known for user \"{}\"", login.user);
    ErrorResponse::fatal("08P01", message)
        .hint("the pooler needs the password itself, or the SCRAM verifier that the server has")
        .encode(&mut word);
    Failed::Lacking(word)
}

fn not_believed(error: ClientError) -> Failed {
    match error {
        ClientError::OtherVerifier => {
            let mut word = Vec::new();
            ErrorResponse::fatal("28P01", "the role's password was changed after this login")
                .hint("connect again")
                .encode(&mut word);
            Failed::Refused(word)
        }
        other => Failed::Away(other.to_string()),
    }
}

/// What an ErrorResponse comes to.
pub(crate) fn refused(body: &[u8]) -> Failed {
    let state = Message { kind: b'E', body }.sqlstate().unwrap_or_default();
    // Class 53: there is no room for one more at the moment.
    if AWAY.contains(&state) || state.starts_with(b"53") {
        return Failed::Away(format!("it says {}", String::from_utf8_lossy(state)));
    }
    let len = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    Failed::Refused([&[b'E'][..], &len, body].concat())
}

/// StartupMessage, protocol 3.0; settings come later, with each client its own.
fn startup(login: &Login<'_>) -> Vec<u8> {
    let mut body = 0x0003_0000_u32.to_be_bytes().to_vec();
    for (name, value) in [("user", login.user), ("database", login.database)] {
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.extend_from_slice(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    let len = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&len.to_be_bytes()[..], &body].concat()
}

/// One message, and not a byte beyond it.
async fn message(server: &mut impl Stream) -> Result<(u8, Vec<u8>), Failed> {
    let kind = server.read_u8().await?;
    let len = server.read_u32().await? as usize;
    let len = len.checked_sub(4).filter(|len| *len <= MESSAGE_MAX);
    let mut body = vec![0; len.ok_or(io::Error::from(io::ErrorKind::InvalidData))?];
    server.read_exact(&mut body).await?;
    Ok((kind, body))
}
