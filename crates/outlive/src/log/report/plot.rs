//! Plots as SVG that stands in a page.
//!
//! The library writes colours into what it draws. A page is read in light and in dark, so each colour here is only a
//! name, [`Ink`]; what the library wrote for it is replaced by a property of the page's style sheet.

use std::fmt::Write;
use std::ops::Range;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::failure::Failure;

/// How many units of the drawing one pixel is. The library draws in whole units.
const FINE: u32 = 4;

/// What is on a plot's own axes: the canvas of the library.
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A colour, by what it is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ink {
    /// Words and axes.
    Axis,
    /// Lines to read values by.
    Grid,
    /// A moment that matters.
    Mark,
    /// The series of this number.
    Series(u8),
}

/// How many series have a colour of their own.
pub(super) const SERIES: u8 = 13;

impl Ink {
    fn all() -> impl Iterator<Item = Self> {
        [Self::Axis, Self::Grid, Self::Mark].into_iter().chain((0..SERIES).map(Self::Series))
    }

    /// What the library is told: no other colour is like these.
    fn color(self) -> RGBColor {
        let number = match self {
            Self::Axis => 0xf0,
            Self::Grid => 0xf1,
            Self::Mark => 0xf2,
            Self::Series(number) => number % SERIES,
        };
        RGBColor(0xfe, 0x01, number)
    }

    /// The property of the style sheet.
    pub(super) fn property(self) -> String {
        match self {
            Self::Axis => "var(--muted)".to_owned(),
            Self::Grid => "var(--grid)".to_owned(),
            Self::Mark => "var(--mark)".to_owned(),
            Self::Series(number) => format!("var(--series-{})", number % SERIES),
        }
    }
}

/// The frame of a plot.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// For those who do not see it.
    pub(super) title: &'static str,
    /// What the horizontal axis tells.
    pub(super) x_title: &'static str,
    pub(super) x: Range<f64>,
    pub(super) y: Range<f64>,
    /// In pixels of the page when it is as wide as it becomes.
    pub(super) size: (u32, u32),
}

/// One line of a plot, in pieces.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Line {
    pub(super) ink: Ink,
    pub(super) pieces: Vec<Vec<(f64, f64)>>,
}

/// Amounts in buckets of equal width, upon each other.
///
/// # Errors
/// When the library fails.
pub(super) fn stacked(frame: &Frame, width: f64, layers: &[(Ink, Vec<f64>)]) -> Result<String, Failure> {
    draw(frame, amount, |chart| {
        let mut below = vec![0.0; layers.first().map_or(0, |(_, values)| values.len())];
        for (ink, values) in layers {
            let above: Vec<_> = below.iter().zip(values).map(|(below, value)| below + value).collect();
            let outline = steps(&above, width).chain(steps(&below, width).rev());
            chart.draw_series([Polygon::new(outline.collect::<Vec<_>>(), ink.color().filled())])?;
            below = above;
        }
        Ok(())
    })
}

/// The corners of a stair of buckets.
fn steps(values: &[f64], width: f64) -> impl DoubleEndedIterator<Item = (f64, f64)> {
    let corners = move |(bucket, value): (usize, &f64)| {
        [(bucket as f64 * width, *value), ((bucket + 1) as f64 * width, *value)]
    };
    values.iter().enumerate().flat_map(corners)
}

/// Lines, and moments that matter.
///
/// # Errors
/// When the library fails.
pub(super) fn lines(frame: &Frame, lines: &[Line], moments: &[f64]) -> Result<String, Failure> {
    draw(frame, amount, |chart| {
        for moment in moments {
            let line = vec![(*moment, frame.y.start), (*moment, frame.y.end)];
            chart.draw_series([PathElement::new(line, Ink::Mark.color().stroke_width(FINE))])?;
        }
        for Line { ink, pieces } in lines {
            for piece in pieces {
                if let [(x, y)] = piece[..] {
                    chart.draw_series([Circle::new((x, y), 2 * FINE, ink.color().filled())])?;
                } else {
                    let style = ink.color().stroke_width(3 * FINE / 2);
                    chart.draw_series([PathElement::new(piece.clone(), style)])?;
                }
            }
        }
        Ok(())
    })
}

