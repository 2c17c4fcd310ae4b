//! One change, as every hook is told of it: in an environment, as JSON, and in a sentence.

use howdah_base::{ClusterName, NodeName, Term, Timeline};
use howdah_spec::HookEvent;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::seen::{Leader, Reason, Role};

/// What changed, as it was when it was seen: a call that is repeated later says the same.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Firing {
    /// `<cluster>.<its identity>-<event>-<term>-<node>-<counter>`. The same for each attempt and for
    /// each hook.
    pub id: String,
    #[serde(serialize_with = "event_out", deserialize_with = "event_in")]
    pub event: HookEvent,
    pub cluster: ClusterName,
    /// The node that tells.
    pub node: NodeName,
    /// Of its server.
    pub role: Role,
    /// What its server was when it last served.
    pub previous: Role,
    pub term: Term,
    pub timeline: Option<Timeline>,
    pub leader: Option<Leader>,
    /// The node that was lost or is back.
    pub subject: Option<NodeName>,
    pub reason: Reason,
    /// Of `on_problem`: the new ones.
    pub problems: Vec<String>,
    /// This node tells it for the whole cluster.
    pub teller: bool,
}

/// What a newer firing replaces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Topic {
    Server,
    Reload,
    Role,
    Leader,
    Pause,
    Node(Option<NodeName>),
}

impl Firing {
    /// Firings of one topic replace each other; `None` is replaced by nothing.
    pub fn topic(&self) -> Option<Topic> {
        Some(match self.event {
            HookEvent::Start | HookEvent::Stop | HookEvent::Restart => Topic::Server,
            HookEvent::Reload => Topic::Reload,
            HookEvent::RoleChange => Topic::Role,
            HookEvent::LeaderChange => Topic::Leader,
            HookEvent::Pause | HookEvent::Resume => Topic::Pause,
            HookEvent::NodeLost | HookEvent::NodeBack => Topic::Node(self.subject.clone()),
            HookEvent::Problem => return None,
        })
    }

    /// Whether it concerns the whole cluster and is told by one node, where a hook does not say
    /// `every_node`.
    pub fn is_of_cluster(&self) -> bool {
        !matches!(
            self.event,
            HookEvent::Start
                | HookEvent::Stop
                | HookEvent::Restart
                | HookEvent::Reload
                | HookEvent::RoleChange
        )
    }

    /// It says that the own server is the primary of its term: what acts on it leads clients here.
    pub fn claims_lead(&self) -> bool {
        let own = self.leader.as_ref().is_some_and(|leader| leader.node == self.node);
        self.role == Role::Primary
            && match self.event {
                HookEvent::Start | HookEvent::Restart | HookEvent::RoleChange => true,
                HookEvent::LeaderChange => own,
                _ => false,
            }
    }

    /// The environment of a command.
    pub fn environment(&self, hook: &str) -> Vec<(&'static str, String)> {
        let leader = self.leader.as_ref();
        let text = |value: Option<String>| value.unwrap_or_default();
        vec![
            ("HOWDAH_HOOK", hook.to_owned()),
            ("HOWDAH_EVENT", self.event.word().to_owned()),
            ("HOWDAH_FIRING_ID", self.id.clone()),
            ("HOWDAH_CLUSTER", self.cluster.to_string()),
            ("HOWDAH_NODE", self.node.to_string()),
            ("HOWDAH_ROLE", self.role.to_string()),
            ("HOWDAH_PREVIOUS_ROLE", self.previous.to_string()),
            ("HOWDAH_TERM", self.term.to_string()),
            ("HOWDAH_TIMELINE", text(self.timeline.map(|timeline| timeline.to_string()))),
            ("HOWDAH_LEADER", text(leader.map(|leader| leader.node.to_string()))),
            ("HOWDAH_LEADER_HOST", text(leader.map(|leader| leader.host.clone()))),
            ("HOWDAH_LEADER_PORT", text(leader.map(|leader| leader.postgres_port.to_string()))),
            ("HOWDAH_LEADER_RW_PORT", text(leader.map(|leader| leader.rw_port.to_string()))),
            ("HOWDAH_SUBJECT", text(self.subject.as_ref().map(NodeName::to_string))),
            ("HOWDAH_REASON", self.reason.text.clone()),
            ("HOWDAH_RULE", self.reason.rule.to_string()),
            ("HOWDAH_TEXT", self.sentence()),
        ]
    }

    /// The arguments of a callback of Patroni: action, role, cluster. A server that has stopped
    /// is called by the role that it had.
    pub fn patroni_arguments(&self) -> [String; 3] {
        let role = if self.role.up() == Some(true) { self.role } else { self.previous };
        [self.event.word().to_owned(), role.patroni().to_owned(), self.cluster.to_string()]
    }

    /// The body of a webhook. `text` is what chat services print.
    pub fn body(&self, hook: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            text: String,
            hook: &'a str,
            #[serde(flatten)]
            firing: &'a Firing,
        }
        let body = Body { text: self.sentence(), hook, firing: self };
        // Text, numbers and lists: nothing of it can fail to become JSON.
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// For people.
    pub fn sentence(&self) -> String {
        let (node, term) = (&self.node, self.term);
        let subject = self.subject.as_ref().map(NodeName::to_string).unwrap_or_default();
        let what = match self.event {
            HookEvent::Start => format!("PostgreSQL on {node} has started as {}", self.role),
            HookEvent::Stop => {
                format!("PostgreSQL on {node} has stopped, it was {}", self.previous)
            }
            HookEvent::Restart => format!("PostgreSQL on {node} was restarted as {}", self.role),
            HookEvent::Reload => format!("PostgreSQL on {node} has read its configuration anew"),
            HookEvent::RoleChange => format!("{node} is {} now (term {term})", self.role),
            HookEvent::LeaderChange => match &self.leader {
                Some(leader) => format!("{} leads now (term {term})", leader.node),
                None => format!("nobody leads now (term {term})"),
            },
            HookEvent::Pause => "paused: no failover happens by itself".to_owned(),
            HookEvent::Resume => "no longer paused".to_owned(),
            HookEvent::NodeLost => format!("node {subject} is lost"),
            HookEvent::NodeBack => format!("node {subject} is back"),
            HookEvent::Problem => format!("problem: {}", self.problems.join("; ")),
        };
        format!("{}: {what}", self.cluster)
    }
}

fn event_out<S: Serializer>(event: &HookEvent, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(event.word())
}

fn event_in<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HookEvent, D::Error> {
    let word = String::deserialize(deserializer)?;
    let known = HookEvent::WORDS.iter().find(|(name, _)| *name == word);
    known.map(|(_, event)| *event).ok_or_else(|| {
        serde::de::Error::custom(format!("no event of this version of Howdah: `{word}`"))
    })
}
