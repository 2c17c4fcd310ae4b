//! What is done for a statement, and in which words it is answered: PgBouncer's.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::parse::{self, PARAMETERS, Statement, Verb};
use super::seen::{Seen, Silent};
use super::show::databases::{self, Around};
use super::show::{Show, pools, small, sockets, stats};
use super::table::{Kind, Row, Table};
use super::{Console, DATABASE, Declined, May, Wish, WishKind};
use crate::data::{Command, Handle, Look, Order};

/// Whoever runs the pooler, about a wish.
const WISH_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks whether the last client has gone.
const STOP_PAUSE: Duration = Duration::from_millis(200);

pub(super) enum Answer {
    Table(Table),
    Notice { text: String, tag: &'static str },
    Done(String),
}

/// Why not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wrong {
    pub why: String,
    pub hint: Option<String>,
}

impl<T: Into<String>> From<T> for Wrong {
    fn from(why: T) -> Wrong {
        Wrong { why: why.into(), hint: None }
    }
}

impl From<Silent> for Wrong {
    fn from(silent: Silent) -> Wrong {
        Wrong::from(silent.to_string())
    }
}

impl From<Declined> for Wrong {
    fn from(Declined { why, hint }: Declined) -> Wrong {
        Wrong { why, hint }
    }
}

