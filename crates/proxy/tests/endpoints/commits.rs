//! A commit that no standby has confirmed is no success.

use howdah_proxy::Endpoint::Rw;

use crate::pg::Pg;
use crate::pooled::{direct, pooled_with, value};
use crate::rig::{Tls, connect, ruled, until};

#[tokio::test]
async fn a_commit_whose_wait_was_cancelled_is_an_error_and_the_client_stays() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let strict = |config: &mut howdah_proxy::ProxyConfig| {
        config.policy = ruled(|policy| policy.pool.unsure_commit_fails = true);
    };
    let node = pooled_with(&pg, &tls, strict).await;
    let control = direct(&pg).await;
    value(&control, "create table kept (id int)").await;
    value(&control, "alter system set synchronous_standby_names = 'nobody'").await;
    value(&control, "select pg_reload_conf()").await;
    let client = connect(node.address(Rw)).await.expect("let in");
    let cancel = async || {
        let sql = "select count(pg_cancel_backend(pid)) from pg_stat_activity \
                   where wait_event = 'SyncRep'";
        until("a commit waits for a standby", async || {
            let there = value(&control, sql).await;
            if there == "1" { Ok(()) } else { Err(there) }
        })
        .await;
    };
    for sql in ["insert into kept values (1)", "begin; insert into kept values (2); commit"] {
        let (said, ()) = tokio::join!(client.simple_query(sql), cancel());
        let error = said.expect_err("no success");
        assert_eq!(error.code().map(|code| code.code()), Some("40003"), "{sql}: {error:?}");
    }
    let insert = "insert into kept values ($1)";
    let (said, ()) = tokio::join!(client.execute(insert, &[&3_i32]), cancel());
    let error = said.expect_err("no success");
    assert_eq!(error.code().map(|code| code.code()), Some("40003"), "{error:?}");
    assert_eq!(value(&client, "select count(*) from kept").await, "3");
    value(&control, "alter system reset synchronous_standby_names").await;
    value(&control, "select pg_reload_conf()").await;
}
