//! The audit log: one line of JSON before a change is carried out, one after, and one for each
//! request that was denied.
//!
//! A change that cannot be written down is not made. Who was denied is written into a file of
//! its own, so that nobody can push out what was done by knocking often enough.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::when;

/// What was asked for and what came of it.
const DONE: &str = "audit.log";
/// Who was turned away.
const DENIED: &str = "denied.log";
/// A file that has grown to this is put aside, in bytes; so many are kept of each kind.
const FILE_BYTES_MAX: u64 = 4 << 20;
const FILES_MAX: u32 = 5;
/// How long a line may take to reach the disk.
const WRITE_WITHIN: Duration = Duration::from_secs(5);
/// A body that is longer is told of by its fingerprint alone, in bytes.
const BODY_SHOWN_MAX: usize = 4 << 10;
/// Read from the end of each file for `howdah audit`, in bytes.
const TAIL_BYTES_MAX: u64 = 1 << 20;

/// The log of one node.
#[derive(Debug)]
pub struct Audit {
    dir: PathBuf,
    /// Order among writers; what it holds is how many lines there have been.
    turn: Mutex<()>,
    lines: AtomicU64,
    /// Tells the requests of two agents apart.
    born: u64,
}

/// Who asked for what.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The proof: token, certificate or user. `None` of who had none.
    pub who: Option<String>,
    pub address: String,
    pub tls: bool,
    /// Who the asker says to be: `X-Howdah-By`.
    pub by: Option<String>,
    pub method: String,
    pub path: String,
    pub query: String,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub code: u16,
    pub took: Duration,
    pub message: String,
}

impl Audit {
    pub fn new(dir: &Path) -> Arc<Audit> {
        let (turn, lines) = (Mutex::new(()), AtomicU64::new(0));
        Arc::new(Audit { dir: dir.to_owned(), turn, lines, born: when::now_unix_ms() })
    }

    /// Writes down what is about to be done. Returns its id.
    pub async fn asked(self: &Arc<Audit>, entry: &Entry, body: &str) -> io::Result<String> {
        let number = self.lines.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:x}-{number}", self.born);
        let mut line = head("asked", &id, entry);
        let digest = digest(body);
        line.extend(digest);
        self.write(DONE, line).await?;
        Ok(id)
    }

    /// Writes down what came of it.
    pub async fn answered(
        self: &Arc<Audit>,
        id: &str,
        entry: &Entry,
        outcome: &Outcome,
    ) -> io::Result<()> {
        let mut line = head("answered", id, entry);
        tell(&mut line, outcome);
        self.write(DONE, line).await
    }

    /// Writes down that somebody was turned away; without effect where that cannot be.
    pub async fn denied(self: &Arc<Audit>, entry: &Entry, outcome: &Outcome) -> io::Result<()> {
        let mut line = head("denied", "", entry);
        tell(&mut line, outcome);
        self.write(DENIED, line).await
    }

    /// The last `most` lines of both files, by time.
    pub async fn tail(self: &Arc<Audit>, most: usize) -> io::Result<Vec<String>> {
        let audit = Arc::clone(self);
        let read = move || -> io::Result<Vec<String>> {
            let mut lines = Vec::new();
            for name in [DONE, DENIED] {
                lines.extend(tail_of(&audit.dir.join(format!("{name}.1")))?);
                lines.extend(tail_of(&audit.dir.join(name))?);
            }
            // By time; what one file says of one moment stays in its order.
            lines.sort_by_cached_key(|line| time_of(line));
            Ok(lines.split_off(lines.len().saturating_sub(most)))
        };
        bounded(spawn_blocking(read)).await
    }

    async fn write(
        self: &Arc<Audit>,
        name: &'static str,
        line: Map<String, Value>,
    ) -> io::Result<()> {
        let audit = Arc::clone(self);
        let text = Value::Object(line).to_string() + "\n";
        bounded(spawn_blocking(move || audit.append(name, &text))).await
    }

    /// Blocking.
    fn append(&self, name: &str, text: &str) -> io::Result<()> {
        if self.dir.as_os_str().is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no folder is set for it"));
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.dir.join(name);
        if fs::metadata(&path).is_ok_and(|meta| meta.len() >= FILE_BYTES_MAX) {
            rotate(&path)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).mode(MODE).open(&path)?;
        if file.metadata()?.permissions().mode() & 0o777 != MODE {
            file.set_permissions(PermissionsExt::from_mode(MODE))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }
}

