//! WAL pages of a stopped server, read from the segment files of a timeline and its ancestors.
//!
//! Layout: src/include/access/xlog_internal.h, the same from PostgreSQL 14 to 18. A page whose
//! header does not say that it is the page of this address is left over from the segment's
//! earlier use.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use howdah_base::{History, Timeline};

use crate::PgError;

/// XLOG_BLCKSZ, as all distributions build it.
pub(super) const PAGE: u64 = 8192;
const PAGE_LEN: usize = 8192;
/// `SizeOfXLogShortPHD` and `SizeOfXLogLongPHD`.
const SHORT_HEADER: u64 = 24;
pub(super) const LONG_HEADER: u64 = 40;
/// `XLP_FIRST_IS_CONTRECORD`, `XLP_LONG_HEADER`, `XLP_FIRST_IS_OVERWRITE_CONTRECORD`.
const CONTINUES: u16 = 1;
pub(super) const IS_LONG: u16 = 2;
const OVERWRITES: u16 = 8;
/// `XLP_ALL_FLAGS`.
pub(super) const ALL_FLAGS: u16 = 15;

/// Reads one page at a time.
pub(super) struct Pages<'a> {
    folder: PathBuf,
    segment_size: u64,
    history: &'a History,
    segment: Option<(u64, File)>,
    page: Box<[u8; PAGE_LEN]>,
    page_at: Option<u64>,
    /// Of the page before: a timeline never goes back, and all pages are of one version.
    timeline: Timeline,
    magic: Option<u16>,
}

/// A page that is what its address says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// Where the page's data begin, from its start.
    pub size: u64,
    /// Bytes of a record from earlier pages that are left; `None` when none continues here.
    pub continues: Option<u64>,
    /// A record that continued here was given up, and WAL begins anew.
    pub overwrites: bool,
}

impl<'a> Pages<'a> {
    pub fn new(data_dir: &Path, segment_size: u64, history: &'a History) -> Pages<'a> {
        Pages {
            folder: data_dir.join("pg_wal"),
            segment_size,
            history,
            segment: None,
            page: Box::new([0; PAGE_LEN]),
            page_at: None,
            timeline: Timeline(0),
            magic: None,
        }
    }

    /// Forgets what was read, before going back.
    pub fn rewind(&mut self) {
        self.page_at = None;
        self.timeline = Timeline(0);
    }

    /// Loads the page at `at`, a multiple of [`PAGE`]. `None`: there is no valid one.
    pub fn load(&mut self, at: u64) -> Result<Option<Header>, PgError> {
        if self.page_at != Some(at) {
            self.page_at = None;
            if !self.read(at)? {
                return Ok(None);
            }
            self.page_at = Some(at);
        }
        Ok(self.header(at))
    }

    /// The bytes of the page that was loaded last.
    pub fn bytes(&self) -> &[u8] {
        self.page.as_slice()
    }

    /// Where the segment that holds `at` ends.
    pub fn segment_end(&self, at: u64) -> u64 {
        (at / self.segment_size + 1) * self.segment_size
    }

    fn header(&mut self, at: u64) -> Option<Header> {
        let page = &self.page;
        let info = u16::from_le_bytes([page[2], page[3]]);
        let timeline = Timeline(u32::from_le_bytes(page[4..8].try_into().ok()?));
        let address = u64::from_le_bytes(page[8..16].try_into().ok()?);
        let left = u32::from_le_bytes(page[16..20].try_into().ok()?);
        let magic = u16::from_le_bytes([page[0], page[1]]);
        let is_long = at.is_multiple_of(self.segment_size);
        let fits = address == at
            && info & !ALL_FLAGS == 0
            && (info & IS_LONG != 0) == is_long
            && magic != 0
            && self.magic.is_none_or(|known| known == magic)
            && timeline >= self.timeline
            && self.history.leaves(timeline).is_some();
        if !fits {
            return None;
        }
        self.magic = Some(magic);
        self.timeline = timeline;
        Some(Header {
            size: if is_long { LONG_HEADER } else { SHORT_HEADER },
            continues: (info & CONTINUES != 0).then_some(u64::from(left)),
            overwrites: info & OVERWRITES != 0,
        })
    }

    fn read(&mut self, at: u64) -> Result<bool, PgError> {
        let number = at / self.segment_size;
        if self.segment.as_ref().map(|(open, _)| *open) != Some(number) {
            self.segment = self.open(number)?.map(|file| (number, file));
        }
        let Some((_, file)) = &self.segment else { return Ok(false) };
        match file.read_exact_at(self.page.as_mut_slice(), at % self.segment_size) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(PgError::io("read a segment below", &self.folder)(error)),
        }
    }

    /// The segment's file of the newest timeline that has one, as recovery chooses
    /// (xlogrecovery.c, XLogFileReadAnyTLI): a timeline's own files begin with the segment in
    /// which it began.
    fn open(&self, number: u64) -> Result<Option<File>, PgError> {
        let forks = &self.history.forks;
        let own = std::iter::once(self.history.timeline);
        let newest_first = own.chain(forks.iter().rev().map(|(ancestor, _)| *ancestor));
        let begins = forks.iter().rev().map(|(_, fork)| fork.0).chain([0]);
        for (timeline, _) in
            newest_first.zip(begins).filter(|(_, begins)| begins / self.segment_size <= number)
        {
            let path = self.folder.join(self.name(timeline, number));
            match File::open(&path) {
                Ok(file) => return Ok(Some(file)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(PgError::io("open", &path)(error)),
            }
        }
        Ok(None)
    }

    fn name(&self, timeline: Timeline, number: u64) -> String {
        let per_id = (1 << 32) / self.segment_size;
        format!("{:08X}{:08X}{:08X}", timeline.0, number / per_id, number % per_id)
    }
}
