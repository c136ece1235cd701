//! The pair and what is around it.

use outlive_replication::protocol::{ClaimOutcome, PrimaryPhase};
use stateright::{Model, Property};

use crate::bounds::{Bounds, Mutation, moment};
use crate::channel::Channel;
use crate::nodes::{BackupNode, Claim, Fate, PrimaryNode, ToBackup, ToPrimary};
use crate::properties;
use crate::steps::{Refusal, Side, Step};

/// Everything that there is at one point of a run.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Pair {
    pub(crate) tick: u8,
    pub(crate) primary: PrimaryNode,
    pub(crate) backup: BackupNode,
    pub(crate) to_backup: Channel<ToBackup>,
    pub(crate) to_primary: Channel<ToPrimary>,
    /// Who has won.
    pub(crate) flag: Option<Side>,
    pub(crate) refusals: u8,
    pub(crate) mishaps: u8,
}

impl Pair {
    fn new(bounds: &Bounds) -> Self {
        Self {
            tick: 0,
            primary: PrimaryNode::new(bounds),
            backup: BackupNode::new(),
            to_backup: Channel::default(),
            to_primary: Channel::default(),
            flag: None,
            refusals: 0,
            mishaps: 0,
        }
    }

    /// Whether both run, and neither knows of anything that would keep them from being a pair.
    pub(crate) fn is_intact(&self) -> bool {
        let is_protected = self.primary.core.status(moment(self.tick)).phase == PrimaryPhase::Protected;
        self.primary.fate == Fate::Running
            && self.backup.fate == Fate::Running
            && is_protected
            && self.backup.claim == Claim::None
            && !self.to_backup.is_dead()
            && !self.to_primary.is_dead()
    }

    /// Whether the primary has come to where nothing moves it any more.
    fn is_primary_settled(&self) -> bool {
        self.primary.fate != Fate::Running || self.primary.is_alone
    }

    /// The same for the backup.
    fn is_backup_settled(&self) -> bool {
        self.backup.fate != Fate::Running || self.backup.live.is_some()
    }

    /// Whether that is so for both.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_primary_settled() && self.is_backup_settled()
    }

    /// What the nodes, the channel and the arbiter have to do now.
    fn due(&self, bounds: &Bounds, steps: &mut Vec<Step>) {
        let now = moment(self.tick);
        let is_due = |deadline: Option<_>| deadline.is_some_and(|deadline| deadline <= now);
        if self.primary.fate == Fate::Running && is_due(self.primary.core.next_deadline()) {
            steps.push(Step::PrimaryTick);
        }
        if self.backup.fate == Fate::Running && is_due(self.backup.core.next_deadline()) {
            steps.push(Step::BackupTick);
        }
        if self.primary.permitted(now, bounds).is_some_and(|up_to| self.primary.emitted < up_to) {
            steps.push(Step::Emit);
        }
        if self.to_backup.len() > 0 {
            steps.push(Step::ReachBackup);
        }
        if self.to_primary.len() > 0 {
            steps.push(Step::ReachPrimary);
        }
        if bounds.guest_ends
            && self.backup.fate == Fate::Running
            && self.backup.executed < self.backup.received
        {
            steps.push(Step::Execute);
        }
        for (side, claim, fate) in self.claims() {
            match claim {
                Claim::None => (),
                Claim::Asked => steps.push(Step::Decide(side)),
                Claim::Answered(_) if fate != Fate::Crashed => steps.push(Step::Answer(side)),
                Claim::Answered(_) => (),
            }
        }
    }

    fn claims(&self) -> [(Side, Claim, Fate); 2] {
        [
            (Side::Primary, self.primary.claim, self.primary.fate),
            (Side::Backup, self.backup.claim, self.backup.fate),
        ]
    }

    /// What may happen by itself.
    fn mishaps(&self, bounds: &Bounds, steps: &mut Vec<Step>) {
        if self.refusals < bounds.refusals {
            for (side, claim, _) in self.claims() {
                if claim == Claim::Asked {
                    steps.extend([Step::Refuse(side, Refusal::NotMade), Step::Refuse(side, Refusal::Made)]);
                }
            }
        }
        if self.mishaps == bounds.mishaps {
            return;
        }
        let flying = (self.to_backup.len(), self.to_primary.len());
        for (side, fate, kept) in
            [(Side::Primary, self.primary.fate, flying.0), (Side::Backup, self.backup.fate, flying.1)]
        {
            if fate == Fate::Running && bounds.crashes {
                steps.push(Step::CrashProcess(side));
                steps.extend((0..=kept).map(|kept| Step::CrashHost(side, kept)));
            }
            if fate == Fate::Running && bounds.leaves {
                steps.push(Step::Leave(side));
            }
            let is_dead =
                if side == Side::Primary { self.to_backup.is_dead() } else { self.to_primary.is_dead() };
            if bounds.silences && !is_dead {
                steps.extend((0..=kept).map(|kept| Step::FallSilent(side, kept)));
            }
        }
        if bounds.cuts && !(self.to_backup.is_dead() && self.to_primary.is_dead()) {
            for kept in 0..=flying.0 {
                steps.extend((0..=flying.1).map(|back| Step::CutChannel(kept, back)));
            }
        }
        if bounds.diverges && self.backup.fate == Fate::Running && self.backup.received.0 > 0 {
            steps.push(Step::Diverge);
        }
    }

    fn batches(&self, bounds: &Bounds, steps: &mut Vec<Step>) {
        let primary = &self.primary;
        if primary.fate == Fate::Running && primary.cut.0 < bounds.batches && !primary.has_ended {
            steps.push(Step::Cut);
            if bounds.guest_ends {
                steps.push(Step::CutLast);
            }
        }
    }

    /// What the arbiter says to a side, which is to be the flag's owner if nobody is.
    pub(crate) fn decide(&mut self, side: Side, bounds: &Bounds) -> ClaimOutcome {
        let winner = *self.flag.get_or_insert(side);
        if winner == side || bounds.is(Mutation::TwoWinners) { ClaimOutcome::Won } else { ClaimOutcome::Lost }
    }
}

impl Model for Bounds {
    type State = Pair;
    type Action = Step;

    fn init_states(&self) -> Vec<Pair> {
        vec![Pair::new(self)]
    }

    fn actions(&self, pair: &Pair, steps: &mut Vec<Step>) {
        pair.due(self, steps);
        let is_busy = !steps.is_empty();
        if pair.is_settled() {
            return;
        }
        if pair.tick <= self.ticks {
            pair.batches(self, steps);
            pair.mishaps(self, steps);
            if !(self.is_prompt && is_busy) {
                steps.push(Step::Pass);
            }
        } else if !is_busy && (!pair.is_intact() || pair.primary.has_ended) {
            steps.push(Step::Pass);
        }
    }

    fn next_state(&self, last: &Pair, step: Step) -> Option<Pair> {
        let mut pair = last.clone();
        pair.take(step, self);
        Some(pair)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(self)
    }
}
