//! Packs and manifests of a lineage, written to the storage and read from it.

use bytes::Bytes;

use crate::RepoError;
use crate::envelope::{self, ENVELOPE_BYTES, Identity, Reader, Writer};
use crate::frame::{BadFrame, FRAME_BYTES_MAX, PLAIN_BYTES_MAX};
use crate::kind::Kind;
use crate::lease::Lease;
use crate::manifest::{About, MANIFEST_BYTES_MAX, Manifest, MapRef, PackId, PackRef, Span};
use crate::name::{Family, Label, Name};
use crate::pack::{self, Builder, Footing, Index, Place, Stretch, TRAILER_BYTES};
use crate::page_map::{PageMap, decode_sums};
use crate::repository::{Lineage, beside, damaged};
use crate::seal::ObjectKey;
use crate::storage::Created;

/// A pack that can be read. Its index is in memory: 40 bytes a frame.
#[derive(Debug)]
pub struct PackReader {
    lineage: Lineage,
    name: Name,
    key: ObjectKey,
    index: Index,
}

impl Lineage {
    fn pack_identity(&self, id: &PackId) -> Identity {
        Identity::new(Kind::Pack, self.id().pack(&id.label, id.family, id.number))
    }

    /// A pack to be filled and then given to [`Lineage::put_pack`].
    pub fn begin_pack(&self, id: &PackId) -> Result<Builder, RepoError> {
        Ok(Builder::new(&self.cipher(), &self.pack_identity(id), envelope::fresh_salt()?))
    }

    /// Writes a pack that is full, or the last one.
    ///
    /// # Errors
    /// [`RepoError::Taken`] when there is a pack of this name: another backup uses this label,
    /// or an earlier attempt at this one left it, which [`Lineage::look_at_pack`] tells of.
    pub async fn put_pack(&self, id: &PackId, pack: Builder) -> Result<PackRef, RepoError> {
        let name = self.pack_identity(id).name;
        let (bytes, footing, _) = pack.finish().map_err(|missing| {
            let what = format!("frame {} of `{name}` is missing", missing.0);
            RepoError::refused(what, "every number up to the highest is sealed and pushed")
        })?;
        match self.storage().create(&name, bytes.into()).await? {
            Created::New => Ok(PackRef { id: id.clone(), footing }),
            Created::Exists => Err(RepoError::Taken { name: name.to_string() }),
        }
    }

    /// What there is to know of a pack that no manifest tells of.
    pub async fn look_at_pack(&self, id: &PackId) -> Result<(PackRef, Index), RepoError> {
        let identity = self.pack_identity(id);
        let name = &identity.name;
        let bad = || RepoError::damaged(name, "it does not end as a pack does");
        let size = self.storage().head(name).await?;
        let trailer_at = size.checked_sub(TRAILER_BYTES as u64).ok_or_else(bad)?;
        let trailer = self.storage().get_range(name, trailer_at..size).await?;
        let (index_at, frames) = pack::read_trailer(&trailer).ok_or_else(bad)?;
        let len = trailer_at.checked_sub(index_at).filter(|len| *len <= FRAME_BYTES_MAX as u64);
        let index_end = index_at + len.ok_or_else(bad)?;
        let head = self.storage().get_range(name, 0..ENVELOPE_BYTES as u64).await?;
        let key =
            envelope::enter(&self.cipher(), &identity, &head).map_err(|e| damaged(name, e))?;
        let sealed = self.storage().get_range(name, index_at..index_end).await?;
        let (_, plain) = crate::frame::open(&key, u64::from(frames), &sealed)
            .map_err(|bad| RepoError::damaged(name, bad))?;
        let mut salt = [0; 32];
        salt.copy_from_slice(&head[ENVELOPE_BYTES - 32..]);
        let footing = Footing { salt, size, frames, index_at, index_hash: pack::hash(&plain) };
        let index = pack::open_index(&key, &footing, &sealed).ok_or_else(bad)?;
        Ok((PackRef { id: id.clone(), footing }, index))
    }

    /// Opens a pack that a manifest refers to: one request, for its index.
    pub async fn open_pack(&self, pack: &PackRef) -> Result<PackReader, RepoError> {
        let Identity { kind, name } = self.pack_identity(&pack.id);
        let range = pack.footing.index_range();
        if range.end.saturating_sub(range.start) > FRAME_BYTES_MAX as u64 {
            return Err(RepoError::damaged(&name, "its index is longer than a frame"));
        }
        let sealed = self.storage().get_range(&name, range).await?;
        let key = self.cipher().object(kind, name.as_str(), &pack.footing.salt);
        let index = pack::open_index(&key, &pack.footing, &sealed)
            .ok_or_else(|| RepoError::damaged(&name, "its index is not what was written"))?;
        Ok(PackReader { lineage: self.clone(), name, key, index })
    }

