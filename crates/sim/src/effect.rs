//! What befell a run *and mattered*: a fault that was planned for a server that was not there
//! shows nothing, so effects are counted where they happen.

macro_rules! effects {
    ($($name:ident = $words:literal;)+) => {
        /// Something unusual that changed what happened.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Effect {
            $(#[doc = $words] $name,)+
        }

        impl Effect {
            pub const ALL: &'static [Effect] = &[$(Effect::$name),+];

            pub fn words(self) -> &'static str {
                match self {
                    $(Effect::$name => $words,)+
                }
            }
        }
    };
}

effects! {
    PostmasterKilled = "postmaster killed";
    BackendWentOn = "backend went on after its postmaster";
    GuardKilled = "guard killed, PostgreSQL with it";
    HostLost = "host lost";
    TailLost = "host lost with WAL that was not synced";
    AgentFrozen = "agent frozen";
    GuardFrozen = "agent and guard frozen past the deadline";
    AgentRestarted = "agent restarted";
    MachineSuspended = "machine suspended";
    StoreAway = "store out of reach";
    Grace = "primary went on without the store";
    StoreLate = "answer of the store late or lost";
    Revoked = "voter answered that it receives nothing more from a term";
    LatePromise = "promise written after it had been given up";
    LateWrite = "question reached the store after it had been given up";
    StalePicture = "change of the store not noticed";
    LeaseEndedEarly = "store ended leases early";
    LinkCut = "packets held back by a cut";
    OneWay = "packets held back one way only";
    HalfOpen = "WAL sender of a standby that is gone";
    SlowStep = "slow step";
    SlowStart = "slow start";
    DiskStalled = "disk stalled";
    DiskFull = "server ended by a full disk";
    WallJumped = "time of day jumped";
    DirectoryDeleted = "directory deleted";
    Diverged = "standby diverged";
    Switchover = "switchover asked for";
    Failover = "failover asked for";
    Plan = "switchover planned";
    Abort = "request given up";
    Pause = "paused";
    Fence = "node fenced";
    Restart = "restart ordered";
    PostmasterHung = "postmaster hung";
    DiskFilling = "room on the disk short";
    WalGone = "WAL that a standby needs removed";
    Reinit = "new copy ordered";
}

/// How often each happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effects(Vec<u64>);

impl Default for Effects {
    fn default() -> Effects {
        Effects(vec![0; Effect::ALL.len()])
    }
}

impl Effects {
    pub fn note(&mut self, effect: Effect) {
        self.0[effect as usize] += 1;
    }

    pub fn of(&self, effect: Effect) -> u64 {
        self.0[effect as usize]
    }

    pub fn add(&mut self, other: &Effects) {
        for (sum, count) in self.0.iter_mut().zip(&other.0) {
            *sum += count;
        }
    }
}
