//! WAL records: whether the one at a place is whole, and where it ends.
//!
//! As src/backend/access/transam/xlogreader.c judges it (XLogDecodeNextRecord,
//! ValidXLogRecordHeader, ValidXLogRecord), with the positions that it reports.

use howdah_base::Lsn;

use super::crc::crc32c;
use super::pages::{PAGE, Pages};
use crate::PgError;

/// `SizeOfXLogRecord`, and where its fields lie: total length, previous record, info, resource
/// manager, CRC.
const HEADER: usize = 24;
const PREVIOUS: usize = 8;
const INFO: usize = 16;
const MANAGER: usize = 17;
const CRC: usize = 20;
/// `RM_XLOG_ID` with `XLOG_SWITCH`: the rest of its segment is empty.
const XLOG: u8 = 0;
const SWITCH: u8 = 0x40;

/// Walks from record to record.
pub(super) struct Reader<'a> {
    pages: Pages<'a>,
    /// The record before, once one was read: each names its predecessor.
    previous: Option<Lsn>,
    record: Vec<u8>,
}

/// What gathering a record's bytes led to.
enum Gathered {
    /// They are there; where the record ends.
    Whole(u64),
    /// It was given up by a server that crashed; the WAL goes on at this page.
    GivenUp(u64),
    No,
}

impl<'a> Reader<'a> {
    pub fn new(pages: Pages<'a>) -> Reader<'a> {
        Reader { pages, previous: None, record: Vec::new() }
    }

    /// Forgets the record before, to begin elsewhere.
    pub fn rewind(&mut self) {
        self.previous = None;
        self.pages.rewind();
    }

    /// The end of the record at `at`, which is where the next may begin; `None` when there is no
    /// valid record.
    pub fn record(&mut self, at: Lsn) -> Result<Option<Lsn>, PgError> {
        let mut at = at.0;
        loop {
            let Some(begins) = self.beginning(at)? else { return Ok(None) };
            match self.gather(begins)? {
                Gathered::Whole(end) => return Ok(self.judge(begins, end)),
                Gathered::GivenUp(page) => at = page,
                Gathered::No => return Ok(None),
            }
        }
    }

    /// Where the first record at or after the page at `page` begins, past one that continues
    /// into it (XLogFindNextRecord).
    pub fn first_after(&mut self, page: Lsn) -> Result<Option<Lsn>, PgError> {
        self.rewind();
        let mut at = page.0;
        loop {
            let Some(header) = self.pages.load(at)? else { return Ok(None) };
            let begins = match header.continues {
                None => header.size,
                Some(left) if header.size + left.next_multiple_of(8) < PAGE => {
                    header.size + left.next_multiple_of(8)
                }
                Some(_) => {
                    at += PAGE;
                    continue;
                }
            };
            return Ok(Some(Lsn(at + begins)));
        }
    }

    /// The record's first byte: past the page's header when `at` is a page's start.
    fn beginning(&mut self, at: u64) -> Result<Option<u64>, PgError> {
        let Some(header) = self.pages.load(at / PAGE * PAGE)? else { return Ok(None) };
        let begins = if at.is_multiple_of(PAGE) { at + header.size } else { at };
        let continued = header.continues.is_some() && begins % PAGE == header.size;
        Ok((begins % PAGE >= header.size && !continued).then_some(begins))
    }

    /// Collects the bytes of the record at `begins`, page by page.
    fn gather(&mut self, begins: u64) -> Result<Gathered, PgError> {
        self.record.clear();
        let first = within(begins);
        let bytes = self.pages.bytes();
        // Records are MAXALIGNed, so the length never crosses a page.
        let Some(length) = bytes[first..].first_chunk::<4>() else { return Ok(Gathered::No) };
        let total = u32::from_le_bytes(*length) as usize;
        if total < HEADER {
            return Ok(Gathered::No);
        }
        self.record.extend_from_slice(&bytes[first..bytes.len().min(first + total)]);
        if self.record.len() == total {
            return Ok(Gathered::Whole(begins + total as u64));
        }
        let mut page = begins / PAGE * PAGE;
        loop {
            page += PAGE;
            let left = total - self.record.len();
            let Some(header) = self.pages.load(page)? else { return Ok(Gathered::No) };
            if header.overwrites {
                return Ok(Gathered::GivenUp(page));
            }
            if header.continues != Some(left as u64) {
                return Ok(Gathered::No);
            }
            let begin = within(header.size);
            let bytes = self.pages.bytes();
            let end = bytes.len().min(begin + left);
            self.record.extend_from_slice(&bytes[begin..end]);
            if self.record.len() == total {
                return Ok(Gathered::Whole(page + end as u64));
            }
        }
    }

    /// Whether the gathered record is the one that was written here.
    fn judge(&mut self, begins: u64, end: u64) -> Option<Lsn> {
        let record = &self.record;
        let previous = u64::from_le_bytes(*record[PREVIOUS..].first_chunk()?);
        let crc = u32::from_le_bytes(*record[CRC..].first_chunk()?);
        let follows = match self.previous {
            Some(known) => previous == known.0,
            None => previous < begins,
        };
        if !follows || crc32c([&record[HEADER..], &record[..CRC]]) != crc {
            return None;
        }
        self.previous = Some(Lsn(begins));
        if record[MANAGER] == XLOG && record[INFO] & 0xF0 == SWITCH {
            return Some(Lsn(self.pages.segment_end(begins)));
        }
        Some(Lsn(end.next_multiple_of(8)))
    }
}

/// The place in its page.
fn within(at: u64) -> usize {
    usize::try_from(at % PAGE).unwrap_or_default()
}
