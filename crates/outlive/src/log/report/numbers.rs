//! The numbers of `log stat`, each with its name in the JSON of that command.

use std::fmt::{self, Display, Write};

use outlive_log::statistics::{KindStatistics, Overhead, Rates, Statistics};

use super::html::{decimal, grouped};
use super::run;

/// A whole number, under the name that `log stat --json` has for it.
pub(super) fn stat(name: impl Display, number: impl Into<i128>) -> String {
    format!("<span data-stat=\"{name}\">{}</span>", grouped(number))
}

/// A quotient, under the name that `log stat --json` has for it.
fn rate(name: &str, rate: Option<f64>) -> String {
    match rate {
        Some(rate) => format!("<span data-stat=\"rates.{name}\">{}</span>", decimal(rate)),
        None => "—".to_owned(),
    }
}

/// Writes both tables.
pub(super) fn tables(page: &mut String, statistics: &Statistics) -> fmt::Result {
    page.push_str("<section><h2>What the bytes are spent on</h2>\n<div class=\"tables\">\n");
    kinds(page, statistics)?;
    rates(page, statistics)?;
    page.push_str("</div></section>\n");
    Ok(())
}

/// The length that the log would have without compression.
fn uncompressed_bytes(statistics: &Statistics) -> u64 {
    statistics.bytes.saturating_add_signed(statistics.overhead.saved_bytes)
}

fn kinds(page: &mut String, statistics: &Statistics) -> fmt::Result {
    page.push_str(
        "<div class=\"scroll\"><table><caption>Shares are of the log without compression. Payload is what came \
         from the world and cannot be left out: frames, what disks read, what was typed.</caption>\n<thead><tr>\
         <th scope=\"col\">kind</th><th scope=\"col\">entries</th><th scope=\"col\">bytes</th>\
         <th scope=\"col\">per entry</th><th scope=\"col\">share</th><th scope=\"col\">payload</th></tr></thead>\n\
         <tbody>\n",
    );
    let all = uncompressed_bytes(statistics);
    for kind in &statistics.kinds {
        let KindStatistics { entries, bytes, payload_bytes, .. } = *kind;
        let name = kind.kind.name();
        let each = if entries > 0 { decimal(bytes as f64 / entries as f64) } else { String::new() };
        let number = |key: &str, number: u64| stat(format_args!("kinds.{name}.{key}"), number);
        writeln!(
            page,
            "<tr{}><th scope=\"row\">{}{name}</th><td>{}</td><td>{}</td><td>{each}</td><td>{}</td><td>{}</td></tr>",
            if entries == 0 { " class=\"none\"" } else { "" },
            run::swatch(run::kind_ink(kind.kind)),
            number("entries", entries),
            number("bytes", bytes),
            share(bytes as f64, all),
            number("payload_bytes", payload_bytes),
        )?;
    }
    let Overhead { header_bytes, batch_bytes, index_bytes, torn_bytes, saved_bytes } = statistics.overhead;
    let batches = stat("batches", statistics.batches);
    let parts = [
        ("header", "header_bytes", String::new(), header_bytes),
        ("batches", "batch_bytes", batches, batch_bytes),
        ("index", "index_bytes", String::new(), index_bytes),
        ("torn", "torn_bytes", String::new(), torn_bytes),
    ];
    for (name, key, count, bytes) in parts {
        let number = stat(format_args!("overhead.{key}"), bytes);
        let share = share(bytes as f64, all);
        writeln!(
            page,
            "<tr{}><th scope=\"row\">({name})</th><td>{count}</td><td>{number}</td><td></td><td>{share}</td><td></td></tr>",
            if bytes == 0 { " class=\"none\"" } else { "" },
        )?;
    }
    writeln!(
        page,
        "<tr class=\"sum\"><th scope=\"row\">all</th><td>{}</td><td>{}</td><td></td><td></td><td>{}</td></tr>\n\
         <tr><th scope=\"row\">saved by compression</th><td></td><td>{}</td><td></td><td>{}</td><td></td></tr>\n\
         <tr class=\"sum\"><th scope=\"row\">in the file</th><td></td><td>{}</td><td></td><td></td><td></td></tr>\n\
         </tbody></table></div>",
        stat("entries", statistics.entries),
        grouped(all),
        stat("payload_bytes", statistics.payload_bytes()),
        stat("overhead.saved_bytes", saved_bytes),
        share(saved_bytes as f64, all),
        stat("bytes", statistics.bytes),
    )
}

fn share(bytes: f64, all: u64) -> String {
    format!("{:.1} %", 100.0 * bytes / all.max(1) as f64)
}

fn rates(page: &mut String, statistics: &Statistics) -> fmt::Result {
    let Rates {
        bytes_per_second,
        bytes_per_thousand_instructions,
        entries_per_second,
        exits_per_second,
        time_reads_per_second,
        ticks_per_second,
        interrupts_per_second,
        bytes_per_payload_byte,
        ..
    } = statistics.rates;
    page.push_str(
        "<div class=\"scroll\"><table><caption>Rates are per second of guest time.</caption>\n<thead><tr>\
         <th scope=\"col\">rate</th><th scope=\"col\">value</th></tr></thead>\n<tbody>\n",
    );
    let rows = [
        ("bytes per second", "bytes_per_second", bytes_per_second),
        ("entries per second", "entries_per_second", entries_per_second),
        ("exits per second", "exits_per_second", exits_per_second),
        ("time reads per second", "time_reads_per_second", time_reads_per_second),
        ("clock ticks per second", "ticks_per_second", ticks_per_second),
        ("interrupts per second", "interrupts_per_second", interrupts_per_second),
        (
            "bytes per thousand instructions",
            "bytes_per_thousand_instructions",
            bytes_per_thousand_instructions,
        ),
        ("bytes per byte of payload", "bytes_per_payload_byte", bytes_per_payload_byte),
    ];
    for (text, name, value) in rows {
        writeln!(page, "<tr><th scope=\"row\">{text}</th><td>{}</td></tr>", rate(name, value))?;
    }
    page.push_str("</tbody></table></div>\n");
    Ok(())
}
