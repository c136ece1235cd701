//! What the independent reader says of a log, beside what the command says.

use std::path::Path;
use std::process::Command;

use outlive_engine::VcpuState;
use outlive_log::LogReader;
use outlive_log::entry::{EndReason, Entry, StateDigest};
use serde_json::{Value, json};

use crate::harness::{Finished, OUTLIVE, checkout, finish};

/// The kinds of entries.
pub(super) const KINDS: [&str; 12] = [
    "time-read",
    "clock-tick",
    "console-input",
    "frame-input",
    "disk-completion",
    "interrupt",
    "console-output",
    "frame-output",
    "disk-output",
    "registers",
    "digest",
    "end",
];

/// What the reader says.
pub(super) struct Told {
    pub(super) status: Option<i32>,
    /// Its lines: an entry each, unless it was asked for something else.
    pub(super) entries: Vec<Value>,
    pub(super) errors: String,
}

/// Runs the reader on a log.
pub(super) fn told(log: &Path, options: &[&str]) -> Told {
    let reader = checkout().join("tests/independent/read_log.py");
    let finished = finish(Command::new("python3").arg(reader).args(options).arg(log));
    assert!(!finished.errors.contains("Traceback"), "{finished:?}");
    Told { status: finished.status, entries: lines(&finished.output), errors: finished.errors }
}

/// Runs `outlive log` with this subcommand on a log.
fn look(log: &Path, words: &[&str]) -> Finished {
    finish(Command::new(OUTLIVE).arg("log").args(words).arg(log))
}

/// What `outlive log verify` says of a log.
pub(super) fn verified(log: &Path) -> Finished {
    look(log, &["verify"])
}

/// What `outlive log show` says of a log: its status, and the entries that it lists up to any damage.
pub(super) fn shown(log: &Path) -> (Option<i32>, Vec<Value>) {
    let finished = look(log, &["show", "--json", "--hex"]);
    (finished.status, lines(&finished.output))
}

fn lines(output: &[u8]) -> Vec<Value> {
    serde_json::Deserializer::from_slice(output).into_iter().map(Result::unwrap).collect()
}

/// Checks that the reader says the same of a good log as the command, which has entries of these kinds at least.
/// Returns the entries.
pub(super) fn agrees(log: &Path, kinds: &[&str]) -> Vec<Value> {
    let ours = told(log, &[]);
    assert_eq!(ours.status, Some(0), "{}", ours.errors);
    let verified = verified(log);
    assert_eq!(verified.status, Some(0), "{verified:?}");
    reads_alike(&ours.entries, &shown(log).1, log);
    for kind in kinds {
        assert!(ours.entries.iter().any(|entry| entry["kind"] == *kind), "no {kind} in {}", log.display());
    }
    counts_alike(log);
    ours.entries
}

/// Compares the header and the totals.
fn counts_alike(log: &Path) {
    let info: Value = serde_json::from_slice(&look(log, &["info", "--json"]).output).unwrap();
    assert_eq!(told(log, &["--header"]).entries, [info["header"].clone()]);
    let stat: Value = serde_json::from_slice(&look(log, &["stat", "--json"]).output).unwrap();
    let ours = told(log, &["--totals"]).entries;
    let [Value::Object(ours)] = &ours[..] else { panic!("{ours:?}") };
    assert!(ours.len() >= 10, "{ours:?}");
    for (key, total) in ours {
        assert_eq!(&stat[key], total, "{key}");
    }
}

/// Compares the entries that the reader tells of a log with those that are shown, and with what is in it.
pub(super) fn reads_alike(ours: &[Value], shown: &[Value], log: &Path) {
    assert_eq!(ours.len(), shown.len(), "entries of {}", log.display());
    let mut reader = LogReader::open(log).ok();
    for (ours, shown) in ours.iter().zip(shown) {
        for (key, value) in shown.as_object().unwrap() {
            if key == "what" {
                is_described(value.as_str().unwrap(), ours);
            } else {
                assert_eq!(&ours[key], value, "{key} of {ours} and {shown}");
            }
        }
        let entry = reader.as_mut().unwrap().next().unwrap().unwrap().entry;
        for (key, value) in structures(&entry) {
            assert_eq!(ours[key], value, "{key} of entry {}", ours["entry"]);
        }
    }
}

