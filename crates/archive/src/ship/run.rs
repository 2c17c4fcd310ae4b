//! One connection's worth: from where the repository ends until something fails.

use std::convert::Infallible;
use std::time::Duration;

use howdah_base::{Lsn, Position, Tick, Timeline};
use howdah_postgres::PgError;
use howdah_postgres::replication::{Client, Event, Feedback, Start, Stream};
use howdah_postgres::session::Session;
use howdah_repo::Lineage;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::carry::Carriers;
use super::{SLOT, ShipError, Shipped, Source, ends};
use crate::receive::{self, Cluster, Command, Receiver};

/// `undefined_file`: the server no longer has WAL from where a stream was to begin.
pub const WAL_IS_GONE: &str = "58P01";
/// As `pg_stat_replication` shows it.
const APPLICATION: &str = "howdah archive";
/// While nothing is under way.
const LONG: Duration = Duration::from_secs(3600);

/// Ships until it fails. `oldest`: where the server's WAL begins, once a stream was refused.
pub async fn once(
    lineage: &Lineage,
    source: &Source,
    oldest: Option<Lsn>,
    told: &watch::Sender<Shipped>,
) -> Result<Infallible, ShipError> {
    let mut shipping = Shipping::begin(lineage, source, oldest, told).await?;
    loop {
        shipping.carry_out().await?;
        shipping.one_event().await?;
    }
}

/// Where the server's WAL begins now.
pub async fn oldest(source: &Source) -> Result<Lsn, PgError> {
    let session = Session::connect(&source.socket_dir, source.port, "postgres").await?;
    session.oldest_wal().await
}

struct Shipping<'a> {
    source: &'a Source,
    told: &'a watch::Sender<Shipped>,
    receiver: Receiver,
    carriers: Carriers,
    /// In command mode, while no stream runs.
    client: Option<Client>,
    stream: Option<(Stream, Feedback)>,
    timeline: Timeline,
    begun: Instant,
}

impl<'a> Shipping<'a> {
    async fn begin(
        lineage: &Lineage,
        source: &'a Source,
        oldest: Option<Lsn>,
        told: &'a watch::Sender<Shipped>,
    ) -> Result<Shipping<'a>, ShipError> {
        let mut client = Client::connect(&source.socket_dir, source.port, APPLICATION).await?;
        client.create_slot(SLOT).await?;
        let mut oldest = oldest;
        if client.slot(SLOT).await?.is_some_and(|slot| slot.restart.is_none()) {
            // Given up by the server (max_slot_wal_keep_size): it holds nothing, and never will.
            client.drop_slot(SLOT).await?;
            client.create_slot(SLOT).await?;
            oldest = Some(self::oldest(source).await?);
        }
        let identity = client.identify().await?;
        let segment = client.segment_size().await?;
        let slot = client.slot(SLOT).await?.and_then(|slot| slot.restart);
        let Position { timeline, lsn: end } = identity.end;
        let history = history(&mut client, timeline).await?;
        let repository = ends::of(lineage, segment, &history).await?;
        let server = receive::Server { history, end, slot, oldest };
        let begin = receive::begin(repository.as_ref(), &server, segment)?;
        let timeline = begin.at.timeline;
        let (major, system_identifier) = (client.major(), identity.system_identifier);
        let cluster = Cluster { major, system_identifier, segment };
        told.send_modify(|shipped| shipped.server = end);
        Ok(Shipping {
            source,
            told,
            receiver: Receiver::new(cluster, begin),
            carriers: Carriers::new(lineage.clone(), segment, told.clone()),
            client: Some(client),
            stream: None,
            timeline,
            begun: Instant::now(),
        })
    }

    /// What the receiver wants now.
    async fn carry_out(&mut self) -> Result<(), ShipError> {
        while let Some(command) = self.receiver.poll() {
            match command {
                Command::Start { from } => self.start(from).await?,
                Command::FetchHistory { timeline } => {
                    let content = self.client().await?.history(timeline).await?;
                    self.receiver.history(content)?;
                }
                Command::ReportFlushed(lsn) => self.report(lsn),
                put => self.carriers.send(put),
            }
        }
        Ok(())
    }

    async fn start(&mut self, from: Position) -> Result<(), ShipError> {
        self.client().await?;
        let Some(client) = self.client.take() else { return Ok(()) };
        let stream = client.start(Start { slot: Some(SLOT), from }).await?;
        let feedback = stream.feedback();
        self.stream = Some((stream, feedback));
        self.timeline = from.timeline;
        tracing::info!("WAL is streamed into the repository from {from}");
        Ok(())
    }

    /// The connection in command mode: the stream's own, once that has ended with its timeline.
    async fn client(&mut self) -> Result<&mut Client, ShipError> {
        if self.client.is_none() {
            let ended = match self.stream.take() {
                Some((stream, _)) => stream.end().await.ok(),
                None => None,
            };
            let source = self.source;
            self.client = Some(match ended {
                Some(client) => client,
                None => Client::connect(&source.socket_dir, source.port, APPLICATION).await?,
            });
        }
        self.client.as_mut().ok_or_else(|| PgError::Lost("no connection".to_owned()).into())
    }

    /// The server may let go of everything below.
    fn report(&mut self, lsn: Lsn) {
        if let Some((_, feedback)) = &self.stream {
            feedback.report(lsn, lsn);
        }
        let durable = Some(Position { timeline: self.timeline, lsn });
        let recovered = self.told.borrow().trouble.is_some();
        if recovered {
            tracing::info!("WAL reaches the repository again");
        }
        self.told.send_modify(|shipped| (shipped.durable, shipped.trouble) = (durable, None));
    }

    /// Waits for whatever comes first.
    async fn one_event(&mut self) -> Result<(), ShipError> {
        let wake = self.receiver.wake_at().map(|at| self.begun + Duration::from_millis(at.0));
        let wake = wake.unwrap_or_else(|| Instant::now() + LONG);
        let takes = self.receiver.wants_wal();
        let wal = async {
            match &mut self.stream {
                Some((stream, _)) if takes => stream.next().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            put = self.carriers.next() => {
                self.receiver.durable(put?);
            }
            event = wal => self.heard(event?)?,
            () = sleep_until(wake) => self.receiver.tick(now(self.begun)),
        }
        Ok(())
    }

    fn heard(&mut self, event: Event) -> Result<(), ShipError> {
        match event {
            Event::Wal { start, end, bytes } => {
                self.told.send_modify(|shipped| shipped.server = end);
                self.receiver.wal(now(self.begun), start, &bytes)?;
            }
            Event::KeepAlive { end, .. } => {
                self.told.send_modify(|shipped| shipped.server = end);
            }
            Event::TimelineEnds { next, switchpoint } => {
                self.receiver.timeline_ends(next, switchpoint)?;
            }
        }
        Ok(())
    }
}

fn now(begun: Instant) -> Tick {
    Tick(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX))
}

async fn history(
    client: &mut Client,
    timeline: Timeline,
) -> Result<howdah_base::History, ShipError> {
    if timeline == Timeline(1) {
        return Ok(howdah_base::History::root(timeline));
    }
    let text = client.history(timeline).await?;
    let text = std::str::from_utf8(&text).ok();
    let history = text.and_then(|text| howdah_base::History::parse(timeline, text).ok());
    history.ok_or(ShipError::History(timeline.0))
}
