//! A client, from its first byte to its last: opened, admitted, connected, relayed.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use std::{future, io};

use howdah_base::{Held, NodeName};
use howdah_spec::hba::{AddressMatch, Who, judge};
use howdah_wire::{ErrorResponse, Opening, Replication, Startup, Step, opening};
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::client_stream::{self, ClientStream};
use crate::crowd::Member;
use crate::data::Places;
use crate::login::Link;
use crate::negotiate::{asked_again, negotiate, read_packet};
use crate::openings;
use crate::route::{Route, Want, candidates};
use crate::{ALPN, Endpoint, OPENING_TIMEOUT, Proxy};

/// One attempt to reach a server.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// Between attempts when the topology does not change: a server may only be restarting.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(200);

impl Proxy {
    pub async fn client(
        &self,
        endpoint: Endpoint,
        tcp: TcpStream,
        from: IpAddr,
        place: openings::Opening,
    ) -> io::Result<()> {
        self.tune(&tcp)?;
        let tls = self.config.server_tls.clone();
        let opened = Client::open(tcp, Some(&tls));
        let mut client = place.wait_for(OPENING_TIMEOUT, opened).await?;
        let (mut opts_out, mut pooled, mut console) = (false, None, false);
        let admitted = match opening(&client.packet) {
            Ok(Step::Packet(Opening::Startup(startup), _)) => {
                opts_out = startup.asks_for("synchronous_commit").is_some_and(|how| is_weak(&how));
                match self.admit(&startup, from, client.tls) {
                    Ok(admitted) => {
                        console = self.is_console(&startup);
                        self.pool_for(endpoint, &startup).await.map(|pool| {
                            pooled = pool;
                            admitted
                        })
                    }
                    refused => refused,
                }
            }
            Ok(Step::Packet(Opening::Cancel, _)) => {
                self.cancel(&client.packet, from).await;
                // Whoever asks in TLS takes an end without its notice for a failure.
                return timeout(OPENING_TIMEOUT, client.stream.shutdown()).await?;
            }
            Ok(Step::Packet(asked, _)) => Err(asked_again(&asked)),
            Ok(Step::Need(_)) => return Err(io::ErrorKind::InvalidData.into()),
            Err(malformed) => Err(malformed.answer().ok_or(io::ErrorKind::InvalidData)?),
        };
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(error) => return self.refuse(client, error).await,
        };
        let held = self.config.counters.enter(endpoint);
        if let Some(pooled) = pooled {
            let counted = opts_out && endpoint == Endpoint::Rw;
            let opts_out = counted.then(|| self.config.counters.opted_out.hold());
            let places = Places { _admitted: admitted, _held: held, _opts_out: opts_out };
            return self.pool(client, pooled, places).await;
        }
        if console {
            let error = ErrorResponse::fatal("57P03", "the console cannot tell who you are").hint(
                "it asks this node's own server, for a password of SCRAM; another node may do",
            );
            return self.refuse(client, error).await;
        }
        match self.log_in(endpoint, from, &mut client).await? {
            Some(Link { server, route, .. }) => {
                let counted = opts_out && route.term.is_some();
                let _counted = counted.then(|| self.config.counters.opted_out.hold());
                self.relay(client.stream, server, route).await
            }
            None => self.refuse(client, no_server(endpoint)).await,
        }
    }

    pub async fn refuse(&self, mut client: Client, error: ErrorResponse) -> io::Result<()> {
        self.config.counters.refused.fetch_add(1, Relaxed);
        let mut message = Vec::new();
        error.encode(&mut message);
        timeout(OPENING_TIMEOUT, client.stream.write_all(&message)).await??;
        timeout(OPENING_TIMEOUT, client.stream.shutdown()).await?
    }

    /// A place, for a client that the rules let in from where it is.
    fn admit(
        &self,
        startup: &Startup<'_>,
        from: IpAddr,
        tls: bool,
    ) -> Result<Admitted, ErrorResponse> {
        let too_many = |_| ErrorResponse::fatal("53300", "sorry, too many clients already");
        let place = self.places.clone().try_acquire_owned().map_err(too_many)?;
        let rules = self.config.hba.borrow().clone();
        let asked = rules.iter().any(|rule| rule.address == Some(AddressMatch::SameHost));
        let who = Who {
            database: &startup.database(),
            user: &startup.user(),
            address: self.config.known_as(from),
            same_host: asked && self.config.is_same_host(from),
            tls,
            replication: startup.replication == Replication::Physical,
        };
        match judge(&rules, &who).refusal(&who) {
            Some(message) => Err(ErrorResponse::fatal("28000", message)),
            None => {
                let policy = self.config.policy.borrow().clone();
                let member = self.crowd.enter(&policy, who.database, who.user, from)?;
                Ok(Admitted { _place: place, _member: member })
            }
        }
    }

    /// Chooses, dials and asks until a server takes the client; whoever calls bounds it.
    pub async fn connect(&self, endpoint: Endpoint, from: IpAddr, packet: &[u8]) -> Link {
        let mut topology = self.topology.clone();
        let mut tried = BTreeSet::new();
        let turn = self.config.counters.admitted[endpoint as usize].load(Relaxed);
        loop {
            let mut now = topology.borrow_and_update().clone();
            now.nodes.retain(|node, _| !tried.contains(node));
            let (lag, fallback) = (self.config.ro_max_lag.0, self.config.ro_primary_fallback);
            let choice = candidates(&now, &self.config.node, endpoint, lag, fallback);
            let Some((node, want, load)) = self.least_loaded(choice, turn) else {
                tried.clear();
                if let Ok(Err(_)) = timeout(RETRY_PAUSE, topology.changed()).await {
                    future::pending::<()>().await;
                }
                continue;
            };
            tried.insert(node.clone());
            match timeout(DIAL_TIMEOUT, self.dial(&node, want, &now, from)).await {
                Ok(Ok(server)) => {
                    let term = (want == Want::Primary).then_some(now.term);
                    let route = Route { local: node == self.config.node, node, term };
                    let mut link = Link { server, route, said: Vec::new(), _load: load };
                    match self.ask(&mut link, packet).await {
                        Ok(()) => return link,
                        Err(lost) => tracing::debug!(node = %link.route.node, %lost, "not taken"),
                    }
                }
                Ok(Err(error)) => tracing::debug!(%node, %error, "cannot connect"),
                Err(_) => tracing::debug!(%node, "cannot connect in time"),
            }
        }
    }

    /// Takes the candidate with the fewest clients of this proxy, any of equals.
    pub fn least_loaded(
        &self,
        mut choice: Vec<(NodeName, Want)>,
        turn: u64,
    ) -> Option<(NodeName, Want, Held)> {
        let mut load = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        let len = choice.len().max(1);
        choice.rotate_left(turn as usize % len);
        let held = |(node, _): &(NodeName, Want)| load.get(node).map_or(0, |gauge| gauge.held());
        let (node, want) = choice.into_iter().min_by_key(held)?;
        let load = load.entry(node.clone()).or_default().hold();
        Some((node, want, load))
    }
}

