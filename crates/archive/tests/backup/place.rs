//! A repository in a folder of its own, a server that ships WAL there, and restores out of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use howdah_archive::backup::engine::{self, BackupError, Options, Phase, Progress, Report};
use howdah_archive::restore::plan::Target;
use howdah_archive::restore::write::{
    self as restore, Action, Along, Destination, Over, Recovery, RestoreError,
};
use howdah_archive::ship::{self, Shipped};
use howdah_base::{Lsn, Redacted, WalFile};
use howdah_repo::name::{Label, LineageId};
use howdah_repo::storage::S3Options;
use howdah_repo::{
    Acquired, Lease, Lineage, LineageAbout, Repository, Storage, StorageOptions, Terms,
};
use howdah_testkit::{PgNode, S3Server, Scratch, wait};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;

/// What takes longer is stuck.
pub const LONG: Duration = Duration::from_secs(60);
const SEGMENT: u32 = 16 << 20;

pub struct Place {
    pub runtime: Runtime,
    pub lineage: Lineage,
    pub folder: PathBuf,
    lease: Lease,
    scratch: Scratch,
}

impl Place {
    /// For the cluster of a server that runs.
    pub fn of(node: &PgNode) -> Place {
        let id = &node.query("select system_identifier::text from pg_control_system()")[0];
        Place::of_cluster(id.parse().expect("a number"))
    }

    /// In a bucket of the server at `endpoint`.
    pub fn in_s3(node: &PgNode, endpoint: &str) -> Place {
        let id = &node.query("select system_identifier::text from pg_control_system()")[0];
        let address = format!("s3://{}/shop", S3Server::BUCKET).parse().expect("an address");
        let secret = || Some(Redacted::new("secret".to_owned()));
        let s3 = S3Options {
            endpoint: Some(endpoint.to_owned()),
            region: Some("us-east-1".to_owned()),
            path_style: true,
            allow_http: true,
            ca_file: None,
            access_key: secret(),
            secret_key: secret(),
        };
        let options = StorageOptions { s3, ..StorageOptions::at(address) };
        Place::at(Scratch::new(), &options, id.parse().expect("a number"))
    }

    pub fn of_cluster(system_identifier: u64) -> Place {
        let scratch = Scratch::new();
        let folder = scratch.path().join("repository");
        let address = folder.display().to_string().parse().expect("an address");
        Place::at(scratch, &StorageOptions::at(address), system_identifier)
    }

    fn at(scratch: Scratch, options: &StorageOptions, system_identifier: u64) -> Place {
        let folder = scratch.path().join("repository");
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
        let (lineage, lease) = runtime.block_on(async {
            let storage = Storage::open(options).expect("a place");
            let key = scratch.path().join("key");
            let key = Repository::make_key_file(&storage, &key).await.expect("a key");
            let repository = Repository::create(storage, &key, 7, 0).await.expect("made");
            let about = LineageAbout {
                cluster: "shop".to_owned(),
                system_identifier,
                parent: None,
                segment_bytes: 16 << 20,
                created_ms: 0,
            };
            let terms = Terms {
                holder: "n1".to_owned(),
                lasts: Duration::from_secs(3600),
                margin: Duration::from_secs(1),
            };
            let lease = match Lease::acquire(&repository, terms, now_ms()).await {
                Ok(Acquired::Held(lease)) => lease,
                other => panic!("{other:?}"),
            };
            (repository.begin_lineage(LineageId(3), &about).await.expect("begun"), lease)
        });
        Place { runtime, lineage, folder, lease, scratch }
    }

    /// Ships WAL until this is dropped.
    pub fn ships(&self, node: &PgNode) -> Ships {
        let (told, sees) = watch::channel(Shipped::default());
        let source = ship::Source { socket_dir: node.socket_dir().to_owned(), port: node.port() };
        let lineage = self.lineage.clone();
        let task = self.runtime.spawn(async move { ship::keep(&lineage, &source, &told).await });
        Ships { sees, task }
    }

    /// Until everything that `node` has written is durable.
    #[track_caller]
    pub fn reaches(&self, ships: &Ships, node: &PgNode) -> Lsn {
        let end: Lsn = node.query("select pg_current_wal_flush_lsn()")[0].parse().expect("an LSN");
        let mut sees = ships.sees.clone();
        let reached = |shipped: &Shipped| shipped.durable.is_some_and(|at| at.lsn >= end);
        let waited = self.runtime.block_on(async {
            timeout(LONG, sees.wait_for(reached)).await.map(|seen| seen.is_ok())
        });
        assert_eq!(waited, Ok(true), "{end}, but {:?}", ships.sees.borrow());
        end
    }

