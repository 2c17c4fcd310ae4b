//! What is said at the socket: one question, one answer, fields with a zero byte between them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use howdah_base::WalFile;
use howdah_repo::name::LineageId;

/// The first field of a question. Another version is not understood, and does it by itself.
const VERSION: &[u8] = b"howdah-wal-1";
/// What is said at once, so that nobody waits long for an agent that hangs.
pub const HERE: u8 = b'+';
/// A path has 4096 at most.
pub const BYTES_MAX: usize = 16 << 10;

/// What a command asks. Paths are absolute: who answers works elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    Push { lineage: Option<LineageId>, path: PathBuf },
    Get { lineage: Option<LineageId>, name: WalFile, path: PathBuf },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It is in the repository, durably; or in its place.
    Done,
    /// The storage has said that there is no such file.
    Absent,
    /// It will not be taken, however often it is brought.
    Refused { what: String, hint: String },
    /// It could not be found out, or not be done.
    Failed(String),
    /// Whoever asks has to do it without the agent.
    Yourself,
}

impl Request {
    /// Of the file that is brought, or is to be made.
    pub fn path(&self) -> &Path {
        match self {
            Request::Push { path, .. } | Request::Get { path, .. } => path,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let (word, lineage, name, path) = match self {
            Request::Push { lineage, path } => ("push", lineage, "", path),
            Request::Get { lineage, name, path } => ("get", lineage, name.as_str(), path),
        };
        let lineage = lineage.map(|id| id.to_string()).unwrap_or_default();
        let path = path.as_os_str().as_bytes();
        [VERSION, word.as_bytes(), lineage.as_bytes(), name.as_bytes(), path].join(&0)
    }

    /// Total: whatever the bytes, it answers.
    pub fn decode(bytes: &[u8]) -> Option<Request> {
        let mut fields = bytes.splitn(5, |byte| *byte == 0);
        if fields.next()? != VERSION {
            return None;
        }
        let mut text = || std::str::from_utf8(fields.next()?).ok();
        let (word, lineage, name) = (text()?, text()?, text()?);
        let lineage = match lineage {
            "" => None,
            id => Some(id.parse().ok()?),
        };
        let path = Path::new(OsStr::from_bytes(fields.next()?)).to_owned();
        if !path.is_absolute() || path.as_os_str().as_bytes().contains(&0) {
            return None;
        }
        match word {
            "push" if name.is_empty() => Some(Request::Push { lineage, path }),
            "get" => Some(Request::Get { lineage, name: name.parse().ok()?, path }),
            _ => None,
        }
    }
}

impl Answer {
    pub fn encode(&self) -> Vec<u8> {
        let (word, what, hint) = match self {
            Answer::Done => ("done", "", ""),
            Answer::Absent => ("absent", "", ""),
            Answer::Refused { what, hint } => ("refused", what.as_str(), hint.as_str()),
            Answer::Failed(what) => ("failed", what.as_str(), ""),
            Answer::Yourself => ("yourself", "", ""),
        };
        let mut bytes = [word, what, hint].join("\0").into_bytes();
        bytes.truncate(BYTES_MAX);
        bytes
    }

    /// Total. One that was cut off is none: "absent" would be taken for the end of all WAL.
    pub fn decode(bytes: &[u8]) -> Option<Answer> {
        let text = String::from_utf8_lossy(bytes);
        let [word, what, hint] = text.split('\0').collect::<Vec<_>>().try_into().ok()?;
        match word {
            "done" => Some(Answer::Done),
            "absent" => Some(Answer::Absent),
            "refused" => Some(Answer::Refused { what: what.to_owned(), hint: hint.to_owned() }),
            "failed" => Some(Answer::Failed(what.to_owned())),
            "yourself" => Some(Answer::Yourself),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> Vec<Request> {
        let path = PathBuf::from("/data/pg wal/ä\n");
        let name: WalFile = "00000002.history".parse().expect("a name");
        vec![
            Request::Push { lineage: None, path: path.clone() },
            Request::Get { lineage: Some(LineageId(7)), name, path },
        ]
    }

    #[test]
    fn what_is_asked_is_understood() {
        for request in requests() {
            let bytes = request.encode();
            assert_eq!(Request::decode(&bytes).as_ref(), Some(&request));
            // What was cut off before its path is no question.
            for end in 0..bytes.len() - 20 {
                assert_eq!(Request::decode(&bytes[..end]), None, "{end}");
            }
        }
        for bad in [
            &b""[..],
            b"howdah-wal-2\0push\0\0\0/a",
            b"howdah-wal-1\0push\0\0\0a",
            b"howdah-wal-1\0push\0x\0\0/a",
            b"howdah-wal-1\0get\0\0nothing\0/a",
            b"howdah-wal-1\0push\0\0\0/a\0b",
        ] {
            assert_eq!(Request::decode(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn an_answer_is_whole_or_none() {
        for answer in [
            Answer::Done,
            Answer::Absent,
            Answer::Refused { what: "no".to_owned(), hint: String::new() },
            Answer::Failed("why".to_owned()),
            Answer::Yourself,
        ] {
            let bytes = answer.encode();
            assert_eq!(Answer::decode(&bytes).as_ref(), Some(&answer));
            let word = bytes.iter().position(|byte| *byte == 0).expect("fields");
            (0..=word).for_each(|end| assert_eq!(Answer::decode(&bytes[..end]), None));
        }
    }
}
