//! The agent's end: asks the helper to hold the address while this node leads, and to drop it as
//! soon as it does not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_spec::VipSpec;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::message::{Reply, Request, line};
use crate::seen::{Role, Seen};

/// The helper answers in microseconds unless it is frozen.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// What was asked is asked again, also where nothing has changed: the helper may be another.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Hooks wait so long for the address to be where it belongs.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);

/// Keeps the address where it belongs, until it is dropped.
#[derive(Debug)]
pub(crate) struct Holder {
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

/// How it stands with the address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct State {
    /// `None` while the helper has not said so.
    holds: Option<bool>,
    problem: Option<String>,
}

impl Holder {
    pub fn start(socket: PathBuf, vip: VipSpec, seen: watch::Receiver<Seen>) -> Holder {
        let (told, state) = watch::channel(State::default());
        let task = tokio::spawn(keep(socket, vip, seen, told));
        Holder { state, task }
    }

    /// Waits until the address is where `seen` wants it, at most one second.
    pub async fn settled(&self, seen: &Seen) {
        let wanted = match wish(seen) {
            Request::Hold { .. } => true,
            Request::Drop => false,
            Request::State | Request::Leave => return,
        };
        let mut state = self.state.clone();
        let _ = timeout(SETTLED_WITHIN, state.wait_for(|state| state.holds == Some(wanted))).await;
    }

    pub fn problem(&self) -> Option<String> {
        self.state.borrow().problem.clone()
    }

    /// When [`Holder::problem`] may be another.
    pub async fn changed(&mut self) {
        if self.state.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is to become of the address. What is not known changes nothing: the deadline decides.
fn wish(seen: &Seen) -> Request {
    match (seen.role, seen.leads_until) {
        (Role::Unknown, _) => Request::State,
        (Role::Primary, Some(until)) if seen.leads() => Request::Hold { until },
        (Role::Primary, _) if seen.leader.is_none() || seen.leads() => Request::State,
        _ => Request::Drop,
    }
}

async fn keep(
    socket: PathBuf,
    vip: VipSpec,
    mut seen: watch::Receiver<Seen>,
    told: watch::Sender<State>,
) {
    let mut link = None;
    loop {
        let request = wish(&seen.borrow_and_update());
        let state = match ask(&mut link, &socket, request).await {
            Ok(reply) => state_of(&reply, &vip, &socket, request),
            Err(why) => {
                link = None;
                State { holds: None, problem: Some(no_helper(&vip, &socket, &why)) }
            }
        };
        told.send_if_modified(|last| {
            let changed = *last != state;
            if changed && let Some(problem) = &state.problem {
                tracing::warn!("{problem}");
            }
            *last = state;
            changed
        });
        tokio::select! {
            changed = seen.changed() => if changed.is_err() { return },
            () = sleep(ASK_EVERY) => {}
        }
    }
}

async fn ask(
    link: &mut Option<BufReader<UnixStream>>,
    socket: &Path,
    request: Request,
) -> Result<Reply, String> {
    let exchange = async {
        let stream = match link {
            Some(stream) => stream,
            None => link.insert(BufReader::new(UnixStream::connect(socket).await?)),
        };
        stream.write_all(&line(&request)).await?;
        let mut answer = String::new();
        if stream.read_line(&mut answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_str(&answer).map_err(std::io::Error::from)
    };
    match timeout(ANSWER_WITHIN, exchange).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} ms", ANSWER_WITHIN.as_millis())),
    }
}

fn state_of(reply: &Reply, vip: &VipSpec, socket: &Path, request: Request) -> State {
    let address = vip.address;
    let same =
        reply.address == address && reply.prefix == vip.prefix && reply.interface == vip.interface;
    let problem = if !same {
        let (other, on) = (reply.address, &reply.interface);
        Some(format!(
            "the virtual IP `{address}` is not kept: the helper has another one, `{other}` on \
             `{on}`; hint: start `howdah vip-helper` anew: `{}`",
            socket.display()
        ))
    } else {
        let what = if matches!(request, Request::Hold { .. }) { "held" } else { "given up" };
        let told = |error: &String| {
            let error = error.replace('\n', "; ");
            format!("the virtual IP `{address}` cannot be {what}: {error}")
        };
        reply.error.as_ref().map(told)
    };
    State { holds: same.then_some(reply.holds), problem }
}

fn no_helper(vip: &VipSpec, socket: &Path, why: &str) -> String {
    let address = vip.address;
    format!(
        "the virtual IP `{address}` has no helper: {why}: `{}`; hint: start `howdah vip-helper` as \
         root, or its service",
        socket.display()
    )
}

#[cfg(test)]
mod tests {
    use howdah_base::Tick;

    use super::*;

    #[test]
    fn who_leads_holds_and_who_does_not_know_waits_for_the_deadline() {
        let until = Some(Tick(9000));
        let hold = Request::Hold { until: Tick(9000) };
        for (role, leader, leads_until, wanted) in [
            (Role::Primary, Some("n1"), until, hold),
            // Its gate is not open, or its lease not known.
            (Role::Primary, Some("n1"), None, Request::State),
            (Role::Primary, None, until, Request::State),
            // Deposed, and its server still there.
            (Role::Primary, Some("n2"), until, Request::Drop),
            (Role::Unknown, Some("n1"), until, Request::State),
            (Role::Unknown, Some("n2"), None, Request::State),
            (Role::Standby, Some("n2"), None, Request::Drop),
            (Role::Stopping, Some("n1"), until, Request::Drop),
            (Role::Stopped, None, None, Request::Drop),
            (Role::Starting, Some("n1"), until, Request::Drop),
            (Role::Fenced, None, until, Request::Drop),
            (Role::None, None, None, Request::Drop),
        ] {
            let seen = Seen { role, leads_until, ..Seen::of("n1", leader) };
            assert_eq!(wish(&seen), wanted, "{seen:?}");
        }
    }
}