/// Bars on lanes, one above the other, and numbered moments on them.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) bars: Vec<(Ink, Range<f64>)>,
    /// When, and under what number.
    pub(super) moments: Vec<(f64, usize)>,
}

/// Lanes from the top down. The vertical axis has their names instead of numbers.
///
/// # Errors
/// When the library fails.
pub(super) fn lanes(frame: &Frame, lanes: &[Lane]) -> Result<String, Failure> {
    let frame = Frame { y: 0.0..lanes.len() as f64, ..frame.clone() };
    draw(
        &frame,
        |_| String::new(),
        |chart| {
            for (position, lane) in lanes.iter().enumerate() {
                one_lane(chart, &frame.x, (lanes.len() - 1 - position) as f64, lane)?;
            }
            if frame.x.contains(&0.0) {
                let line = vec![(0.0, frame.y.start), (0.0, frame.y.end)];
                chart.draw_series([PathElement::new(line, Ink::Mark.color().stroke_width(FINE))])?;
            }
            Ok(())
        },
    )
}

fn one_lane(chart: &mut Chart<'_, '_>, x: &Range<f64>, floor: f64, lane: &Lane) -> Result<(), DrawError> {
    let label = |pos| ("sans-serif", 14 * FINE).into_font().color(&Ink::Axis.color()).pos(pos);
    let before = label(Pos::new(HPos::Right, VPos::Center));
    let beside = label(Pos::new(HPos::Left, VPos::Center));
    let step = (x.end - x.start) / 200.0;
    chart.plotting_area().draw(&Text::new(lane.name.clone(), (x.start - step, floor + 0.2), before))?;
    for (ink, bar) in &lane.bars {
        let (from, to) = (bar.start.max(x.start), bar.end.min(x.end));
        if from < to {
            let corners = [(from, floor + 0.1), (to, floor + 0.3)];
            chart.draw_series([Rectangle::new(corners, ink.color().filled())])?;
        }
    }
    // Neighbours stand at different heights, so that their numbers can be read.
    let seen = lane.moments.iter().filter(|(at, _)| x.contains(at));
    for (order, (at, number)) in seen.enumerate() {
        let top = floor + 0.42 + 0.15 * (order % 4) as f64;
        let line = vec![(*at, floor + 0.04), (*at, top)];
        chart.draw_series([PathElement::new(line, Ink::Axis.color().stroke_width(FINE))])?;
        chart.draw_series([Text::new(number.to_string(), (at + step, top), beside.clone())])?;
    }
    Ok(())
}

type DrawError = DrawingAreaErrorKind<std::io::Error>;

/// Draws axes, and then what belongs on them.
fn draw(
    frame: &Frame,
    y_text: impl Fn(&f64) -> String,
    content: impl FnOnce(&mut Chart<'_, '_>) -> Result<(), DrawError>,
) -> Result<String, Failure> {
    let mut svg = String::new();
    let size = (frame.size.0 * FINE, frame.size.1 * FINE);
    let drawn = (|| {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin_top(8 * FINE)
            .margin_right(14 * FINE)
            .set_label_area_size(LabelAreaPosition::Left, 58 * FINE)
            .set_label_area_size(LabelAreaPosition::Bottom, 40 * FINE)
            .build_cartesian_2d(frame.x.clone(), frame.y.clone())?;
        let label = ("sans-serif", 15 * FINE).into_font().color(&Ink::Axis.color());
        let span = frame.x.end - frame.x.start;
        let has_numbers = !y_text(&1.0).is_empty();
        let grid = if has_numbers { Ink::Grid.color().stroke_width(FINE) } else { TRANSPARENT.into() };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(grid)
            .axis_style(Ink::Axis.color().stroke_width(FINE))
            .label_style(label.clone())
            .axis_desc_style(label)
            .set_all_tick_mark_size(5 * FINE)
            .set_tick_mark_size(LabelAreaPosition::Left, if has_numbers { 5 * FINE } else { 0 })
            .x_labels(frame.size.0 as usize / 80)
            .y_labels(5)
            .x_label_formatter(&|x| moment(*x, span))
            .y_label_formatter(&y_text)
            .x_desc(frame.x_title)
            .draw()?;
        content(&mut chart)?;
        drop(chart);
        area.present()
    })();
    drawn.map_err(|error: DrawError| Failure::runtime(anyhow::anyhow!("a plot cannot be drawn: {error}")))?;
    Ok(for_page(&svg, frame.title, size))
}

