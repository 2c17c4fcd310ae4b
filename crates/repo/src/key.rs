//! The master key: where it comes from, and the proof that it is the right one.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use howdah_base::Redacted;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::RepoError;
use crate::seal::{Cipher, KEY_BYTES};

/// Where a repository's master key is had from: 32 bytes as 64 hexadecimal digits or in base64.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeySource {
    /// Nobody else may read it.
    File(PathBuf),
    /// The name of a variable of the environment.
    Env(String),
    /// A program and its arguments; it prints the key.
    Command(Vec<String>),
    /// No key: whoever reads the storage reads the data.
    None,
}

/// A command for the key that takes longer is ended.
pub const COMMAND_TIME_MAX: Duration = Duration::from_secs(20);
/// More than any text of a key; what is longer is none.
const TEXT_BYTES_MAX: u64 = 4096;

impl KeySource {
    /// Fetches the key. It never makes one.
    pub async fn load(&self) -> Result<Cipher, RepoError> {
        let (text, place) = match self {
            KeySource::None => return Ok(Cipher::None),
            KeySource::File(path) => {
                (read_file(path)?, format!("in the file `{}`", path.display()))
            }
            KeySource::Env(name) => {
                let value = std::env::var(name).map_err(|_| {
                    bad(format!("the variable `{name}` is not set"), "set it to the key")
                })?;
                (value, format!("in the variable `{name}`"))
            }
            KeySource::Command(argv) => {
                let output = run(argv).await?;
                (output, format!("what `{}` prints", argv.first().map_or("", String::as_str)))
            }
        };
        let text = Redacted::new(text);
        match decode(text.expose()) {
            Some(key) => Ok(Cipher::Aes256Gcm(Redacted::new(key))),
            None => Err(bad(
                format!("there is no key of 32 bytes {place}"),
                "64 hexadecimal digits, or 44 characters of base64",
            )),
        }
    }
}

fn bad(what: String, hint: &str) -> RepoError {
    RepoError::Key { what, hint: hint.to_owned() }
}

fn decode(text: &str) -> Option<[u8; KEY_BYTES]> {
    let text = text.trim();
    if text.len() == 2 * KEY_BYTES && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        let mut key = [0; KEY_BYTES];
        for (at, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        return Some(key);
    }
    let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
    bytes.try_into().ok()
}

fn read_file(path: &Path) -> Result<String, RepoError> {
    let unread = |error: std::io::Error| {
        let what = format!("cannot read the repository's key `{}`: {error}", path.display());
        bad(what, "without it nothing of the repository can be read; bring it back from its copy")
    };
    let about = fs::metadata(path).map_err(unread)?;
    let mode = about.permissions().mode();
    if mode & 0o027 != 0 {
        let what =
            format!("others may read the key `{}` (mode {:o})", path.display(), mode & 0o777);
        return Err(bad(what, &format!("chmod 600 {}", path.display())));
    }
    if about.len() > TEXT_BYTES_MAX {
        return Err(bad(
            format!("`{}` is no key: too long", path.display()),
            "name the key's file",
        ));
    }
    fs::read_to_string(path).map_err(unread)
}

/// Neither what it prints nor what it complains of is ever shown: it may be the key.
async fn run(argv: &[String]) -> Result<String, RepoError> {
    let hint = "run it by hand as Howdah's user; it must print the key and end";
    let Some((program, arguments)) = argv.split_first() else {
        return Err(bad("the command for the key is empty".to_owned(), "name a program"));
    };
    let fail = |what: String| bad(format!("the key's command `{program}` {what}"), hint);
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| fail(format!("does not start: {error}")))?;
    let mut text = String::new();
    let done = async {
        if let Some(out) = child.stdout.take() {
            out.take(TEXT_BYTES_MAX).read_to_string(&mut text).await?;
        }
        child.wait().await
    };
    match tokio::time::timeout(COMMAND_TIME_MAX, done).await {
        Ok(Ok(status)) if status.success() => Ok(text),
        Ok(Ok(status)) => Err(fail(format!("ended with {status}"))),
        Ok(Err(error)) => Err(fail(format!("cannot be read: {error}"))),
        Err(_) => Err(fail(format!("took longer than {} s", COMMAND_TIME_MAX.as_secs()))),
    }
}

/// Makes a key into a new file, durably. For a repository that is about to be made: what seals
/// one that exists can only be found again.
pub(crate) fn make_file(path: &Path) -> Result<(), RepoError> {
    let mut key = [0; KEY_BYTES];
    rand::fill(&mut key).map_err(|_| RepoError::refused("no random numbers", "look at it"))?;
    let text = Redacted::new(to_hex(&key) + "\n");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.expose().as_bytes())?;
        file.sync_all()?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    write().map_err(|error| {
        let what = format!("cannot make the key's file `{}`: {error}", path.display());
        let hint = match error.kind() {
            ErrorKind::AlreadyExists => "name it as the repository's key, if it is",
            _ => "name a file that Howdah's user may write",
        };
        bad(what, hint)
    })
}

/// Text that only who has the key can make for this repository.
pub(crate) fn proof(cipher: &Cipher, repository: &str) -> String {
    match cipher {
        Cipher::None => String::new(),
        Cipher::Aes256Gcm(key) => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
            to_hex(
                hmac::sign(&key, format!("howdah repository 1 {repository}").as_bytes()).as_ref(),
            )
        }
    }
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_in_both_spellings() {
        let key = std::array::from_fn(|at| at as u8);
        assert_eq!(decode(&format!(" {}\n", to_hex(&key))), Some(key));
        assert_eq!(decode(&STANDARD.encode(key)), Some(key));
        assert_eq!(decode(&STANDARD_NO_PAD.encode(key)), Some(key));
        for bad in ["", "00", &"0".repeat(63), &"z".repeat(64), &STANDARD.encode([0; 31])] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_proof_is_what_it_was_in_the_first_version() {
        let cipher = Cipher::Aes256Gcm(Redacted::new([7; 32]));
        let golden = "745d7d8188e85cf081375dcadf45d1a7fea93767ca5a0c797358faf60301b9bc";
        assert_eq!(proof(&cipher, "00000000000000000000000000c0ffee"), golden);
        assert_ne!(proof(&cipher, "00000000000000000000000000c0ffef"), golden);
    }

    #[tokio::test]
    async fn a_file_that_others_may_read_is_no_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        make_file(&path).expect("made");
        assert!(make_file(&path).is_err(), "never over another");
        let source = KeySource::File(path.clone());
        assert!(source.load().await.is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        let error = source.load().await.expect_err("refused").to_string();
        assert!(error.contains("others may read"), "{error}");
    }

    #[tokio::test]
    async fn a_command_prints_it_or_says_what_it_did() {
        let sh =
            |script: &str| KeySource::Command(["sh", "-c", script].map(str::to_owned).to_vec());
        let key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        assert!(sh(&format!("echo {key}")).load().await.is_ok());
        for (script, said) in [
            ("echo secret-in-stderr >&2; exit 3", "exit status: 3"),
            ("echo not-a-key", "there is no key of 32 bytes"),
            ("yes", "there is no key"),
        ] {
            let error = sh(script).load().await.expect_err(script).to_string();
            assert!(error.contains(said) || error.contains("ended with"), "{error}");
            assert!(!error.contains("not-a-key") && !error.contains("stderr"), "{error}");
        }
        assert!(KeySource::Command(vec![]).load().await.is_err());
        assert!(KeySource::Command(vec!["/no/such".to_owned()]).load().await.is_err());
    }
}
