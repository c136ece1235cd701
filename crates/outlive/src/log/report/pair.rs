//! What the sides of a pair have told of themselves: lag, the delay at the gate, and how a failover went.

use std::fmt::Write;
use std::ops::Range;

use super::history::{History, Moment, Role, Standing};
use super::html::Text;
use super::plot::{self, Frame, Ink, Lane, Line};
use super::run::figure;
use crate::failure::Failure;
use crate::pair::history::EVERY;

const WIDE: (u32, u32) = (960, 240);

/// Samples that are further apart are not joined by a line, in seconds.
const GAP: f64 = 0.35;

/// What may be the first that a side notices of a failure, or of the other side's leaving.
const BEGINNINGS: [&str; 5] = ["suspected", "claiming", "backup_diverged", "left", "stood_down"];

/// What settles a failover.
const SETTLEMENTS: [&str; 5] = ["alone", "live", "claim_won", "claim_lost", "stood_down"];

/// The histories of a pair, with the words for each side.
struct Pair<'a> {
    sides: Vec<(String, &'a History)>,
    /// The first line of any side.
    begin: Moment,
    /// The first suspicion or loss.
    loss: Option<Moment>,
}

/// Writes all that is known of a pair.
///
/// # Errors
/// When a plot cannot be drawn.
pub(super) fn section(page: &mut String, histories: &[History]) -> Result<(), Failure> {
    let Some(pair) = Pair::of(histories) else { return Ok(()) };
    page.push_str("<section><h2>The pair</h2>\n");
    pair.summary(page).map_err(Failure::runtime)?;
    pair.slowed(page).map_err(Failure::runtime)?;
    pair.failover(page)?;
    let lag = [("lag", false, value(|standing| standing.lag_milliseconds))];
    pair.over_time(
        page,
        "plot-lag",
        "Lag of the backup in milliseconds: the age of what it has not executed",
        &lag,
    )?;
    let gate = [
        ("median", false, value(|standing| standing.gate_median)),
        ("99th percentile", true, value(|standing| standing.gate_99th)),
    ];
    pair.over_time(page, "plot-gate", "Delay of frames at the output gate in microseconds", &gate)?;
    let rate = [("log", false, value(|standing| standing.bytes_per_second))];
    pair.over_time(page, "plot-channel", "Bytes of log per second of host time", &rate)?;
    page.push_str(
        "<p class=\"note\">Where there are more samples than the plot has room for, the worst of each step is shown. \
         Times are those of each host's own clock.</p></section>\n",
    );
    Ok(())
}

/// Helps the compiler to see what kind of function it is.
fn value(of: fn(&Standing) -> Option<f64>) -> fn(&Standing) -> Option<f64> {
    of
}

/// A measure: its name, whether it has the second shade of its side, and where it is.
type Measure<'a> = (&'a str, bool, fn(&Standing) -> Option<f64>);

/// The colour of a side; `second` is another shade of it.
fn side_ink(history: &History, position: usize, second: bool) -> Ink {
    let shades = match history.role {
        Some(Role::Primary) => [0, 1],
        Some(Role::Backup) => [5, 12],
        None => [[2, 4], [6, 8]][position % 2],
    };
    Ink::Series(shades[usize::from(second)])
}

impl<'a> Pair<'a> {
    fn of(histories: &'a [History]) -> Option<Self> {
        let side = |(position, history): (usize, &'a History)| {
            let name = history.role.map_or(format!("side {}", position + 1), |role| role.name().to_owned());
            let twins = histories.iter().filter(|other| other.role == history.role).count();
            (
                if twins > 1 && history.role.is_some() { format!("{name} ({})", position + 1) } else { name },
                history,
            )
        };
        let begin = histories.iter().map(|history| history.begin).min()?;
        let first = |name: &&str| histories.iter().filter_map(|history| history.first(name)).min();
        let loss = BEGINNINGS.iter().find_map(first);
        Some(Self { sides: histories.iter().enumerate().map(side).collect(), begin, loss })
    }

    /// What came of it, in a sentence.
    fn summary(&self, page: &mut String) -> std::fmt::Result {
        let Some(loss) = self.loss else {
            return writeln!(page, "<p>No side has suspected or left the other.</p>");
        };
        for (name, history) in &self.sides {
            let went_on = history.events.iter().find(|event| event.name == "alone" && event.at >= loss);
            if let Some(event) = went_on {
                let took = event.at.milliseconds_since(loss);
                return writeln!(
                    page,
                    "<p>The {name} went on alone <b>{took:.1} ms</b> after the first suspicion or loss.</p>"
                );
            }
        }
        writeln!(page, "<p>After the first suspicion or loss no side is known to have gone on alone.</p>")
    }

