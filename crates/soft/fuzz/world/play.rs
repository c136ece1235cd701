//! One input, played twice: as a monitor that records, and as one that replays.
//!
//! The recording monitor's engine has no native code, the replaying one's as much as possible.
//!
//! The recording monitor runs as far as it can, and asks for the interrupt window when an interrupt cannot be
//! taken. What it did, and at which step, is its log. The replaying one knows the log, stops wherever it
//! likes in between, looks at the state, kicks, and does what the log says at the same steps.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::vec::IntoIter;

use outlive_engine::{Activity, Answer, Engine, Exit, GuestRam, RunLimit, VcpuState};
use outlive_soft::{NativeCode, SoftEngine};
use vm_memory::{Bytes, GuestAddress};

use super::input::Input;
use super::stage::Stage;

/// The steps after which it is enough: one of these. Most stories are short, so that there can be many.
const STEPS: [u64; 4] = [200, 400, 1000, 4000];
/// As many exits, and things from outside.
const HAPPENINGS: usize = 400;
/// No instruction makes more exits: FXRSTOR reads 512 bytes.
const EXITS_OF_ONE_STEP: usize = 200;

/// What comes from outside.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    /// Each at its step, sorted.
    events: VecDeque<(u64, Event)>,
    /// How many steps are made.
    steps: u64,
    answers: [u64; 4],
    /// For the stops of the second monitor.
    seed: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Event {
    Interrupt(u8),
    /// A device writes to memory.
    Write(u64, [u8; 8]),
}

/// What a monitor sees or does.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Happening {
    Exit(Exit),
    Event(Event),
}

type Log = Vec<(u64, Happening)>;

impl Story {
    pub(crate) fn new(input: &mut Input, bytes: &[u8]) -> Self {
        let steps = STEPS[usize::from(input.byte() & 3)];
        let mut at = 0;
        let events = (0..input.byte() % 12).map(|_| {
            let (distance, choice) = (input.word(), input.byte());
            // Most are near.
            at += u64::from(if distance & 1 == 0 { distance >> 1 & 31 } else { distance >> 1 & 511 });
            let event = match choice & 3 {
                0 => {
                    let place = input.likely();
                    Event::Write(place, input.qword().to_le_bytes())
                }
                _ => Event::Interrupt(input.byte()),
            };
            (at.min(steps), event)
        });
        let events = events.collect();
        let answers = std::array::from_fn(|_| input.likely());
        let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        Self { events, steps, answers, seed: bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold) }
    }

    /// The answer to the exit with this number.
    fn answer(&self, number: usize) -> u64 {
        self.answers[number % 4].rotate_left((number / 4) as u32)
    }
}

/// How it ended.
struct Ending {
    log: Log,
    /// `None` within an instruction that makes several exits.
    state: Option<VcpuState>,
    retired: u64,
    memory: Vec<u8>,
}

/// Plays twice, and compares.
pub(crate) fn twice(stage: &Stage, state: &VcpuState, story: &Story) {
    let Some(mut player) = Player::new(stage, state, story, NativeCode::Never) else { return };
    player.record(story.events.clone());
    let recorded = player.end();
    let mut player =
        Player::new(stage, state, story, NativeCode::Always).expect("the state was not refused before");
    player.replay(&recorded.log);
    let replayed = player.end();
    if let Some(at) = (0..recorded.log.len()).find(|&at| recorded.log.get(at) != replayed.log.get(at)) {
        let (recorded, replayed) = (&recorded.log[at], replayed.log.get(at));
        panic!("happening {at}: recorded {recorded:x?}, replayed {replayed:x?}");
    }
    assert_eq!(recorded.log.len(), replayed.log.len(), "happenings");
    assert_eq!(recorded.retired, replayed.retired, "steps");
    assert_eq!(recorded.state, replayed.state, "the state at the end");
    let mut both = recorded.memory.iter().zip(&replayed.memory);
    if let Some(at) = both.position(|(recorded, replayed)| recorded != replayed) {
        let (recorded, replayed) = (recorded.memory[at], replayed.memory[at]);
        panic!("memory at {at:#x}: recorded {recorded:#x}, replayed {replayed:#x}");
    }
}

/// Whether it goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    NoFurther,
}

struct Player<'story> {
    engine: SoftEngine,
    ram: GuestRam,
    story: &'story Story,
    log: Log,
    exits_of_step: (u64, usize),
}

impl<'story> Player<'story> {
    /// `None` if the state is refused.
    fn new(stage: &Stage, state: &VcpuState, story: &'story Story, native_code: NativeCode) -> Option<Self> {
        let ram = stage.ram();
        let mut engine = SoftEngine::with_native_code(&ram, native_code);
        engine.set_state(state).ok()?;
        Some(Self { engine, ram, story, log: Vec::new(), exits_of_step: (0, 0) })
    }

    fn retired(&self) -> u64 {
        self.engine.retired().0
    }

    fn run_to(&mut self, step: u64) -> Exit {
        let retired = self.retired();
        let limit = step.saturating_sub(retired);
        let exit = self.engine.run(RunLimit::Instructions(limit)).expect("the engine keeps any limit");
        assert!(self.retired() <= step.max(retired), "it went beyond the limit");
        exit
    }

    fn is_halted(&self) -> bool {
        self.engine.activity() == Activity::Halted
    }

    fn can_take_interrupt(&mut self) -> bool {
        self.engine.can_take_interrupt().expect("the engine knows")
    }

