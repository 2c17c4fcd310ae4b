//! Where the stories play: a folder of its own, or a server of its own.

use std::time::Duration;

use howdah_base::Redacted;
use howdah_repo::storage::{Limits, S3Options};
use howdah_repo::{
    KeySource, Lineage, LineageAbout, Repository, Storage, StorageOptions, name::LineageId,
};
use howdah_testkit::S3Server;
use tempfile::TempDir;

/// A place to keep a repository in; gone with the test.
pub enum Place {
    Directory(TempDir),
    S3(Box<S3Server>),
}

impl Place {
    pub fn directory() -> Place {
        Place::Directory(tempfile::tempdir().expect("a folder"))
    }

    pub fn s3() -> Place {
        Place::S3(Box::new(S3Server::start()))
    }

    pub fn options(&self) -> StorageOptions {
        match self {
            Place::Directory(folder) => {
                let path = folder.path().join("repository");
                let address = path.to_str().expect("UTF-8").parse().expect("an address");
                StorageOptions { limits: patient(), ..StorageOptions::at(address) }
            }
            Place::S3(server) => s3_options(server),
        }
    }

    pub fn storage(&self) -> Storage {
        Storage::open(&self.options()).expect("opens")
    }
}

/// Whoever tests on a machine that is busy waits longer than a failure would take.
fn patient() -> Limits {
    Limits { attempt: Duration::from_secs(30), ..Limits::default() }
}

pub fn s3_options(server: &S3Server) -> StorageOptions {
    let address = format!("s3://{}/deep/er", S3Server::BUCKET).parse().expect("an address");
    let key = |text: &str| Some(Redacted::new(text.to_owned()));
    let s3 = S3Options {
        endpoint: Some(server.endpoint()),
        region: Some("us-east-1".to_owned()),
        path_style: true,
        allow_http: server.endpoint().starts_with("http:"),
        access_key: key("AKIATEST"),
        secret_key: key("not-a-secret"),
        ..S3Options::default()
    };
    StorageOptions { s3, limits: patient(), ..StorageOptions::at(address) }
}

/// A repository with a key of its own, and a lineage in it.
pub async fn lineage(place: &Place) -> Lineage {
    let storage = place.storage();
    let key = KeySource::Command(vec!["echo".to_owned(), "5a".repeat(32)]);
    let repository = Repository::create(storage, &key, 0xc0ffee, 1).await.expect("made");
    let about = LineageAbout {
        cluster: "demo".to_owned(),
        system_identifier: 7_000_000_000_000_000_001,
        segment_bytes: 16 << 20,
        parent: None,
        created_ms: 2,
    };
    repository.begin_lineage(LineageId(0xabc), &about).await.expect("begun")
}
