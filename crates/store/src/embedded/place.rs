//! Where the store lies, and whether it can lie there.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{FsType, NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, statfs};
use nix::unistd::{AccessFlags, access};

use super::Options;
use crate::StoreError;

/// The directory, the file in it, and the machine's clock.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
    pub(super) file: PathBuf,
    /// By it processes tell each other that they have written.
    pub(super) bell: PathBuf,
    pub(super) options: Options,
}

impl Place {
    pub(super) fn new(directory: &Path, options: Options) -> Place {
        let (file, bell) = (directory.join(FILE), directory.join(BELL));
        Place { directory: directory.to_owned(), file, bell, options }
    }

    /// Makes the directory (0700) if there is none, and refuses one that cannot do.
    pub(super) fn prepare(&self) -> Result<(), StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(|e| self.unusable(&format!("its directory cannot be made ({e})"), OWNER))?;
        let writable = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
        access(&self.directory, writable)
            .map_err(|e| self.unusable(&format!("its directory is not writable ({e})"), OWNER))?;
        self.refuse_network()
    }

    /// SQLite's shared memory and the boot-time clock both end at the machine: over a network
    /// file system two machines would each believe that all leases of the other are over.
    fn refuse_network(&self) -> Result<(), StoreError> {
        let system = statfs(&self.directory).map_err(|e| {
            self.unusable(&format!("its file system does not answer ({e})"), ONE_MACHINE)
        })?;
        if NETWORK.contains(&system.filesystem_type()) {
            return Err(self.unusable("its directory is on a network file system", ONE_MACHINE));
        }
        Ok(())
    }

    pub(super) fn thread_failed(&self, e: &io::Error) -> StoreError {
        self.unusable(&format!("a thread cannot be started ({e})"), "raise the limit of tasks")
    }

    fn unusable(&self, why: &str, hint: &'static str) -> StoreError {
        let store = self.directory.display().to_string();
        StoreError::Unusable { store, why: why.to_owned(), hint }
    }
}

/// `store.db-wal` and `store.db-shm` lie beside it.
const FILE: &str = "store.db";
const BELL: &str = "store.bell";
const OWNER: &str = "give the directory to the user that howdah runs as";
const ONE_MACHINE: &str =
    "put it on a local disk; for nodes on several machines use the etcd store";
/// NFS, SMB, CIFS, SMB2, Ceph, AFS (`linux/magic.h`).
const NETWORK: [FsType; 6] = [
    NFS_SUPER_MAGIC,
    SMB_SUPER_MAGIC,
    FsType(0xFF53_4D42),
    FsType(0xFE53_4D42),
    FsType(0x00C3_6400),
    FsType(0x5346_414F),
];