/// What the library has drawn, without a size and colours of its own.
fn for_page(svg: &str, title: &str, (width, height): (u32, u32)) -> String {
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let mut body = body.replace(" opacity=\"1\"", "").replace(" font-family=\"sans-serif\"", "");
    for ink in Ink::all() {
        let RGBColor(red, green, blue) = ink.color();
        let color = format!("\"#{red:02X}{green:02X}{blue:02X}\"");
        body = body.replace(&color, &format!("\"{}\"", ink.property()));
    }
    let mut page = String::new();
    // A string takes everything.
    let _ = write!(page, "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">{body}");
    page
}

/// A moment on an axis that is so long, to the last digit that tells labels apart.
fn moment(at: f64, span: f64) -> String {
    let decimals = (2.0 - span.log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{at:.decimals$}");
    let text = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// An amount in few characters.
fn amount(value: &f64) -> String {
    let (scaled, unit) = match value.abs() {
        amount if amount >= 1e12 => (value / 1e12, " T"),
        amount if amount >= 1e9 => (value / 1e9, " G"),
        amount if amount >= 1e6 => (value / 1e6, " M"),
        amount if amount >= 1e3 => (value / 1e3, " k"),
        _ => (*value, ""),
    };
    let text = format!("{scaled:.2}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// An axis for values from zero up to this: never without length.
pub(super) fn from_zero(highest: f64) -> Range<f64> {
    0.0..if highest > 0.0 { highest * 1.05 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame { title: "t", x_title: "s", x: 0.0..3.0, y: 0.0..10.0, size: (400, 200) }
    }

    #[test]
    fn no_colour_of_the_library_is_left() {
        let every: Vec<_> = (0..SERIES).map(|number| (Ink::Series(number), vec![0.5; 3])).collect();
        let stack = stacked(&frame(), 1.0, &every).unwrap();
        let line = Line { ink: Ink::Series(1), pieces: vec![vec![(0.0, 1.0), (1.0, 2.0)], vec![(2.0, 2.0)]] };
        let line = lines(&frame(), &[line], &[1.5]).unwrap();
        let lane = Lane {
            name: "side".to_owned(),
            bars: vec![(Ink::Series(2), 0.5..9.0)],
            moments: vec![(1.0, 1), (1.1, 2)],
        };
        let lane = lanes(&frame(), &[lane]).unwrap();
        for svg in [&stack, &line, &lane] {
            assert!(!svg.contains("\"#"), "{svg}");
            assert!(svg.starts_with("<svg viewBox=") && svg.trim_end().ends_with("</svg>"), "{svg}");
        }
        for number in 0..SERIES {
            assert!(stack.contains(&Ink::Series(number).property()));
        }
        assert!(line.contains("var(--mark)") && line.contains("<circle"));
        assert!(lane.contains(">\n2\n</text>") && lane.contains(">\nside\n</text>"), "{lane}");
    }

    #[test]
    fn a_stair_has_two_corners_for_each_bucket() {
        assert_eq!(
            steps(&[1.0, 2.0], 0.5).collect::<Vec<_>>(),
            [(0.0, 1.0), (0.5, 1.0), (0.5, 2.0), (1.0, 2.0)]
        );
    }

    #[test]
    fn amounts_and_moments_are_short() {
        let amounts = [0.0, 0.5, 999.0, 1500.0, 2e6, 1.25e9].map(|value| amount(&value));
        assert_eq!(amounts, ["0", "0.5", "999", "1.5 k", "2 M", "1.25 G"]);
        assert_eq!([moment(-0.001, 1.0), moment(2.5, 10.0), moment(120.0, 300.0)], ["0", "2.5", "120"]);
    }
}
