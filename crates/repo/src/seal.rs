//! The key of one object, and what seals and opens its frames: AES-256-GCM, or, where a
//! repository has no key, a hash that finds damage and no forgery.
//!
//! ```text
//! master ── HKDF-SHA256(salt of the object; kind, name) ──▶ key of the object ──▶ its frames
//! ```
//!
//! A key is used for one object only, so a frame's number is nonce enough; and since kind and
//! name are part of the key, an object that is renamed or put in another's place does not open.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use howdah_base::Redacted;

use crate::kind::Kind;

/// How a repository's objects are sealed.
#[derive(Clone, Debug)]
pub enum Cipher {
    /// Nothing is hidden; damage is found.
    None,
    Aes256Gcm(Redacted<[u8; KEY_BYTES]>),
}

pub const KEY_BYTES: usize = 32;
pub const SALT_BYTES: usize = 32;
/// What a frame's tag takes.
pub const TAG_BYTES: usize = 16;

impl Cipher {
    /// As the seventh byte of the envelope says it.
    pub fn byte(&self) -> u8 {
        match self {
            Cipher::None => 0,
            Cipher::Aes256Gcm(_) => 1,
        }
    }

    /// The key of the object `name`, of this kind, whose envelope holds `salt`.
    pub fn object(&self, kind: Kind, name: &str, salt: &[u8; SALT_BYTES]) -> ObjectKey {
        match self {
            Cipher::None => {
                let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
                hasher.update(salt).update(&[kind.byte()]).update(name.as_bytes());
                ObjectKey(Inner::Hash(*hasher.finalize().as_bytes()))
            }
            Cipher::Aes256Gcm(master) => {
                let key = expand(master.expose(), salt, kind, name);
                ObjectKey(Inner::Aead(Box::new(key)))
            }
        }
    }
}

const CONTEXT: &str = "howdah object 1";

fn expand(master: &[u8], salt: &[u8], kind: Kind, name: &str) -> LessSafeKey {
    let info = [CONTEXT.as_bytes(), &[0, kind.byte()], name.as_bytes()];
    let pseudorandom = Salt::new(HKDF_SHA256, salt).extract(master);
    let mut key = [0; KEY_BYTES];
    // Both fail only for lengths that these constants do not have.
    pseudorandom
        .expand(&info, Length)
        .and_then(|okm| okm.fill(&mut key))
        .expect("32 bytes are a length that HKDF has");
    let key = UnboundKey::new(&AES_256_GCM, &key).expect("32 bytes are a key of AES-256");
    LessSafeKey::new(key)
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

/// Seals and opens the frames of one object.
pub struct ObjectKey(Inner);

enum Inner {
    Aead(Box<LessSafeKey>),
    Hash([u8; 32]),
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectKey(***)")
    }
}

impl ObjectKey {
    /// Seals `body` in place and returns the tag. No number may be used for two bodies.
    pub(crate) fn seal(&self, number: u64, head: &[u8], body: &mut [u8]) -> [u8; TAG_BYTES] {
        let bound = bound(number, head);
        match &self.0 {
            Inner::Aead(key) => {
                let sealed = key.seal_in_place_separate_tag(nonce(number), Aad::from(bound), body);
                let tag = sealed.expect("a frame is shorter than AES-GCM's limit");
                let mut bytes = [0; TAG_BYTES];
                bytes.copy_from_slice(tag.as_ref());
                bytes
            }
            Inner::Hash(key) => hash(key, &bound, body),
        }
    }

    /// Opens `body` in place, which its tag follows; the length of what is plain now, or `None`
    /// when it is not what was sealed.
    pub(crate) fn open(&self, number: u64, head: &[u8], body: &mut [u8]) -> Option<usize> {
        let bound = bound(number, head);
        let len = body.len().checked_sub(TAG_BYTES)?;
        match &self.0 {
            Inner::Aead(key) => {
                key.open_in_place(nonce(number), Aad::from(bound), body).ok().map(|p| p.len())
            }
            Inner::Hash(key) => {
                let (body, tag) = body.split_at(len);
                (hash(key, &bound, body) == *tag).then_some(len)
            }
        }
    }
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// The associated data of a frame: its head, and its number.
fn bound(number: u64, head: &[u8]) -> Vec<u8> {
    [head, &number.to_be_bytes()].concat()
}

fn hash(key: &[u8; 32], bound: &[u8], body: &[u8]) -> [u8; TAG_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(bound).update(body);
    let mut tag = [0; TAG_BYTES];
    hasher.finalize_xof().fill(&mut tag);
    tag
}
