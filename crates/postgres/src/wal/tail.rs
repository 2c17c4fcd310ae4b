//! WAL of another server's disk, on its way into a standby through PostgreSQL's own
//! `restore_command` (documentation, "Archive Recovery Settings").
//!
//! Files are fetched whole into a folder of their own below `pg_wal`, which neither
//! pg_basebackup nor pg_ls_waldir looks into; the command moves one from there to where the
//! startup process wants it. PostgreSQL prefers what the command gives over a segment that the
//! standby has received itself. So a file must not stay there longer than the fetch that brought
//! it: after the leader had gone on, the old copy would take the place of a segment with commits
//! that this standby has confirmed since. Every other write of the configuration clears the folder.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use howdah_base::WalFile;

use crate::{PgError, conf, durable};

/// Below the data directory, in which PostgreSQL runs its commands.
const FOLDER: &str = "pg_wal/howdah_tail";
/// `restore_command` while fetched files are to be replayed: a rename, so that it costs neither
/// time nor space. PostgreSQL makes the file durable when it puts it into its place.
pub const RESTORE_COMMAND: &str = r#"mv "pg_wal/howdah_tail/%f" "%p""#;

/// Makes an empty folder for fetched files. Blocking.
pub fn begin(data_dir: &Path) -> Result<(), PgError> {
    clear(data_dir)?;
    let folder = data_dir.join(FOLDER);
    std::fs::create_dir(&folder).map_err(PgError::io("make", &folder))
}

/// Where `file` is put while it is fetched, and where it lies once it is whole.
pub fn places(data_dir: &Path, file: &WalFile) -> (PathBuf, PathBuf) {
    let folder = data_dir.join(FOLDER);
    (folder.join(format!("{file}.part")), folder.join(file.as_str()))
}

/// Removes the folder with all that lies there. Blocking.
pub fn clear(data_dir: &Path) -> Result<(), PgError> {
    durable::remove_tree(&data_dir.join(FOLDER))
}

/// Ends a fetch that was cut short: nothing fetched is left, and the configuration does not have
/// the command. Whether it had it; then a server that runs has it until it is reloaded. Blocking.
pub fn end(data_dir: &Path) -> Result<bool, PgError> {
    clear(data_dir)?;
    let path = data_dir.join("postgresql.conf");
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        read => read.map_err(PgError::io("read", &path))?,
    };
    let command = format!("restore_command = {}", conf::quoted(RESTORE_COMMAND));
    if !text.lines().any(|line| line == command) {
        return Ok(false);
    }
    durable::write(&path, &text.replace(&command, "restore_command = ''"))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;

    #[test]
    fn a_fetch_that_was_cut_short_leaves_neither_files_nor_the_command() {
        let data_dir = std::env::temp_dir().join(format!("howdah-tail-{}", std::process::id()));
        fs::create_dir_all(data_dir.join("pg_wal")).expect("a folder");
        assert!(!end(&data_dir).expect("nothing to do"), "there is no configuration");
        let set = |command: &str| {
            let pairs = [("port", "5432"), ("restore_command", command), ("ssl", "on")];
            let parameters: BTreeMap<_, _> =
                pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            let conf = conf::ServerConf { parameters, ..conf::ServerConf::default() };
            conf::write(&data_dir, &conf).expect("written");
            fs::read_to_string(data_dir.join("postgresql.conf")).expect("the file")
        };
        set(RESTORE_COMMAND);
        begin(&data_dir).expect("a folder for the files");
        fs::write(data_dir.join(FOLDER).join("000000010000000000000003"), "WAL").expect("a file");
        assert!(end(&data_dir).expect("ended"), "it had the command");
        assert!(!data_dir.join(FOLDER).exists());
        let left = fs::read_to_string(data_dir.join("postgresql.conf")).expect("the file");
        assert_eq!(left, set(""), "the rest is as it was");
        assert!(!end(&data_dir).expect("nothing to do"));
        fs::remove_dir_all(&data_dir).expect("cleared");
    }
}
