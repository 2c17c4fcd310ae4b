//! Keys that say how many, each by its effect.

use crate::rig::{Site, WITHIN, run, value};
use howdah_testkit::wait;

const BASE: &str = "auth_type = scram-sha-256\npool_mode = transaction\n";
const LATE: &str = "no server became free in time";

#[test]
fn servers_are_there_before_they_are_asked_for() {
    let site = Site::start();
    run(async {
        let pooler = site.pool("", &format!("{BASE}default_pool_size = 4\nmin_pool_size = 3"));
        let client = pooler.connect("postgres").await;
        value(&client, "select 1").await.expect("served");
        let there = "select count(*) from pg_stat_activity where usename = 'app'";
        let seen = || (site.sql(there) == "3").then_some(());
        wait::until("three are kept", WITHIN, seen, || site.sql(there));
    });
}

#[test]
fn a_reserve_is_for_those_who_have_waited() {
    let site = Site::start();
    run(async {
        let sizes = "default_pool_size = 1\nreserve_pool_size = 1\n";
        for (times, served) in [
            ("reserve_pool_timeout = 1\nquery_wait_timeout = 25", true),
            ("reserve_pool_timeout = 60\nquery_wait_timeout = 1", false),
        ] {
            let pooler = site.pool("", &format!("{BASE}{sizes}{times}"));
            let (one, two) = (pooler.connect("postgres").await, pooler.connect("postgres").await);
            value(&one, "begin; select 1").await.expect("begun");
            let said = value(&two, "select 7").await;
            let wanted = if served { Ok("7".to_owned()) } else { Err(LATE.to_owned()) };
            assert_eq!(said, wanted, "{times}");
        }
    });
}

/// Each in front of pools that would have room.
#[test]
fn limits_hold_over_pools() {
    let site = Site::start();
    run(async {
        let databases = "other = HOST dbname=postgres\nforced = HOST dbname=postgres user=postgres \
                         password=test";
        for (limit, first, second) in [
            ("max_db_connections = 1", "postgres", "postgres"),
            ("max_user_connections = 1", "postgres", "other"),
        ] {
            let lines = format!("{BASE}query_wait_timeout = 1\n{limit}");
            let pooler = site.pool(databases, &lines);
            let (one, two) = (pooler.connect(first).await, pooler.connect(second).await);
            let free = pooler.connect("forced").await;
            value(&one, "begin; select 1").await.expect("begun");
            assert_eq!(value(&two, "select 1").await, Err(LATE.to_owned()), "{limit}");
            assert_eq!(value(&free, "select 2").await.as_deref(), Ok("2"), "{limit}");
        }
        for (limit, first, second, why) in [
            ("max_db_client_connections = 1", "other", "other", "of database \"other\""),
            ("max_user_client_connections = 1", "other", "postgres", "of role \"app\""),
        ] {
            let pooler = site.pool(databases, &format!("{BASE}{limit}"));
            let _one = pooler.connect(first).await;
            let said = pooler.try_connect(second).await.expect_err(limit);
            assert_eq!(said, format!("too many clients {why}"));
        }
    });
}
