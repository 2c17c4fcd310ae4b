//! Carries a step out.

use std::collections::BTreeSet;

use howdah_base::NodeName;

use crate::arguments::{Begin, arguments};
use crate::disk;
use crate::error::KeeperError;
use crate::founding::Founding;
use crate::keeper::Keeper;
use crate::log;
use crate::look::Look;
use crate::member::{Member, Silence};
use crate::plan::Step;
use crate::process::Process;
use crate::report::Phase;

/// What became of a step: for the report.
pub(crate) type Done = (Phase, String);

/// Performs `step`, which was decided from `look`.
pub(crate) async fn perform(keeper: &mut Keeper, step: Step, look: &Look) -> Done {
    let done = match step {
        Step::Rest => return (Phase::Well, String::new()),
        Step::Leave => return (Phase::Left, String::new()),
        Step::Wait(why) => return (Phase::Waiting, why),
        Step::Refuse(why) => return (Phase::Refused, why),
        Step::Found(members) => found(keeper, &members),
        Step::Join(members) => keeper.start(&Begin::Existing { members }),
        Step::Start => keeper.start(&Begin::OnData),
        Step::StartAlone => start_alone(keeper),
        Step::PutAside(why) => put_aside(keeper, &why),
        step => return ask(keeper, step, look).await,
    };
    match done {
        Ok(what) => (Phase::Starting, what),
        Err(error) => {
            tracing::error!("{error}");
            (Phase::Waiting, error.to_string())
        }
    }
}

fn found(keeper: &mut Keeper, names: &BTreeSet<NodeName>) -> Result<String, KeeperError> {
    let known = |name: &NodeName| Some((name.to_string(), keeper.members.get(name)?.peer_url()));
    let members = names.iter().filter_map(known).collect();
    let nonce = keeper.founding.as_ref().map(|right| right.nonce.as_str()).unwrap_or_default();
    let token = format!("{}-{nonce}", keeper.options.token);
    let said: Vec<_> = names.iter().map(ToString::to_string).collect();
    tracing::info!("makes a new store with the members {}", said.join(", "));
    keeper.start(&Begin::New { members, token })
}

fn start_alone(keeper: &mut Keeper) -> Result<String, KeeperError> {
    tracing::warn!("goes on as the only member of its store, as an operator ordered");
    keeper.start(&Begin::Alone)
}

fn put_aside(keeper: &mut Keeper, why: &str) -> Result<String, KeeperError> {
    tracing::warn!("{why}; what it had is kept in `etcd.aside`");
    keeper.forget_damage();
    disk::put_aside(&keeper.options.data_dir).map(|()| why.to_owned())
}

impl Keeper {
    /// Starts etcd and notes where its log begins.
    pub(crate) fn start(&mut self, begin: &Begin) -> Result<String, KeeperError> {
        if matches!(begin, Begin::New { .. } | Begin::Existing { .. }) {
            // A start that was cut short may have left something that is no member's data.
            disk::put_aside(&self.options.data_dir)?;
        }
        let options = &self.options;
        let words = arguments(options, &options.place, self.binary.version, begin, self.timings);
        tracing::info!("starts `{} {}`", self.binary.path.display(), words.join(" "));
        self.log_from = log::length(&options.log);
        self.process = Some(Process::start(&self.binary.path, &words, &options.log)?);
        Ok("etcd is starting".to_owned())
    }

    /// The order to go on alone has been carried out once the member leads a store of its own.
    pub(crate) fn end_alone(&self, look: &Look) {
        let view = look.seen.own.as_ref().filter(|_| look.seen.alone);
        if view.is_some_and(|view| view.leader.is_some() && view.members.len() == 1)
            && let Err(error) = disk::end_alone(&self.options.data_dir)
        {
            tracing::error!("{error}");
        }
    }

    /// etcd has data: the right to make a new store is used up.
    pub(crate) fn use_up_founding(&mut self) {
        if self.founding.is_none() || !disk::has_data(&self.options.data_dir) {
            return;
        }
        match Founding::use_up(&self.options.founding) {
            Ok(()) => self.founding = None,
            Err(error) => tracing::error!("{error}"),
        }
    }
}

/// A change of membership, asked of whoever knows a leader.
async fn ask(keeper: &Keeper, step: Step, look: &Look) -> Done {
    let said = match &step {
        Step::Add => "this node is being added to the store".to_owned(),
        Step::Remove(id) => format!("member {id:x} is being removed from the store"),
        Step::Promote(_) => "its member is catching up".to_owned(),
        Step::Move(_, url) => format!("the others are told that it is reached at `{url}`"),
        Step::HandOver(id) => format!("member {id:x} is to lead etcd in this one's place"),
        _ => String::new(),
    };
    if !matches!(step, Step::Promote(_)) {
        tracing::info!("{said}");
    }
    let mut refused = "no member of the store has a leader".to_owned();
    for member in &look.led {
        match tell(keeper, &step, member).await {
            // The member itself is as well as before.
            Ok(()) if matches!(step, Step::HandOver(_)) => return (Phase::Well, String::new()),
            Ok(()) => return (Phase::Starting, said),
            Err(silence) => refused = silence.why().to_owned(),
        }
    }
    // A learner that has not caught up is refused each time until it has.
    if matches!(step, Step::Promote(_)) {
        return (Phase::Starting, said);
    }
    tracing::warn!("{said}, but: {refused}");
    (Phase::Waiting, format!("{said}, but: {refused}"))
}

async fn tell(keeper: &Keeper, step: &Step, member: &Member) -> Result<(), Silence> {
    match step {
        Step::Add => member.add_learner(&keeper.options.place.peer_url()).await,
        Step::Remove(id) => member.remove(*id).await,
        Step::Promote(id) => member.promote(*id).await,
        Step::Move(id, url) => member.move_to(*id, url).await,
        Step::HandOver(id) => member.hand_over(*id).await,
        _ => Ok(()),
    }
}
