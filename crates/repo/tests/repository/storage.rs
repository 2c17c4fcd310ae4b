//! What every storage promises: nothing is overwritten, and absent is not the same as away.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bytes::Bytes;
use howdah_repo::name::{LineageId, Name};
use howdah_repo::storage::{Created, Limits};
use howdah_repo::{KeySource, RepoError, Repository, Storage};
use howdah_testkit::S3Server;

use crate::places::{Place, s3_options};

const LINEAGE: LineageId = LineageId(1);

/// The contract, in one story.
async fn keeps_what_it_is_given(storage: Storage) {
    let (one, other) = (LINEAGE.config(1), LINEAGE.config(2));
    // Until there is a repository, nothing is believed to be absent.
    assert!(storage.get(&Name::marker()).await.expect_err("empty").is_absent());
    let error = storage.get(&one).await.expect_err("no repository");
    assert!(matches!(error, RepoError::Trouble { .. }), "{error}");
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    assert_eq!(storage.create(&Name::marker(), text("{}")).await.expect("new"), Created::New);

    assert!(storage.get(&one).await.expect_err("absent").is_absent());
    assert!(!storage.exists(&one).await.expect("answers"));
    assert_eq!(storage.create(&one, text("first")).await.expect("new"), Created::New);
    assert_eq!(storage.create(&one, text("second")).await.expect("told"), Created::Exists);
    assert_eq!(storage.get(&one).await.expect("read"), "first");
    assert_eq!(storage.get_range(&one, 1..3).await.expect("read"), "ir");
    let error = storage.get_range(&one, 3..9).await.expect_err("too short");
    assert!(matches!(error, RepoError::Damaged { .. }), "{error}");
    assert_eq!(storage.head(&one).await.expect("there"), 5);
    assert_eq!(storage.create(&other, Bytes::new()).await.expect("new"), Created::New);
    assert_eq!(storage.get(&other).await.expect("read"), "");

    let names = |listed: Vec<howdah_repo::storage::Listed>| -> Vec<String> {
        listed.into_iter().map(|object| object.name).collect()
    };
    let all = vec![one.to_string(), other.to_string()];
    assert_eq!(names(storage.list(&LINEAGE.configs(), None).await.expect("listed")), all);
    let later = storage.list(&LINEAGE.configs(), Some(one.as_str())).await.expect("listed");
    assert_eq!(names(later), all[1..]);
    assert_eq!(names(storage.files("").await.expect("listed")), ["howdah-repository.json"]);
    assert_eq!(storage.folders("").await.expect("listed"), [LINEAGE.to_string()]);
    assert_eq!(storage.list("none", None).await.expect("listed"), []);

    storage.delete(&one).await.expect("removed");
    storage.delete(&one).await.expect("is gone already");
    assert!(storage.get(&one).await.expect_err("absent").is_absent());
    storage.delete(&other).await.expect("removed");
    assert_eq!(storage.folders("").await.expect("listed"), [] as [&str; 0]);
}

#[tokio::test]
async fn a_directory_keeps_what_it_is_given() {
    let place = Place::directory();
    keeps_what_it_is_given(place.storage()).await;
}

#[tokio::test]
async fn s3_keeps_what_it_is_given() {
    let place = Place::s3();
    keeps_what_it_is_given(place.storage()).await;
}

