//! Plans made true on a real server: they work, and a second plan is empty.

use std::collections::{BTreeMap, BTreeSet};

use howdah_base::Redacted;
use tokio_postgres::Config;

use super::scratch::Server;
use crate::access::scram::fresh_salt;
use crate::access::{AccessError, Change, Wanted, WantedDatabase, WantedRole, apply, plan, read};

#[tokio::test]
async fn a_file_is_made_true_and_the_second_plan_is_empty() {
    let server = Server::start().await;
    let wanted = file("hunter2");
    make_true(&server, &wanted).await;
    assert_eq!(planned(&server, &wanted).await, []);

    let mut app = server.config_of("app", "shop");
    let app = server.connect(app.password("hunter2")).await.expect("logs in");
    app.batch_execute("CREATE TABLE t (a citext); INSERT INTO t VALUES ('x')")
        .await
        .expect("the owner may create in public");
    let path = app.query_one("SHOW search_path", &[]).await.expect("setting");
    assert_eq!(path.get::<_, &str>(0), "\"$user\", public, app");

    let mut reader = server.config_of("reader", "shop");
    let reader = server.connect(reader.password("read only")).await.expect("logs in");
    assert_eq!(reader.query("SELECT * FROM t", &[]).await.expect("reads").len(), 1);
    assert!(reader.batch_execute("INSERT INTO t VALUES ('y')").await.is_err());
}

#[tokio::test]
async fn a_changed_file_changes_only_what_differs() {
    let server = Server::start().await;
    make_true(&server, &file("hunter2")).await;
    let mut wanted = file("hunter3");
    wanted.roles[0].settings.insert("work_mem".to_owned(), "8MB".to_owned());
    wanted.databases[0].owner = Some("boss".to_owned());
    wanted.databases[0].settings.clear();
    let shown: Vec<_> = planned(&server, &wanted).await.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            r#"ALTER ROLE "app" PASSWORD '***'"#,
            r#"ALTER ROLE "app" SET "work_mem" TO '8MB'"#,
            r#"ALTER DATABASE "shop" OWNER TO "boss""#,
            r#"ALTER DATABASE "shop" RESET "timezone""#,
        ]
    );
    make_true(&server, &wanted).await;
    assert_eq!(planned(&server, &wanted).await, []);
    assert!(logs_in(&server, "hunter3").await);
    assert!(!logs_in(&server, "hunter2").await);
}

