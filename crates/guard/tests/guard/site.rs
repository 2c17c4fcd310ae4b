//! A place for one test: a data directory, a guard, and the end of both whatever happens.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use howdah_base::Tick;
use howdah_guard::{Event, Exit, Guard, GuardError, Reply, Request, StopMode};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, User};
use tokio::sync::mpsc::Receiver;

const BIN: &str = "/usr/lib/postgresql/15/bin";
const GUARD: &str = env!("CARGO_BIN_EXE_howdah-guard-test");
/// For what takes milliseconds on an idle machine.
pub const SOON: Duration = Duration::from_secs(10);

pub struct Site {
    pub dir: PathBuf,
    pub socket: PathBuf,
    pub data: PathBuf,
    guards: Vec<i32>,
    clients: Vec<Child>,
}

impl Site {
    pub fn new() -> Site {
        let dir = PathBuf::from(format!("/tmp/howdah-guard-{}", std::process::id()));
        fs::create_dir(&dir).expect("a fresh directory");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("closed");
        if let Some(user) = server_user() {
            chown(&dir, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("given away");
        }
        let (socket, data) = (dir.join("guard.sock"), dir.join("data"));
        let site = Site { dir, socket, data, guards: Vec::new(), clients: Vec::new() };
        site.fill();
        site
    }

    /// Runs initdb once and copies what it made from then on: a second each, in every test.
    fn fill(&self) {
        let template = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guard-test-data-15");
        let lock = fs::File::create(template.with_extension("lock")).expect("a lock file");
        lock.lock().expect("locked");
        if template.exists() {
            copy(&template, &self.data);
            return;
        }
        let mut initdb = self.tool("initdb");
        initdb.args(["--auth=peer", "--no-sync", "--locale=C", "--wal-segsize=1", "--pgdata"]);
        let status = initdb.arg(&self.data).stdout(Stdio::null()).status().expect("initdb runs");
        assert!(status.success(), "initdb: {status}");
        let part = template.with_extension("part");
        fs::remove_dir_all(&part).ok();
        copy(&self.data, &part);
        fs::rename(&part, &template).expect("a template");
    }

    /// Starts a guard and attaches to it.
    pub async fn guard(&mut self) -> (Guard, Receiver<Event>) {
        let pid = self.spawn().expect("a guard");
        self.guards.push(pid);
        self.attach().await
    }

    pub fn spawn(&self) -> Result<i32, GuardError> {
        howdah_guard::spawn(Path::new(GUARD), &self.socket, &self.data, &self.dir.join("guard.log"))
    }

    pub async fn attach(&self) -> (Guard, Receiver<Event>) {
        let guard = Guard::attach(&self.socket).await.expect("attached");
        let events = guard.events();
        (guard, events)
    }

    pub fn guard_pid(&self) -> i32 {
        *self.guards.last().expect("a guard was started")
    }

    /// Starts the server and waits until it answers.
    pub async fn start(&self, guard: &Guard, deadline: Option<Tick>) -> i32 {
        guard.request(self.start_request(deadline)).await.expect("started");
        self.until("the server answers", || self.sql("select 1").is_some());
        let state = guard.state().await.expect("state");
        state.postmaster_pid.expect("a postmaster")
    }

    pub fn start_request(&self, deadline: Option<Tick>) -> Request {
        let settings = [
            "listen_addresses=".to_owned(),
            format!("unix_socket_directories={}", self.dir.display()),
            "restart_after_crash=off".to_owned(),
            "fsync=off".to_owned(),
            "shared_buffers=16MB".to_owned(),
        ];
        let mut args = vec!["-D".to_owned(), self.data.display().to_string()];
        args.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
        Request::Start {
            program: Path::new(BIN).join("postgres"),
            args,
            env: vec![("LC_ALL".to_owned(), "C".to_owned())],
            log: self.dir.join("postgres.log"),
            deadline,
        }
    }

    /// The first value of the answer; `None` when the server does not give one.
    pub fn sql(&self, text: &str) -> Option<String> {
        let output = self.psql(text).stderr(Stdio::null()).output().expect("psql runs");
        let text = String::from_utf8(output.stdout).expect("text");
        output.status.success().then(|| text.trim().to_owned())
    }

    /// A backend that never comes to a point where it would notice its postmaster's end.
    pub fn busy_backend(&mut self) {
        let endless = self
            .psql("do $$ begin loop end loop; end $$")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql runs");
        self.clients.push(endless);
        let active =
            "select count(*) from pg_stat_activity where query ^@ 'do' and state = 'active'";
        self.until("a backend is busy", || self.sql(active).as_deref() == Some("1"));
    }

    fn psql(&self, text: &str) -> Command {
        let mut psql = self.tool("psql");
        psql.arg("-h").arg(&self.dir).args(["-XAtd", "postgres", "-c", text]);
        psql
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(Path::new(BIN).join(name));
        command.current_dir("/").stdin(Stdio::null());
        if let Some(user) = server_user() {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    pub fn survivors(&self) -> Vec<i32> {
        howdah_guard::survivors(&self.data)
    }

    /// Waits at most [`SOON`]; says how long it took.
    #[track_caller]
    pub fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < SOON, "not within {SOON:?}: {what}\n{}", self.seen());
            std::thread::sleep(Duration::from_millis(1));
        }
        began.elapsed()
    }

    pub async fn event(&self, events: &mut Receiver<Event>) -> Event {
        match tokio::time::timeout(SOON, events.recv()).await {
            Ok(Some(event)) => event,
            _ => panic!("no event within {SOON:?}\n{}", self.seen()),
        }
    }

    /// The next event, which must be the server's end with nothing left.
    pub async fn exit(&self, events: &mut Receiver<Event>) -> Exit {
        let event = self.event(events).await;
        let Event::Exited(exit) = event else { panic!("not an exit: {event:?}\n{}", self.seen()) };
        assert!(exit.no_process_left);
        assert_eq!(self.survivors(), Vec::<i32>::new(), "{}", self.seen());
        exit
    }

    pub async fn stop(&self, guard: &Guard, events: &mut Receiver<Event>) -> Exit {
        let stop = Request::Stop { mode: StopMode::Fast, within_ms: 9_000 };
        assert_eq!(guard.request(stop).await.expect("accepted"), Reply::Done);
        self.exit(events).await
    }

    fn seen(&self) -> String {
        let log = |name| fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        format!(
            "survivors: {:?}\nguard.log:\n{}postgres.log:\n{}",
            self.survivors(),
            log("guard.log"),
            log("postgres.log")
        )
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for pid in &self.guards {
            send(*pid, Signal::SIGKILL);
        }
        howdah_guard::sweep(&self.data, SOON).expect("nothing stays behind");
        for mut client in self.clients.drain(..) {
            client.kill().ok();
            client.wait().ok();
        }
        fs::remove_dir_all(&self.dir).ok();
    }
}

/// PostgreSQL refuses to run as root, so tests that do start everything as `postgres`.
fn server_user() -> Option<User> {
    let root = nix::unistd::geteuid().is_root();
    root.then(|| User::from_name("postgres").expect("users").expect("the user postgres"))
}

/// With owners and modes.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(status.success(), "cp: {status}");
}

/// One that is gone already is no error.
pub fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).ok();
}

pub fn now() -> Tick {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("CLOCK_BOOTTIME");
    Tick(u64::try_from(Duration::from(time).as_millis()).expect("fits"))
}

pub fn in_ms(ms: u64) -> Tick {
    now() + Duration::from_millis(ms)
}