    #[track_caller]
    pub fn backs_up(&self, node: &PgNode, label: &str) -> Report {
        self.tries(node, &options(label)).unwrap_or_else(|error| panic!("{label}: {error}"))
    }

    pub fn tries(&self, node: &PgNode, options: &Options) -> Result<Report, BackupError> {
        let (told, sees) = watch::channel(Progress::default());
        let source = source(node);
        let backup = engine::back_up(&self.lineage, &self.lease, &source, options, &told);
        let report = self.runtime.block_on(async { timeout(LONG, backup).await });
        let report = report.unwrap_or_else(|_| panic!("not done, but {:?}", sees.borrow()));
        let last = *sees.borrow();
        assert!(report.is_err() || (last.phase == Phase::Done && last.done > 0), "{last:?}");
        report
    }

    /// Takes one, and does something else as soon as `seen`; it copies on only when that is done.
    #[track_caller]
    pub fn backs_up_while(
        &self,
        node: &PgNode,
        options: &Options,
        seen: impl Fn(&Progress) -> bool + Send,
        act: impl FnOnce() + Send,
    ) -> Report {
        let (told, mut sees) = watch::channel(Progress::default());
        let source = source(node);
        let backup = engine::back_up(&self.lineage, &self.lease, &source, options, &told);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let waited =
                    self.runtime.block_on(async { timeout(LONG, sees.wait_for(seen)).await });
                // Whoever tells how far it is waits while this is looked at: so it is meanwhile,
                // however long that takes.
                let held = waited.expect("in time").expect("it came so far");
                act();
                drop(held);
            });
            let report = self.runtime.block_on(async { timeout(LONG * 2, backup).await });
            other.join().expect("done");
            report.expect("in time").unwrap_or_else(|error| panic!("{error}"))
        })
    }

    /// Begins one, and drops it as soon as `seen`.
    pub fn gives_up(&self, node: &PgNode, options: &Options, seen: impl Fn(&Progress) -> bool) {
        let (told, mut sees) = watch::channel(Progress::default());
        let source = source(node);
        self.runtime.block_on(async {
            let backup = engine::back_up(&self.lineage, &self.lease, &source, options, &told);
            let backup = Box::pin(backup);
            tokio::select! {
                ended = timeout(LONG, backup) => panic!("it was not dropped: {ended:?}"),
                there = sees.wait_for(seen) => drop(there),
            }
        });
    }

    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// A folder that servers may use.
    #[track_caller]
    pub fn folder_for_servers(&self, name: &str) -> PathBuf {
        let folder = self.scratch.path().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        howdah_testkit::pg_node::give_away_all(&folder);
        folder
    }

    pub fn restores(
        &self,
        label: &str,
        data_dir: &Path,
        tablespaces: BTreeMap<u32, PathBuf>,
        target: Target,
    ) -> Result<(), RestoreError> {
        let to = destination(data_dir, tablespaces, target);
        self.restores_over(label, &to, Over::Nothing).map(drop)
    }

    /// What was kept and what was brought.
    pub fn restores_over(
        &self,
        label: &str,
        to: &Destination,
        over: Over,
    ) -> Result<restore::Progress, RestoreError> {
        let (told, sees) = watch::channel(restore::Progress::default());
        let label: Label = label.parse().expect("a label");
        let restored = self.runtime.block_on(async {
            timeout(LONG, restore::restore_over(&self.lineage, &label, to, over, &told)).await
        });
        let about = restored.unwrap_or_else(|_| panic!("not done, but {:?}", sees.borrow()))?;
        assert_eq!(sees.borrow().done, sees.borrow().total);
        self.brings_wal(&about, &to.data_dir);
        let last = *sees.borrow();
        Ok(last)
    }

    /// Begins to restore over what lies there, and gives up as soon as `seen`; whether it was in time.
    ///
    /// On a runtime of its own, as in a process that ends: threads that write go on for a moment
    /// after the future is dropped, and whoever comes next must not meet them.
    pub fn gives_up_restoring(
        &self,
        label: &str,
        to: &Destination,
        seen: impl Fn(&restore::Progress) -> bool,
    ) -> bool {
        let (told, mut sees) = watch::channel(restore::Progress::default());
        let label: Label = label.parse().expect("a label");
        let over = Over::Directory { force: false };
        let process = Runtime::new().expect("a runtime");
        process.block_on(async {
            let restore = restore::restore_over(&self.lineage, &label, to, over, &told);
            tokio::select! {
                biased;
                there = sees.wait_for(seen) => { drop(there); true }
                ended = timeout(LONG, Box::pin(restore)) => {
                    ended.expect("in time").expect("restored");
                    false
                }
            }
        })
    }

    /// All WAL from the backup on, which a restore command would bring.
    fn brings_wal(&self, about: &howdah_repo::manifest::About, data_dir: &Path) {
        let place = data_dir.join("pg_wal");
        self.runtime.block_on(async {
            for timeline in self.lineage.timelines().await.expect("listed") {
                let first = WalFile::of(timeline, about.start_lsn, u64::from(SEGMENT));
                let listed = self.lineage.segments(timeline, Some(&first)).await.expect("listed");
                for file in listed.iter().map(|listed| &listed.segment) {
                    let segment = self.lineage.get_segment(file, SEGMENT).await.expect("there");
                    let mut bytes = segment.bytes;
                    bytes.resize(SEGMENT as usize, 0);
                    fs::write(place.join(file.as_str()), bytes).expect("written");
                }
            }
            for timeline in self.lineage.histories().await.expect("listed") {
                let text = self.lineage.get_history(timeline).await.expect("there");
                let name = format!("{:08X}.history", timeline.0);
                fs::write(place.join(name), text).expect("written");
            }
        });
    }

    /// A server on what was restored, started and recovered.
    #[track_caller]
    pub fn server(
        &self,
        of: &PgNode,
        label: &str,
        tablespaces: BTreeMap<u32, PathBuf>,
        target: Target,
    ) -> PgNode {
        let places: Vec<PathBuf> = tablespaces.values().cloned().collect();
        let mut node = of.on_what(|data_dir| {
            let restored = self.restores(label, data_dir, tablespaces, target);
            restored.unwrap_or_else(|error| panic!("{label}: {error}"));
        });
        places.iter().for_each(|place| howdah_testkit::pg_node::give_away_all(place));
        node.start();
        let recovered = || (node.query("select pg_is_in_recovery()") == ["f"]).then_some(());
        wait::until("it has recovered", LONG, recovered, || format!("{:?}", node.data_dir()));
        node
    }

    pub fn labels(&self) -> Vec<String> {
        let labels = self.runtime.block_on(self.lineage.backups()).expect("listed");
        labels.iter().map(Label::to_string).collect()
    }
}