/// Of many writers of one name, one is told that it wrote it.
async fn one_writer_wins(storage: Storage) {
    storage.create(&Name::marker(), Bytes::from_static(b"{}")).await.expect("new");
    let writers = (0..8_u8).map(|number| {
        let storage = storage.clone();
        tokio::spawn(async move {
            let content = Bytes::from(vec![number; 100_000]);
            let created = storage.create(&LINEAGE.config(7), content).await.expect("answers");
            (number, created)
        })
    });
    let mut won = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        let (number, created) = writer.await.expect("ends");
        if created == Created::New {
            won.push(number);
        }
    }
    let kept = storage.get(&LINEAGE.config(7)).await.expect("read");
    assert_eq!(won, [kept[0]]);
    assert!(kept.iter().all(|byte| *byte == kept[0]) && kept.len() == 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_writers_to_a_directory_wins() {
    let place = Place::directory();
    one_writer_wins(place.storage()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_writers_to_s3_wins() {
    let place = Place::s3();
    one_writer_wins(place.storage()).await;
}

#[tokio::test]
async fn a_directory_is_its_owners_alone_and_holds_no_remains() {
    let place = Place::directory();
    let storage = place.storage();
    storage.create(&Name::marker(), Bytes::from_static(b"{}")).await.expect("new");
    storage.create(&LINEAGE.config(1), Bytes::from_static(b"x")).await.expect("new");
    storage.create(&LINEAGE.config(1), Bytes::from_static(b"y")).await.expect("told");
    let Place::Directory(folder) = &place else { return };
    let folder = folder.path().join("repository").join(LINEAGE.configs());
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    };
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("0000000000000001")), 0o600);
    assert_eq!(std::fs::read_dir(&folder).expect("readable").count(), 1);
}

#[tokio::test]
async fn what_an_interrupted_write_left_is_not_listed_and_is_swept() {
    let place = Place::directory();
    let storage = place.storage();
    storage.create(&Name::marker(), Bytes::from_static(b"{}")).await.expect("new");
    storage.create(&LINEAGE.config(1), Bytes::from_static(b"x")).await.expect("new");
    let Place::Directory(folder) = &place else { return };
    let left = folder.path().join("repository").join(LINEAGE.configs()).join(".new-0123");
    std::fs::write(&left, "half").expect("left");
    assert_eq!(storage.list(&LINEAGE.configs(), None).await.expect("listed").len(), 1);
    assert_eq!(storage.sweep(0).await.expect("swept"), 0, "it may still be written");
    assert_eq!(storage.sweep(i64::MAX).await.expect("swept"), 1);
    assert!(!left.exists());
    assert_eq!(storage.get(&LINEAGE.config(1)).await.expect("read"), "x");
}

#[tokio::test]
async fn a_directory_that_is_gone_is_away_and_not_empty() {
    let place = Place::directory();
    let storage = place.storage();
    storage.create(&Name::marker(), Bytes::from_static(b"{}")).await.expect("new");
    let Place::Directory(folder) = &place else { return };
    let root = folder.path().join("repository");
    std::fs::rename(&root, folder.path().join("elsewhere")).expect("unmounted");
    std::fs::create_dir(&root).expect("a mount point");
    for error in [
        storage.get(&LINEAGE.config(1)).await.expect_err("away"),
        storage.exists(&LINEAGE.config(1)).await.expect_err("away"),
        storage.list(&LINEAGE.wal(), None).await.expect_err("away"),
        storage.folders("").await.expect_err("away"),
        // It would lie below what is to be mounted there, and count as kept.
        storage.create(&LINEAGE.config(1), Bytes::from_static(b"x")).await.expect_err("away"),
    ] {
        assert!(matches!(error, RepoError::Trouble { .. }), "{error}");
    }
    assert_eq!(std::fs::read_dir(&root).expect("readable").count(), 0, "nothing was written");
}

#[tokio::test]
async fn a_bucket_that_is_gone_is_away_and_not_empty() {
    let place = Place::s3();
    let storage = place.storage();
    storage.create(&Name::marker(), Bytes::from_static(b"{}")).await.expect("new");
    let Place::S3(server) = &place else { return };
    assert!(server.forget_everything());
    for error in [
        storage.get(&LINEAGE.config(1)).await.expect_err("away"),
        storage.get(&Name::marker()).await.expect_err("away"),
        storage.exists(&LINEAGE.config(1)).await.expect_err("away"),
        storage.list(&LINEAGE.wal(), None).await.expect_err("away"),
        storage.create(&LINEAGE.config(1), Bytes::new()).await.expect_err("away"),
    ] {
        assert!(matches!(error, RepoError::Trouble { .. }), "{error}");
    }
}

