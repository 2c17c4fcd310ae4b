//! The agent's side of the guard: start it or attach to the one that is there.

use std::path::Path;
use std::time::Duration;

use howdah_base::Tick;
use howdah_guard::{
    Guard, GuardError, Phase, Refusal, Request, State, StopMode, WatchdogState, WatchdogWish,
};
use howdah_postgres::server;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::config::AgentConfig;
use crate::watchdog;

const ASK_EVERY: Duration = Duration::from_millis(20);
/// Killed processes end in milliseconds, unless they wait for a dead disk.
const SWEEP_WITHIN: Duration = Duration::from_secs(10);

/// The way to this node's guard; a witness has none, and nothing to guard.
#[derive(Debug)]
pub(crate) struct Guardian {
    guard: Option<Guard>,
}

const WITNESS: &str = "a witness has no guard";

impl Guardian {
    /// Attaches to the node's guard; starts one when there is none.
    pub async fn attach(config: &AgentConfig) -> Result<Guardian, String> {
        if config.is_witness() {
            return Ok(Guardian { guard: None });
        }
        let socket = config.guard_socket();
        if let Ok(guard) = Guard::attach(&socket).await {
            return Ok(Guardian::watching(guard, config).await);
        }
        let log = config.own().state_dir.join("log/guard.log");
        start(&config.exe, &socket, &config.own().data_dir, &log)?;
        let guard = Guard::attach(&socket).await.map_err(|e| e.to_string())?;
        Ok(Guardian::watching(guard, config).await)
    }

    /// The guard knows of the watchdog before it is asked to let a server write.
    async fn watching(guard: Guard, config: &AgentConfig) -> Guardian {
        let guardian = Guardian { guard: Some(guard) };
        // Asked again and told of from then on.
        let _ = guardian.watch(watchdog::wish(&config.spec, &config.spec)).await;
        guardian
    }

    /// How the watchdog is to be kept; what has become of it.
    pub async fn watch(&self, wish: Option<WatchdogWish>) -> Result<WatchdogState, String> {
        let Some(guard) = &self.guard else { return Ok(WatchdogState::Unknown) };
        guard.request(Request::Watch { wish }).await.map_err(|e| e.to_string())?;
        Ok(self.state().await?.map_or(WatchdogState::Unknown, |state| state.watchdog))
    }

    /// What the guard tells; ends at once on a witness.
    pub fn events(&self) -> mpsc::Receiver<howdah_guard::Event> {
        self.guard.as_ref().map_or_else(|| mpsc::channel(1).1, Guard::events)
    }

    async fn state(&self) -> Result<Option<State>, String> {
        let Some(guard) = &self.guard else { return Ok(None) };
        guard.state().await.map(Some).map_err(|e| e.to_string())
    }

    /// Whether any process of the instance may be left.
    pub async fn alive(&self) -> Result<bool, String> {
        Ok(self.state().await?.is_some_and(|state| state.phase != Phase::Empty))
    }

    /// The postmaster, while there is one.
    pub async fn postmaster_pid(&self) -> Result<Option<i32>, String> {
        Ok(self.state().await?.and_then(|state| state.postmaster_pid))
    }

    /// Whether any process of the instance is there now.
    pub async fn has_processes(&self) -> Result<bool, String> {
        Ok(self.state().await?.is_some_and(|state| state.alive_processes > 0))
    }

    /// The guard has gone or does not answer: ends the instance in its place, and a frozen
    /// guard too. Blocking.
    pub fn replace(&self, data_dir: &Path) -> Result<(), String> {
        howdah_guard::sweep(data_dir, SWEEP_WITHIN).map_err(|e| e.to_string())?;
        if let Some(pid) = self.guard.as_ref().and_then(Guard::pid) {
            // Gone already is as good.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        Ok(())
    }

    /// Starts PostgreSQL; with a deadline it is armed before the process exists. `false`: the
    /// deadline is too near for that.
    pub async fn start(
        &self,
        config: &AgentConfig,
        deadline: Option<Tick>,
    ) -> Result<bool, String> {
        let own = config.own();
        let (program, args, env) = server::start_command(config.install()?, &own.data_dir);
        let log = own.state_dir.join("log/postgresql-start.log");
        let request = Request::Start { program, args, env, log, deadline };
        let guard = self.guard.as_ref().ok_or(WITNESS)?;
        match guard.request(request).await {
            Ok(_) => Ok(true),
            Err(GuardError::Refused(Refusal::DeadlinePassed { .. })) => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Moves the write deadline.
    pub async fn extend(&self, deadline: Tick) -> Result<(), GuardError> {
        let Some(guard) = &self.guard else { return Ok(()) };
        guard.request(Request::Extend { deadline }).await.map(drop)
    }

    pub async fn stop(&self, mode: StopMode, within_ms: u32) -> Result<(), String> {
        self.request(Request::Stop { mode, within_ms }).await
    }

    /// Kills every process; that there is none is as good.
    pub async fn kill(&self) -> Result<(), String> {
        let Some(guard) = &self.guard else { return Ok(()) };
        match guard.request(Request::Kill).await {
            Ok(_) | Err(GuardError::Refused(Refusal::NotRunning)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Ends the guard, once no process of the instance is left.
    pub async fn leave(&self) -> Result<(), String> {
        let Some(guard) = &self.guard else { return Ok(()) };
        match guard.request(Request::Leave).await {
            // It may be gone before its answer is read.
            Ok(_) | Err(GuardError::Gone) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Waits until no process of the instance is left.
    pub async fn gone(&self, within: Duration) -> Result<(), String> {
        let begun = Instant::now();
        while self.alive().await? {
            if begun.elapsed() > within {
                return Err(format!("processes of the server are left after {within:?}"));
            }
            sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    async fn request(&self, request: Request) -> Result<(), String> {
        let guard = self.guard.as_ref().ok_or(WITNESS)?;
        guard.request(request).await.map(drop).map_err(|e| e.to_string())
    }
}

fn start(exe: &Path, socket: &Path, data_dir: &Path, log: &Path) -> Result<(), String> {
    howdah_guard::spawn(exe, socket, data_dir, log).map(drop).map_err(|e| e.to_string())
}