    /// The packs that a backup has written so far, also one that was never committed.
    pub async fn packs_of(&self, label: &Label) -> Result<Vec<PackId>, RepoError> {
        let listed = self.storage().files(&self.id().backup(label)).await?;
        let pack = |name: &str| {
            let (family, number) = name.rsplit('/').next()?.split_once('-')?;
            let family = match family {
                "pack" => Family::Pack,
                "map" => Family::Map,
                _ => return None,
            };
            Some(PackId { label: label.clone(), family, number: number.parse().ok()? })
        };
        Ok(listed.iter().filter_map(|object| pack(&object.name)).collect())
    }

    /// The map of a file's pages, and with it nothing else of the map's pack.
    pub async fn page_map(&self, maps: &PackReader, at: MapRef) -> Result<PageMap, RepoError> {
        let bytes = maps.span(at.runs).await?;
        PageMap::decode(&bytes).ok_or_else(|| RepoError::damaged(&maps.name, "no map of pages"))
    }

    /// The sums of a file's pages.
    pub async fn page_sums(&self, maps: &PackReader, at: MapRef) -> Result<Vec<u64>, RepoError> {
        let bytes = maps.span(at.sums).await?;
        decode_sums(&bytes).ok_or_else(|| RepoError::damaged(&maps.name, "no sums of pages"))
    }

    /// Commits a backup: once this has returned, it is one. The lease is asked first.
    pub async fn put_manifest(
        &self,
        lease: &Lease,
        now_ms: i64,
        label: &Label,
        manifest: &Manifest,
    ) -> Result<(), RepoError> {
        let name = self.id().manifest(label);
        let refuse = |error| RepoError::refused(error, "a backup so described cannot be kept");
        let head = manifest.about.encode().map_err(refuse)?;
        let body = manifest.encode_body();
        if body.len() > MANIFEST_BYTES_MAX || manifest.about.label != label.as_str() {
            return Err(RepoError::refused("the manifest is too long, or another's", ""));
        }
        let identity = Identity::new(Kind::Manifest, name.clone());
        let mut writer = Writer::new(&self.cipher(), &identity, envelope::fresh_salt()?);
        let sealed = beside(body.len(), move || {
            writer.push(&head);
            writer.cut();
            writer.push(&body);
            writer.finish()
        });
        let sealed = sealed.await?;
        lease.confirm(now_ms).await?;
        match self.storage().create(&name, sealed.into()).await? {
            Created::New => Ok(()),
            Created::Exists => Err(RepoError::Taken { name: name.to_string() }),
        }
    }

    /// The labels of all committed backups, in order.
    pub async fn backups(&self) -> Result<Vec<Label>, RepoError> {
        let mut found = Vec::new();
        for label in self.attempts().await? {
            if self.has_backup(&label).await? {
                found.push(label);
            }
        }
        Ok(found)
    }

    /// Whether it was committed and is there.
    pub async fn has_backup(&self, label: &Label) -> Result<bool, RepoError> {
        self.storage().exists(&self.id().manifest(label)).await
    }

    /// The labels of all backups, also of those that were never committed.
    pub async fn attempts(&self) -> Result<Vec<Label>, RepoError> {
        let folders = self.storage().folders(&self.id().backups()).await?;
        Ok(folders.iter().filter_map(|folder| folder.parse().ok()).collect())
    }

    /// What a backup says of itself: its manifest's first frame, however long the rest is.
    pub async fn about_backup(&self, label: &Label) -> Result<About, RepoError> {
        let name = self.id().manifest(label);
        let size = self.storage().head(&name).await?;
        let most = size.min((ENVELOPE_BYTES + FRAME_BYTES_MAX) as u64);
        let bytes = self.storage().get_range(&name, 0..most).await?;
        let identity = Identity::new(Kind::Manifest, name.clone());
        let mut reader =
            Reader::new(&self.cipher(), &identity, &bytes).map_err(|bad| damaged(&name, bad))?;
        let head = reader.next_frame().map_err(|bad| damaged(&name, bad))?.unwrap_or_default();
        About::decode(&head).map_err(|bad| RepoError::damaged(&name, bad))
    }

