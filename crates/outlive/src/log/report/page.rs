//! The page around plots and tables.

use std::fmt::{self, Write};
use std::time::Duration;

use outlive_log::header::{Counting, Header, Image};
use outlive_log::series::Series;
use outlive_log::statistics::Statistics;
use outlive_machine::digest::Digest;

use super::history::History;
use super::html::Text;
use super::numbers::{self, stat};
use super::{pair, run};
use crate::failure::Failure;
use crate::log::info::date;

/// How the page looks, in light and in dark.
const STYLE: &str = include_str!("style.css");

/// What a report is made of.
#[derive(Debug)]
pub(super) struct Report<'a> {
    /// The log's path, as it was given.
    pub(super) log: String,
    pub(super) header: &'a Header,
    pub(super) statistics: &'a Statistics,
    pub(super) series: &'a Series,
    pub(super) histories: &'a [History],
}

impl Report<'_> {
    /// The whole page.
    ///
    /// # Errors
    /// When a plot cannot be drawn.
    pub(super) fn page(&self) -> Result<String, Failure> {
        let mut page = String::new();
        self.beginning(&mut page).map_err(Failure::runtime)?;
        self.machine(&mut page).map_err(Failure::runtime)?;
        let counts = self.header.counting == Counting::Steps;
        let duration = Duration::from_nanos(self.statistics.guest_nanoseconds);
        run::plots(&mut page, self.series, duration, counts)?;
        pair::section(&mut page, self.histories)?;
        numbers::tables(&mut page, self.statistics).map_err(Failure::runtime)?;
        let version = env!("CARGO_PKG_VERSION");
        let written = writeln!(
            page,
            "</main><footer>Made by <code>outlive log report</code>, Outlive {version}. The numbers are those of \
             <code>outlive log stat --json</code>.</footer></body></html>"
        );
        written.map_err(Failure::runtime)?;
        Ok(page)
    }

    fn beginning(&self, page: &mut String) -> fmt::Result {
        let Self { log, header, statistics, .. } = self;
        let name = log.rsplit('/').next().unwrap_or(log);
        writeln!(
            page,
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{0} — a recorded run</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style></head>\n\
             <body><main>\n<header><p class=\"kicker\">A recorded run</p><h1>{0}</h1>\n<p>{1}</p></header>",
            Text(name),
            self.state(),
        )?;
        let seconds = statistics.guest_nanoseconds as f64 / 1e9;
        writeln!(page, "<dl class=\"tiles\">")?;
        let nanoseconds = stat("guest_nanoseconds", statistics.guest_nanoseconds);
        tile(page, "guest time", &format!("{seconds:.3} s"), &format!("{nanoseconds} ns"))?;
        tile(page, "entries", &super::html::grouped(statistics.entries), "in the log")?;
        tile(page, "bytes", &super::html::grouped(statistics.bytes), "in the file")?;
        tile(page, "exits", &stat("exits", statistics.exits.0), "of the guest")?;
        let instructions = stat("instructions", statistics.instructions.0);
        let counted = header.counting == Counting::Steps;
        tile(
            page,
            "instructions",
            &instructions,
            if counted { "executed" } else { "not counted by this engine" },
        )?;
        writeln!(page, "</dl>")
    }

    fn state(&self) -> String {
        let Self { statistics, series, .. } = self;
        let torn = statistics.overhead.torn_bytes;
        let end = series.end.as_ref().map(|end| Text(end.to_string()).to_string());
        match (statistics.closed, end) {
            (true, end) => format!("<b class=\"good\">closed</b>: {}", end.unwrap_or_default()),
            (false, Some(end)) => {
                format!("<b class=\"bad\">unfinished</b>, though its last entry is there: {end}")
            }
            (false, None) if torn > 0 => {
                format!("<b class=\"bad\">unfinished</b>; {torn} bytes behind the last whole batch are lost")
            }
            (false, None) => "<b class=\"bad\">unfinished</b>".to_owned(),
        }
    }

    /// What was recorded.
    fn machine(&self, page: &mut String) -> fmt::Result {
        let Self { log, header, .. } = self;
        let machine = &header.machine;
        page.push_str("<section><h2>The machine</h2>\n<dl class=\"facts\">\n");
        fact(page, "log", log)?;
        fact(page, "recorded", format!("{} by Outlive {}", date(header.recorded), header.version))?;
        let counting = match header.counting {
            Counting::Steps => "landmarks count steps of the guest",
            Counting::Windows => "inputs land at exits and interrupt windows",
        };
        fact(page, "engine", format!("{}: {counting}", header.engine))?;
        fact(page, "memory", memory(machine.memory))?;
        fact(page, "command line", &machine.command_line)?;
        image(page, "kernel", &header.kernel)?;
        if let Some(initramfs) = &header.initramfs {
            image(page, "initramfs", initramfs)?;
        }
        for (position, disk) in header.disk.iter().enumerate() {
            let kind = if disk.read_only { "read-only" } else { "writable" };
            let text = format!("{}, {} sectors, {kind}", disk.path.display(), disk.sectors);
            with_digest(page, &format!("disk {position}"), &text, disk.digest)?;
        }
        for (position, network) in header.network.iter().enumerate() {
            fact(page, &format!("network {position}"), &network.mac)?;
        }
        page.push_str("</dl></section>\n");
        Ok(())
    }
}

fn tile(page: &mut String, name: &str, value: &str, note: &str) -> fmt::Result {
    writeln!(page, "<div><dt>{name}</dt><dd>{value}</dd><dd class=\"note\">{note}</dd></div>")
}

fn fact(page: &mut String, name: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(page, "<dt>{name}</dt><dd>{}</dd>", Text(value))
}

fn with_digest(page: &mut String, name: &str, text: &str, digest: [u8; 32]) -> fmt::Result {
    writeln!(page, "<dt>{name}</dt><dd>{}<br><code>{}</code></dd>", Text(text), Text(Digest(digest)))
}

fn image(page: &mut String, name: &str, image: &Image) -> fmt::Result {
    let Image { path, bytes, digest } = image;
    with_digest(page, name, &format!("{}, {bytes} bytes", path.display()), *digest)
}

/// An amount of memory, in MiB where it is a whole number of them.
fn memory(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes.is_multiple_of(MIB) { format!("{} MiB", bytes / MIB) } else { format!("{bytes} bytes") }
}
