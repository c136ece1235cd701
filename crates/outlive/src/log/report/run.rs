//! The plots of a run over guest time.

use std::fmt::{self, Write};
use std::time::Duration;

use outlive_log::series::{Series, Tally};
use outlive_log::statistics::Kind;

use super::plot::{self, Frame, Ink};
use crate::failure::Failure;

/// The sizes of plots: as wide as the page, or a third.
const WIDE: (u32, u32) = (960, 280);
const THIRD: (u32, u32) = (400, 230);

/// The colour of a kind of entry: the same in all plots and tables.
pub(super) fn kind_ink(kind: Kind) -> Ink {
    Ink::Series(kind as u8)
}

/// A spot of a colour, for legends.
pub(super) fn swatch(ink: Ink) -> String {
    format!("<i class=\"swatch\" style=\"background:{}\"></i>", ink.property())
}

/// Writes a plot with its caption and, if it has one, its legend.
pub(super) fn figure(
    page: &mut String,
    id: &str,
    caption: &str,
    legend: &[(Ink, &str)],
    svg: &str,
) -> fmt::Result {
    write!(page, "<figure id=\"{id}\"><figcaption>{caption}")?;
    if !legend.is_empty() {
        page.push_str("<ul class=\"legend\">");
        for (ink, name) in legend {
            write!(page, "<li>{}{name}</li>", swatch(*ink))?;
        }
        page.push_str("</ul>");
    }
    writeln!(page, "</figcaption><div class=\"scroll\">{svg}</div></figure>")
}

/// Writes all plots of a run of so much guest time.
///
/// # Errors
/// When one cannot be drawn.
pub(super) fn plots(
    page: &mut String,
    series: &Series,
    duration: Duration,
    counts_instructions: bool,
) -> Result<(), Failure> {
    let run = Run { series, width: series.buckets.width_nanoseconds() as f64 / 1e9 };
    page.push_str("<section><h2>The run over guest time</h2>\n");
    if duration.is_zero() {
        page.push_str("<p>No guest time has passed, so nothing can be told per second.</p></section>\n");
        return Ok(());
    }
    run.by_kind(
        page,
        "plot-bytes",
        "Bytes of log per second, by kind, before compression",
        |tally, kind| tally.bytes[kind as usize],
    )?;
    run.by_kind(page, "plot-entries", "Entries per second, by kind", |tally, kind| {
        tally.entries[kind as usize]
    })?;
    page.push_str("<div class=\"thirds\">\n");
    if counts_instructions {
        run.one(page, "plot-instructions", "Instructions per second", 9, |tally| tally.instructions)?;
    }
    run.one(page, "plot-exits", "Exits of the guest per second", 0, |tally| tally.exits)?;
    let interrupts = |tally: &Tally| tally.entries[Kind::Interrupt as usize];
    run.one(page, "plot-interrupts", "Interrupts per second", Kind::Interrupt as u8, interrupts)?;
    page.push_str("</div>\n<p class=\"note\">");
    run.note(page, counts_instructions).map_err(Failure::runtime)
}

struct Run<'a> {
    series: &'a Series,
    /// Of a bucket, in seconds.
    width: f64,
}

impl Run<'_> {
    /// What is counted, per second.
    fn per_second(&self, count: impl Fn(&Tally) -> u64) -> Vec<f64> {
        self.series.buckets.as_slice().iter().map(|tally| count(tally) as f64 / self.width).collect()
    }

    /// How the plots are to be read.
    fn note(&self, page: &mut String, counts_instructions: bool) -> fmt::Result {
        let (steps, milliseconds) = (self.series.buckets.as_slice().len(), self.width * 1e3);
        write!(
            page,
            "Each plot shows averages over steps of {milliseconds:.3} ms of guest time: {steps} of them."
        )?;
        if counts_instructions {
            page.push_str(
                " Instructions are counted at the end of each batch of entries, and spread evenly within it.",
            );
        }
        page.push_str("</p></section>\n");
        Ok(())
    }

    fn frame(&self, title: &'static str, highest: f64, size: (u32, u32)) -> Frame {
        Frame {
            title,
            x_title: "guest time in seconds",
            x: 0.0..self.series.buckets.as_slice().len() as f64 * self.width,
            y: plot::from_zero(highest),
            size,
        }
    }

    /// All kinds, one upon the other.
    fn by_kind(
        &self,
        page: &mut String,
        id: &str,
        title: &'static str,
        count: impl Fn(&Tally, Kind) -> u64,
    ) -> Result<(), Failure> {
        let layers = Kind::ALL.map(|kind| (kind, self.per_second(|tally| count(tally, kind))));
        let layers: Vec<_> =
            layers.into_iter().filter(|(_, values)| values.iter().any(|v| *v > 0.0)).collect();
        let tops = (0..self.series.buckets.as_slice().len())
            .map(|bucket| layers.iter().map(|(_, values)| values[bucket]).sum::<f64>());
        let frame = self.frame(title, tops.fold(0.0, f64::max), WIDE);
        let legend: Vec<_> = layers.iter().map(|(kind, _)| (kind_ink(*kind), kind.name())).collect();
        let layers: Vec<_> = layers.into_iter().map(|(kind, values)| (kind_ink(kind), values)).collect();
        let svg = plot::stacked(&frame, self.width, &layers)?;
        figure(page, id, title, &legend, &svg).map_err(Failure::runtime)
    }

    /// One thing alone.
    fn one(
        &self,
        page: &mut String,
        id: &str,
        title: &'static str,
        color: u8,
        count: impl Fn(&Tally) -> u64,
    ) -> Result<(), Failure> {
        let values = self.per_second(count);
        let frame = self.frame(title, values.iter().copied().fold(0.0, f64::max), THIRD);
        let svg = plot::stacked(&frame, self.width, &[(Ink::Series(color), values)])?;
        figure(page, id, title, &[], &svg).map_err(Failure::runtime)
    }
}
