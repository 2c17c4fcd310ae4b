//! What is to be done next with this node's member: one pure function, [`decide`].
//!
//! What it rests on:
//! - **A store is made once.** Only a node that holds the right to found it does, with the
//!   members that were given this right together. Whoever has no data and no right joins what
//!   is there, and waits when nothing answers: it may have been a member, and a member that
//!   forgot what it had promised can bring two truths into the world.
//! - **A member whose data is gone** is replaced by a new one with a new id, never started anew
//!   under its old id.
//! - **A new member listens first** (a learner), and counts once it has caught up.
//! - **etcd is led from another machine than the primary's**, where there is one: when the
//!   primary's machine is lost, etcd should not have to elect a leader first, which prolongs the
//!   lost lease on top of the time that it takes.
//! - **Members leave one at a time**, by the word of etcd's own leader, and never when the rest
//!   would be without a majority.

use std::collections::{BTreeMap, BTreeSet};

use howdah_base::NodeName;

/// Everything that counts, as one keeper saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    pub me: NodeName,
    pub data: Data,
    /// An operator wants this member to go on alone: the others are lost for good.
    pub alone: bool,
    /// This node's etcd runs.
    pub running: bool,
    /// What this node's etcd says, once it answers.
    pub own: Option<View>,
    /// Who has a member by the cluster file, and where the others reach it.
    pub wanted: BTreeMap<NodeName, String>,
    pub file: File,
    /// With whom this node may found the store, itself included; empty without that right.
    pub founders: BTreeSet<NodeName>,
    /// Where the cluster's primary is; asked by the member that leads only.
    pub primary: Option<NodeName>,
    /// What the other members of `wanted` say.
    pub others: BTreeMap<NodeName, Other>,
}

/// From which cluster file [`Seen::wanted`] is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum File {
    /// The one that this node was started with: the one in force could not be read.
    Started,
    /// The same, and there is none in force yet: the cluster is being made.
    First,
    InForce,
}

/// What lies in this node's directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Data {
    Absent,
    /// A member's data, and its id where that is remembered.
    Present {
        id: Option<u64>,
    },
    /// etcd cannot use what lies there.
    Damaged(String),
}

/// What came back from another member's port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Other {
    /// Nothing, or nothing in time.
    Silent(String),
    /// Somebody who is no member of this cluster's store.
    Stranger(String),
    Answers(View),
}

/// The members as one of them knows them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View {
    pub cluster: u64,
    /// The id of the member that leads, if it knows one.
    pub leader: Option<u64>,
    pub members: Vec<Known>,
}

/// One member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    pub id: u64,
    /// Empty until it has been started.
    pub name: String,
    pub peer_url: String,
    /// It has run: it told the others where its clients reach it.
    pub published: bool,
    pub learner: bool,
}

/// What to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Start etcd with a new store of these members.
    Found(BTreeSet<NodeName>),
    /// Start etcd as the member that has been added: names and peer URLs of all.
    Join(Vec<(String, String)>),
    /// Start etcd on the data that is there.
    Start,
    /// Start etcd on the data that is there, as the only member of its store.
    StartAlone,
    /// Ask a member that answers to add this node, as a learner.
    Add,
    /// Ask a member that answers to remove this id.
    Remove(u64),
    /// Ask for this node's own learner to count.
    Promote(u64),
    /// Tell the others where this node's member is reached.
    Move(u64, String),
    /// Let that member lead etcd in this one's place.
    HandOver(u64),
    /// Put the data out of the way: it is of no use here.
    PutAside(String),
    /// Nothing more: this node has no member, and the keeper ends.
    Leave,
    /// Nothing, for a reason that may go away by itself.
    Wait(String),
    /// Nothing, until a person changes something.
    Refuse(String),
    /// Nothing: all is well.
    Rest,
}

/// The next step of the member of `seen.me`.
pub fn decide(seen: &Seen) -> Step {
    if let Some(why) = mixed(seen) {
        return Step::Refuse(why);
    }
    if seen.running {
        return match &seen.own {
            Some(view) => keep(seen, view),
            None => Step::Wait("etcd does not answer yet".to_owned()),
        };
    }
    match &seen.data {
        Data::Present { id } => start(seen, *id),
        Data::Damaged(why) => damaged(seen, why),
        Data::Absent => enter(seen),
    }
}

