//! How a client proves who it is, and what its servers are logged into with after that.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use howdah_spec::hba::{AddressMatch, HbaRule, Method, Verdict, Who, judge, judge_local};
use howdah_wire::scram::{Refused, Secret, Verifier};
use howdah_wire::{Authentication, ErrorResponse, md5, password_of};
use nix::unistd::{Uid, User};

use super::arrive::{Wish, database};
use super::listen::From;
use super::{Alone, Auth, Kept, KeptSecret, Settings};
use crate::client::Client;
use crate::console::DATABASE as CONSOLE;
use crate::credentials::Credentials;
use crate::{gate, socket};

/// How one client is to prove itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Not at all; `known`: its name must be known.
    Not {
        known: bool,
    },
    Plain,
    Md5,
    Scram,
    Cert,
    /// By its user on this machine.
    Peer,
    /// It is who runs the pooler.
    Own,
}

/// What a client has shown of its password.
enum Shown {
    Nothing,
    Password(String),
    Keys(Secret),
}

/// What a client is asked for, and what is known of it.
pub(super) struct Asked {
    way: Way,
    known: Option<Arc<Kept>>,
}

impl Alone {
    /// How a client is to prove itself, and by what.
    ///
    /// # Errors
    /// What it is told.
    pub(super) async fn judge(
        &self,
        now: &Settings,
        wish: &Wish,
        client: &Client,
        from: From,
    ) -> Result<Asked, ErrorResponse> {
        if self.is_own(wish, from) {
            return Ok(Asked { way: Way::Own, known: None });
        }
        let way = way(now, wish, client, from);
        let way = way.map_err(|message| ErrorResponse::fatal("28000", message))?;
        let known = match now.auth {
            Auth::Any => None,
            _ => self.known(now, &wish.user, &wish.database).await?,
        };
        Ok(Asked { way, known })
    }

    /// PgBouncer's own word for whoever runs it: the user `pgbouncer` of the console, from the
    /// process's own user on this machine, needs no password.
    pub(super) fn is_own(&self, wish: &Wish, from: From) -> bool {
        let own = Uid::effective().as_raw();
        wish.user == CONSOLE && wish.database == CONSOLE && from == From::Unix { uid: Some(own) }
    }

    /// Asks the client for its proof, and gives what its servers are logged into with.
    ///
    /// # Errors
    /// It has gone; the inner error is what it is told.
    pub(super) async fn prove(
        &self,
        now: &Settings,
        wish: &Wish,
        client: &mut Client,
        from: From,
        asked: Asked,
    ) -> io::Result<Result<Credentials, ErrorResponse>> {
        let Asked { way, known } = asked;
        let named = |is: bool| if is { Ok(Shown::Nothing) } else { Err(Refused::Password) };
        let shown = match way {
            Way::Not { known: asks } => named(!asks || known.is_some()),
            Way::Own => Ok(Shown::Nothing),
            Way::Plain => plain(client, &wish.user, &known).await?,
            Way::Md5 if asks_md5(now, known.as_deref()) => {
                by_md5(client, &wish.user, &known).await?
            }
            Way::Md5 | Way::Scram => self.by_scram(client, &wish.user, &known).await?,
            Way::Cert => named(named_by(client, &wish.user)),
            Way::Peer => named(is_user(from, &wish.user)),
        };
        Ok(match shown {
            Ok(shown) => Ok(credentials(now, wish, shown, known.as_deref())),
            Err(refused) => {
                let why = match refused {
                    Refused::Malformed => "its answer is malformed",
                    _ => unproved(way, known.as_deref()),
                };
                self.note_refused(from, Some(wish), why);
                Err(gate::refusal(refused, &wish.user))
            }
        })
    }