#[tokio::test]
async fn s3_that_does_not_answer_is_trouble_in_bounded_time() {
    let server = S3Server::start();
    let mut options = s3_options(&server);
    let patient = Storage::open(&options).expect("opens");
    patient.create(&Name::marker(), Bytes::from_static(b"{}")).await.expect("new");
    let second = Duration::from_millis(300);
    options.limits = Limits { attempt: second, attempts_max: 3, backoff: second / 10 };
    let hasty = Storage::open(&options).expect("opens");
    server.freeze();
    let error = hasty.head(&LINEAGE.config(1)).await.expect_err("frozen").to_string();
    assert!(error.contains("no answer within 300 ms"), "{error}");
    assert!(error.contains("s3://backups/deep/er") && !error.contains("not-a-secret"), "{error}");
    server.thaw();
    assert!(patient.head(&LINEAGE.config(1)).await.expect_err("answers").is_absent());
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_known_for_ours() {
    let server = S3Server::start();
    let mut options = s3_options(&server);
    // The server is frozen while the first attempt waits for it, and answers a later one.
    options.limits =
        Limits { attempt: Duration::from_secs(1), attempts_max: 30, backoff: Duration::ZERO };
    let storage = Storage::open(&options).expect("opens");
    storage.create(&Name::marker(), Bytes::from_static(b"{}")).await.expect("new");
    server.freeze();
    let name = LINEAGE.config(1);
    let write = storage.create(&name, Bytes::from_static(b"ours"));
    let thaw = async {
        // Longer than an attempt: the first has been given up, and is carried out nevertheless.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        server.thaw();
    };
    let (created, ()) = tokio::join!(write, thaw);
    assert_eq!(created.expect("answers"), Created::New);
    assert_eq!(storage.get(&LINEAGE.config(1)).await.expect("read"), "ours");
}

#[tokio::test]
async fn tls_is_trusted_by_the_file_that_is_named_and_by_no_other() {
    let server = S3Server::start_with_tls();
    let mut options = s3_options(&server);
    options.limits = Limits { attempts_max: 1, ..options.limits };
    let strange = Storage::open(&options).expect("opens");
    let error = strange.head(&Name::marker()).await.expect_err("strange").to_string();
    assert!(!error.contains("bucket"), "{error}");
    options.s3.ca_file = Some(server.certificate());
    let trusted = Storage::open(&options).expect("opens");
    let error = trusted.get(&Name::marker()).await.expect_err("no bucket").to_string();
    assert!(error.contains("there is no such bucket"), "{error}");
}

#[tokio::test]
async fn a_repository_is_made_once_and_opened_with_its_key_only() {
    let place = Place::directory();
    let key = |byte: &str| KeySource::Command(vec!["echo".to_owned(), byte.repeat(32)]);
    let absent = Repository::open(place.storage(), &key("01")).await.expect_err("none yet");
    assert!(absent.is_absent(), "{absent}");
    let made = Repository::create(place.storage(), &key("01"), 5, 0).await.expect("made");
    assert_eq!(made.id(), "00000000000000000000000000000005");
    let again = Repository::create(place.storage(), &key("01"), 6, 0).await.expect_err("twice");
    assert!(matches!(again, RepoError::Taken { .. }), "{again}");
    Repository::open(place.storage(), &key("01")).await.expect("opens");
    for wrong in [key("02"), KeySource::None] {
        let error = Repository::open(place.storage(), &wrong).await.expect_err("wrong");
        assert!(matches!(error, RepoError::Key { .. }), "{error}");
    }
    let Place::Directory(folder) = &place else { return };
    let path = folder.path().join("key");
    let error = Repository::make_key_file(&place.storage(), &path).await.expect_err("exists");
    assert!(matches!(error, RepoError::Taken { .. }) && !path.exists(), "{error}");
    // Without its file it is not taken for an empty place.
    made.storage().create(&Name::lease(1), Bytes::new()).await.expect("new");
    std::fs::remove_file(folder.path().join("repository/howdah-repository.json")).expect("lost");
    let error = Repository::create(place.storage(), &key("01"), 6, 0).await.expect_err("remains");
    assert!(matches!(error, RepoError::Refused { .. }), "{error}");
    let error = Repository::make_key_file(&place.storage(), &path).await.expect_err("remains");
    assert!(matches!(error, RepoError::Refused { .. }) && !path.exists(), "{error}");
}
