//! What happened, in one order, with milliseconds from the failure.

use std::fmt::Write as _;

use crate::event::{Event, EventKind};
use crate::history::History;
use crate::moment::Moment;
use crate::verdict::Paint;

/// How long before the failure the line begins, in milliseconds.
const BEFORE: f64 = 50.0;

/// Something on the line.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Happening {
    at: Moment,
    who: &'static str,
    what: String,
    matters: bool,
}

/// What happened around a failure.
#[derive(Clone, Debug)]
pub struct Timeline {
    failure: Moment,
    happenings: Vec<Happening>,
}

impl Timeline {
    /// A line around the moment of a failure.
    pub fn around(failure: Moment) -> Self {
        Self { failure, happenings: Vec::new() }
    }

    fn add(&mut self, at: Moment, who: &'static str, what: String, matters: bool) {
        self.happenings.push(Happening { at, who, what, matters });
    }

    /// What the rehearsal did itself.
    pub fn deeds(&mut self, deeds: &[(Moment, String)]) {
        for (at, what) in deeds {
            self.add(*at, "rehearsal", what.clone(), true);
        }
    }

    /// What a side told.
    pub fn side(&mut self, who: &'static str, events: &[Event]) {
        for event in events {
            let matters = matches!(event.kind, EventKind::Live | EventKind::Alone | EventKind::StoodDown);
            self.add(event.at, who, event.to_string(), matters);
        }
    }

    /// What clients saw: the last answer before the longest silence until the service went on, and the first one behind
    /// it.
    pub fn clients(&mut self, history: &History, recovered: Moment) {
        if let Some((last, first)) = history.pause_between(self.failure, recovered) {
            self.add(last, "clients", "last answer before".to_owned(), true);
            let pause = first.milliseconds_after(last);
            self.add(first, "clients", format!("first answer after, {pause:.1} ms later"), true);
        }
    }

    /// The line, as a table.
    pub fn told(&self, paint: Paint) -> String {
        let mut happenings: Vec<_> = self.happenings.iter().collect();
        happenings.sort_by_key(|happening| happening.at);
        let mut text = format!("  {:>10}  {:9}\n", "ms", "");
        for Happening { at, who, what, matters } in happenings {
            let milliseconds = at.milliseconds_after(self.failure);
            if milliseconds < -BEFORE && *who != "clients" {
                continue;
            }
            let what = if *matters { paint.strong(what) } else { what.clone() };
            // A string takes whatever is written.
            let _ = writeln!(text, "  {milliseconds:>+10.1}  {}  {what}", paint.faint(format!("{who:9}")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Answer, Call, Operation};

    fn answer(milliseconds: u64) -> Operation {
        let at = Moment(milliseconds * 1_000_000);
        Operation {
            client: 0,
            key: "k".to_owned(),
            call: Call::Get,
            invoked: at,
            answer: Some((at, Answer::Value(None))),
        }
    }

    #[test]
    fn what_clients_and_both_sides_saw_is_told_in_one_order_from_the_failure_on() {
        let mut timeline = Timeline::around(Moment(1_000_000_000));
        let event = |milliseconds: u64, kind: EventKind| Event {
            at: Moment(milliseconds * 1_000_000),
            kind,
            fields: serde_json::Map::new(),
        };
        timeline.side("primary", &[event(100, EventKind::Protected)]);
        timeline.side("backup", &[event(1012, EventKind::Live), event(1001, EventKind::Suspected)]);
        timeline.deeds(&[(Moment(1_000_000_000), "kills the primary".to_owned())]);
        timeline.clients(
            &History { operations: [10, 998, 1020, 1021, 3000].map(answer).to_vec() },
            Moment(1_012_000_000),
        );
        let told = timeline.told(Paint::plain());
        let lines: Vec<_> =
            told.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "-2.0 clients last answer before",
                "+0.0 rehearsal kills the primary",
                "+1.0 backup suspected",
                "+12.0 backup live",
                "+20.0 clients first answer after, 22.0 ms later",
            ]
        );
    }
}