/// As after a minor update of PostgreSQL's packages, which brings a newer version of its script.
#[tokio::test]
async fn an_extension_of_an_older_version_is_updated() {
    let server = Server::start().await;
    let wanted = file("hunter2");
    make_true(&server, &wanted).await;
    let shop = server.connect(&server.config_of("postgres", "shop")).await.expect("connects");
    let older = "DROP EXTENSION citext; CREATE EXTENSION citext VERSION '1.4'";
    shop.batch_execute(older).await.expect("its scripts are there");
    let shown: Vec<_> = planned(&server, &wanted).await.iter().map(ToString::to_string).collect();
    assert_eq!(shown, [r#"in shop: ALTER EXTENSION "citext" UPDATE"#]);
    make_true(&server, &wanted).await;
    assert_eq!(planned(&server, &wanted).await, []);
}

#[tokio::test]
async fn what_is_not_in_the_file_is_left_alone() {
    let server = Server::start().await;
    let admin = server.connect(&server.config()).await.expect("connects");
    admin
        .batch_execute("CREATE ROLE stranger SUPERUSER; ALTER ROLE stranger SET jit = off")
        .await
        .expect("role");
    admin.batch_execute("CREATE DATABASE theirs OWNER stranger").await.expect("database");
    make_true(&server, &file("hunter2")).await;
    let current = read(&server.config(), &Wanted::default()).await.expect("reads");
    let stranger = &current.roles["stranger"];
    assert!(stranger.rights.superuser);
    assert_eq!(stranger.settings["jit"], "off");
    assert_eq!(current.databases["theirs"].owner, "stranger");
}

#[tokio::test]
async fn neither_password_nor_verifier_is_in_the_servers_log() {
    let server = Server::start().await;
    make_true(&server, &file("hunter2")).await;
    let log = server.log();
    assert!(log.contains("CREATE ROLE \"app\""), "statements are logged: {log}");
    assert!(!log.contains("hunter2") && !log.contains("SCRAM-SHA-256$"), "{log}");
}

#[tokio::test]
async fn postgresqls_own_verifiers_are_understood() {
    let server = Server::start().await;
    let admin = server.connect(&server.config()).await.expect("connects");
    // With characters that SASLprep maps: a soft hyphen and a non-breaking space.
    let password = "p\u{ad}ä\u{a0}ss";
    let sql = format!("CREATE ROLE app LOGIN PASSWORD '{password}'");
    admin.batch_execute(&sql).await.expect("role");
    let role =
        WantedRole { password: Some(Redacted::new(password.to_owned())), ..WantedRole::app("app") };
    let wanted = Wanted { roles: vec![role], databases: Vec::new() };
    assert_eq!(planned(&server, &wanted).await, []);
}

#[tokio::test]
async fn a_refused_change_is_named_and_the_rest_is_planned_again() {
    let server = Server::start().await;
    let mut wanted = file("hunter2");
    wanted.roles[0].settings.insert("work_mem".to_owned(), "a lot".to_owned());
    let changes = planned(&server, &wanted).await;
    let error = apply(&server.config(), &changes).await.expect_err("refused");
    let AccessError::Refused { shown, why } = &error else { panic!("{error}") };
    assert_eq!(shown, r#"ALTER ROLE "app" SET "work_mem" TO 'a lot'"#);
    assert!(why.contains("invalid value for parameter"), "{why}");

    wanted.roles[0].settings.remove("work_mem");
    make_true(&server, &wanted).await;
    assert_eq!(planned(&server, &wanted).await, []);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let mut config = Config::new();
    config.host_path("/tmp/howdah-access-nobody").user("postgres");
    let error = read(&config, &Wanted::default()).await.expect_err("nobody");
    assert!(matches!(error, AccessError::Unreachable { .. }), "{error}");
}

fn file(password: &str) -> Wanted {
    let secret = |text: &str| Some(Redacted::new(text.to_owned()));
    let mut app = WantedRole { password: secret(password), ..WantedRole::app("app") };
    app.rights.connection_limit = 50;
    app.settings =
        texts([("search_path", "\"$user\", public, app"), ("statement_timeout", "1min")]);
    app.member_of = BTreeSet::from(["staff".to_owned()]);
    let reader = WantedRole { password: secret("read only"), ..WantedRole::readonly("reader") };
    let roles = vec![
        app,
        reader,
        WantedRole::admin("boss"),
        WantedRole::monitor("watch"),
        WantedRole::backup("copy"),
        WantedRole::group("staff"),
    ];
    let shop = WantedDatabase {
        name: "shop".to_owned(),
        owner: Some("app".to_owned()),
        // The second needs the first's sibling `cube`, which CASCADE brings along.
        extensions: ["citext", "earthdistance"].map(str::to_owned).into(),
        settings: texts([("TimeZone", "Europe/Vienna")]),
    };
    Wanted { roles, databases: vec![shop] }
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

async fn planned(server: &Server, wanted: &Wanted) -> Vec<Change> {
    let current = read(&server.config(), wanted).await.expect("reads");
    plan(&current, wanted, || fresh_salt().expect("random")).expect("possible")
}

async fn make_true(server: &Server, wanted: &Wanted) {
    let changes = planned(server, wanted).await;
    apply(&server.config(), &changes).await.expect("applies");
}

async fn logs_in(server: &Server, password: &str) -> bool {
    let mut config = server.config_of("app", "shop");
    server.connect(config.password(password)).await.is_ok()
}