    /// Does what comes from outside. Whether that was possible.
    fn happen(&mut self, event: &Event) -> bool {
        match event {
            Event::Interrupt(vector) => {
                if !self.can_take_interrupt() {
                    return false;
                }
                self.log.push((self.retired(), Happening::Event(event.clone())));
                self.engine.inject_interrupt(*vector).expect("it can be taken");
            }
            Event::Write(at, bytes) => {
                self.log.push((self.retired(), Happening::Event(event.clone())));
                // Where there is no memory, nothing is written.
                let _ = self.ram.write_slice(bytes, GuestAddress(at & 0x3_ffff));
            }
        }
        true
    }

    /// Notes an exit, and answers it.
    fn exit(&mut self, exit: Exit) -> Goes {
        let value = self.story.answer(self.log.len());
        let answer = match exit {
            Exit::PortRead { .. } | Exit::MmioRead { .. } | Exit::TimeRead => Some(Answer::Value(value)),
            Exit::MsrRead { .. } if value & 1 == 0 => Some(Answer::Value(value)),
            Exit::MsrWrite { .. } if value & 1 == 0 => Some(Answer::Done),
            Exit::MsrRead { .. } | Exit::MsrWrite { .. } => Some(Answer::GeneralProtection),
            _ => None,
        };
        let is_last = matches!(exit, Exit::Shutdown | Exit::Unhandled(_));
        let retired = self.retired();
        self.log.push((retired, Happening::Exit(exit)));
        let (step, exits) = self.exits_of_step;
        self.exits_of_step = (retired, if step == retired { exits + 1 } else { 0 });
        assert!(
            self.exits_of_step.1 < EXITS_OF_ONE_STEP,
            "an instruction comes to no end: {:x?}",
            self.log.last()
        );
        if let Some(answer) = answer {
            self.engine.answer(answer).expect("the exit wants this answer");
        }
        if is_last || self.log.len() >= HAPPENINGS { Goes::NoFurther } else { Goes::On }
    }

    fn record(&mut self, mut events: VecDeque<(u64, Event)>) {
        let mut waiting = None;
        loop {
            if self.is_halted() {
                if let Some(event) = waiting.take() {
                    self.engine.set_interrupt_window(false);
                    events.push_front((0, event));
                }
                let Some((_, event)) = events.pop_front() else { return };
                self.happen(&event);
                continue;
            }
            let next = events.front().map_or(self.story.steps, |(at, _)| *at);
            match self.run_to(next) {
                Exit::LimitReached => {
                    let Some((_, event)) = events.pop_front() else { return };
                    if !self.happen(&event) && waiting.is_none() {
                        self.engine.set_interrupt_window(true);
                        waiting = Some(event);
                    }
                }
                Exit::InterruptWindow => {
                    self.engine.set_interrupt_window(false);
                    let event = waiting.take().expect("the window was asked for");
                    assert!(self.happen(&event), "the window is open");
                }
                exit => {
                    if self.exit(exit) == Goes::NoFurther {
                        return;
                    }
                }
            }
        }
    }

    fn replay(&mut self, log: &Log) {
        let events: Vec<(u64, Event)> = log
            .iter()
            .filter_map(|(at, happening)| match happening {
                Happening::Event(event) => Some((*at, event.clone())),
                Happening::Exit(_) => None,
            })
            .collect();
        let mut events = events.into_iter().peekable();
        let mut random = self.story.seed | 1;
        loop {
            if self.is_halted() {
                if !self.replay_due(&mut events) {
                    return;
                }
                continue;
            }
            let due = events.peek().map_or(self.story.steps, |(at, _)| *at);
            let stop = self.retired() + distance(&mut random);
            self.disturb(&mut random);
            match self.run_to(due.min(stop)) {
                Exit::LimitReached if self.retired() < due => {}
                Exit::LimitReached => {
                    if !self.replay_due(&mut events) {
                        return;
                    }
                }
                Exit::Kicked => {}
                exit => {
                    if self.exit(exit) == Goes::NoFurther {
                        return;
                    }
                }
            }
        }
    }

    /// Does the next thing, if it belongs here. Whether it did.
    fn replay_due(&mut self, events: &mut Peekable<IntoIter<(u64, Event)>>) -> bool {
        let retired = self.retired();
        let Some((_, event)) = events.next_if(|(at, _)| *at == retired) else { return false };
        assert!(self.happen(&event), "what was possible when it was recorded is possible");
        true
    }

    /// What must not make a difference.
    fn disturb(&mut self, random: &mut u64) {
        match next(random) % 8 {
            0 => self.engine.kicker().kick(),
            1 => {
                // Within an instruction that makes several exits there is none.
                let _ = self.engine.state();
            }
            2 => {
                let _ = self.engine.position();
            }
            3 => {
                self.can_take_interrupt();
            }
            4 => {
                self.engine.translate(next(random));
            }
            _ => {}
        }
    }

    fn end(mut self) -> Ending {
        let state = self.engine.state().ok();
        Ending { log: self.log, state, retired: self.engine.retired().0, memory: Stage::contents(&self.ram) }
    }
}

/// How far to the next stop: often a single step.
fn distance(random: &mut u64) -> u64 {
    let bits = next(random);
    match bits & 3 {
        0 => 1,
        1 => 1 + (bits >> 2 & 3),
        2 => 1 + (bits >> 2 & 31),
        _ => 1 + (bits >> 2 & 255),
    }
}

/// Xorshift: what it yields need not be good, but the same everywhere.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random >> 3
}