/// A server's WAL on its way.
pub struct Ships {
    pub sees: watch::Receiver<Shipped>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Ships {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn options(label: &str) -> Options {
    Options {
        label: label.parse().expect("a label"),
        jobs: 2,
        bytes_per_s: None,
        incremental: true,
        summaries: true,
        audit_percent: 1,
        wal_within: Duration::from_secs(30),
    }
}

pub fn source(node: &PgNode) -> engine::Source {
    let (data_dir, socket_dir) = (node.data_dir().to_owned(), node.socket_dir().to_owned());
    engine::Source { data_dir, socket_dir, port: node.port() }
}

pub fn destination(
    data_dir: &Path,
    tablespaces: BTreeMap<u32, PathBuf>,
    target: Target,
) -> Destination {
    let recovery = Recovery {
        restore_command: "false".to_owned(),
        target,
        timeline: Along::Latest,
        action: Action::Promote,
    };
    Destination { data_dir: data_dir.to_owned(), tablespaces, jobs: 2, recovery }
}

/// Rows and what they hold, of each table.
pub fn content(node: &PgNode, tables: &[&str]) -> Vec<String> {
    let of = |table: &&str| {
        let sum = "coalesce(sum(hashtextextended(t::text, 0)), 0)";
        node.query(&format!("select '{table} ' || count(*) || ' ' || {sum} from {table} t"))
            .remove(0)
    };
    tables.iter().map(of).collect()
}

/// What PostgreSQL's own programs say of a server's files. It ends.
#[track_caller]
pub fn check(mut node: PgNode) {
    let run = |program: &str, arguments: &[&str]| {
        let program = node.programs().join(program);
        if !program.exists() {
            return;
        }
        let mut command = std::process::Command::new(&program);
        command.args(arguments).env("PGPASSWORD", howdah_testkit::pg_node::PASSWORD);
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let nothing =
            said.contains("data checksums are not enabled") || said.contains("is not available");
        let fine = output.status.success() || nothing;
        assert!(fine, "{}: {said} {}", program.display(), String::from_utf8_lossy(&output.stdout));
    };
    let port = node.port().to_string();
    let host = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres"];
    run("pg_amcheck", &[&host[..], &["--all", "--install-missing", "--heapallindexed"]].concat());
    let data_dir = node.data_dir().display().to_string();
    node.stop();
    let program = node.programs().join("pg_checksums");
    let output = std::process::Command::new(program).args(["--check", "-D", &data_dir]).output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let fine = output.status.success() || said.contains("are not enabled");
    assert!(fine, "{said} {}", String::from_utf8_lossy(&output.stdout));
}

pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 300000000")
}
