//! What must hold.

use outlive_replication::protocol::PrimaryPhase;
use stateright::{Model, Property};

use crate::bounds::{Bounds, moment};
use crate::nodes::{Claim, Fate};
use crate::pair::Pair;
use crate::steps::Side;

/// No machine answers for the guest while the other does.
pub(crate) const ONE_LIVE: &str = "never are two sides live";
/// The output rule.
pub(crate) const REACHABLE: &str = "what has left the primary lies within what a live backup has received";
/// The lease.
pub(crate) const NOTHING_LATE: &str = "nothing leaves the primary after the backup went live";
/// Released means that it has left.
pub(crate) const NOTHING_LOST: &str = "the backup forgets no output that has not left";

/// No run needs more ticks than so many behind the last free one.
const REST: u8 = 5;

const FLAG: &str = "who goes on has the flag";
const NEVER_LIVE: &str = "a backup that has diverged or left does not go live";
const ALL_LEFT: &str = "a side that has finished has let everything out, or the other one had";
const GOES_ON: &str = "a side that is up goes on unless the other has the flag";
const CALM: &str = "without a mishap nobody asks for the flag";
const RESTS: &str = "both sides come to rest soon after the last mishap";
const SURVIVES: &str = "one mishap does not end the guest";
const HANDOVER: &str = "a handover loses no entry";

/// All that applies to a run.
pub(crate) fn of(bounds: &Bounds) -> Vec<Property<Bounds>> {
    let mut properties = vec![
        Property::always(ONE_LIVE, |bounds: &Bounds, pair: &Pair| !(may_emit(bounds, pair) && is_live(pair))),
        Property::always(REACHABLE, |_: &Bounds, pair: &Pair| {
            pair.backup.live.is_none() || pair.primary.emitted <= pair.backup.received
        }),
        Property::always(NOTHING_LATE, |_: &Bounds, pair: &Pair| {
            pair.backup.live.is_none_or(|live| pair.primary.emitted == live.emitted)
        }),
        Property::always(NOTHING_LOST, |_: &Bounds, pair: &Pair| {
            pair.backup.forgotten <= pair.primary.emitted
        }),
        Property::always(FLAG, |_: &Bounds, pair: &Pair| {
            (!pair.primary.is_alone || pair.flag == Some(Side::Primary))
                && (pair.backup.live.is_none() || pair.flag == Some(Side::Backup))
        }),
        Property::always(NEVER_LIVE, |_: &Bounds, pair: &Pair| {
            pair.backup.live.is_none_or(|live| live.fate == Fate::Running)
        }),
        Property::always(ALL_LEFT, |bounds: &Bounds, pair: &Pair| {
            !is_final(bounds, pair) || has_all_left(pair)
        }),
        Property::always(GOES_ON, |bounds: &Bounds, pair: &Pair| {
            !is_final(bounds, pair) || goes_on_unless_lost(pair)
        }),
        Property::always(CALM, |bounds: &Bounds, pair: &Pair| {
            !(bounds.is_prompt && pair.mishaps == 0)
                || (pair.primary.claim, pair.backup.claim) == (Claim::None, Claim::None)
        }),
        Property::always(RESTS, |bounds: &Bounds, pair: &Pair| pair.tick <= bounds.ticks + REST),
        Property::always(SURVIVES, |bounds: &Bounds, pair: &Pair| {
            !(bounds.is_prompt && pair.mishaps <= 1 && is_final(bounds, pair)) || survives(pair)
        }),
    ];
    if bounds.is_prompt && bounds.mishaps == 1 {
        properties.push(Property::always(HANDOVER, |_: &Bounds, pair: &Pair| {
            pair.primary.fate != Fate::Left
                || pair.backup.live.is_none()
                || pair.backup.received == pair.primary.cut
        }));
    }
    reached(bounds, &mut properties);
    properties
}