    /// The whole manifest.
    pub async fn get_manifest(&self, label: &Label) -> Result<Manifest, RepoError> {
        let name = self.id().manifest(label);
        let bytes = self.storage().get(&name).await?;
        let (cipher, identity) = (self.cipher(), Identity::new(Kind::Manifest, name.clone()));
        beside(bytes.len(), move || {
            let bad = |bad| damaged(&identity.name, bad);
            let mut reader = Reader::new(&cipher, &identity, &bytes).map_err(bad)?;
            let head = reader.next_frame().map_err(bad)?.unwrap_or_default();
            let mut body = Vec::new();
            while let Some(frame) = reader.next_frame().map_err(bad)? {
                body.extend_from_slice(&frame);
                if body.len() > MANIFEST_BYTES_MAX {
                    return Err(RepoError::damaged(&identity.name, "longer than any manifest"));
                }
            }
            let manifest = About::decode(&head).and_then(|about| Manifest::decode(about, &body));
            manifest.map_err(|bad| RepoError::damaged(&identity.name, bad))
        })
        .await?
    }
}

impl PackReader {
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The stretches to be fetched for these frames, each by one request.
    ///
    /// # Errors
    /// When the pack has no frame of such a number.
    pub fn stretches(&self, frames: &[u32]) -> Result<Vec<Stretch>, RepoError> {
        let places: Option<Vec<Place>> = frames.iter().map(|n| self.index.place(*n)).collect();
        let none = || RepoError::damaged(&self.name, "a frame is referred to that it has not");
        Ok(pack::stretches(places.ok_or_else(none)?))
    }

    /// Fetches a stretch, sealed as it is.
    pub async fn fetch(&self, stretch: &Stretch) -> Result<Bytes, RepoError> {
        self.lineage.storage().get_range(&self.name, stretch.range.clone()).await
    }

    /// Opens one frame of what [`PackReader::fetch`] brought. Pure: for the caller's threads.
    pub fn open(
        &self,
        stretch: &Stretch,
        fetched: &[u8],
        place: &Place,
    ) -> Result<Vec<u8>, RepoError> {
        let sealed = sealed(stretch, fetched, place);
        pack::open_frame(&self.key, place, sealed).map_err(|bad| self.bad(place, bad))
    }

    /// The same, to where it belongs in a file that is held against its hash when it is whole: `plain`
    /// has the frame's length.
    pub fn open_to(
        &self,
        stretch: &Stretch,
        fetched: &[u8],
        place: &Place,
        plain: &mut [u8],
    ) -> Result<(), RepoError> {
        let sealed = sealed(stretch, fetched, place);
        pack::open_frame_to(&self.key, place, sealed, plain).map_err(|bad| self.bad(place, bad))
    }

    fn bad(&self, place: &Place, bad: BadFrame) -> RepoError {
        RepoError::damaged(&self.name, format!("frame {}: {bad}", place.number))
    }

    /// Reads one frame.
    pub async fn frame(&self, number: u32) -> Result<Vec<u8>, RepoError> {
        self.span(Span { frame: number, count: 1 }).await
    }

    /// The bytes of some frames one behind the other.
    pub async fn span(&self, span: Span) -> Result<Vec<u8>, RepoError> {
        let end = span.frame.checked_add(span.count).filter(|end| *end <= self.index.len());
        let none = || RepoError::damaged(&self.name, "a frame is referred to that it has not");
        let frames: Vec<u32> = (span.frame..end.ok_or_else(none)?).collect();
        let mut plain = Vec::new();
        for stretch in self.stretches(&frames)? {
            let fetched = self.fetch(&stretch).await?;
            for place in &stretch.places {
                plain.extend_from_slice(&self.open(&stretch, &fetched, place)?);
            }
        }
        Ok(plain)
    }
}

/// One frame of what was fetched; nothing where it is not there.
fn sealed<'b>(stretch: &Stretch, fetched: &'b [u8], place: &Place) -> &'b [u8] {
    let at = place.offset.saturating_sub(stretch.range.start) as usize;
    fetched.get(at..at.saturating_add(place.stored_len as usize)).unwrap_or_default()
}

/// Puts bytes of any length into frames of a pack that has room for them.
pub fn add_span(pack: &mut Builder, bytes: &[u8]) -> Span {
    let first = pack.frames();
    bytes.chunks(PLAIN_BYTES_MAX).for_each(|frame| {
        pack.add(frame);
    });
    Span { frame: first, count: pack.frames() - first }
}