/// What is only in the log in full: `log show` prints it in short.
fn structures(entry: &Entry) -> Vec<(&'static str, Value)> {
    match entry {
        Entry::Registers(registers) => vec![("registers", registers_as_json(registers))],
        Entry::Digest(digest) => vec![("state", digest_as_json(digest))],
        Entry::End(end) => {
            let reason = ("reason", serde_json::to_value(&end.reason).unwrap());
            let state = end.state.as_ref().map(|state| ("state", digest_as_json(state)));
            [reason].into_iter().chain(state).collect()
        }
        Entry::Time(_) | Entry::Input { .. } | Entry::Interrupt { .. } | Entry::Output { .. } => Vec::new(),
    }
}

/// Registers with those of 128 bits as hexadecimal digits, for JSON has no such numbers.
fn registers_as_json(state: &VcpuState) -> Value {
    let digits =
        |registers: &[u128]| json!(registers.iter().map(|r| format!("{r:032x}")).collect::<Vec<_>>());
    let (stack, xmm) = (digits(&state.floating_point.stack), digits(&state.floating_point.xmm));
    let mut state = state.clone();
    (state.floating_point.stack, state.floating_point.xmm) = ([0; 8], [0; 16]);
    let mut value = serde_json::to_value(state).unwrap();
    (value["floating_point"]["stack"], value["floating_point"]["xmm"]) = (stack, xmm);
    value
}

fn digest_as_json(digest: &StateDigest) -> Value {
    let StateDigest { at, time, instructions, running, registers, memory, devices, disks, pages } = digest;
    let digits = |hash: &[u8]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    json!({
        "at": at,
        "time": time,
        "instructions": instructions,
        "running": digits(running),
        "registers": registers_as_json(registers),
        "memory": digits(memory),
        "devices": digits(devices),
        "disks": digits(disks),
        "pages": pages,
    })
}

/// Checks that a listing's words are those for what the reader has read. It has no words of its own.
fn is_described(words: &str, ours: &Value) {
    let expected = description(ours);
    // A listing also tells who talks to whom.
    let is_frame = ours["kind"] == "frame-input";
    let rest = words.strip_prefix(&expected).unwrap_or_else(|| panic!("{words:?} of {ours}"));
    assert!(rest.is_empty() || is_frame && rest.starts_with(": "), "{words:?} of {ours}");
}

fn description(ours: &Value) -> String {
    let number = |key: &str| ours[key].as_u64().unwrap_or_else(|| panic!("no {key} in {ours}"));
    let check = || format!("check {:04x}", number("check"));
    match ours["kind"].as_str().unwrap() {
        "time-read" => "time read".into(),
        "clock-tick" => "clock tick".into(),
        "console-input" => typed(&payload(ours)),
        "frame-input" => format!("frame of {} bytes at network {}", payload(ours).len(), number("network")),
        "disk-completion" => {
            let outcome = if ours["failed"].as_bool().unwrap() { "failed" } else { "done" };
            let (request, disk, bytes) = (number("request"), number("disk"), payload(ours).len());
            format!("request {request} of disk {disk} {outcome}, {bytes} bytes read")
        }
        "interrupt" => format!("interrupt {:#x}, {}", number("vector"), check()),
        "console-output" => format!("output of a console byte, {}", check()),
        "frame-output" => {
            let (bytes, network) = (number("length"), number("network"));
            format!("output of a frame of {bytes} bytes to network {network}, {}", check())
        }
        "disk-output" => {
            let (operation, bytes, disk) = (&ours["operation"], number("length"), number("disk"));
            let operation = operation.as_str().unwrap();
            format!("output of a {operation} of {bytes} bytes to disk {disk}, {}", check())
        }
        "registers" => "registers".into(),
        "digest" => {
            let pages = ours["state"]["pages"].as_array().unwrap().len();
            format!(
                "digest of the whole state: {} instructions, {pages} pages changed",
                ours["state"]["instructions"]
            )
        }
        "end" => {
            let reason: EndReason = serde_json::from_value(ours["reason"].clone()).unwrap();
            format!("end: {reason}")
        }
        kind => panic!("no kind {kind}"),
    }
}

fn payload(ours: &Value) -> Vec<u8> {
    let digits = ours["payload"].as_str().unwrap_or_default();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn typed(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(32)];
    let dots = if bytes.len() > 32 { "..." } else { "" };
    format!("{} typed bytes \"{}\"{dots}", bytes.len(), shown.escape_ascii())
}
