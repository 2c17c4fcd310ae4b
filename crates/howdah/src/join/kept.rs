//! What a token leaves where it was created: a hash, an end, and the CA's key as only the token's
//! secret opens it. One file a token, which the servers' user holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use howdah_base::{NodeName, Redacted};
use serde::{Deserialize, Serialize};

use crate::prepare::write_file;

/// Wrong secrets after which a token is void: who has it pastes it right.
const WRONG_MAX: u32 = 5;
/// How long a token that is over is remembered, so that it can be said why.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// One token, without its secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Kept {
    pub node: NodeName,
    /// Of the id and the secret.
    hash: String,
    /// Seconds since 1970.
    pub until_unix: u64,
    /// The CA's key; gone once the token is used or void.
    sealed: Option<String>,
    #[serde(default)]
    pub used_unix: Option<u64>,
    #[serde(default)]
    wrong: u32,
}

/// Why a token opens nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    Wrong,
    Used,
    Expired,
}

impl Kept {
    pub fn new(
        node: &NodeName,
        id: &str,
        secret: &Redacted<String>,
        until_unix: u64,
        authority_key: &Redacted<String>,
    ) -> anyhow::Result<Kept> {
        let sealed = howdah_tls::seal(secret.expose().as_bytes(), authority_key.expose())?;
        Ok(Kept {
            node: node.clone(),
            hash: hash(id, secret.expose()),
            until_unix,
            sealed: Some(STANDARD.encode(sealed)),
            used_unix: None,
            wrong: 0,
        })
    }

    /// The CA's key, for who has the secret of a token that is good.
    pub fn open(&self, id: &str, secret: &str, now_unix: u64) -> Result<Redacted<String>, Over> {
        let right = howdah_tls::same(hash(id, secret).as_bytes(), self.hash.as_bytes());
        if !right || self.wrong >= WRONG_MAX {
            return Err(Over::Wrong);
        }
        if self.used_unix.is_some() {
            return Err(Over::Used);
        }
        if now_unix >= self.until_unix {
            return Err(Over::Expired);
        }
        let sealed = self.sealed.as_ref().and_then(|text| STANDARD.decode(text).ok());
        sealed.and_then(|sealed| howdah_tls::unseal(secret.as_bytes(), &sealed)).ok_or(Over::Wrong)
    }

    /// The token has done what it was for.
    pub fn use_up(&mut self, now_unix: u64) {
        self.used_unix = Some(now_unix);
        self.sealed = None;
    }

    /// Somebody knew the id and not the secret.
    pub fn count_wrong(&mut self) {
        self.wrong += 1;
        if self.wrong >= WRONG_MAX {
            self.sealed = None;
        }
    }

    pub fn is_open(&self, now_unix: u64) -> bool {
        self.used_unix.is_none() && self.sealed.is_some() && now_unix < self.until_unix
    }
}

fn hash(id: &str, secret: &str) -> String {
    let parts = [b"howdah join token 1", id.as_bytes(), b"/", secret.as_bytes()];
    howdah_tls::sha256(&parts).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the token `id` lies; `None` for what is no id, so that no path is made of it.
pub fn path(folder: &Path, id: &str) -> Option<PathBuf> {
    let plain = !id.is_empty()
        && id.len() <= 64
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    plain.then(|| folder.join(format!("{id}.json")))
}

pub fn read(path: &Path) -> anyhow::Result<Option<Kept>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read: `{}`", path.display())),
    };
    let kept = serde_json::from_str(&text);
    kept.map(Some).with_context(|| format!("read the token: `{}`", path.display()))
}

pub fn write(path: &Path, kept: &Kept) -> anyhow::Result<()> {
    write_file(path, 0o600, serde_json::to_string(kept)?.as_bytes())
}

/// All tokens, with their places. Forgets those that have been over for long.
pub fn all(folder: &Path) -> anyhow::Result<Vec<(PathBuf, Kept)>> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return Ok(found) };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let Ok(Some(kept)) = read(&path) else { continue };
        if now_unix() > kept.until_unix.saturating_add(REMEMBERED.as_secs()) {
            fs::remove_file(&path).with_context(|| format!("remove: `{}`", path.display()))?;
            continue;
        }
        found.push((path, kept));
    }
    found.sort_by(|one, two| one.0.cmp(&two.0));
    Ok(found)
}

pub fn now_unix() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Redacted<String> {
        Redacted::new(text.to_owned())
    }

    fn kept() -> Kept {
        let node = "n2".parse().expect("a name");
        Kept::new(&node, "id", &secret("right"), 100, &secret("the key")).expect("kept")
    }

    #[test]
    fn a_token_opens_once_in_its_time_and_for_its_secret() {
        let mut kept = kept();
        assert_eq!(kept.open("id", "right", 99), Ok(secret("the key")));
        assert_eq!(kept.open("id", "wrong", 99), Err(Over::Wrong));
        assert_eq!(kept.open("other", "right", 99), Err(Over::Wrong));
        assert_eq!(kept.open("id", "right", 100), Err(Over::Expired));
        kept.use_up(99);
        assert_eq!(kept.open("id", "right", 99), Err(Over::Used));
        assert!(!kept.is_open(99));
        let text = serde_json::to_string(&kept).expect("json");
        assert!(text.contains("\"sealed\":null"), "the key goes with the token: {text}");
    }

    #[test]
    fn what_is_kept_tells_no_secret() {
        let text = serde_json::to_string(&kept()).expect("json");
        assert!(!text.contains("right") && !text.contains("the key"), "{text}");
    }

    #[test]
    fn a_token_that_is_guessed_at_is_void() {
        let mut kept = kept();
        for _ in 0..WRONG_MAX {
            assert!(kept.is_open(99));
            kept.count_wrong();
        }
        assert_eq!(kept.open("id", "right", 99), Err(Over::Wrong));
        assert!(!kept.is_open(99));
    }

    #[test]
    fn an_id_makes_no_path() {
        for bad in ["", "..", "a/b", "a.b", &"a".repeat(65)] {
            assert_eq!(path(Path::new("/x"), bad), None, "{bad}");
        }
        assert_eq!(path(Path::new("/x"), "a-B_1"), Some("/x/a-B_1.json".into()));
    }
}