/// Addresses, names and reasons are nobody else's business.
const MODE: u32 = 0o600;

async fn bounded<T>(work: tokio::task::JoinHandle<io::Result<T>>) -> io::Result<T> {
    match timeout(WRITE_WITHIN, work).await {
        Ok(Ok(done)) => done,
        Ok(Err(panicked)) => Err(io::Error::other(panicked)),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer in time")),
    }
}

/// `audit.log` becomes `audit.log.1`, that becomes `.2`; the last one goes.
fn rotate(path: &Path) -> io::Result<()> {
    let of = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..FILES_MAX - 1).rev() {
        match fs::rename(of(number), of(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, of(1))
}

fn head(event: &str, id: &str, entry: &Entry) -> Map<String, Value> {
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
    put("at", json!(stamp()));
    put("event", json!(event));
    if !id.is_empty() {
        put("id", json!(id));
    }
    put("who", json!(entry.who));
    put("address", json!(entry.address));
    put("tls", json!(entry.tls));
    if let Some(by) = &entry.by {
        put("by", json!(by));
    }
    put("method", json!(entry.method));
    put("path", json!(entry.path));
    if !entry.query.is_empty() {
        put("query", json!(entry.query));
    }
    line
}

/// To the microsecond, always at the same length, so that times sort as text.
fn stamp() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let whole = when::rfc3339(now.as_secs() * 1_000);
    whole.replace("+00:00", &format!(".{:06}+00:00", now.subsec_micros()))
}

fn tell(line: &mut Map<String, Value>, outcome: &Outcome) {
    let ms = u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX);
    line.insert("code".to_owned(), json!(outcome.code));
    line.insert("ms".to_owned(), json!(ms));
    line.insert("message".to_owned(), json!(outcome.message));
}

/// What the body was: its length, its fingerprint, and JSON itself when it is short; secrets
/// are cut before the fingerprint is taken, or it could be guessed from.
fn digest(body: &str) -> Map<String, Value> {
    let mut digest = Map::new();
    if body.is_empty() {
        return digest;
    }
    let read = serde_json::from_str::<Value>(body).ok().filter(Value::is_object);
    let cut = read.map(cut_secrets);
    let text = cut.as_ref().map_or_else(|| body.to_owned(), Value::to_string);
    let print: String =
        Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    digest.insert("bytes".to_owned(), json!(body.len()));
    digest.insert("sha256".to_owned(), json!(print));
    if let Some(cut) = cut.filter(|_| text.len() <= BODY_SHOWN_MAX) {
        digest.insert("body".to_owned(), cut);
    }
    digest
}

fn cut_secrets(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let cut = |(name, value): (String, Value)| {
                let value = if is_secret(&name) { json!("***") } else { cut_secrets(value) };
                (name, value)
            };
            Value::Object(map.into_iter().map(cut).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(cut_secrets).collect()),
        // A connection string may hold a password.
        Value::String(text) if text.contains("password=") || text.contains("://") => json!("***"),
        other => other,
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "passwd", "secret", "token", "private", "credential", "conninfo"]
        .iter()
        .any(|word| name.contains(word))
}

/// Times have one length and sort as text.
fn time_of(line: &str) -> String {
    let entry: Value = serde_json::from_str(line).unwrap_or_default();
    entry["at"].as_str().unwrap_or_default().to_owned()
}

