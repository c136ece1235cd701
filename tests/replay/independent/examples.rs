//! The examples of `docs/log-format.md` are what the page says they are.

use std::fs;

use outlive_log::{BatchDecoder, LogReader};
use tempfile::TempDir;

use super::comparison::agrees;
use crate::harness::checkout;

/// The page.
fn page() -> String {
    fs::read_to_string(checkout().join("docs/log-format.md")).unwrap()
}

/// What stands in the page below the comment that names it, up to an empty line or the end of a block.
fn part(page: &str, name: &str) -> String {
    let comment = format!("<!-- example: {name} -->\n");
    let (_, behind) = page.split_once(&comment).unwrap_or_else(|| panic!("no example {name}"));
    match behind.strip_prefix("```text\n") {
        Some(block) => block.split_once("```").unwrap().0.to_owned(),
        None => behind.split_once("\n\n").map_or(behind, |(table, _)| table).to_owned(),
    }
}

/// The bytes in the first column of a table.
fn bytes_of(table: &str) -> Vec<u8> {
    let rows = table.lines().skip(2);
    let cells = rows.map(|row| row.strip_prefix("| `").and_then(|row| row.split_once("` |")).unwrap().0);
    let digits: String = cells.flat_map(|cell| cell.split(' ')).collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The entries of a batch, one line each.
fn entries_of(batch: Vec<u8>) -> Vec<String> {
    let mut batch = BatchDecoder::new(batch).unwrap();
    let next = || batch.next_entry().unwrap().map(|found| format!("{} {}", found.number, found.entry));
    std::iter::from_fn(next).collect()
}

#[test]
fn batches_of_the_page_hold_the_entries_that_it_lists() {
    let page = page();
    for name in ["batch", "compressed", "forms"] {
        let found = entries_of(bytes_of(&part(&page, &format!("{name} bytes"))));
        let listed = part(&page, &format!("{name} entries"));
        match listed.split_once("...\n") {
            None => assert_eq!(found, listed.lines().collect::<Vec<_>>(), "{name}"),
            Some((first, last)) => {
                let (first, last): (Vec<_>, Vec<_>) = (first.lines().collect(), last.lines().collect());
                assert!(found.len() > first.len() + last.len(), "{name}");
                assert_eq!(found[..first.len()], first, "{name}");
                assert_eq!(found[found.len() - last.len()..], last, "{name}");
            }
        }
    }
}

#[test]
fn the_file_of_the_page_is_a_good_log_and_is_read_as_the_page_says() {
    let page = page();
    let (text, table) = (part(&page, "file text"), part(&page, "file bytes"));
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    fs::write(&log, [text.as_bytes(), &bytes_of(&table)].concat()).unwrap();
    let entries = agrees(&log, &["time-read", "clock-tick", "end"]);
    let times: Vec<_> = entries.iter().map(|entry| entry["guest_nanoseconds"].as_u64().unwrap()).collect();
    assert_eq!(times, [256, 12_000_000_000, 12_010_000_000, 12_010_000_000]);
    assert_eq!(LogReader::open(&log).unwrap().entries(), Some(4));
}

#[test]
fn the_page_is_of_the_format_that_is_written() {
    let version = format!("event log of format {}", outlive_log::FORMAT);
    assert!(page().contains(&version), "the page is not of format {}", outlive_log::FORMAT);
}
