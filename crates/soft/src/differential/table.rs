//! The table of instructions in `docs/instructions.md`, made of what the engine knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use super::forms::{self, Form, Group};
use super::state::Mode;

/// Where the table is.
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/instructions.md");

/// What stands above the table.
const HEAD: &str = "\
# Instructions of the software engine

Made by `OUTLIVE_BLESS=1 cargo test -p outlive-soft differential::table` from the engine's own tables: do not edit.

The software engine executes these instructions; all others are #UD. A *form* is an encoding with its kinds and
widths of operands, as `iced-x86` numbers them; their counts are for 64-bit mode and for compatibility mode.
\"compared\" means that random instances of every form are executed by the engine and by the host's own
processor, and that registers, flags, memory, x87 and SSE state and exceptions agree (see
`crates/soft/src/differential`).

";

/// What a row tells.
#[derive(Default)]
struct Row {
    groups: BTreeSet<&'static str>,
    /// By mode.
    forms: [usize; 2],
    compared: usize,
    reasons: BTreeSet<&'static str>,
}

impl Row {
    fn add(&mut self, form: &Form) {
        self.groups.insert(match form.group {
            Group::Integer => "integer",
            Group::System => "system",
            Group::Sse => "sse",
            Group::X87 => "x87",
        });
        self.forms[usize::from(form.mode == Mode::Compatibility)] += 1;
        match form.excluded {
            None => self.compared += 1,
            Some(reason) => drop(self.reasons.insert(reason)),
        }
    }

    fn comparison(&self) -> String {
        let all = self.forms[0] + self.forms[1];
        let reasons: Vec<&str> = self.reasons.iter().copied().collect();
        let reasons = reasons.join("; ");
        match self.compared {
            0 => format!("no: {reasons}"),
            some if some == all => "compared".to_owned(),
            some => format!("{some} forms compared, the others not: {reasons}"),
        }
    }
}

/// The whole page.
fn page() -> String {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for form in forms::known() {
        rows.entry(format!("{:?}", form.code.mnemonic()).to_uppercase()).or_default().add(&form);
    }
    let mut page = HEAD.to_owned();
    let (forms, compared) = rows
        .values()
        .fold((0, 0), |(all, some), row| (all + row.forms[0] + row.forms[1], some + row.compared));
    let mut line =
        |arguments: std::fmt::Arguments<'_>| writeln!(page, "{arguments}").expect("a string takes all");
    line(format_args!("{} mnemonics, {forms} forms, {compared} of them compared.\n", rows.len()));
    line(format_args!("| instruction | group | forms (64-bit, compatibility) | comparison |"));
    line(format_args!("| --- | --- | --- | --- |"));
    for (mnemonic, row) in &rows {
        let [long, compatibility] = row.forms;
        let groups: Vec<&str> = row.groups.iter().copied().collect();
        let (groups, comparison) = (groups.join(", "), row.comparison());
        line(format_args!("| {mnemonic} | {groups} | {long}, {compatibility} | {comparison} |"));
    }
    page
}

#[test]
fn the_table_of_instructions_is_up_to_date() {
    let (path, page) = (Path::new(PATH), page());
    if std::env::var_os("OUTLIVE_BLESS").is_some() {
        std::fs::write(path, &page).expect("the table can be written");
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(there == page, "{PATH} is out of date: OUTLIVE_BLESS=1 writes it");
}
