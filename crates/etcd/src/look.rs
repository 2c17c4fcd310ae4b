//! Looks at everything that a decision needs: own data, own etcd, the other members, the file
//! in force.

use std::collections::BTreeMap;

use howdah_base::NodeName;
use howdah_base::record::Leader;
use tokio::task::JoinSet;

use crate::disk::{self, Remembered};
use crate::keeper::Keeper;
use crate::member::{Member, Silence, Status};
use crate::options::{Place, TlsFiles};
use crate::plan::{Data, File, Known, Other, Seen, View};

/// One look: what was seen, and the ways to those who answered.
#[derive(Debug)]
pub(crate) struct Look {
    pub seen: Seen,
    /// What this node's etcd says of itself, and the way to it.
    pub own: Option<(Status, Member)>,
    /// Members that know a leader, best first: whom changes of membership are asked of.
    pub led: Vec<Member>,
}

/// Looks once; bounded by the time of two questions.
pub(crate) async fn look(keeper: &mut Keeper) -> Look {
    let running = keeper.process.is_some();
    let own = if running { keeper.ask_own().await } else { None };
    let others = ask_others(keeper).await;
    let learner = own.as_ref().is_some_and(|own| own.status.learner);
    let mut led: Vec<Member> = Vec::new();
    let own_counts = own.iter().filter(|own| !learner && own.status.leader.is_some());
    led.extend(own_counts.map(|own| own.member.clone()));
    led.extend(others.iter().filter(|other| other.knows_leader()).filter_map(Asked::member));
    read_file(keeper, &led).await;
    let primary = match &own {
        Some(own) if own.leads() => read_primary(keeper, &own.member).await,
        _ => None,
    };
    let own_view = own.as_ref().map(|own| View {
        cluster: own.status.cluster,
        leader: own.status.leader,
        members: own.members.clone().or_else(|| members_of(&others)).unwrap_or_default(),
    });
    if let Some(own) = &own {
        keeper.remember(&Remembered { member: own.status.id, cluster: own.status.cluster });
    }
    let options = &keeper.options;
    let wanted = keeper.members.iter().map(|(node, place)| (node.clone(), place.peer_url()));
    let seen = Seen {
        me: options.node.clone(),
        data: data(keeper),
        alone: disk::is_alone(&options.data_dir),
        running,
        own: own_view,
        wanted: wanted.collect(),
        file: keeper.file,
        primary,
        founders: keeper.founding.iter().flat_map(|right| right.members.clone()).collect(),
        others: others.into_iter().map(|asked| (asked.node, asked.answer.other())).collect(),
    };
    Look { seen, own: own.map(|own| (own.status, own.member)), led }
}

fn data(keeper: &Keeper) -> Data {
    let dir = &keeper.options.data_dir;
    match (&keeper.damaged, disk::has_data(dir)) {
        (Some(why), true) => Data::Damaged(why.clone()),
        (None, true) => Data::Present { id: disk::remembered(dir).map(|r| r.member) },
        (_, false) => Data::Absent,
    }
}

/// This node's own answer. A learner's list of members comes from the others.
pub(crate) struct Own {
    status: Status,
    members: Option<Vec<Known>>,
    member: Member,
}

impl Own {
    fn leads(&self) -> bool {
        self.status.leader == Some(self.status.id)
    }
}

impl Keeper {
    async fn ask_own(&mut self) -> Option<Own> {
        let url = format!("https://127.0.0.1:{}", self.options.place.client_port);
        let member = self.link(&url).await.ok()?;
        let Ok(status) = member.status().await else {
            self.links.remove(&url);
            return None;
        };
        let members = member.members().await.ok();
        Some(Own { status, members, member })
    }

    async fn link(&mut self, url: &str) -> Result<Member, Silence> {
        if let Some(member) = self.links.get(url) {
            return Ok(member.clone());
        }
        let member = Member::connect(url, &self.options.tls).await?;
        self.links.insert(url.to_owned(), member.clone());
        Ok(member)
    }
}

/// What one other member answered.
struct Asked {
    node: NodeName,
    url: String,
    answer: Result<(View, Member), Silence>,
}

trait IntoOther {
    fn other(self) -> Other;
}

impl IntoOther for Result<(View, Member), Silence> {
    fn other(self) -> Other {
        self.map_or_else(Silence::other, |(view, _)| Other::Answers(view))
    }
}

impl Asked {
    fn knows_leader(&self) -> bool {
        self.answer.as_ref().is_ok_and(|(view, _)| view.leader.is_some())
    }

    fn member(&self) -> Option<Member> {
        self.answer.as_ref().ok().map(|(_, member)| member.clone())
    }
}

fn members_of(others: &[Asked]) -> Option<Vec<Known>> {
    let mut led = others.iter().filter(|other| other.knows_leader());
    led.find_map(|other| Some(other.answer.as_ref().ok()?.0.members.clone()))
}

/// All at once; a connection that failed is made anew the next time.
async fn ask_others(keeper: &mut Keeper) -> Vec<Asked> {
    let me = &keeper.options.node;
    let mut asking = JoinSet::new();
    for (node, place) in keeper.members.iter().filter(|(node, _)| *node != me) {
        let link = keeper.links.get(&place.client_url()).cloned();
        asking.spawn(ask(node.clone(), place.clone(), link, keeper.options.tls.clone()));
    }
    let mut all = asking.join_all().await;
    all.sort_by(|a, b| a.node.cmp(&b.node));
    let links: BTreeMap<String, Option<Member>> =
        all.iter().map(|asked| (asked.url.clone(), asked.member())).collect();
    for (url, link) in links {
        match link {
            Some(link) => drop(keeper.links.insert(url, link)),
            None => drop(keeper.links.remove(&url)),
        }
    }
    all
}

async fn ask(node: NodeName, place: Place, link: Option<Member>, tls: TlsFiles) -> Asked {
    let url = place.client_url();
    let answer = async {
        let member = match link {
            Some(member) => member,
            None => Member::connect(&url, &tls).await?,
        };
        Ok((member.view().await?, member))
    };
    let answer = answer.await;
    Asked { node, url, answer }
}

/// Where the cluster's primary is, while it can be read.
async fn read_primary(keeper: &Keeper, own: &Member) -> Option<NodeName> {
    let record = own.get(&keeper.options.leader_key).await.ok()??;
    serde_json::from_str::<Leader>(&record).ok().map(|leader| leader.node)
}

/// The members by the file in force, while somebody can say.
async fn read_file(keeper: &mut Keeper, led: &[Member]) {
    let Some(member) = led.first() else { return };
    let read = match member.get(&keeper.options.config_key).await {
        Ok(Some(record)) => keeper.options.parse.read(&record),
        Ok(None) => {
            keeper.file = File::First;
            return;
        }
        Err(silence) => Err(silence.why().to_owned()),
    };
    match read {
        Ok(members) => {
            keeper.file = File::InForce;
            keeper.members = members;
        }
        Err(why) => tracing::warn!("the cluster file in force does not read: {why}"),
    }
}