/// Members of two stores answer: whoever joined one of them might join the wrong one.
fn mixed(seen: &Seen) -> Option<String> {
    let mut answering = answering(seen);
    let (first, view) = answering.next()?;
    let (other, _) = answering.find(|(_, other)| other.cluster != view.cluster)?;
    Some(format!("`{first}` and `{other}` are members of two different stores"))
}

fn answering(seen: &Seen) -> impl Iterator<Item = (&NodeName, &View)> {
    let own = seen.own.iter().map(|view| (&seen.me, view));
    own.chain(seen.others.iter().filter_map(|(node, other)| match other {
        Other::Answers(view) => Some((node, view)),
        Other::Silent(_) | Other::Stranger(_) => None,
    }))
}

/// Another member's view that a majority stands behind.
fn led(seen: &Seen) -> Option<&View> {
    let others = answering(seen).filter(|(node, _)| **node != seen.me);
    others.map(|(_, view)| view).find(|view| view.leader.is_some())
}

/// Data is there, etcd does not run.
fn start(seen: &Seen, id: Option<u64>) -> Step {
    if seen.alone {
        let living = answering(seen).find(|(node, _)| **node != seen.me);
        return living.map_or(Step::StartAlone, |(node, _)| {
            Step::Refuse(format!(
                "it is to go on alone, but `{node}` answers: two stores would come of it; \
                 `howdah recover-store --give-up` takes the order back"
            ))
        });
    }
    let Some((view, id)) = led(seen).zip(id) else { return Step::Start };
    if view.members.iter().any(|member| member.id == id) {
        return Step::Start;
    }
    if !seen.wanted.contains_key(&seen.me) {
        return not_wanted(seen);
    }
    Step::PutAside(format!("the store has removed this member, `{id:x}`; it joins anew"))
}

/// Only the file in force may say so: the one that this node was started with may be old.
fn not_wanted(seen: &Seen) -> Step {
    match seen.file {
        File::InForce => Step::Leave,
        File::Started | File::First => {
            Step::Wait("the cluster file gives this node no member of the store".to_owned())
        }
    }
}

fn damaged(seen: &Seen, why: &str) -> Step {
    if led(seen).is_some() && seen.wanted.contains_key(&seen.me) {
        return Step::PutAside(format!("etcd cannot use its data: {why}; it joins anew"));
    }
    Step::Refuse(format!("etcd cannot use its data, and no other member has it all: {why}"))
}

/// No data is there.
fn enter(seen: &Seen) -> Step {
    let Some(url) = seen.wanted.get(&seen.me) else { return not_wanted(seen) };
    let Some((from, view)) = answering(seen).next() else { return found(seen) };
    let view = led(seen).unwrap_or(view);
    let own = view.members.iter().find(|m| m.peer_url == *url || m.name == seen.me.as_str());
    match own {
        // It was given its place when the store was made, and comes late.
        Some(member) if !member.published && seen.founders.contains(&seen.me) => {
            Step::Found(seen.founders.clone())
        }
        _ if view.leader.is_none() => {
            Step::Wait(format!("`{from}` answers, but its store has no majority"))
        }
        Some(member) if !member.published && member.learner => join(seen, view, member.id),
        Some(member) => replace(seen, view, member.id),
        None => add(seen, view),
    }
}

fn found(seen: &Seen) -> Step {
    let strangers = seen.others.iter().find_map(|(node, other)| match other {
        Other::Stranger(why) => Some((node, why)),
        _ => None,
    });
    if let Some((node, why)) = strangers {
        return Step::Refuse(format!(
            "somebody else answers at the store's port of `{node}`: {why}"
        ));
    }
    if seen.founders.contains(&seen.me) {
        return Step::Found(seen.founders.clone());
    }
    let said: Vec<String> = seen
        .others
        .iter()
        .map(|(node, other)| match other {
            Other::Silent(why) | Other::Stranger(why) => format!("`{node}`: {why}"),
            Other::Answers(_) => format!("`{node}` answers"),
        })
        .collect();
    Step::Wait(format!(
        "this node has no data of the store and joins it when another member answers: {}",
        if said.is_empty() { "there is no other".to_owned() } else { said.join("; ") }
    ))
}

/// The old id goes, if the others go on without it.
fn replace(seen: &Seen, view: &View, id: u64) -> Step {
    match alive_without(seen, view, id) {
        Ok(()) => Step::Remove(id),
        Err(why) => Step::Wait(format!("this node's data of the store is gone; {why}")),
    }
}

