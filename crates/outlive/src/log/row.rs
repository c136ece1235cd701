//! One entry as a line of a listing.

use std::fmt;

use outlive_engine::GuestTime;
use outlive_log::NumberedEntry;
use outlive_log::entry::{Entry, Input, Landmark};
use outlive_log::statistics::Kind;
use serde::Serialize;

use super::frame;

/// Bytes of payload in one line of a dump.
const DUMP_BYTES: usize = 16;

/// What came in with an entry, if it was more than a number.
fn payload(entry: &Entry) -> &[u8] {
    match entry {
        Entry::Input { input, .. } => match input {
            Input::ClockTick(_) => &[],
            Input::Console(bytes) | Input::Frame { bytes, .. } => bytes,
            Input::DiskCompletion { data, .. } => data,
        },
        _ => &[],
    }
}

/// A line. As JSON, keys are never renamed; new ones may come.
#[derive(Serialize, Debug)]
pub(super) struct Row<'a> {
    entry: u64,
    kind: Kind,
    /// The last guest time that was told, this entry included.
    guest_nanoseconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since_exit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rip: Option<String>,
    /// The length of the entry before its batch is compressed.
    bytes: u32,
    /// How many bytes of the file tell everything up to here: within a compressed batch, in proportion.
    #[serde(skip_serializing_if = "Option::is_none")]
    file_bytes: Option<u64>,
    what: String,
    #[serde(serialize_with = "as_hex", skip_serializing_if = "<[u8]>::is_empty")]
    payload: &'a [u8],
}

impl<'a> Row<'a> {
    /// The line of an entry, at the time that was told last. With its payload in full, if so.
    pub(super) fn new(numbered: &'a NumberedEntry, time: GuestTime, with_payload: bool) -> Self {
        let entry = &numbered.entry;
        let (exit, at) = place(entry);
        Self {
            entry: numbered.number.0,
            kind: Kind::of(entry),
            guest_nanoseconds: time.nanoseconds(),
            exit,
            since_exit: at.map(|at| at.since_exit),
            rip: at.map(|at| format!("{:#x}", at.rip)),
            bytes: numbered.bytes,
            file_bytes: None,
            what: describe(entry),
            payload: if with_payload { payload(entry) } else { &[] },
        }
    }

    /// The same line, with how much of the file was read for it.
    pub(super) fn read_up_to(self, file_bytes: u64) -> Self {
        Self { file_bytes: Some(file_bytes), ..self }
    }
}

/// Where an entry is: the last exit, and the landmark if it has one.
fn place(entry: &Entry) -> (Option<u64>, Option<Landmark>) {
    let at = match entry {
        Entry::Input { at, .. } | Entry::Interrupt { at, .. } => Some(*at),
        Entry::Digest(state) => Some(state.at),
        Entry::End(end) => end.state.as_ref().map(|state| state.at),
        Entry::Time(_) | Entry::Output { .. } | Entry::Registers(_) => None,
    };
    let exit = match entry {
        Entry::Output { exit, .. } => Some(*exit),
        Entry::End(end) => Some(end.exit),
        _ => at.map(|at| at.exit),
    };
    (exit.map(|exit| exit.0), at)
}

/// What an entry is, without where and when.
fn describe(entry: &Entry) -> String {
    match entry {
        Entry::Time(_) => "time read".to_owned(),
        Entry::Input { input: Input::ClockTick(_), .. } => "clock tick".to_owned(),
        Entry::Input { input: input @ Input::Frame { bytes, .. }, .. } => match frame::describe(bytes) {
            Some(words) => format!("{input}: {words}"),
            None => input.to_string(),
        },
        Entry::Input { input, .. } => input.to_string(),
        Entry::Interrupt { vector, check, .. } => format!("interrupt {vector:#x}, check {:04x}", check.0),
        Entry::Output { output, check, .. } => format!("output of {output}, check {:04x}", check.0),
        Entry::Registers(_) => "registers".to_owned(),
        Entry::Digest(state) => format!(
            "digest of the whole state: {} instructions, {} pages changed",
            state.instructions.0,
            state.pages.len()
        ),
        Entry::End(end) => format!("end: {}", end.reason),
    }
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, rest) =
            (self.guest_nanoseconds / 1_000_000_000, self.guest_nanoseconds % 1_000_000_000);
        let place = match (self.exit, self.since_exit, &self.rip) {
            (Some(exit), Some(since), Some(rip)) => format!("{exit}+{since} {rip}"),
            (Some(exit), ..) => exit.to_string(),
            _ => "-".to_owned(),
        };
        write!(f, "{:>9} {seconds:>5}.{rest:09} {place:<30} {}", self.entry, self.what)?;
        for (line, bytes) in self.payload.chunks(DUMP_BYTES).enumerate() {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
            let printable = |byte: &u8| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' };
            let text: String = bytes.iter().map(printable).collect();
            write!(f, "\n{:>16x}  {digits:<48} {text}", line * DUMP_BYTES)?;
        }
        Ok(())
    }
}

fn as_hex<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    serializer.serialize_str(&digits)
}

#[cfg(test)]
mod tests {
    use outlive_engine::ExitNumber;
    use outlive_log::EntryNumber;

    use super::*;

    fn console() -> NumberedEntry {
        let at = Landmark { exit: ExitNumber(7), since_exit: 12, rip: 0x1000 };
        let entry = Entry::Input { at, input: Input::Console(b"ls\n".to_vec()) };
        NumberedEntry { number: EntryNumber(3), entry, bytes: 9 }
    }

    #[test]
    fn a_line_tells_number_time_place_and_what() {
        let time = GuestTime::from_nanoseconds(1_000_000_256);
        let line = Row::new(&console(), time, false).to_string();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[..4], ["3", "1.000000256", "7+12", "0x1000"]);
        assert!(line.ends_with(r#"3 typed bytes "ls\n""#), "{line}");
    }

    #[test]
    fn a_payload_is_dumped_when_it_is_asked_for() {
        let dump = Row::new(&console(), GuestTime::BOOT, true).to_string();
        let last = dump.lines().last().unwrap();
        assert!(last.contains("6c 73 0a") && last.ends_with("ls."), "{dump}");
        let json = serde_json::to_value(Row::new(&console(), GuestTime::BOOT, true)).unwrap();
        assert_eq!((&json["payload"], &json["kind"]), (&"6c730a".into(), &"console-input".into()));
        let without = serde_json::to_value(Row::new(&console(), GuestTime::BOOT, false)).unwrap();
        assert!(without.get("payload").is_none());
    }
}
