//! A client, from its first byte until its thread has it, or it has been told why not.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use howdah_wire::relay::session::Settings as Startups;
use howdah_wire::{ErrorResponse, Opening, Replication, Startup, Step, opening};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::listen::From;
use super::{Alone, Database, Settings};
use crate::cancel::cancel_of;
use crate::client::{Admitted, Client};
use crate::console::{DATABASE as CONSOLE, May, Operator};
use crate::credentials::Credentials;
use crate::data::{Newcomer, Places, PoolKey};
use crate::negotiate::asked_again;
use crate::{Endpoint, OPENING_TIMEOUT, openings, socket};

/// What a client wants, as it said it.
pub(super) struct Wish {
    pub database: String,
    pub user: String,
    pub settings: Startups,
    /// What it is told first, where it asks for a newer protocol than is spoken here.
    negotiation: Vec<u8>,
    minor: u16,
}

impl Alone {
    pub(super) async fn client(
        &self,
        tcp: TcpStream,
        from: From,
        place: openings::Opening,
    ) -> io::Result<()> {
        let now = self.now();
        let tls = match from {
            From::Tcp(..) => {
                socket::tune(&tcp, now.tcp.keepalive, now.tcp.user_timeout)?;
                now.client_tls.as_ref().map(|tls| &tls.config)
            }
            From::Unix { .. } => None,
        };
        let opening_timeout = now.client_login_timeout;
        let opened = place.wait_for(opening_timeout, Client::open(tcp, tls)).await;
        let mut client = opened.map_err(|error| self.noted(from, None, error))?;
        let wish = match opening(&client.packet) {
            Ok(Step::Packet(Opening::Startup(startup), _)) => wish(&startup, &now, from),
            Ok(Step::Packet(Opening::Cancel, _)) => {
                cancel_of(&self.pooler, &client.packet).await;
                return timeout(OPENING_TIMEOUT, client.stream.shutdown()).await?;
            }
            Ok(Step::Packet(asked, _)) => Err(asked_again(&asked)),
            Ok(Step::Need(_)) => return self.malformed(from),
            Err(malformed) => match malformed.answer() {
                Some(error) => Err(error),
                None => return self.malformed(from),
            },
        };
        let wish = match wish {
            Ok(wish) => wish,
            Err(error) => return self.turn_away(client, from, None, error).await,
        };
        let needs_tls = now.client_tls.as_ref().is_some_and(|tls| tls.required);
        if needs_tls && !client.tls && matches!(from, From::Tcp(..)) {
            let error = ErrorResponse::fatal("08P01", "SSL required");
            return self.turn_away(client, from, Some(&wish), error).await;
        }
        // A bound of its own: whoever waits for a server is to hear of it.
        let asked = match self.judge(&now, &wish, &client, from).await {
            Ok(asked) => asked,
            Err(error) => return self.turn_away(client, from, Some(&wish), error).await,
        };
        let proof = async {
            client.stream.write_all(&wish.negotiation).await?;
            self.prove(&now, &wish, &mut client, from, asked).await
        };
        let proof = self.openings.wait_for(now.client_login_timeout, proof).await;
        match proof.map_err(|error| self.noted(from, Some(&wish), error))? {
            Ok(credentials) => self.let_in(&now, wish, client, from, credentials).await,
            // It is in the log already, with more than the client is told.
            Err(error) => self.refuse(client, error).await,
        }
    }

    async fn let_in(
        &self,
        now: &Settings,
        mut wish: Wish,
        client: Client,
        from: From,
        credentials: Credentials,
    ) -> io::Result<()> {
        if wish.database == CONSOLE {
            return self.console(wish, client, from).await;
        }
        if let Some(why) = self.console.closed(&wish.database) {
            let error = ErrorResponse::fatal("08P01", why);
            return self.turn_away(client, from, Some(&wish), error).await;
        }
        let Some(database) = database(now, &wish.database) else {
            let message = format!("no such database: {}", wish.database);
            let error = ErrorResponse::fatal("3D000", message);
            return self.turn_away(client, from, Some(&wish), error).await;
        };
        let admitted = match self.admit(now, &wish, from) {
            Ok(admitted) => admitted,
            Err(error) => return self.turn_away(client, from, Some(&wish), error).await,
        };
        let user = database.user.clone().unwrap_or(wish.user);
        for (name, value) in &database.begins_with {
            let said = wish.settings.entry(name.as_str().into());
            said.or_insert_with(|| value.as_str().into());
        }
        let held = self.counters.enter(Endpoint::Rw);
        let places = Places { _admitted: admitted, _held: held, _opts_out: None };
        if now.logs_connections {
            tracing::info!(user, database = wish.database, %from, tls = client.tls, "let in");
        }
        let pool = PoolKey { endpoint: Endpoint::Rw, database: wish.database, user };
        let line = client.stream.into_line()?;
        self.pooler.let_in(&pool.clone(), |seat| Newcomer {
            line,
            early: client.early,
            pool,
            secret: Arc::new(credentials),
            settings: wish.settings,
            minor: wish.minor,
            places,
            seat,
        });
        Ok(())
    }