/// What a run must come to, or it would show nothing.
fn reached(bounds: &Bounds, properties: &mut Vec<Property<Bounds>>) {
    properties
        .push(Property::sometimes("the primary goes alone", |_: &Bounds, pair: &Pair| pair.primary.is_alone));
    properties.push(Property::sometimes("the backup goes live", |_: &Bounds, pair: &Pair| {
        pair.backup.live.is_some()
    }));
    properties
        .push(Property::sometimes("outputs leave a primary with a backup", |_: &Bounds, pair: &Pair| {
            pair.primary.emitted.0 > 0 && !pair.primary.is_alone
        }));
    properties.push(Property::sometimes("outputs are left to the backup", |_: &Bounds, pair: &Pair| {
        pair.backup.live.is_some() && pair.backup.forgotten < pair.backup.received
    }));
    if bounds.guest_ends {
        properties.push(Property::sometimes(
            "both finish, and nobody asked for the flag",
            |_: &Bounds, pair: &Pair| {
                pair.primary.fate == Fate::Finished
                    && pair.backup.fate == Fate::Finished
                    && pair.flag.is_none()
            },
        ));
    }
    if bounds.leaves {
        properties.push(Property::sometimes("a handover waits for no lease", |_: &Bounds, pair: &Pair| {
            pair.primary.fate == Fate::Left && is_live(pair) && pair.tick == 0
        }));
    }
    if !bounds.is_prompt {
        properties.push(Property::sometimes(
            "the backup is live and the primary does not know",
            |_: &Bounds, pair: &Pair| {
                is_live(pair)
                    && pair.primary.fate == Fate::Running
                    && pair.primary.core.status(moment(pair.tick)).phase == PrimaryPhase::Protected
            },
        ));
    }
}

fn may_emit(bounds: &Bounds, pair: &Pair) -> bool {
    pair.primary.permitted(moment(pair.tick), bounds).is_some()
}

fn is_live(pair: &Pair) -> bool {
    pair.backup.live.is_some() && matches!(pair.backup.fate, Fate::Running | Fate::Finished)
}

/// Whether nothing is left to happen.
fn is_final(bounds: &Bounds, pair: &Pair) -> bool {
    if pair.tick <= bounds.ticks && !pair.is_settled() {
        return false; // Time can pass, or something must be done before it can.
    }
    let mut steps = Vec::new();
    bounds.actions(pair, &mut steps);
    steps.is_empty()
}

fn has_all_left(pair: &Pair) -> bool {
    let has_primary_let_all_out = pair.primary.emitted == pair.primary.cut;
    let primary_holds = pair.primary.fate == Fate::Finished && !has_primary_let_all_out;
    let backup_dropped = pair.backup.fate == Fate::Finished
        && pair.backup.live.is_none()
        && pair.backup.forgotten < pair.backup.received;
    !primary_holds && !backup_dropped
}

fn does_primary_go_on(pair: &Pair) -> bool {
    pair.primary.is_alone || pair.primary.fate == Fate::Finished
}

fn does_backup_go_on(pair: &Pair) -> bool {
    pair.backup.live.is_some() || pair.backup.fate == Fate::Finished
}

fn goes_on_unless_lost(pair: &Pair) -> bool {
    let is_up = |fate| matches!(fate, Fate::Running | Fate::StoodDown);
    let primary = !is_up(pair.primary.fate) || does_primary_go_on(pair) || pair.flag == Some(Side::Backup);
    let backup = !is_up(pair.backup.fate) || does_backup_go_on(pair) || pair.flag == Some(Side::Primary);
    pair.is_intact() || primary && backup
}

fn survives(pair: &Pair) -> bool {
    let primary = does_primary_go_on(pair) && matches!(pair.primary.fate, Fate::Running | Fate::Finished);
    let backup = does_backup_go_on(pair) && matches!(pair.backup.fate, Fate::Running | Fate::Finished);
    pair.is_intact() || primary || backup
}
