//! Questions to one member over etcd's client port.

use std::time::Duration;

use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, Channel, Client, CompactionOptions, MemberAddOptions,
};
use tokio::time::timeout;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::options::TlsFiles;
use crate::plan::{Known, Other, View};

/// How long any question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// A defragmentation holds the member up while it lasts, which is what it is for.
const DEFRAGMENT_WITHIN: Duration = Duration::from_secs(60);

/// A connection to one member.
#[derive(Clone)]
pub(crate) struct Member {
    client: Client,
}

/// What a member says of itself alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Status {
    pub id: u64,
    pub cluster: u64,
    pub leader: Option<u64>,
    pub learner: bool,
    pub revision: i64,
    pub db_bytes: u64,
}

/// Why no answer came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Silence {
    Away(String),
    /// What answers is no member that this node could speak to.
    Stranger(String),
}

impl Silence {
    pub(crate) fn why(&self) -> &str {
        match self {
            Silence::Away(why) | Silence::Stranger(why) => why,
        }
    }

    pub(crate) fn other(self) -> Other {
        match self {
            Silence::Away(why) => Other::Silent(why),
            Silence::Stranger(why) => Other::Stranger(why),
        }
    }
}

impl Member {
    /// Connects. The files are read anew each time: certificates are renewed.
    pub(crate) async fn connect(url: &str, tls: &TlsFiles) -> Result<Member, Silence> {
        let refused = |error: tonic::transport::Error| judge(&chain(&error));
        let config = load(tls).await.map_err(Silence::Away)?;
        let endpoint = Endpoint::from_shared(url.to_owned())
            .and_then(|endpoint| endpoint.tls_config(config))
            .map_err(refused)?
            .connect_timeout(CONNECT_WITHIN)
            .tcp_nodelay(true);
        let connecting = timeout(ANSWER_WITHIN, endpoint.connect()).await;
        let channel = connecting.map_err(|_| away("no answer"))?.map_err(refused)?;
        let client = Client::from_channel(Channel::Tonic(channel), None).await;
        Ok(Member { client: client.map_err(|error| judge(&error.to_string()))? })
    }

    pub(crate) async fn status(&self) -> Result<Status, Silence> {
        let mut client = self.client.maintenance_client();
        let status = within(ANSWER_WITHIN, client.status()).await?;
        let header = status.header();
        Ok(Status {
            id: header.map_or(0, etcd_client::ResponseHeader::member_id),
            cluster: header.map_or(0, etcd_client::ResponseHeader::cluster_id),
            leader: Some(status.leader()).filter(|leader| *leader != 0),
            learner: status.is_learner(),
            revision: header.map_or(0, etcd_client::ResponseHeader::revision),
            db_bytes: u64::try_from(status.db_size()).unwrap_or(0),
        })
    }

    /// The members as this one knows them. A learner may not say.
    pub(crate) async fn members(&self) -> Result<Vec<Known>, Silence> {
        let mut client = self.client.cluster_client();
        let list = within(ANSWER_WITHIN, client.member_list()).await?;
        Ok(list.members().iter().map(known).collect())
    }

    pub(crate) async fn view(&self) -> Result<View, Silence> {
        let status = self.status().await?;
        let members = self.members().await?;
        Ok(View { cluster: status.cluster, leader: status.leader, members })
    }