    /// A client that wants to speak to the pooler itself.
    async fn console(&self, wish: Wish, client: Client, from: From) -> io::Result<()> {
        let may = match self.is_own(&wish, from) {
            true => Some(May::Command),
            false => self.console.may(&wish.user),
        };
        let Some(may) = may else {
            let error = ErrorResponse::fatal("08P01", "not allowed");
            return self.turn_away(client, from, Some(&wish), error).await;
        };
        let name = wish.settings.get("application_name");
        let operator = Operator {
            user: wish.user,
            may,
            ends: client.stream.ends(),
            tls: client.stream.tls(),
            application_name: name.map(ToString::to_string).unwrap_or_default(),
        };
        self.console.clone().serve(client.stream, client.early, operator).await
    }

    /// A place, unless there are too many clients already.
    fn admit(&self, now: &Settings, wish: &Wish, from: From) -> Result<Admitted, ErrorResponse> {
        let place = self.places.take().ok_or_else(|| {
            ErrorResponse::fatal("53300", "no more connections allowed (max_client_conn)")
        })?;
        let from = match from {
            From::Tcp(ip, _) => ip,
            From::Unix { .. } => Ipv4Addr::LOCALHOST.into(),
        };
        let member = self.crowd.enter(&now.policy, &wish.database, &wish.user, from)?;
        Ok(Admitted { _place: place, _member: member })
    }

    /// Its first packet is none of PostgreSQL's.
    fn malformed(&self, from: From) -> io::Result<()> {
        self.counters.refused.fetch_add(1, Relaxed);
        self.note_refused(from, None, "its first packet is malformed");
        Ok(())
    }

    /// What ends a login stands in the log, unless the client has only gone.
    fn noted(&self, from: From, wish: Option<&Wish>, error: io::Error) -> io::Error {
        match error.kind() {
            io::ErrorKind::TimedOut => {
                self.note_refused(from, wish, "not within client_login_timeout");
            }
            io::ErrorKind::InvalidData => {
                self.note_refused(from, wish, &format!("it is not understood: {error}"));
            }
            _ => {}
        }
        error
    }

    /// Refuses it, and says why in the log as well.
    async fn turn_away(
        &self,
        client: Client,
        from: From,
        wish: Option<&Wish>,
        error: ErrorResponse,
    ) -> io::Result<()> {
        self.note_refused(from, wish, &error.message);
        self.refuse(client, error).await
    }

    async fn refuse(&self, mut client: Client, error: ErrorResponse) -> io::Result<()> {
        self.counters.refused.fetch_add(1, Relaxed);
        let mut message = Vec::new();
        error.encode(&mut message);
        timeout(OPENING_TIMEOUT, client.stream.write_all(&message)).await??;
        timeout(OPENING_TIMEOUT, client.stream.shutdown()).await?
    }
}

/// The database that a name leads to.
pub(super) fn database(now: &Settings, name: &str) -> Option<Arc<Database>> {
    now.databases.get(name).or(now.fallback.as_ref()).cloned()
}

fn wish(startup: &Startup<'_>, now: &Settings, from: From) -> Result<Wish, ErrorResponse> {
    if startup.replication != Replication::No {
        let error = ErrorResponse::fatal("0A000", "replication does not go through this pooler");
        return Err(error.hint("connect to the server itself"));
    }
    let bare = now.ignored.contains("options");
    let asked = if bare { Some(without_options(startup)) } else { startup.settings() };
    let Some(mut settings) = asked else {
        let message = "unsupported startup parameter: options";
        let hint = "only `-c name=value` and `--name=value` are understood in it";
        return Err(ErrorResponse::fatal("08P01", message).hint(hint));
    };
    settings.retain(|name, _| !now.ignored.contains(&**name));
    if let (true, From::Tcp(ip, port)) = (now.adds_host, from) {
        let name = settings.get("application_name").map_or("app", |name| &**name);
        let named = format!("{name} - {}:{port}", shown(ip));
        settings.insert("application_name".into(), named.into());
    }
    let (database, user) = (startup.database().into_owned(), startup.user().into_owned());
    let negotiation = startup.negotiation().unwrap_or_default();
    Ok(Wish { database, user, settings, negotiation, minor: startup.spoken() })
}

/// What it asks for by name.
fn without_options(startup: &Startup<'_>) -> Startups {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let others = ["user", "database", "options", "replication"];
    let named = startup.parameters().map(|(name, value)| (text(name), text(value)));
    let named = named.filter(|(name, _)| !others.contains(&&**name) && !name.starts_with("_pq_."));
    named.map(|(name, value)| (name.to_ascii_lowercase().into(), value.into())).collect()
}

fn shown(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
