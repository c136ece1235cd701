//! Entries as a person reads them: one line each.

use std::fmt;

use crate::entry::{DiskOperation, End, EndReason, Entry, Input, OutputMarker, StateDigest};

/// How many typed bytes are shown.
const SHOWN: usize = 32;

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => write!(f, "time {} ns", time.nanoseconds()),
            Self::Input { at, input } => write!(f, "{input} at {at}"),
            Self::Interrupt { at, vector, check } => {
                write!(f, "interrupt {vector:#x} at {at}, check {:04x}", check.0)
            }
            Self::Output { exit, output, check } => {
                write!(f, "output of {output} behind exit {}, check {:04x}", exit.0, check.0)
            }
            Self::Registers(state) => write!(f, "registers (rip {:#x})", state.rip),
            Self::Digest(state) => write!(f, "digest {state}"),
            Self::End(end) => end.fmt(f),
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockTick(time) => write!(f, "clock tick {} ns", time.nanoseconds()),
            Self::Console(bytes) => {
                let shown = &bytes[..bytes.len().min(SHOWN)];
                let dots = if bytes.len() > SHOWN { "..." } else { "" };
                write!(f, "{} typed bytes \"{}\"{dots}", bytes.len(), shown.escape_ascii())
            }
            Self::Frame { network, bytes } => {
                write!(f, "frame of {} bytes at network {network}", bytes.len())
            }
            Self::DiskCompletion { disk, request, failed, data } => {
                let outcome = if *failed { "failed" } else { "done" };
                write!(f, "request {request} of disk {disk} {outcome}, {} bytes read", data.len())
            }
        }
    }
}

impl fmt::Display for OutputMarker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Console => f.write_str("a console byte"),
            Self::Frame { network, bytes } => write!(f, "a frame of {bytes} bytes to network {network}"),
            Self::Disk { disk, operation, bytes } => {
                let operation = match operation {
                    DiskOperation::Read => "read",
                    DiskOperation::Write => "write",
                    DiskOperation::Flush => "flush",
                };
                write!(f, "a {operation} of {bytes} bytes to disk {disk}")
            }
        }
    }
}

impl fmt::Display for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "of the whole state at {}, {} ns, {} instructions, {} pages changed",
            self.at,
            self.time.nanoseconds(),
            self.instructions.0,
            self.pages.len()
        )
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "end behind exit {}: {}", self.exit.0, self.reason)?;
        match &self.state {
            Some(state) => write!(f, ", digest {state}"),
            None => f.write_str(", without a digest"),
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff => f.write_str("the guest powered off"),
            Self::Reset => f.write_str("the guest asked for a reset"),
            Self::DebugExit(number) => write!(f, "the guest ended itself with number {number}"),
            Self::Requested => f.write_str("the machine was stopped"),
            Self::TripleFault => f.write_str("the guest met a triple fault"),
            Self::Refused(what) => write!(f, "the guest was refused: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Landmark;
    use outlive_engine::ExitNumber;

    #[test]
    fn what_was_typed_is_shown_without_its_control_characters() {
        let at = Landmark { exit: ExitNumber(7), since_exit: 12, rip: 0xff };
        let entry = Entry::Input { at, input: Input::Console(b"ls\n\x1b[0m".to_vec()) };
        assert_eq!(entry.to_string(), r#"7 typed bytes "ls\n\x1b[0m" at 7+12 (rip 0xff)"#);
        let long = Input::Console(vec![b'x'; 100]).to_string();
        assert!(long.starts_with("100 typed bytes") && long.ends_with("...") && long.len() < 80, "{long}");
    }
}
