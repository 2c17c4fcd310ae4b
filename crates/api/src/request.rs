//! What an operator asks for over HTTP: read once, here, into values that the agent can act on.

use howdah_base::NodeName;
use howdah_base::ask::{Ask, Refusal};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

/// One request on its way to the agent, which answers it exactly once.
#[derive(Debug)]
pub struct Request {
    pub kind: Ask,
    /// Who asked, for the history.
    pub by: String,
    /// The sentence to print when it is done, or why it is refused.
    pub reply: oneshot::Sender<Result<String, Refusal>>,
}

/// The body of `POST /switchover`; Patroni's names are understood. What is not understood is
/// refused and not ignored: a `scheduled_at` that is dropped would switch over now.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchoverBody {
    #[serde(default, alias = "candidate")]
    to: Option<NodeName>,
    /// The leader that the asker means; another one is a refusal.
    #[serde(default)]
    leader: Option<NodeName>,
}

/// The body of `POST /failover`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FailoverBody {
    #[serde(alias = "candidate")]
    to: NodeName,
    #[serde(default)]
    accept_loss: bool,
}

/// Reads `POST /switchover`; `leader` is the one that the cluster has now.
pub fn switchover(body: &str, leader: Option<&NodeName>) -> Result<Ask, Refusal> {
    let body = if body.trim().is_empty() { "{}" } else { body };
    let body: SwitchoverBody = read(body, r#"{"to": "n2"}"#)?;
    match (&body.leader, leader) {
        (Some(meant), Some(now)) if meant != now => {
            Err(Refusal::new(format!("the leader is another node: `{now}`"))
                .hint("look at `howdah status`, then ask again"))
        }
        _ => Ok(Ask::Switchover { to: body.to, at_unix_ms: None }),
    }
}

/// Reads `POST /failover`.
pub fn failover(body: &str) -> Result<Ask, Refusal> {
    let body: FailoverBody = read(body, r#"{"to": "n2"}"#)?;
    Ok(Ask::Failover { to: body.to, accept_loss: body.accept_loss })
}

/// Reads `POST /apply`: the body is the cluster file itself.
pub fn apply(body: &str) -> Result<Ask, Refusal> {
    if body.trim().is_empty() {
        return Err(Refusal::new("the body is empty; it must be the text of the cluster file")
            .hint("`howdah apply`, or `curl --data-binary @howdah.toml`"));
    }
    Ok(Ask::Apply { text: body.to_owned(), revision: None })
}

fn read<T: DeserializeOwned>(body: &str, example: &str) -> Result<T, Refusal> {
    // By way of an object: serde would take `[]` for a body that leaves everything out.
    let object = serde_json::from_str::<Map<String, Value>>(body);
    object.and_then(|fields| serde_json::from_value(fields.into())).map_err(|error| {
        Refusal::new(format!("cannot read the body: {error}"))
            .hint(format!("send JSON such as `{example}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        text.parse().expect("name")
    }

    fn switch(to: Option<&str>) -> Ask {
        Ask::Switchover { to: to.map(name), at_unix_ms: None }
    }

    #[test]
    fn a_switchover_may_name_its_target_in_patronis_words() {
        assert_eq!(switchover("", None), Ok(switch(None)));
        assert_eq!(switchover(r#"{"to": "n2"}"#, None), Ok(switch(Some("n2"))));
        let patroni = r#"{"leader": "n1", "candidate": "n2"}"#;
        assert_eq!(switchover(patroni, Some(&name("n1"))), Ok(switch(Some("n2"))));
        let refusal = switchover(patroni, Some(&name("n3"))).expect_err("another leader");
        assert_eq!(refusal.error, "the leader is another node: `n3`");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in [r#"{"scheduled_at": "2030-01-01"}"#, "n2", r#"{"to": "N 2"}"#, "[]"] {
            let refusal = switchover(bad, None).expect_err(bad);
            assert!(refusal.hint.is_some(), "{refusal:?}");
        }
        assert!(failover("").is_err(), "a failover names its target");
        assert!(apply(" \n").is_err());
    }

    #[test]
    fn a_failover_accepts_loss_only_when_told() {
        let of = |accept_loss| Ok(Ask::Failover { to: name("n2"), accept_loss });
        assert_eq!(failover(r#"{"to": "n2"}"#), of(false));
        assert_eq!(failover(r#"{"to": "n2", "accept_loss": true}"#), of(true));
    }
}
