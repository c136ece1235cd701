//! `outlive status`: how the sides of pairs on this host stand.

use std::fs;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use super::control::is_left_over;
use super::runtime_folder;
use crate::failure::Failure;
use crate::print::print_line;

/// A side that does not answer for so long is frozen, and said to be.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the command line says.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The socket of one side. Default: all sides whose sockets are in ${XDG_RUNTIME_DIR:-/run}/outlive.
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// Print a line of JSON for each side.
    #[arg(long)]
    json: bool,
}

/// Tells how sides stand.
pub(crate) fn status(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let sockets = match &arguments.control {
        Some(socket) => vec![socket.clone()],
        None => usual_sockets().map_err(Failure::runtime)?,
    };
    if sockets.is_empty() {
        let folder = runtime_folder();
        let none = anyhow::anyhow!("no side of a pair runs here: there is no socket in {}", folder.display());
        return Err(Failure::runtime(none));
    }
    for socket in &sockets {
        let line = ask(socket).with_context(|| format!("no answer from {}", socket.display()));
        let line = line.map_err(Failure::runtime)?;
        if arguments.json {
            print_line(line.trim_end())?;
        } else {
            let status = serde_json::from_str(&line).context("the answer is no status");
            print_line(&text(&status.map_err(Failure::runtime)?))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The sockets of the sides that run here. Those that dead ones have left are removed.
fn usual_sockets() -> anyhow::Result<Vec<PathBuf>> {
    let folder = runtime_folder();
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read the folder {}", folder.display()))?,
    };
    let mut sockets = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "sock") {
            continue;
        }
        if is_left_over(&path) {
            // If it cannot be removed it is passed over all the same.
            let _ = fs::remove_file(&path);
        } else {
            sockets.push(path);
        }
    }
    sockets.sort();
    Ok(sockets)
}

fn ask(socket: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    stream.read_to_string(&mut line)?;
    Ok(line)
}

/// What a person reads.
fn text(status: &Value) -> String {
    let word = |key: &str| status[key].as_str().unwrap_or("?").to_owned();
    let number = |key: &str| status[key].as_f64().unwrap_or(0.0);
    let mut phase = word("phase");
    if status["protected"] != true {
        phase += ", NOT PROTECTED";
    } else if phase != "protected" {
        phase += ", protected";
    }
    let mut lines = vec![
        format!("{} ({}, generation {}): {phase}", word("name"), word("role"), number("generation")),
        format!(
            "  log      {} entries, {} bytes, {:.0} bytes per second",
            number("entries"),
            number("log_bytes"),
            number("log_bytes_per_second")
        ),
    ];
    let slowed = if status["slowed"] == true { ", the guest is slowed down" } else { "" };
    lines.push(format!(
        "  lag      {} entries, {} bytes, {:.1} ms{slowed}",
        number("lag_entries"),
        number("lag_bytes"),
        number("lag_milliseconds")
    ));
    let waited =
        match (status["gate_microseconds_median"].as_f64(), status["gate_microseconds_99th"].as_f64()) {
            (Some(median), Some(high)) => {
                format!(", frames waited {median:.0} us (median), {high:.0} us (99th percentile)")
            }
            _ => String::new(),
        };
    lines.push(format!(
        "  outputs  {} held ({} bytes){waited}",
        number("held_outputs"),
        number("held_bytes")
    ));
    if let Some(failover) = status["last_failover"].as_object() {
        let reason = failover["reason"].as_str().unwrap_or("?");
        lines.push(match failover["milliseconds"].as_f64() {
            Some(took) => format!("  failover {reason}; alone {took:.1} ms later"),
            None => format!("  failover {reason}; not decided"),
        });
    }
    lines.join("\n")
}