fn tail_of(path: &Path) -> io::Result<Vec<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let len = file.metadata()?.len();
    let from = len.saturating_sub(TAIL_BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let skipped = usize::from(from > 0);
    Ok(text.lines().skip(skipped).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Entry {
        Entry {
            who: Some("token".to_owned()),
            address: "127.0.0.1".to_owned(),
            tls: false,
            by: Some("anna".to_owned()),
            method: "POST".to_owned(),
            path: path.to_owned(),
            query: String::new(),
        }
    }

    fn outcome(code: u16) -> Outcome {
        Outcome { code, took: Duration::from_millis(12), message: "it is done".to_owned() }
    }

    #[tokio::test]
    async fn a_change_leaves_two_lines_that_nobody_else_reads() {
        let dir = tempfile::tempdir().expect("a folder");
        let audit = Audit::new(dir.path());
        let id = audit.asked(&entry("/restart"), r#"{"role": "replica"}"#).await.expect("asked");
        audit.answered(&id, &entry("/restart"), &outcome(200)).await.expect("answered");
        audit.denied(&entry("/failover"), &outcome(401)).await.expect("denied");
        let mode = fs::metadata(dir.path().join(DONE)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let lines = audit.tail(10).await.expect("read");
        let lines: Vec<Value> =
            lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let events: Vec<&Value> = lines.iter().map(|line| &line["event"]).collect();
        assert_eq!(events, ["asked", "answered", "denied"]);
        assert_eq!(lines[0]["body"], json!({ "role": "replica" }));
        assert_eq!((&lines[0]["id"], &lines[0]["by"]), (&lines[1]["id"], &json!("anna")));
        assert_eq!((&lines[1]["code"], &lines[1]["ms"]), (&json!(200), &json!(12)));
        assert_eq!(lines[2]["path"], "/failover");
        assert_eq!(audit.tail(1).await.expect("read").len(), 1);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_an_error() {
        for nowhere in ["/nonexistent/folder", ""] {
            let audit = Audit::new(Path::new(nowhere));
            assert!(audit.asked(&entry("/restart"), "").await.is_err(), "`{nowhere}`");
        }
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join(DONE)).expect("a folder in its place");
        assert!(Audit::new(dir.path()).asked(&entry("/restart"), "").await.is_err());
    }

    #[tokio::test]
    async fn a_log_is_bounded_and_the_denied_push_nothing_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let audit = Audit::new(dir.path());
        audit.asked(&entry("/restart"), "").await.expect("asked");
        let full = || {
            let file = File::options().append(true).create(true).open(dir.path().join(DENIED));
            file.expect("open").set_len(FILE_BYTES_MAX).expect("grow");
        };
        for _ in 0..2 * FILES_MAX {
            full();
            audit.denied(&entry("/stop"), &outcome(401)).await.expect("denied");
        }
        let files = |name: &str| {
            let all = fs::read_dir(dir.path()).expect("folder").map(|entry| entry.expect("entry"));
            all.filter(|entry| entry.file_name().to_string_lossy().starts_with(name)).count()
        };
        assert_eq!((files(DENIED), files(DONE)), (FILES_MAX as usize, 1));
        let newest = fs::read_to_string(dir.path().join(DENIED)).expect("the newest");
        assert_eq!(newest.lines().count(), 1, "{newest}");
    }

    #[test]
    fn secrets_are_cut_before_anything_is_made_of_them() {
        let with = |secret: &str| {
            digest(&format!(
                r#"{{"a": {{"Password": "{secret}", "list": [{{"api_token": "{secret}"}}]}},
                    "url": "postgres://u:{secret}@h/d", "dsn": "host=a password={secret}"}}"#
            ))
        };
        let (one, other) = (with("hunter2"), with("hunter3"));
        assert_eq!(one, other, "the fingerprint does not depend on a secret");
        let text = Value::Object(one).to_string();
        assert!(!text.contains("hunter"), "{text}");
        assert!(digest("").is_empty());
        let file = digest("cluster = \"shop\"\n");
        assert!(file.get("body").is_none(), "a cluster file is told by its fingerprint");
    }
}
