//! Bytes of nobody's client, thousands of them, and a process that stays as small as it was.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use howdah_testkit::wait;

use crate::rig::{Pooler, Site, WITHIN, run, value};
use crate::talk::{Talk, message, packet, startup};

const SCRAM: &str = "auth_type = scram-sha-256\npool_mode = transaction\n";
const SSL: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSS: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

fn here(site: &Site) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, site.port).into()
}

/// Resident memory, kB.
fn memory(pooler: &Pooler<'_>) -> u64 {
    let status =
        fs::read_to_string(format!("/proc/{}/status", pooler.child.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn heard(site: &Site, said: &[u8]) -> String {
    let mut talk = Talk::to(here(site));
    talk.say(said);
    talk.hear()
}

#[test]
fn a_first_packet_that_is_none_is_answered_as_postgresql_answers_it() {
    let site = Site::start();
    let pooler = site.pool("", &format!("{SCRAM}client_login_timeout = 5"));
    let layout =
        "[FATAL 08P01 invalid startup packet layout: expected terminator as last byte] end";
    let version = "[FATAL 0A000 unsupported frontend protocol 4.0: server supports 3.0 to 3.2] end";
    let nobody = "[FATAL 28000 no PostgreSQL user name specified in startup packet] end";
    let replication = "[FATAL 0A000 replication does not go through this pooler] end";
    let behind =
        |what: &str| format!("[FATAL 08P01 received unencrypted data after {what} request] end");
    let first = startup("user|app|database|postgres||");
    for (said, answer) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "end".to_owned()),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(), "end".to_owned()),
        (0x7fff_ffff_u32.to_be_bytes().to_vec(), "end".to_owned()),
        (u32::MAX.to_be_bytes().to_vec(), "end".to_owned()),
        (3_u32.to_be_bytes().to_vec(), "end".to_owned()),
        (vec![0; 64], "end".to_owned()),
        (packet(b"\0\x04\0\0user\0app\0\0"), version.to_owned()),
        (startup("user|app"), layout.to_owned()),
        (startup("database|postgres||"), nobody.to_owned()),
        (startup("user|app|replication|true||"), replication.to_owned()),
        (startup("user|app|replication|database||"), replication.to_owned()),
        ([&SSL[..], &first].concat(), behind("SSL")),
        ([&GSS[..], &first].concat(), behind("GSSAPI encryption")),
        (
            startup(&format!("user|app|options|{}||", "x".repeat(9_900))),
            "[FATAL 08P01 unsupported startup parameter: options] end".to_owned(),
        ),
    ] {
        assert_eq!(heard(&site, &said), answer, "{}", said[..said.len().min(60)].escape_ascii());
    }
    assert_eq!(pooler.psql("app", "secret", "postgres", "select 1"), "1");
}

#[test]
fn sql_in_a_first_packet_is_carried_out_by_nobody() {
    let site = Site::start();
    site.sql("create table victim(a int); grant all on victim to app");
    site.write("users.txt", "\"postgres\" \"test\"\n");
    let pooler = site.pool("* = HOST", &format!("{SCRAM}auth_user = postgres"));
    let sql = "x'); drop table victim; --";
    for (conninfo, password) in [
        (format!("user='{}' dbname=postgres", sql.replace('\'', "\\'")), "x"),
        (format!("user=app dbname='{}'", sql.replace('\'', "\\'")), "secret"),
        (format!("user=app dbname=postgres application_name='{}'", sql.replace('\'', "\\'")), "secret"),
        ("user=app dbname=postgres options='-c search_path=x\\');\\\\ drop\\\\ table\\\\ victim;--'".to_owned(), "secret"),
        ("user=app dbname=postgres options='-c x\\');drop\\\\ table\\\\ victim;--=1'".to_owned(), "secret"),
    ] {
        pooler.psql_to(&format!("host=127.0.0.1 {conninfo}"), password, "select 1");
        assert_eq!(site.sql("select count(*) from victim"), "0", "{conninfo}");
    }
    assert_eq!(pooler.psql("app", "secret", "postgres", "select count(*) from victim"), "0");
}

#[test]
fn what_is_no_answer_and_what_is_no_message_ends_a_session_and_no_other() {
    let site = Site::start();
    let first = startup("user|app|database|postgres||");
    for kind in ["scram-sha-256", "md5", "plain"] {
        let pooler = site.pool("", &format!("auth_type = {kind}"));
        for said in [message(b'Q', b"select 1\0"), vec![b'p', 0x7f, 0xff, 0xff, 0xff], vec![0; 30]]
        {
            let mut talk = Talk::to(here(&site));
            talk.say(&first);
            assert_eq!(talk.hear(), "R");
            talk.say(&said);
            let heard = talk.hear();
            assert!(
                heard.starts_with("[FATAL 08P01 ") && heard.ends_with(" end"),
                "{kind}: {heard}"
            );
        }
        assert_eq!(pooler.psql("app", "secret", "postgres", "select 1"), "1");
    }
    let pooler = site.pool("", "auth_type = trust\npool_mode = transaction");
    for said in [
        &b"Q\x7f\xff\xff\xff"[..],
        b"Q\0\0\0\0",
        b"\0\0\0\0\0",
        b"z\0\0\0\x04",
        b"P\xff\xff\xff\xff",
    ] {
        let mut talk = Talk::session(here(&site), "app", "postgres");
        talk.say(said);
        let heard = talk.hear();
        assert!(heard.starts_with("[FATAL 08P01 "), "{}: {heard}", said.escape_ascii());
    }
    assert_eq!(pooler.psql("app", "", "postgres", "select 1"), "1");
}

#[test]
fn thousands_who_mean_no_good_leave_no_memory_behind_and_stop_nobody() {
    const SILENT: usize = 2_000;
    const BAD: usize = 3_000;
    let site = Site::start();
    run(async {
        let pooler = site.pool("", &format!("{SCRAM}max_client_conn = 20"));
        let good = pooler.connect("postgres").await;
        value(&good, "select 1").await.expect("served");
        let storm = || {
            let mut silent = Vec::new();
            for number in 0..SILENT {
                let mut talk = Talk::to(here(&site));
                talk.say(&startup("user|app|database|postgres||")[..number % 20]);
                silent.push(talk);
            }
            for number in 0..BAD {
                // Somebody who is known or not, and who answers with something or nothing.
                let user = ["app", "nobody"][number % 2];
                let mut talk = Talk::to(here(&site));
                talk.say(&startup(&format!("user|{user}|database|{number}||")));
                talk.say(&message(b'p', b"SCRAM-SHA-256\0\0\0\0\x03n,,"));
                if number % 3 == 0 {
                    assert!(talk.hear().starts_with('R'));
                }
            }
        };
        storm();
        let first = memory(&pooler);
        for _ in 0..2 {
            storm();
            let comes = pooler.connect("postgres").await;
            assert_eq!(value(&comes, "select 2").await.as_deref(), Ok("2"));
            assert_eq!(value(&good, "select 3").await.as_deref(), Ok("3"));
        }
        // What a storm leaves, the next one finds there.
        let grown = || {
            let now = memory(&pooler);
            (now < first + 32 * 1024).then_some(())
        };
        wait::until("it is no bigger", WITHIN, grown, || format!("{first} {}", memory(&pooler)));
        let lines = site.log().lines().filter(|line| line.contains("not let in")).count();
        assert!(lines < 3 * BAD, "{lines} lines");
    });
}
