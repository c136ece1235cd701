//! The report of a replay that does not do what the recording did.

use std::fmt;

use outlive_log::entry::EntryNumber;
use serde::Serialize;

/// Most differences that a report shows.
const SHOWN: usize = 20;

/// A replay did something else than the recording, or would have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Divergence {
    /// The first entry that the replay does not agree with.
    pub entry: EntryNumber,
    /// What that entry says.
    pub expected: String,
    /// What happened instead.
    pub found: String,
    /// Where the guest stands.
    pub place: String,
    /// The last entries before it, which agreed.
    pub before: Vec<(EntryNumber, String)>,
    /// The entries behind it.
    pub after: Vec<(EntryNumber, String)>,
    /// The registers that differ, as far as the log tells what they were.
    pub registers: Vec<RegisterDifference>,
    /// The pages of memory that differ.
    pub pages: Vec<PageDifference>,
    /// The processor as the replay found it.
    pub processor: Vec<String>,
}

/// A register that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RegisterDifference {
    /// Its name.
    pub name: String,
    /// Its value in the recording.
    pub expected: String,
    /// Its value in the replay.
    pub found: String,
}

/// A page of memory that differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct PageDifference {
    /// Its guest-physical address.
    pub address: u64,
    /// Sixteen bits of its hash in the recording.
    pub expected: u16,
    /// In the replay.
    pub found: u16,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the replay diverged from the recording at entry {}, {}", self.entry, self.place)?;
        writeln!(f, "  expected: {}", self.expected)?;
        writeln!(f, "  found:    {}", self.found)?;
        for (number, entry) in &self.before {
            writeln!(f, "  entry {number:>9}   {entry}")?;
        }
        writeln!(f, "  entry {:>9} > {}", self.entry, self.expected)?;
        for (number, entry) in &self.after {
            writeln!(f, "  entry {number:>9}   {entry}")?;
        }
        for register in self.registers.iter().take(SHOWN) {
            writeln!(f, "  {}: expected {}, found {}", register.name, register.expected, register.found)?;
        }
        more(f, self.registers.len(), "registers")?;
        for page in self.pages.iter().take(SHOWN) {
            writeln!(
                f,
                "  page at {:#x}: expected hash {:04x}, found {:04x}",
                page.address, page.expected, page.found
            )?;
        }
        more(f, self.pages.len(), "pages")?;
        write!(f, "  {}", self.processor.join("\n  "))
    }
}

fn more(f: &mut fmt::Formatter<'_>, number: usize, what: &str) -> fmt::Result {
    if number > SHOWN { writeln!(f, "  and {} more {what}", number - SHOWN) } else { Ok(()) }
}