    async fn by_scram(
        &self,
        client: &mut Client,
        user: &str,
        known: &Option<Arc<Kept>>,
    ) -> io::Result<Result<Shown, Refused>> {
        let verifier = match known.clone() {
            // PBKDF2 is nothing for a thread that serves others.
            Some(kept) => blocking(move || kept.verifier().cloned()).await,
            None => None,
        };
        let verifier = verifier.unwrap_or_else(|| Verifier::of_nobody(user, &self.nobody));
        let end_point = client.end_point.clone();
        let proved = gate::prove(&mut client.stream, &verifier, end_point.as_deref());
        let key = proved.await?;
        Ok(key.map(|client_key| Shown::Keys(Secret::Keys { client_key, verifier })))
    }
}

fn way(now: &Settings, wish: &Wish, client: &Client, from: From) -> Result<Way, String> {
    Ok(match now.auth {
        Auth::Any => Way::Not { known: false },
        Auth::Trust => Way::Not { known: true },
        Auth::Plain => Way::Plain,
        Auth::Md5 => Way::Md5,
        Auth::Scram => Way::Scram,
        Auth::Cert => Way::Cert,
        Auth::Hba => return by_rules(now, wish, client, from),
    })
}

fn by_rules(now: &Settings, wish: &Wish, client: &Client, from: From) -> Result<Way, String> {
    let asked = now.hba.iter().any(|rule| rule.address == Some(AddressMatch::SameHost));
    let address = match from {
        From::Tcp(ip, _) => ip,
        From::Unix { .. } => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let who = Who {
        database: &wish.database,
        user: &wish.user,
        address,
        same_host: asked && socket::is_own(address),
        tls: client.tls,
        replication: false,
    };
    let verdict = match from {
        From::Tcp(..) => judge(&now.hba, &who),
        From::Unix { .. } => judge_local(&now.hba, &who),
    };
    let Verdict::Allow(rule) = verdict else {
        return Err(verdict.refusal(&who).unwrap_or_default());
    };
    if !certified(rule, client, &wish.user) {
        return Err("connection requires a valid client certificate".to_owned());
    }
    Ok(match rule.method {
        Method::Trust => Way::Not { known: true },
        Method::Password => Way::Plain,
        Method::Md5 => Way::Md5,
        Method::ScramSha256 => Way::Scram,
        Method::Cert => Way::Cert,
        Method::Peer => Way::Peer,
        Method::Reject => return Err("pg_hba.conf rejects connection".to_owned()),
    })
}

/// Why a client has not proved who it is, for the log: clients are not told.
fn unproved(way: Way, known: Option<&Kept>) -> &'static str {
    match (way, known.map(|kept| &kept.secret)) {
        (Way::Cert, _) => "its certificate has another name",
        (Way::Peer, _) => "it is another user of this machine",
        (_, None) => "no such user is known",
        (_, Some(KeptSecret::Nothing)) => "no password is known of the user",
        (Way::Scram, Some(KeptSecret::Md5(_))) => {
            "a MD5 hash is known of the user, and that cannot do SCRAM"
        }
        _ => "wrong password",
    }
}

/// Whether what `clientcert` asks for is there.
fn certified(rule: &HbaRule, client: &Client, user: &str) -> bool {
    match rule.options.iter().find(|(name, _)| name == "clientcert") {
        Some((_, value)) if value == "verify-full" => named_by(client, user),
        Some(_) => client.stream.certificate().is_some(),
        None => true,
    }
}

/// Whether the client's certificate, which the handshake has verified, has the name.
fn named_by(client: &Client, user: &str) -> bool {
    let certificate = client.stream.certificate();
    let certificate = certificate.and_then(|der| howdah_tls::Certificate::of(der).ok());
    certificate.is_some_and(|certificate| certificate.common_name == user)
}

fn is_user(from: From, name: &str) -> bool {
    let From::Unix { uid: Some(uid) } = from else { return false };
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.is_some_and(|user| user.name == name)
}