    /// For how long the guest was slowed down, as far as samples tell.
    fn slowed(&self, page: &mut String) -> std::fmt::Result {
        for (name, history) in &self.sides {
            let steps = history.standing.as_slice().iter().filter(|standing| standing.slowed).count();
            // A step that is shorter than the time between two samples stands for that time.
            let each = (history.standing.width_nanoseconds() as f64 / 1e9).max(EVERY.as_secs_f64());
            if steps > 0 {
                let seconds = steps as f64 * each;
                writeln!(
                    page,
                    "<p>The {name} slowed the guest down for about {seconds:.1} s at most: the backup was behind.</p>"
                )?;
            }
        }
        Ok(())
    }

    /// A plot of something that was sampled, over the whole histories.
    fn over_time(
        &self,
        page: &mut String,
        id: &str,
        title: &'static str,
        measures: &[Measure<'_>],
    ) -> Result<(), Failure> {
        let (mut lines, mut names) = (Vec::new(), Vec::new());
        for (position, (side, history)) in self.sides.iter().enumerate() {
            for (name, second, of) in measures {
                let ink = side_ink(history, position, *second);
                let line = Line { ink, pieces: self.pieces(history, *of) };
                if !line.pieces.is_empty() {
                    lines.push(line);
                    names.push((
                        ink,
                        if measures.len() > 1 { format!("{side}: {name}") } else { side.clone() },
                    ));
                }
            }
        }
        if lines.is_empty() {
            return writeln!(page, "<p>{title}: none was sampled.</p>").map_err(Failure::runtime);
        }
        let points = || lines.iter().flat_map(|line| line.pieces.iter().flatten());
        let end = self.sides.iter().map(|(_, history)| history.end).max().unwrap_or(self.begin);
        let frame = Frame {
            title,
            x_title: "seconds since the first history began",
            x: 0.0..(end.milliseconds_since(self.begin) / 1e3).max(0.1) * 1.01,
            y: plot::from_zero(points().map(|(_, y)| *y).fold(0.0, f64::max)),
            size: WIDE,
        };
        let moments: Vec<_> =
            self.loss.iter().map(|loss| loss.milliseconds_since(self.begin) / 1e3).collect();
        let svg = plot::lines(&frame, &lines, &moments)?;
        let mut legend: Vec<_> = names.iter().map(|(ink, name)| (*ink, name.as_str())).collect();
        if self.loss.is_some() {
            legend.push((Ink::Mark, "first suspicion or loss"));
        }
        figure(page, id, title, &legend, &svg).map_err(Failure::runtime)
    }

    /// The samples of a side, in pieces without gaps.
    fn pieces(&self, history: &History, of: fn(&Standing) -> Option<f64>) -> Vec<Vec<(f64, f64)>> {
        let width = history.standing.width_nanoseconds() as f64 / 1e9;
        let begin = history.begin.milliseconds_since(self.begin) / 1e3;
        let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
        for (bucket, standing) in history.standing.as_slice().iter().enumerate() {
            let Some(y) = of(standing) else { continue };
            let x = begin + (bucket as f64 + 0.5) * width;
            match pieces.last_mut() {
                Some(piece) if piece.last().is_some_and(|(last, _)| x - last <= GAP.max(3.0 * width)) => {
                    piece.push((x, y));
                }
                _ => pieces.push(vec![(x, y)]),
            }
        }
        pieces
    }

    /// The time line: what happened at each side, in one order.
    fn failover(&self, page: &mut String) -> Result<(), Failure> {
        let zero = self.loss.unwrap_or(self.begin);
        let happenings = self.happenings(zero);
        let settled = happenings.iter().filter(|happening| SETTLEMENTS.contains(&happening.name.as_str()));
        let settled = settled.map(|happening| happening.milliseconds).fold(0.0, f64::max);
        if self.loss.is_some() {
            let lanes: Vec<_> =
                (0..self.sides.len()).map(|side| self.lane(side, zero, &happenings)).collect();
            let title = "Time line of the failover";
            let span = settled.max(10.0);
            let frame = Frame {
                title,
                x_title: "milliseconds since the first suspicion or loss",
                x: -0.35 * span..1.25 * span,
                y: 0.0..1.0,
                size: (WIDE.0, 50 + 110 * self.sides.len() as u32),
            };
            let svg = plot::lanes(&frame, &lanes)?;
            let mut words = Vec::new();
            for (position, (name, history)) in self.sides.iter().enumerate() {
                words.push((side_ink(history, position, false), format!("{name} may let outputs out")));
                if serving(history, zero).1.is_some() {
                    words.push((
                        side_ink(history, position, true),
                        format!("{name} fell silent, some time in here"),
                    ));
                }
            }
            let mut legend: Vec<_> = words.iter().map(|(ink, text)| (*ink, text.as_str())).collect();
            legend.push((Ink::Mark, "first suspicion or loss"));
            figure(page, "plot-failover", title, &legend, &svg).map_err(Failure::runtime)?;
        }
        self.table(page, &happenings).map_err(Failure::runtime)
    }

    /// All events of all sides, by time.
    fn happenings(&self, zero: Moment) -> Vec<Happening> {
        let mut happenings = Vec::new();
        for (side, (_, history)) in self.sides.iter().enumerate() {
            let happening = |at: Moment, name: &str, text: &str| Happening {
                milliseconds: at.milliseconds_since(zero),
                side,
                name: name.to_owned(),
                text: text.to_owned(),
            };
            let events = history.events.iter().map(|event| happening(event.at, &event.name, &event.text));
            happenings.extend(events);
            let text = match (history.torn, history.more_events) {
                (true, 0) => "the last line of this history is cut off".to_owned(),
                (_, 0) => "the last line of this history".to_owned(),
                (_, more) => format!("the last line of this history; {more} more events are not listed"),
            };
            happenings.push(happening(history.end, "", &text));
        }
        happenings.sort_by(|one, other| one.milliseconds.total_cmp(&other.milliseconds));
        happenings
    }

    /// When a side could let outputs out, and what happened there.
    fn lane(&self, side: usize, zero: Moment, happenings: &[Happening]) -> Lane {
        let (name, history) = &self.sides[side];
        let ink = |second| side_ink(history, side, second);
        let (certain, unknown) = serving(history, zero);
        let bars =
            certain.into_iter().map(|bar| (ink(false), bar)).chain(unknown.map(|bar| (ink(true), bar)));
        let moments = happenings.iter().enumerate().filter(|(_, happening)| happening.side == side);
        let moments = moments.map(|(number, happening)| (happening.milliseconds, number + 1)).collect();
        Lane { name: name.clone(), bars: bars.collect(), moments }
    }

    fn table(&self, page: &mut String, happenings: &[Happening]) -> std::fmt::Result {
        page.push_str(
            "<div class=\"scroll\"><table id=\"events\" class=\"events\"><caption>Milliseconds are counted from the first \
             suspicion or loss, or from the beginning where there was none. A side tells how it stands about \
             every 100 ms, so one that was killed has died about that much after its last line at most.</caption>\n<thead><tr><th scope=\"col\">no.</th><th scope=\"col\">ms</th>\
             <th scope=\"col\">side</th><th scope=\"col\">event</th><th scope=\"col\">what</th></tr></thead>\n<tbody>\n",
        );
        for (number, Happening { milliseconds, side, name, text }) in happenings.iter().enumerate() {
            let (side_name, history) = &self.sides[*side];
            let matters = SETTLEMENTS.contains(&name.as_str()) || BEGINNINGS.contains(&name.as_str());
            writeln!(
                page,
                "<tr{}><td>{}</td><td>{milliseconds:+.1}</td><td>{}{side_name}</td><td>{}</td><td>{}</td></tr>",
                if matters { " class=\"matters\"" } else { "" },
                number + 1,
                super::run::swatch(side_ink(history, *side, false)),
                Text(name),
                Text(text),
            )?;
        }
        page.push_str("</tbody></table></div>\n");
        Ok(())
    }
}

/// One line of the table.
#[derive(Clone, PartialEq, Debug)]
struct Happening {
    milliseconds: f64,
    side: usize,
    name: String,
    text: String,
}

/// When a side could let outputs out, in milliseconds, and when nobody can tell: from the last line of a side that was
/// killed to the moment zero at which the other one noticed.
fn serving(history: &History, zero: Moment) -> (Vec<Range<f64>>, Option<Range<f64>>) {
    let (mut bars, mut since) = (Vec::new(), None);
    for event in &history.events {
        let at = event.at.milliseconds_since(zero);
        match event.name.as_str() {
            "protected" | "alone" => since = since.or(Some(at)),
            "suspected" | "claiming" | "stood_down" | "left" => {
                bars.extend(since.take().map(|since| since..at));
            }
            _ => {}
        }
    }
    let end = history.end.milliseconds_since(zero);
    bars.extend(since.map(|since| since..end));
    (bars, since.filter(|_| end < 0.0).map(|_| end..0.0))
}

#[cfg(test)]
mod tests;
