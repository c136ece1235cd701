//! The strictest check: the primary's event log is replayed, and must come to the state that the backup went live with.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail, ensure};
use outlive_log::LogReader;
use outlive_log::batch::batch_bytes;
use outlive_log::file::FRAME_BYTES;
use serde_json::Value;

use crate::checkout::outlive;
use crate::event::Event;

/// What is hashed, by the names that both `outlive replay --json` and the event `replayed` have.
const PARTS: [&str; 3] = ["registers", "memory", "devices"];

/// Replays a log and returns the summary.
///
/// # Errors
/// When the replay fails or diverges.
pub fn replay(log: &Path) -> anyhow::Result<Value> {
    let told = replaying(log, "--json")?.stdout;
    serde_json::from_slice(&told).context("the replay printed no JSON")
}

/// Replays a log and returns what the guest has printed.
///
/// # Errors
/// When the replay fails or diverges.
pub fn console(log: &Path) -> anyhow::Result<Vec<u8>> {
    replaying(log, "--console").map(|output| output.stdout)
}

fn replaying(log: &Path, option: &str) -> anyhow::Result<Output> {
    let mut command = Command::new(outlive()?);
    // A beginning of a log that was closed looks damaged at its end.
    command.arg("replay").arg(log).args([option, "--until-damage"]).stdin(Stdio::null());
    let output = command.output().context("cannot start the replay")?;
    if !output.status.success() {
        let (told, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("the replay ended with {}: {} {}", output.status, told.trim(), errors.trim());
    }
    Ok(output)
}

/// Makes a page with plots of a log and of what the sides of the pair went through.
///
/// # Errors
/// When that fails, or the page does not tell of the pair.
pub fn report(log: &Path, histories: &[&Path], page: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(outlive()?);
    command.args(["log", "report"]).arg(log).arg("-o").arg(page).stdin(Stdio::null());
    for history in histories {
        command.arg("--history").arg(history);
    }
    let output = command.output().context("cannot start the report")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    let page = fs::read_to_string(page).context("the page cannot be read")?;
    ensure!(page.contains("Lag of the backup"), "the page does not tell of the pair");
    Ok(())
}

/// Copies the batches of a log that hold its first entries, so many as a backup has received.
///
/// A landmark alone does not tell where a backup went live: inputs and interrupts that land there may have been among
/// what it received, or not. The number of entries does, and it is the end of a batch, since batches are what it gets.
///
/// # Errors
/// When the log cannot be read, or has fewer entries.
pub fn copy_beginning(log: &Path, entries: u64, to: &Path) -> anyhow::Result<()> {
    let mut reader = LogReader::open(log).context("the primary's log cannot be read")?;
    let (mut end, _) = reader.progress();
    for number in 0..entries {
        let entry = reader.next().context("the primary's log cannot be read")?;
        ensure!(entry.is_some(), "the backup has {entries} entries, the primary's log {number}");
    }
    let (reached, _) = reader.progress();
    let mut source = File::open(log).context("the primary's log is gone")?;
    while end < reached {
        let mut frame = [0; FRAME_BYTES];
        source.seek(SeekFrom::Start(end)).and_then(|_| source.read_exact(&mut frame)).context("no batch")?;
        end += batch_bytes(&frame).context("no batch where one begins")? as u64;
    }
    source.rewind().context("the primary's log is gone")?;
    let mut copy = File::create(to).with_context(|| format!("cannot make {}", to.display()))?;
    io::copy(&mut source.take(end), &mut copy).context("cannot copy the log")?;
    Ok(())
}

/// The command that a person repeats this with.
pub fn command(log: &Path) -> String {
    format!("outlive replay {}", log.display())
}

/// Compares the state that the backup had when it went live, which its event `replayed` tells, with that of a replay.
///
/// # Errors
/// When something differs, or one of them does not tell; in words.
pub fn compare(backup: &Event, replayed: &Value) -> Result<String, String> {
    let expected = backup.fact("landmark").ok_or("the backup does not tell its landmark")?;
    let landmark = replayed["landmark"].as_str().unwrap_or("none");
    if landmark != expected {
        let end = replayed["end"].as_str().unwrap_or("none");
        return Err(format!(
            "the backup went live at landmark {expected}, the replay ended at {landmark} ({end})"
        ));
    }
    let (had, has) = (backup.fact("entries"), replayed["entries"].to_string());
    if had.as_deref() != Some(&has) {
        return Err(format!("the backup had {had:?} entries, the replay has {has}"));
    }
    for part in PARTS {
        let ours = backup.fact(part).ok_or_else(|| format!("the backup tells no digest of {part}"))?;
        let replay = replayed["digests"][part].as_str();
        let replay = replay.ok_or_else(|| format!("the replay tells no digest of {part}"))?;
        if ours != replay {
            return Err(format!(
                "{part} at landmark {landmark}: the backup had {ours}, the replay has {replay}"
            ));
        }
    }
    Ok(format!("at landmark {landmark}, behind {has} entries"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn replayed() -> Event {
        let line = json!({
            "timestamp": "2026-01-02T03:04:05Z",
            "target": "outlive::pair",
            "fields": {"event": "replayed", "landmark": "5+6", "entries": 9, "registers": "aa", "memory": "bb", "devices": "cc"},
        });
        Event::parse(&line.to_string()).unwrap()
    }

    #[test]
    fn states_are_the_same_only_if_landmark_and_all_digests_are() {
        let same = json!({"end": "unfinished", "landmark": "5+6", "entries": 9,
                          "digests": {"registers": "aa", "memory": "bb", "devices": "cc", "disks": "dd"}});
        compare(&replayed(), &same).unwrap();
        for part in PARTS {
            let mut other = same.clone();
            other["digests"][part] = json!("ff");
            assert!(compare(&replayed(), &other).unwrap_err().contains(part));
            other["digests"][part] = Value::Null;
            assert!(compare(&replayed(), &other).unwrap_err().contains(part));
        }
        let mut fewer = same.clone();
        fewer["entries"] = json!(8);
        assert!(compare(&replayed(), &fewer).unwrap_err().contains("entries"));
        let mut early = same;
        early["landmark"] = json!("5+5");
        assert!(compare(&replayed(), &early).unwrap_err().contains("5+5"));
    }
}
