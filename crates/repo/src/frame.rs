//! One frame: at most 256 KiB, compressed, sealed. All that a repository hides is in frames.
//!
//! ```text
//! 0   plain length    u32   at most 262144
//! 4   stored length   u32   of the body, without its tag; at most the plain length
//! 8   flags           u8    1: the object's last frame; 2: the body is zstd
//! 9   zero            3 bytes
//! 12  body            stored length
//!     tag             16 bytes
//! ```
//!
//! Numbers are little-endian. The head is bound to the body by the tag, and so is the frame's
//! number, counted from 0 in its object: a frame opens in its own place only.

use std::cell::RefCell;

use thiserror::Error;
use zstd::zstd_safe::{CCtx, CParameter, DCtx, ErrorCode, Strategy};

use crate::seal::{ObjectKey, TAG_BYTES};

/// The most that one frame holds.
pub const PLAIN_BYTES_MAX: usize = 256 << 10;
pub const HEAD_BYTES: usize = 12;
/// The longest frame as it is stored.
pub const FRAME_BYTES_MAX: usize = HEAD_BYTES + PLAIN_BYTES_MAX + TAG_BYTES;

const LAST: u8 = 1;
const ZSTD: u8 = 2;

/// Why bytes are no frame.
#[derive(Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadFrame {
    #[error("it ends within a frame")]
    Cut,
    #[error("a frame's head cannot be right")]
    Head,
    #[error("a frame is not what was sealed, or the key is another")]
    Tag,
    #[error("a frame does not decompress to its length")]
    Compressed,
}

/// A frame's first bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    pub plain_len: usize,
    /// Of the whole frame as it is stored, this head and the tag included.
    pub frame_len: usize,
    pub last: bool,
    compressed: bool,
}

impl Head {
    /// Judges the head alone; nothing longer than a frame may be is ever believed.
    pub fn read(bytes: &[u8]) -> Result<Head, BadFrame> {
        let head = bytes.first_chunk::<HEAD_BYTES>().ok_or(BadFrame::Cut)?;
        let number = |at: usize| {
            let four = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            u32::from_le_bytes(four) as usize
        };
        let (plain_len, stored, flags) = (number(0), number(4), head[8]);
        let (last, compressed) = (flags & LAST != 0, flags & ZSTD != 0);
        let known = flags & !(LAST | ZSTD) == 0 && head[9..] == [0; 3];
        let lengths = if compressed { stored < plain_len } else { stored == plain_len };
        if !known || !lengths || plain_len > PLAIN_BYTES_MAX {
            return Err(BadFrame::Head);
        }
        Ok(Head { plain_len, frame_len: HEAD_BYTES + stored + TAG_BYTES, last, compressed })
    }
}

/// Compresses and seals `plain`, which must not be longer than [`PLAIN_BYTES_MAX`].
///
/// Pure: it may run in any thread, in any order. Two different frames of one object must never
/// have the same number.
pub fn seal(key: &ObjectKey, number: u64, plain: &[u8], last: bool) -> Vec<u8> {
    assert!(plain.len() <= PLAIN_BYTES_MAX, "the caller cuts frames");
    SCRATCH.with_borrow_mut(|scratch| {
        // What does not become smaller by it does not fit, and stays as it is.
        scratch.resize(plain.len().saturating_sub(1), 0);
        let (body, packed) = match compress(plain, scratch) {
            Ok(stored) => (&scratch[..stored], ZSTD),
            Err(_) => (plain, 0),
        };
        let mut frame = Vec::with_capacity(HEAD_BYTES + body.len() + TAG_BYTES);
        frame.extend_from_slice(&(plain.len() as u32).to_le_bytes());
        frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
        frame.extend_from_slice(&[packed | if last { LAST } else { 0 }, 0, 0, 0]);
        frame.extend_from_slice(body);
        let (head, body) = frame.split_at_mut(HEAD_BYTES);
        let tag = key.seal(number, head, body);
        frame.extend_from_slice(&tag);
        frame
    })
}

thread_local! {
    // Contexts are large; none is made anew for each frame.
    static PACKER: RefCell<CCtx<'static>> = RefCell::new(packer());
    static UNPACKER: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
    // A body on its way: memory that the system has to give anew for each frame costs more than to seal it.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// As fast as level 1, and smaller than level 3 where pages hold indexes: an entry of a B-tree differs from
/// its neighbour in so few bytes that matches of five are what they have in common. (pgbench's index: 18.8 MB
/// of 135, to 33.5 and 21.5; its table and a text within 2 % of level 1.)
fn packer() -> CCtx<'static> {
    let mut context = CCtx::create();
    let parameters = [
        CParameter::CompressionLevel(1),
        CParameter::Strategy(Strategy::ZSTD_fast),
        CParameter::HashLog(15),
        CParameter::MinMatch(5),
    ];
    for parameter in parameters {
        context.set_parameter(parameter).expect("within the bounds that zstd names");
    }
    context
}

/// The compressed length; an error also where `room` is too small for it.
fn compress(plain: &[u8], room: &mut [u8]) -> Result<usize, ErrorCode> {
    PACKER.with_borrow_mut(|context| context.compress2(room, plain))
}

fn decompress(packed: &[u8], room: &mut [u8]) -> Result<usize, ErrorCode> {
    UNPACKER.with_borrow_mut(|context| context.decompress(room, packed))
}

/// Opens the frame that `bytes` begin with; its head, and what was sealed.
pub fn open(key: &ObjectKey, number: u64, bytes: &[u8]) -> Result<(Head, Vec<u8>), BadFrame> {
    let mut plain = vec![0; Head::read(bytes)?.plain_len];
    let head = open_to(key, number, bytes, &mut plain)?;
    Ok((head, plain))
}

/// The same, to where it belongs: `plain` has to be as long as what was sealed.
pub fn open_to(
    key: &ObjectKey,
    number: u64,
    bytes: &[u8],
    plain: &mut [u8],
) -> Result<Head, BadFrame> {
    let head = Head::read(bytes)?;
    if head.plain_len != plain.len() {
        return Err(BadFrame::Head);
    }
    let frame = bytes.get(..head.frame_len).ok_or(BadFrame::Cut)?;
    let (head_bytes, sealed) = frame.split_at(HEAD_BYTES);
    SCRATCH.with_borrow_mut(|body| {
        body.clear();
        body.extend_from_slice(sealed);
        let stored = key.open(number, head_bytes, body).ok_or(BadFrame::Tag)?;
        let body = &body[..stored];
        if !head.compressed {
            // The head says so, and is sealed: they are of one length.
            plain.copy_from_slice(body);
            return Ok(head);
        }
        match decompress(body, plain) {
            Ok(len) if len == plain.len() => Ok(head),
            _ => Err(BadFrame::Compressed),
        }
    })
}
