//! The table in `docs/determinism.md`, made of the table that the machine decodes by.

use std::fmt::Write;
use std::path::Path;

use super::{SourceKind, sources};

/// Where the table is.
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/determinism.md");

/// The lines around it in the page.
const BEGIN: &str =
    "<!-- made by `OUTLIVE_BLESS=1 cargo test -p outlive-engine determinism`: do not edit -->\n";
const END: &str = "<!-- end of what is made -->\n";

const KINDS: [(SourceKind, &str); 8] = [
    (SourceKind::Instruction, "Instructions"),
    (SourceKind::Msr, "Model-specific registers"),
    (SourceKind::Cpuid, "CPUID"),
    (SourceKind::Port, "I/O ports"),
    (SourceKind::Mmio, "Memory-mapped I/O"),
    (SourceKind::DeviceInput, "What devices take from the world"),
    (SourceKind::InitialState, "The initial state"),
    (SourceKind::KvmExit, "Exits of KVM"),
];

/// A table for each kind of source.
fn tables() -> String {
    let sources = sources();
    let mut text = String::new();
    for (kind, heading) in KINDS {
        write!(text, "\n### {heading}\n\n| source | treatment | how |\n| --- | --- | --- |\n").unwrap();
        for source in sources.iter().filter(|source| source.kind == kind) {
            writeln!(text, "| {} | {} | {} |", source.name, source.treatment, source.how).unwrap();
        }
    }
    text.push('\n');
    text
}

#[test]
fn the_page_has_the_table_that_the_machine_decodes_by() {
    let page = std::fs::read_to_string(PATH).unwrap();
    let (head, rest) = page.split_once(BEGIN).expect("the page says where the table begins");
    let (found, tail) = rest.split_once(END).expect("the page says where the table ends");
    let wanted = tables();
    if std::env::var_os("OUTLIVE_BLESS").is_some() {
        std::fs::write(Path::new(PATH), format!("{head}{BEGIN}{wanted}{END}{tail}")).unwrap();
    } else {
        assert_eq!(found, wanted, "renew it: OUTLIVE_BLESS=1 cargo test -p outlive-engine determinism");
    }
}

#[test]
fn no_kind_of_source_is_left_out_of_the_page() {
    for source in sources() {
        assert!(KINDS.iter().any(|(kind, _)| *kind == source.kind), "{source:?}");
    }
}
