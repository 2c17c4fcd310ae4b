//! Webhooks: their body and headers, and what becomes of failures.

use std::time::Duration;

use howdah_base::Span;
use howdah_spec::{HookAction, HookEvent};

use crate::server::{Act, HttpServer, certificate};
use crate::world::{World, until};

fn told(world: &mut World, address: String) -> &mut howdah_spec::HookSpec {
    world.hook("chat", &[HookEvent::RoleChange], HookAction::Webhook(address))
}

#[tokio::test]
async fn a_webhook_that_fails_twice_gets_the_same_a_third_time() {
    let mut world = World::new();
    let acts = [Act::Answer(500, "try later"), Act::BreakOff];
    let server = HttpServer::start(&acts, None).await;
    told(&mut world, format!("http://127.0.0.1:{}/hooks/abc?token=s3cret", server.port));
    world.leads(7);
    let running = world.start();
    world.is_idle().await;
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    let first = &asked[0];
    assert!(first.head.starts_with("POST /hooks/abc?token=s3cret HTTP/1.1"), "{}", first.head);
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(first.header("host"), Some(format!("127.0.0.1:{}", server.port).as_str()));
    let id = first.header("idempotency-key").expect("a key");
    assert!(id.starts_with("shop-on_role_change-7-n1-"), "{id}");
    for again in &asked {
        assert_eq!(again.header("idempotency-key"), Some(id));
        assert_eq!(again.body, first.body);
    }
    let expected = serde_json::json!({
        "text": "shop: n1 is primary now (term 7)",
        "hook": "chat",
        "id": id,
        "event": "on_role_change",
        "cluster": "shop",
        "node": "n1",
        "role": "primary",
        "previous": "none",
        "term": 7,
        "timeline": 3,
        "leader": {
            "node": "n1", "host": "n1.example.com", "postgres_port": 5433, "rw_port": 6432
        },
        "subject": null,
        "reason": { "rule": 101, "text": "leads; renews in time" },
        "problems": [],
        "teller": true
    });
    assert_eq!(first.body, expected);
    assert!(running.problems.borrow().is_empty());
    running.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn one_that_never_answers_is_given_up_and_its_secret_is_not_told() {
    let mut world = World::new();
    let server = HttpServer::start(&[Act::Hang, Act::Answer(404, "no\nhook")], None).await;
    let hook = told(&mut world, format!("http://127.0.0.1:{}/s3cret", server.port));
    hook.timeout = Span(Duration::from_millis(300));
    hook.attempts = 1;
    world.leads(7);
    let running = world.start();
    let problems = running.problems.clone();
    let seen = || format!("{:?}", problems.borrow());
    until("it is given up", || !problems.borrow().is_empty(), seen).await;
    assert_eq!(*problems.borrow(), ["hook `chat` failed once: no answer within `300ms`"]);
    world.follows("n2", 8);
    let refused = "hook `chat` failed once: it answered `404`: no hook; hint: is the address still \
                   valid?";
    until("it is refused", || problems.borrow().first().is_some_and(|p| p == refused), seen).await;
    running.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn https_is_verified() {
    let mut world = World::new();
    let (pem, config) = certificate();
    let server = HttpServer::start(&[], Some(config)).await;
    let address = format!("https://localhost:{}/", server.port);
    told(&mut world, address).attempts = 1;
    world.leads(7);

    // By the system's authorities, which do not know it.
    let running = world.start();
    let problems = running.problems.clone();
    let seen = || format!("{:?}", problems.borrow());
    until("it is not trusted", || !problems.borrow().is_empty(), seen).await;
    let problem = problems.borrow()[0].clone();
    assert!(problem.contains("cannot speak TLS: invalid peer certificate"), "{problem}");
    running.stop(Duration::ZERO).await;
    assert!(server.asked().is_empty());

    let ca = world.path().join("ca.crt");
    std::fs::write(&ca, pem).expect("a CA");
    world.ca_file = Some(ca);
    world.follows("n2", 8);
    let running = world.start();
    until("it is called", || server.asked().len() == 1, || format!("{:?}", server.asked())).await;
    world.is_idle().await;
    assert_eq!(server.asked()[0].body["role"], "standby");
    running.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_newer_role_ends_an_older_call_that_hangs() {
    let mut world = World::new();
    let server = HttpServer::start(&[Act::Hang], None).await;
    told(&mut world, format!("http://127.0.0.1:{}/", server.port));
    world.leads(7);
    let running = world.start();
    until("it was asked", || server.asked().len() == 1, || format!("{:?}", server.asked())).await;
    world.follows("n2", 8);
    until("it was asked anew", || server.asked().len() == 2, || format!("{:?}", server.asked()))
        .await;
    world.is_idle().await;
    let roles: Vec<_> = server.asked().iter().map(|asked| asked.body["role"].clone()).collect();
    assert_eq!(roles, ["primary", "standby"]);
    running.stop(Duration::ZERO).await;
}
