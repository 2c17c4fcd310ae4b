//! A run of the schedule is begun by one, and how it ended is said once.

use howdah_repo::runs::{Begun, Ended, Run};
use howdah_repo::{Put, RepoError};

use crate::places::{Place, lineage};

fn begun(node: &str) -> Begun {
    Begun { task: "backup".to_owned(), node: node.to_owned(), begun_ms: 5, due_ms: 4 }
}

fn ended(outcome: &str) -> Ended {
    Ended { ended_ms: 9, outcome: outcome.to_owned(), ..Ended::default() }
}

async fn is_begun_once_and_ended_once(place: Place) {
    let lineage = lineage(&place).await;
    assert_eq!(lineage.runs().await.expect("listed"), []);
    lineage.begin_run(1, &begun("n1")).await.expect("begun");
    let taken = lineage.begin_run(1, &begun("n1")).await.expect_err("begun already");
    assert!(matches!(taken, RepoError::Taken { .. }), "{taken}");
    lineage.begin_run(2, &begun("n2")).await.expect("begun");
    assert_eq!(lineage.end_run(1, &ended("done")).await.expect("ended"), Put::New);
    assert_eq!(lineage.end_run(1, &ended("failed")).await.expect("asked"), Put::Other);
    assert_eq!(lineage.runs().await.expect("listed"), [(1, true), (2, false)]);
    let first = Run { number: 1, begun: begun("n1"), ended: Some(ended("done")) };
    assert_eq!(lineage.get_run(1, true).await.expect("read"), first);
    lineage.forget_run(1).await.expect("forgotten");
    assert_eq!(lineage.runs().await.expect("listed"), [(2, false)]);
    assert!(lineage.get_run(1, true).await.expect_err("gone").is_absent());
}

#[tokio::test]
async fn in_a_directory_a_run_is_begun_once_and_ended_once() {
    is_begun_once_and_ended_once(Place::directory()).await;
}

#[tokio::test]
async fn in_s3_a_run_is_begun_once_and_ended_once() {
    is_begun_once_and_ended_once(Place::s3()).await;
}
