//! A sealed object: an envelope, then frames one behind the other, the last one marked.
//!
//! ```text
//! 0  HWDH      4 bytes
//! 4  version   u8    1
//! 5  kind      u8    crate::kind
//! 6  cipher    u8    0 none, 1 AES-256-GCM
//! 7  zero      u8
//! 8  salt      32 bytes, random for each object
//! 40 frames
//! ```

use std::sync::Arc;

use thiserror::Error;

use crate::RepoError;
use crate::frame::{self, BadFrame, PLAIN_BYTES_MAX};
use crate::kind::Kind;
use crate::name::Name;
use crate::random::random;
use crate::seal::{Cipher, ObjectKey, SALT_BYTES};

pub const ENVELOPE_BYTES: usize = 40;
const MAGIC: &[u8; 4] = b"HWDH";
const VERSION: u8 = 1;

/// Why bytes are not the object that they should be.
#[derive(Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadObject {
    #[error("it does not begin as an object of a repository does")]
    NotOurs,
    #[error("version {0} of the format is not known: a newer Howdah wrote it")]
    Version(u8),
    #[error("it is of another kind than its name says")]
    Kind,
    #[error("it is sealed in another way than this repository")]
    Cipher,
    #[error("{0}")]
    Frame(#[from] BadFrame),
    #[error("something follows its last frame")]
    Trailing,
    #[error("it holds more than {0} bytes")]
    TooLong(usize),
}

/// What an object is and is called: part of its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    pub kind: Kind,
    pub name: Name,
}

impl Identity {
    pub fn new(kind: Kind, name: Name) -> Identity {
        Identity { kind, name }
    }
}

/// Random bytes for one object.
pub fn fresh_salt() -> Result<[u8; SALT_BYTES], RepoError> {
    let none = |_| RepoError::refused("this machine gives no random numbers", "look at it");
    random().map_err(none)
}

/// The first bytes of an object, and the key of what follows them.
pub fn begin(cipher: &Cipher, of: &Identity, salt: [u8; SALT_BYTES]) -> (Vec<u8>, ObjectKey) {
    let mut bytes = Vec::with_capacity(ENVELOPE_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[VERSION, of.kind.byte(), cipher.byte(), 0]);
    bytes.extend_from_slice(&salt);
    (bytes, cipher.object(of.kind, of.name.as_str(), &salt))
}

/// Reads an object's first bytes; the key of what follows them.
pub fn enter(cipher: &Cipher, of: &Identity, bytes: &[u8]) -> Result<ObjectKey, BadObject> {
    let head = bytes.first_chunk::<ENVELOPE_BYTES>().ok_or(BadObject::NotOurs)?;
    if head[..4] != *MAGIC {
        return Err(BadObject::NotOurs);
    }
    if head[4] != VERSION {
        return Err(BadObject::Version(head[4]));
    }
    if head[5] != of.kind.byte() {
        return Err(BadObject::Kind);
    }
    if head[6] != cipher.byte() || head[7] != 0 {
        return Err(BadObject::Cipher);
    }
    let mut salt = [0; SALT_BYTES];
    salt.copy_from_slice(&head[8..]);
    Ok(cipher.object(of.kind, of.name.as_str(), &salt))
}

/// Seals an object while its bytes come: frames are given out as soon as they are full.
#[derive(Debug)]
pub struct Writer {
    key: Arc<ObjectKey>,
    number: u64,
    /// Less than a frame; the last one is known only at the end, so a full one waits here.
    waiting: Vec<u8>,
    out: Vec<u8>,
}

impl Writer {
    pub fn new(cipher: &Cipher, of: &Identity, salt: [u8; SALT_BYTES]) -> Writer {
        let (out, key) = begin(cipher, of, salt);
        Writer { key: Arc::new(key), number: 0, waiting: Vec::new(), out }
    }

    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.waiting.len() == PLAIN_BYTES_MAX {
                self.seal(false);
            }
            let room = (PLAIN_BYTES_MAX - self.waiting.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.waiting.extend_from_slice(now);
            bytes = later;
        }
    }

    /// Ends a frame here, so that what follows can be read without what went before.
    pub fn cut(&mut self) {
        if !self.waiting.is_empty() {
            self.seal(false);
        }
    }

    /// What is sealed so far and was not taken yet.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The rest, with the last frame in it.
    pub fn finish(mut self) -> Vec<u8> {
        self.seal(true);
        self.out
    }

    fn seal(&mut self, last: bool) {
        let sealed = frame::seal(&self.key, self.number, &self.waiting, last);
        self.out.extend_from_slice(&sealed);
        self.waiting.clear();
        self.number += 1;
    }
}

/// A whole object of these bytes.
pub fn seal(cipher: &Cipher, of: &Identity, salt: [u8; SALT_BYTES], plain: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(cipher, of, salt);
    writer.push(plain);
    writer.finish()
}

/// What a whole object holds, unless it is more than `most` bytes.
pub fn open(
    cipher: &Cipher,
    of: &Identity,
    bytes: &[u8],
    most: usize,
) -> Result<Vec<u8>, BadObject> {
    let mut reader = Reader::new(cipher, of, bytes)?;
    let mut plain = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        if plain.len() + frame.len() > most {
            return Err(BadObject::TooLong(most));
        }
        plain.extend_from_slice(&frame);
    }
    Ok(plain)
}

/// Opens the frames of a whole object, one after the other.
#[derive(Debug)]
pub struct Reader<'a> {
    key: ObjectKey,
    rest: &'a [u8],
    number: u64,
    ended: bool,
}

impl<'a> Reader<'a> {
    pub fn new(cipher: &Cipher, of: &Identity, bytes: &'a [u8]) -> Result<Reader<'a>, BadObject> {
        let key = enter(cipher, of, bytes)?;
        Ok(Reader { key, rest: &bytes[ENVELOPE_BYTES..], number: 0, ended: false })
    }

    /// The next frame; `None` behind the last one. An object that was cut off is an error.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, BadObject> {
        if self.ended {
            return if self.rest.is_empty() { Ok(None) } else { Err(BadObject::Trailing) };
        }
        let (head, plain) = frame::open(&self.key, self.number, self.rest)?;
        self.rest = &self.rest[head.frame_len..];
        self.number += 1;
        self.ended = head.last;
        Ok(Some(plain))
    }
}