/// Whether MD5 is asked for: of nobody, what most are asked.
fn asks_md5(now: &Settings, known: Option<&Kept>) -> bool {
    let known = known.or_else(|| now.roles.values().next().map(|kept| &**kept));
    !known.is_some_and(|kept| matches!(kept.secret, KeptSecret::Verifier(_)))
}

async fn plain(
    client: &mut Client,
    user: &str,
    known: &Option<Arc<Kept>>,
) -> io::Result<Result<Shown, Refused>> {
    gate::say(&mut client.stream, Authentication::Cleartext).await?;
    let Some(body) = gate::hear(&mut client.stream).await? else {
        return Ok(Err(Refused::Malformed));
    };
    let (Some(text), Some(kept)) = (password_of(&body).map(str::to_owned), known.clone()) else {
        return Ok(Err(Refused::Password));
    };
    let user = user.to_owned();
    let shown = blocking(move || fits(&kept.secret, &user, &text).then_some(text)).await;
    Ok(shown.map(Shown::Password).ok_or(Refused::Password))
}

fn fits(secret: &KeptSecret, user: &str, text: &str) -> bool {
    let same = |one: &str, other: &str| howdah_tls::same(one.as_bytes(), other.as_bytes());
    match secret {
        KeptSecret::Nothing => false,
        KeptSecret::Password(password) => same(password, text),
        KeptSecret::Verifier(verifier) => verifier.accepts(text),
        KeptSecret::Md5(hash) => same(hash, &md5::hash(text, user)),
    }
}

async fn by_md5(
    client: &mut Client,
    user: &str,
    known: &Option<Arc<Kept>>,
) -> io::Result<Result<Shown, Refused>> {
    let salt = howdah_tls::random();
    gate::say(&mut client.stream, Authentication::Md5 { salt }).await?;
    let Some(body) = gate::hear(&mut client.stream).await? else {
        return Ok(Err(Refused::Malformed));
    };
    let hash = match known.as_ref().map(|kept| &kept.secret) {
        Some(KeptSecret::Password(text)) => md5::hash(text, user),
        Some(KeptSecret::Md5(hash)) => hash.clone(),
        _ => return Ok(Err(Refused::Password)),
    };
    let fits = password_of(&body).is_some_and(|answer| md5::accepts(&hash, salt, answer));
    Ok(if fits { Ok(Shown::Nothing) } else { Err(Refused::Password) })
}

/// By what the servers of a client's pool are logged into: the ini's word, that of the role whom
/// everybody is there, the list's, the client's own.
fn credentials(now: &Settings, wish: &Wish, shown: Shown, known: Option<&Kept>) -> Credentials {
    let database = database(now, &wish.database);
    if let Some(password) = database.as_ref().and_then(|database| database.password.as_ref()) {
        return of_kept(&Kept::of(password.expose()).secret);
    }
    let forced = database.as_ref().and_then(|database| database.user.as_ref());
    if let Some(user) = forced.filter(|user| **user != wish.user) {
        return now.roles.get(user).map_or(Credentials::Nothing, |kept| of_kept(&kept.secret));
    }
    match (shown, known.map(|kept| &kept.secret)) {
        (_, Some(secret @ KeptSecret::Password(_))) => of_kept(secret),
        (Shown::Password(text), _) => Credentials::Scram(Secret::Password(text)),
        (Shown::Keys(keys), _) => Credentials::Scram(keys),
        (Shown::Nothing, Some(secret)) => of_kept(secret),
        (Shown::Nothing, None) => Credentials::Nothing,
    }
}

pub(super) fn of_kept(secret: &KeptSecret) -> Credentials {
    match secret {
        KeptSecret::Password(text) => Credentials::Scram(Secret::Password(text.clone())),
        KeptSecret::Md5(hash) => Credentials::Md5(hash.clone()),
        // A verifier proves others, not its holder.
        KeptSecret::Verifier(_) | KeptSecret::Nothing => Credentials::Nothing,
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Option<T> + Send + 'static,
) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok().flatten()
}