/// Whether those who stay after `id` has gone have a majority that answers now.
fn alive_without(seen: &Seen, view: &View, id: u64) -> Result<(), String> {
    let stay: Vec<&Known> = view.members.iter().filter(|m| m.id != id && !m.learner).collect();
    let answers = |member: &&&Known| {
        answering(seen).any(|(node, other)| node.as_str() == member.name && other.leader.is_some())
    };
    let (alive, all) = (stay.iter().filter(answers).count(), stay.len());
    if alive > all / 2 {
        return Ok(());
    }
    Err(format!("{alive} of the other {all} members answer, most must"))
}

fn add(seen: &Seen, view: &View) -> Step {
    if seen.file == File::Started {
        let why = "the cluster file in force cannot be read from the store yet";
        return Step::Wait(why.to_owned());
    }
    let Some(learner) = view.members.iter().find(|member| member.learner) else {
        return Step::Add;
    };
    let who = if learner.name.is_empty() { &learner.peer_url } else { &learner.name };
    Step::Wait(format!("another member is being added first: `{who}`"))
}

/// All members by name; those that were never started get a name made of their id.
fn join(seen: &Seen, view: &View, id: u64) -> Step {
    let name = |member: &Known| match () {
        () if member.id == id => seen.me.to_string(),
        () if member.name.is_empty() => format!("{:x}", member.id),
        () => member.name.clone(),
    };
    Step::Join(view.members.iter().map(|m| (name(m), m.peer_url.clone())).collect())
}

/// etcd runs and answers.
fn keep(seen: &Seen, view: &View) -> Step {
    let Some(leader) = view.leader else {
        return Step::Wait("etcd has no leader: most members do not answer".to_owned());
    };
    let Some(own) = own_of(seen, view) else {
        return Step::Wait("etcd has removed this member and ends".to_owned());
    };
    if own.learner {
        return Step::Promote(own.id);
    }
    if let Some(url) = seen.wanted.get(&seen.me).filter(|url| **url != own.peer_url) {
        return Step::Move(own.id, url.clone());
    }
    if leader != own.id {
        return Step::Rest;
    }
    match (seen.file, seen.primary == Some(seen.me.clone())) {
        (File::InForce, primary) => match let_go(seen, view, own) {
            Step::Rest if primary => make_way(seen, view, own),
            step => step,
        },
        _ => Step::Rest,
    }
}

fn own_of<'a>(seen: &Seen, view: &'a View) -> Option<&'a Known> {
    let id = match seen.data {
        Data::Present { id: Some(id) } => Some(id),
        _ => None,
    };
    view.members.iter().find(|m| id.map_or(m.name == seen.me.as_str(), |id| m.id == id))
}

/// Members that the file does not name leave, once all that it names are there.
fn let_go(seen: &Seen, view: &View, own: &Known) -> Step {
    let named = |member: &Known| match member.name.as_str() {
        "" => seen.wanted.values().any(|url| *url == member.peer_url),
        name => seen.wanted.keys().any(|node| node.as_str() == name),
    };
    let Some(extra) = view.members.iter().find(|member| !named(member)) else {
        return Step::Rest;
    };
    if extra.learner {
        return Step::Remove(extra.id);
    }
    let counts = |node: &NodeName| {
        view.members.iter().any(|m| m.name == node.as_str() && !m.learner && m.published)
    };
    if let Some(missing) = seen.wanted.keys().find(|node| !counts(node)) {
        return Step::Wait(format!(
            "`{}` is no member by the cluster file; it leaves when `{missing}` is one",
            extra.name
        ));
    }
    if let Err(why) = alive_without(seen, view, extra.id) {
        return Step::Wait(format!("`{}` is no member by the cluster file; {why}", extra.name));
    }
    if extra.id != own.id {
        return Step::Remove(extra.id);
    }
    make_way(seen, view, own)
}

/// Another member leads etcd, if one answers.
fn make_way(seen: &Seen, view: &View, own: &Known) -> Step {
    let answers = |member: &Known| {
        seen.others.iter().any(|(node, other)| {
            node.as_str() == member.name
                && matches!(other, Other::Answers(view) if view.leader == Some(own.id))
        })
    };
    let heir = view.members.iter().find(|m| m.id != own.id && !m.learner && answers(m));
    heir.map_or(Step::Rest, |heir| Step::HandOver(heir.id))
}