    /// The value of a key, confirmed by a majority.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<String>, Silence> {
        let mut client = self.client.kv_client();
        let answer = within(ANSWER_WITHIN, client.get(key, None)).await?;
        let value = answer.kvs().first().map(|pair| pair.value_str().map(str::to_owned));
        value.transpose().map_err(|_| away(format!("not text: `{key}`")))
    }

    pub(crate) async fn add_learner(&self, peer_url: &str) -> Result<(), Silence> {
        let mut client = self.client.cluster_client();
        let options = MemberAddOptions::new().with_is_learner();
        within(ANSWER_WITHIN, client.member_add([peer_url.to_owned()], Some(options)))
            .await
            .map(drop)
    }

    pub(crate) async fn remove(&self, id: u64) -> Result<(), Silence> {
        let mut client = self.client.cluster_client();
        within(ANSWER_WITHIN, client.member_remove(id)).await.map(drop)
    }

    pub(crate) async fn promote(&self, id: u64) -> Result<(), Silence> {
        let mut client = self.client.cluster_client();
        within(ANSWER_WITHIN, client.member_promote(id)).await.map(drop)
    }

    pub(crate) async fn move_to(&self, id: u64, peer_url: &str) -> Result<(), Silence> {
        let mut client = self.client.cluster_client();
        within(ANSWER_WITHIN, client.member_update(id, [peer_url.to_owned()])).await.map(drop)
    }

    /// Only the member that leads can.
    pub(crate) async fn hand_over(&self, id: u64) -> Result<(), Silence> {
        let mut client = self.client.maintenance_client();
        within(ANSWER_WITHIN, client.move_leader(id)).await.map(drop)
    }

    /// Ids of members that have run out of their quota.
    pub(crate) async fn full(&self) -> Result<Vec<u64>, Silence> {
        let mut client = self.client.maintenance_client();
        let asked = client.alarm(AlarmAction::Get, AlarmType::Nospace, None);
        let answer = within(ANSWER_WITHIN, asked).await?;
        let full = answer.alarms().iter().filter(|a| a.alarm() == AlarmType::Nospace);
        Ok(full.map(etcd_client::AlarmMember::member_id).collect())
    }

    /// Forgets what was before `revision`; done already is as good.
    pub(crate) async fn compact(&self, revision: i64) -> Result<(), Silence> {
        let mut client = self.client.kv_client();
        let options = CompactionOptions::new().with_physical();
        match within(ANSWER_WITHIN, client.compact(revision, Some(options))).await {
            Err(silence) if silence.why().contains("has been compacted") => Ok(()),
            answer => answer.map(drop),
        }
    }

    pub(crate) async fn defragment(&self) -> Result<(), Silence> {
        let mut client = self.client.maintenance_client();
        within(DEFRAGMENT_WITHIN, client.defragment()).await.map(drop)
    }

    /// Takes the alarm of a member that has room again back.
    pub(crate) async fn disarm(&self, id: u64) -> Result<(), Silence> {
        let mut client = self.client.maintenance_client();
        let mut options = AlarmOptions::new();
        options.with_member(id);
        let asked = client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(options));
        within(ANSWER_WITHIN, asked).await.map(drop)
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").finish_non_exhaustive()
    }
}

fn known(member: &etcd_client::Member) -> Known {
    Known {
        id: member.id(),
        name: member.name().to_owned(),
        peer_url: member.peer_urls().first().cloned().unwrap_or_default(),
        published: !member.client_urls().is_empty(),
        learner: member.is_learner(),
    }
}

async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, Silence> {
    match timeout(limit, asked).await {
        Ok(answer) => answer.map_err(|error| match &error {
            etcd_client::Error::GRpcStatus(status) => judge(status.message()),
            other => judge(&other.to_string()),
        }),
        Err(_) => Err(away("no answer")),
    }
}

fn away(why: impl Into<String>) -> Silence {
    Silence::Away(why.into())
}

async fn load(tls: &TlsFiles) -> Result<ClientTlsConfig, String> {
    let read = async |path: &std::path::Path| {
        let read = tokio::fs::read(path).await;
        read.map_err(|error| format!("cannot read `{}`: {error}", path.display()))
    };
    let ca = Certificate::from_pem(read(&tls.ca).await?);
    let own = Identity::from_pem(read(&tls.certificate).await?, read(&tls.key).await?);
    Ok(ClientTlsConfig::new().ca_certificate(ca).identity(own))
}

/// Words of rustls for a peer that is there and is not what this node looks for.
fn judge(why: &str) -> Silence {
    let why = why.trim_start_matches("etcdserver: ");
    let known = STRANGERS.iter().find(|(word, _)| why.contains(word));
    known.map_or_else(|| away(why), |(_, meaning)| Silence::Stranger(format!("{meaning} ({why})")))
}

const STRANGERS: [(&str, &str); 5] = [
    ("Expired", "a certificate is over: is this machine's clock right?"),
    ("NotValidYet", "a certificate is not valid yet: is this machine's clock right?"),
    ("invalid peer certificate", "its certificate is not of this cluster's CA"),
    ("received fatal alert", "it does not take this node's certificate"),
    ("received corrupt message", "it does not speak TLS"),
];

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let words = source.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        next = source.source();
    }
    text
}
