//! Who is let in, by each way in which a client may prove who it is.

use crate::rig::Site;

const WHO: &str = "select current_user";

fn denied(user: &str) -> String {
    format!("FATAL:  password authentication failed for user \"{user}\"")
}

#[test]
fn a_password_is_proved_in_every_way_and_nobody_tells_who_is_known() {
    let site = Site::start();
    let verifier = site.sql("select rolpassword from pg_authid where rolname = 'app'");
    let hash = site.sql("select 'md5' || md5('secretapp')");
    for (kind, kept) in [
        ("scram-sha-256", verifier.as_str()),
        ("scram-sha-256", "secret"),
        ("md5", "secret"),
        ("md5", verifier.as_str()),
        ("plain", verifier.as_str()),
        ("plain", hash.as_str()),
        ("plain", "secret"),
    ] {
        site.write("users.txt", &format!("\"app\" \"{kept}\"\n"));
        let pooler = site.pool("", &format!("auth_type = {kind}"));
        assert_eq!(pooler.psql("app", "secret", "postgres", WHO), "app", "{kind} {kept}");
        assert_eq!(pooler.psql("app", "wrong", "postgres", WHO), denied("app"), "{kind} {kept}");
        assert_eq!(pooler.psql("nobody", "secret", "postgres", WHO), denied("nobody"));
        let log = site.log();
        assert!(!log.contains("secret") && !log.contains(kept), "{log}");
    }
}

#[test]
fn an_md5_hash_opens_a_server_that_asks_for_md5() {
    let site = Site::start();
    site.sql("set password_encryption = md5; alter role app password 'secret'");
    let hash = site.sql("select rolpassword from pg_authid where rolname = 'app'");
    site.write("users.txt", &format!("\"app\" \"{hash}\"\n"));
    // The template's rules ask for SCRAM, which a hash cannot answer.
    let pooler = site.pool("", "auth_type = md5");
    let said = pooler.psql("app", "secret", "postgres", WHO);
    let rules = site.sql("show hba_file");
    assert!(said == "app" || said.contains("FATAL"), "{said}");
    std::fs::write(&rules, "host all all 127.0.0.1/32 md5\n").expect("written");
    site.sql("select pg_reload_conf()");
    howdah_testkit::wait::until(
        "the hash is taken",
        crate::rig::WITHIN,
        || (pooler.psql("app", "secret", "postgres", WHO) == "app").then_some(()),
        || site.log(),
    );
}

#[test]
fn trust_asks_for_a_known_name_and_any_for_none() {
    let site = Site::start();
    {
        let pooler = site.pool("", "auth_type = trust");
        assert_eq!(pooler.psql("app", "", "postgres", WHO), "app");
        assert_eq!(pooler.psql("nobody", "", "postgres", WHO), denied("nobody"));
    }
    let forced = "forced = HOST dbname=postgres user=app password=secret";
    let pooler = site.pool(forced, "auth_type = any");
    assert_eq!(pooler.psql("whoever", "", "forced", WHO), "app");
}

#[test]
fn rules_judge_by_the_way_and_the_address() {
    let site = Site::start();
    site.write(
        "hba.conf",
        "# who from where\nlocal all all trust\nhost all postgres all reject\n\
         host postgres all 127.0.0.1/32 scram-sha-256\n",
    );
    let file = site.path("hba.conf").display().to_string();
    let lines = format!("auth_type = hba\nauth_hba_file = {file}");
    let pooler = site.pool("other = HOST dbname=postgres", &lines);
    let sockets = site.scratch.path().display().to_string();
    assert_eq!(pooler.psql_at(&sockets, "app", "", "other", WHO), "app");
    assert_eq!(pooler.psql("app", "secret", "postgres", WHO), "app");
    assert_eq!(pooler.psql("app", "wrong", "postgres", WHO), denied("app"));
    let rejected = "FATAL:  pg_hba.conf rejects connection for host \"127.0.0.1\", user \"postgres\", \
                    database \"postgres\", no encryption";
    assert_eq!(pooler.psql("postgres", "test", "postgres", WHO), rejected);
    let no_rule = "FATAL:  no pg_hba.conf entry for host \"127.0.0.1\", user \"app\", \
                   database \"other\", no encryption";
    assert_eq!(pooler.psql("app", "secret", "other", WHO), no_rule);
}

#[test]
fn roles_that_no_list_has_are_asked_of_their_server() {
    let site = Site::start();
    site.sql("create role old login password 'secret' valid until '2020-01-01'");
    site.sql("create role idle password 'secret'");
    site.write("users.txt", "\"postgres\" \"test\"\n");
    let pooler = site.pool("", "auth_type = scram-sha-256\nauth_user = postgres");
    assert_eq!(pooler.psql("app", "secret", "postgres", WHO), "app");
    for (user, password) in [("app", "wrong"), ("old", "secret"), ("idle", "secret"), ("x", "x")] {
        assert_eq!(pooler.psql(user, password, "postgres", WHO), denied(user));
    }
    // Made a moment ago.
    site.sql("create role young login password 'secret'");
    assert_eq!(pooler.psql("young", "secret", "postgres", WHO), "young");
}

/// CVE-2025-12819: a client's search_path led the query to an operator of its own.
#[test]
fn nothing_of_a_client_reaches_the_query_about_it() {
    let site = Site::start();
    site.sql("create schema trap");
    site.sql("grant all on schema trap to app");
    site.sql("create table public.seen(who text); grant all on public.seen to public");
    site.sql(
        "create function trap.lower(text) returns text language plpgsql as \
         $$ begin insert into public.seen values (current_user); return $1; end $$",
    );
    site.write("users.txt", "\"postgres\" \"test\"\n");
    let query = "select rolname, rolpassword from pg_authid where lower(rolname) = lower($1)";
    let lines = format!("auth_type = scram-sha-256\nauth_user = postgres\nauth_query = {query}");
    let pooler = site.pool("", &lines);
    let conninfo =
        "host=127.0.0.1 user=app dbname=postgres options='-c search_path=trap,pg_catalog'";
    assert_eq!(pooler.psql_to(conninfo, "secret", "show search_path"), "trap,pg_catalog");
    assert_eq!(site.sql("select count(*) from public.seen"), "0");
}

#[test]
fn a_server_that_has_come_back_is_asked_again() {
    let mut site = Site::start();
    site.write("users.txt", "\"postgres\" \"test\"\n");
    {
        let pooler = site.pool("", "auth_type = scram-sha-256\nauth_user = postgres");
        assert_eq!(pooler.psql("app", "secret", "postgres", WHO), "app");
    }
    site.pg.kill9();
    site.pg.start();
    let pooler = site.pool("", "auth_type = scram-sha-256\nauth_user = postgres");
    assert_eq!(pooler.psql("app", "secret", "postgres", WHO), "app");
}

#[test]
fn roles_are_asked_for_by_the_query_and_in_the_database_that_are_named() {
    let site = Site::start();
    site.sql("create database lists");
    site.write("users.txt", "\"postgres\" \"test\"\n");
    let base = "auth_type = scram-sha-256\nauth_user = postgres\n";
    let query = "auth_query = select rolname, rolpassword from pg_authid where rolname = $1 \
                 and current_database() = 'lists'";
    for (lines, in_it) in [("auth_dbname = lists", true), ("", false)] {
        let pooler = site.pool("lists = HOST", &format!("{base}{query}\n{lines}"));
        let said = pooler.psql("app", "secret", "postgres", WHO);
        let wanted = if in_it { "app".to_owned() } else { denied("app") };
        assert_eq!(said, wanted, "{lines}");
    }
}
