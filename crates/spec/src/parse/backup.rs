//! `[backup]` and `[backup.s3]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_base::Span;

use super::members::read_secret;
use super::reader::{Table, Value};
use super::{Paths, choice, drill, keys, schedule};
use crate::backup::{BackupSpec, Cipher, KeepSpec, RepositorySpec, S3Spec, StandbysFrom};
use crate::types::SecretRef;

/// Threads of a backup at most.
const JOBS_MAX: i64 = 64;
/// Backups that a rule may keep.
const KEPT_MAX: i64 = 10_000;
const DAY: Duration = Duration::from_secs(86_400);

/// `None`: the cluster keeps no backups.
pub(super) fn read(top: &Table<'_>, paths: &Paths<'_>, base_dir: &Path) -> Option<BackupSpec> {
    let given = top.get("backup")?;
    let table = given.table(&keys::BACKUP)?;
    let Some(place) = table.get("repository") else {
        let hint = "add a line such as `repository = \"/var/backups/shop\"` or \
                    `repository = \"s3://bucket/shop\"`";
        given.wrong("backups have no place: `backup.repository`".to_owned(), hint);
        return None;
    };
    let repository = read_repository(place, &table, paths, base_dir);
    let cipher = table.get("cipher").and_then(|word| choice(word, &Cipher::WORDS));
    let cipher = cipher.unwrap_or(Cipher::Aes256Gcm);
    let key = table.get("key").and_then(|value| read_secret(value, base_dir));
    if let (Cipher::None, Some(value)) = (cipher, table.get("key")) {
        let hint = "drop the key, or `cipher = \"none\"`";
        value.wrong("a key for a repository that is not sealed: `backup.key`".to_owned(), hint);
    }
    let key = (cipher == Cipher::Aes256Gcm).then(|| {
        key.unwrap_or_else(|| SecretRef::File(base_dir.join("client/secrets/backup.key")))
    });
    let jobs = table.integer("jobs", 1..=JOBS_MAX).unwrap_or(2);
    let standbys = table.get("standbys").and_then(|word| choice(word, &StandbysFrom::WORDS));
    let standbys = standbys.unwrap_or(StandbysFrom::Primary);
    let keep = read_keep(&table);
    let drill = drill::read(&table, paths, base_dir);
    let schedule = schedule::read(&table);
    let repository = repository?;
    Some(BackupSpec { repository, cipher, key, jobs, standbys, keep, drill, schedule })
}

fn read_keep(table: &Table<'_>) -> KeepSpec {
    let table = table.table("keep", &keys::BACKUP_KEEP);
    let count = |key, default| table.integer(key, 0..=KEPT_MAX).unwrap_or(default);
    let days = |key, days| table.span(key).unwrap_or(Span(DAY * days));
    KeepSpec {
        last: count("last", 2),
        within: days("within", 30),
        daily: count("daily", 0),
        weekly: count("weekly", 0),
        monthly: count("monthly", 0),
        yearly: count("yearly", 0),
        wal: days("wal", 7),
    }
}

fn read_repository(
    place: &Value<'_>,
    table: &Table<'_>,
    paths: &Paths<'_>,
    base_dir: &Path,
) -> Option<RepositorySpec> {
    let text = place.text()?;
    let s3 = text.strip_prefix("s3://");
    if let (None, Some(value)) = (s3, table.get("s3")) {
        let hint = "write `repository = \"s3://bucket/prefix\"`, or drop `[backup.s3]`";
        value.wrong("the repository is not in S3".to_owned(), hint);
    }
    if let Some(place_in_s3) = s3 {
        return read_s3(place, place_in_s3, table, paths, base_dir).map(RepositorySpec::S3);
    }
    let path = text.strip_prefix("file://").unwrap_or(&text);
    if path.is_empty() || text.contains("://") && !text.starts_with("file://") {
        let hint = "write a directory, or `s3://bucket/prefix`";
        place.wrong(format!("not a repository: `{text}`"), hint);
        return None;
    }
    Some(RepositorySpec::Directory(paths.absolute(PathBuf::from(path))))
}

fn read_s3(
    place: &Value<'_>,
    text: &str,
    table: &Table<'_>,
    paths: &Paths<'_>,
    base_dir: &Path,
) -> Option<S3Spec> {
    let s3 = table.table("s3", &keys::BACKUP_S3);
    let endpoint = s3.text("endpoint");
    if let (Some(address), Some(value)) = (&endpoint, s3.get("endpoint"))
        && !address.starts_with("https://")
        && !address.starts_with("http://")
    {
        value.wrong(format!("not an address: `{address}`"), "write `https://host:port`");
    }
    let secret = |key| s3.get(key).and_then(|value| read_secret(value, base_dir));
    let (access_key, secret_key) = (secret("access_key"), secret("secret_key"));
    if s3.get("access_key").is_some() != s3.get("secret_key").is_some()
        && let Some(value) = s3.get("access_key").or(s3.get("secret_key"))
    {
        let hint = "give both `access_key` and `secret_key`, or neither";
        value.wrong("an access key goes with its secret".to_owned(), hint);
    }
    let (bucket, prefix) = bucket_and_prefix(place, text)?;
    Some(S3Spec {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        // A server that is not Amazon's knows its buckets by path.
        path_style: s3.flag("path_style").unwrap_or(endpoint.is_some()),
        endpoint,
        region: s3.text("region").unwrap_or_else(|| "us-east-1".to_owned()),
        ca: paths.read(&s3, "ca"),
        access_key,
        secret_key,
    })
}

fn bucket_and_prefix<'t>(place: &Value<'_>, text: &'t str) -> Option<(&'t str, &'t str)> {
    let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
    let prefix = prefix.trim_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    if bucket.is_empty() || !text.chars().all(plain) || prefix.split('/').any(|part| part == "..") {
        let hint = "write `s3://bucket/prefix`, of letters, digits, `.`, `-` and `_`";
        place.wrong(format!("not a place in S3: `s3://{text}`"), hint);
        return None;
    }
    Some((bucket, prefix))
}