/// A client's places among those that are counted, for as long as it is there.
pub(crate) struct Admitted {
    pub _place: OwnedSemaphorePermit,
    pub _member: Member,
}

/// A client that has said what it wants.
pub struct Client {
    pub stream: ClientStream,
    /// Its first packet.
    pub packet: Vec<u8>,
    /// What it sent after that and no server has got yet.
    pub early: Vec<u8>,
    pub tls: bool,
    /// What binds a login to its TLS connection.
    pub end_point: Option<Vec<u8>>,
}

impl Client {
    /// Reads up to the first packet that is no negotiation, and not a byte beyond: what an
    /// attacker might add before a handshake ends up in the handshake.
    pub async fn open(mut tcp: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Client> {
        let mut first = [0];
        let len = tcp.peek(&mut first).await?;
        let direct = matches!(opening(&first[..len]), Ok(Step::Packet(Opening::DirectTls, _)));
        if !direct && let Some(packet) = negotiate(&mut tcp, tls.is_some()).await? {
            return Ok(Client {
                stream: ClientStream::Plain(tcp),
                packet,
                early: Vec::new(),
                tls: false,
                end_point: None,
            });
        }
        let tls = tls.ok_or(io::ErrorKind::InvalidData)?;
        let (mut stream, end_point) = client_stream::encrypt(tcp, tls).await?;
        // As PostgreSQL does: who does not ask must say what he will speak.
        if direct && stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let packet = read_packet(&mut stream).await?;
        Ok(Client {
            stream: ClientStream::Tls(Box::new(stream)),
            packet,
            early: Vec::new(),
            tls: true,
            end_point,
        })
    }
}

/// A commit under it is acknowledged before a voter holds it. What is no value of it at all the
/// server refuses.
fn is_weak(synchronous_commit: &str) -> bool {
    let strong = ["on", "true", "yes", "1", "remote_apply"];
    !strong.iter().any(|word| synchronous_commit.eq_ignore_ascii_case(word))
}

fn no_server(endpoint: Endpoint) -> ErrorResponse {
    let message = format!("the {} endpoint has no server to offer", endpoint.name());
    ErrorResponse::fatal("57P03", message)
        .hint("a failover may be under way; `howdah status` shows what the cluster waits for")
}