impl Console {
    pub(super) async fn run(self: &Arc<Console>, text: &str, may: May) -> Result<Answer, Wrong> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match parse::parse(text).map_err(|wrong| Wrong::from(wrong.to_string()))? {
            Statement::Show(what) => self.show(what).await,
            Statement::Parameter(name, value) => {
                let mut table = Table::new(&[(name, Kind::Text)]);
                table.add(Row::default().and(value));
                Ok(Answer::Table(table))
            }
            Statement::Set { key, .. }
                if PARAMETERS.iter().any(|(known, _)| key.eq_ignore_ascii_case(known)) =>
            {
                Ok(Answer::Notice { text: "SET ignored".to_owned(), tag: "SET" })
            }
            // Nobody who may only look gets any further, whatever the command.
            _ if may != May::Command => Err("admin access needed".into()),
            Statement::Set { key, value } => {
                let tag = format!("SET {key}={value}");
                self.wish(WishKind::Set { key, value }).await?;
                Ok(Answer::Done(tag))
            }
            Statement::Do(verb, argument) => {
                tracing::info!(?verb, argument, "command at the console");
                self.carry_out(verb, argument, text).await?;
                Ok(Answer::Done(verb.tag()))
            }
        }
    }

    async fn show(&self, what: Show) -> Result<Answer, Wrong> {
        let more: &[Look] = match what {
            Show::Clients => &[Look::Clients],
            Show::Servers => &[Look::Servers],
            Show::Sockets | Show::ActiveSockets => &[Look::Clients, Look::Servers],
            _ => &[],
        };
        Ok(Answer::Table(match what {
            Show::Help => {
                let text = format!("Console usage\0D{}", small::HELP);
                return Ok(Answer::Notice { text, tag: "SHOW" });
            }
            Show::Fds => {
                return Err(Wrong {
                    why: "there is nobody to hand connections over to".to_owned(),
                    hint: Some("SHOW SOCKETS lists them".to_owned()),
                });
            }
            Show::Version => small::version(),
            Show::Config => small::config(&self.config.settings.borrow()),
            Show::State => small::state(self.state().pauses.all),
            Show::Mem => small::mem(),
            Show::Peers => small::peers(),
            Show::PeerPools => small::peer_pools(),
            Show::DnsHosts => small::dns_hosts(),
            Show::DnsZones => small::dns_zones(),
            Show::Pools => pools::show(&self.look(more).await?),
            Show::Clients => sockets::clients(&self.look(more).await?),
            Show::Servers => sockets::servers(&self.look(more).await?),
            Show::Sockets => sockets::sockets(&self.look(more).await?, false),
            Show::ActiveSockets => sockets::sockets(&self.look(more).await?, true),
            Show::StatsTotals => stats::totals(&self.look(more).await?),
            Show::Stats => {
                let seen = self.look(more).await?;
                stats::stats(&seen, &self.state().past)
            }
            Show::StatsAverages => {
                let seen = self.look(more).await?;
                stats::averages(&seen, &self.state().past)
            }
            Show::Totals => {
                let seen = self.look(more).await?;
                stats::all(&seen, &self.state().past)
            }
            Show::Databases => {
                let seen = self.look(more).await?;
                self.around(|around| databases::databases(&seen, around))
            }
            Show::Lists => {
                let seen = self.look(more).await?;
                self.around(|around| small::lists(&seen, around))
            }
            Show::Users => databases::users(&self.look(more).await?, &self.policy.borrow()),
        }))
    }

    pub(super) fn around<T>(&self, tell: impl FnOnce(&Around<'_>) -> T) -> T {
        let policy = self.policy.borrow().clone();
        let topology = self.topology.borrow().clone();
        let places = self.places.as_ref().map(|places| places.borrow().clone());
        let places = places.unwrap_or_default();
        let primary = topology.primary.as_ref().and_then(|primary| topology.nodes.get(primary));
        let state = self.state();
        tell(&Around {
            policy: &policy,
            host: primary.map(|node| &*node.host),
            port: primary.map_or(topology.local.postgres_port, |node| node.postgres_port),
            places: &places,
            own_port: self.config.port,
            paused: &|name| state.pauses.has(name),
            disabled: &state.disabled,
        })
    }

    async fn carry_out(
        self: &Arc<Console>,
        verb: Verb,
        argument: Option<String>,
        text: &str,
    ) -> Result<(), Wrong> {
        match verb {
            Verb::Pause => {
                self.not_paused()?;
                self.own_is_not(argument.as_deref(), "pause")?;
                self.pause(argument).await?;
            }
            Verb::Resume => {
                let answers = self.forget_pause(argument)?;
                all_done(answers).await?;
            }
            Verb::Reconnect => {
                self.own_is_not(argument.as_deref(), "reconnect")?;
                self.command(Command::Reconnect, argument).await?;
            }
            Verb::Kill => {
                self.not_paused()?;
                self.own_is_not(argument.as_deref(), "kill")?;
                for database in self.killed(argument).await? {
                    self.state().pauses.set(Some(&database));
                    self.command(Command::Kill, Some(database)).await?;
                }
            }
            Verb::WaitClose => {
                self.own_is_not(argument.as_deref(), "wait in")?;
                self.command(Command::WaitClose, argument).await?;
            }
            Verb::KillClient => {
                let id = argument.and_then(|id| id.parse().ok());
                let id = id.ok_or_else(|| Wrong::from("invalid client pointer supplied"))?;
                if !self.command(Command::KillClient(id), None).await? {
                    return Err("client not found".into());
                }
            }
            Verb::Disable | Verb::Enable => {
                let database = argument.ok_or_else(|| Wrong::from("a database is required"))?;
                let word = if verb == Verb::Disable { "disable" } else { "enable" };
                self.own_is_not(Some(&database), word)?;
                let mut state = self.state();
                match verb {
                    Verb::Disable => state.disabled.insert(database),
                    _ => state.disabled.remove(&database),
                };
            }
            Verb::Reload if argument.is_some() => return Err(wrong_command(text)),
            Verb::Reload => {
                self.wish(WishKind::Reload).await?;
            }
            Verb::Suspend => {
                let hint = "PAUSE waits for running transactions and lets none begin";
                let why = "SUSPEND is not supported".to_owned();
                return Err(Wrong { why, hint: Some(hint.to_owned()) });
            }
            Verb::Shutdown => self.shut_down(argument, text).await?,
        }
        Ok(())
    }

    /// Everything that has a pool, unless one database is named.
    async fn killed(&self, argument: Option<String>) -> Result<Vec<String>, Wrong> {
        if let Some(database) = argument {
            return Ok(vec![database]);
        }
        let seen: Seen = self.look(&[]).await?;
        let mut all: Vec<_> = seen.pools.into_iter().map(|pool| pool.key.database).collect();
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    async fn shut_down(
        self: &Arc<Console>,
        argument: Option<String>,
        text: &str,
    ) -> Result<(), Wrong> {
        let mode = argument.as_deref().unwrap_or_default();
        let (servers, clients) = (
            mode.eq_ignore_ascii_case("wait_for_servers"),
            mode.eq_ignore_ascii_case("wait_for_clients"),
        );
        if !servers && !clients && argument.is_some() {
            return Err(wrong_command(text));
        }
        self.wish(WishKind::MayStop).await?;
        if !servers && !clients {
            return self.wish(WishKind::Stop).await;
        }
        {
            let mut state = self.state();
            state.stopping = true;
            state.pauses.all |= servers;
        }
        // It goes on when whoever asked for it has gone.
        let console = Arc::clone(self);
        let going = tokio::spawn(async move {
            let ended = console.stop_when_free(servers).await;
            if let Err(Wrong { why, .. }) = &ended {
                console.state().stopping = false;
                tracing::warn!(why, "SHUTDOWN failed");
            }
            ended
        });
        going.await.unwrap_or_else(|error| Err(Wrong::from(error.to_string())))
    }

    async fn stop_when_free(&self, of_servers: bool) -> Result<(), Wrong> {
        if of_servers {
            // Who waits for that is told by the end of the process.
            self.command(Command::Pause, None).await?;
        } else {
            while self.look(&[]).await?.pools.iter().any(|pool| pool.clients > 0) {
                tokio::time::sleep(STOP_PAUSE).await;
            }
        }
        self.wish(WishKind::Stop).await
    }

    fn not_paused(&self) -> Result<(), Wrong> {
        if self.state().pauses.all { Err("already suspended/paused".into()) } else { Ok(()) }
    }

    fn own_is_not(&self, database: Option<&str>, word: &str) -> Result<(), Wrong> {
        match database {
            Some(DATABASE) => Err(format!("cannot {word} admin db: {DATABASE}").into()),
            _ => Ok(()),
        }
    }

    /// The threads are told while nobody else can pause: they hear it in the order of what is known
    /// here.
    fn forget_pause(&self, database: Option<String>) -> Result<Answers, Wrong> {
        let mut state = self.state();
        if database.is_none() && state.stopping {
            return Err("pooler is shutting down".into());
        }
        match (state.pauses.unset(database.as_deref()), database) {
            (true, database) => Ok(self.tell_all(&Command::Resume, database.as_deref())),
            (false, None) => Err("pooler is not paused/suspended".into()),
            (false, Some(database)) => Err(format!("database {database} is not paused").into()),
        }
    }

    /// Every thread has to do it; whether one of them at least has found what it was about.
    pub(super) async fn command(
        &self,
        what: Command,
        database: Option<String>,
    ) -> Result<bool, Wrong> {
        all_done(self.tell_all(&what, database.as_deref())).await
    }

    /// Never waits: it may be called under the lock.
    pub(super) fn tell_all(&self, what: &Command, database: Option<&str>) -> Answers {
        let tell = |thread: &Handle| {
            let (reply, answer) = oneshot::channel();
            let database = database.map(str::to_owned);
            thread.tell(Order::Command { what: what.clone(), database, reply });
            answer
        };
        self.threads.iter().map(tell).collect()
    }

    async fn wish(&self, what: WishKind) -> Result<(), Wrong> {
        let (reply, answer) = oneshot::channel();
        let busy = || Wrong::from("nobody answers this at the moment");
        self.config.wishes.try_send(Wish { what, reply }).map_err(|_| busy())?;
        let answer = timeout(WISH_TIMEOUT, answer).await.map_err(|_| busy())?;
        Ok(answer.map_err(|_| busy())??)
    }
}

/// What the threads will say.
pub(super) type Answers = Vec<oneshot::Receiver<bool>>;

/// Whether one of the threads at least has found what it was about.
pub(super) async fn all_done(answers: Answers) -> Result<bool, Wrong> {
    let mut found = false;
    for answer in answers {
        found |= answer.await.map_err(|_| Wrong::from(Silent))?;
    }
    Ok(found)
}

fn wrong_command(text: &str) -> Wrong {
    parse::Wrong::Command(text.to_owned()).to_string().into()
}
