//! `outlive log report`: the page says what `log stat` says, and a browser shows it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Finished, Guest, OUTLIVE, finish};
use crate::recording::Recording;
use crate::replaying::refused;

const CHROMIUM: &str = "chromium";

/// The option that makes a page dark, as a person's settings do.
const DARK: &str = "--blink-settings=preferredColorScheme=0";

/// Added to a copy of a page, for a browser to tell what it has made of it.
const PROBE: &str = "<script>
const areas = [...document.querySelectorAll('svg')].map(svg => svg.getBoundingClientRect());
document.body.dataset.areas = areas.map(area => Math.round(area.width) + 'x' + Math.round(area.height)).join(' ');
const shapes = [...document.querySelectorAll('polygon, rect[fill], polyline')];
document.body.dataset.colors = shapes.map(shape => getComputedStyle(shape)).map(style => style.fill + style.stroke).join(';');
document.body.dataset.dark = matchMedia('(prefers-color-scheme: dark)').matches;
document.body.dataset.back = getComputedStyle(document.body).backgroundColor;
document.body.dataset.overflow = document.documentElement.scrollWidth - innerWidth;
</script></body>";

fn log_report(log: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(OUTLIVE);
    command.args(["log", "report"]).arg(log).args(options);
    command
}

/// Makes the page of a log.
fn page_of(recording: &Recording) -> PathBuf {
    let page = recording.guest.folder().join("report.html");
    let made = finish(&mut log_report(recording.log.path(), &["-o", page.to_str().unwrap()]));
    assert_eq!((made.status, made.console.as_str(), made.errors.as_str()), (Some(0), "", ""));
    page
}

fn stat(log: &Path) -> Value {
    let told = finish(Command::new(OUTLIVE).args(["log", "stat", "--json"]).arg(log));
    assert_eq!(told.status, Some(0), "{told:?}");
    serde_json::from_str(&told.console).unwrap()
}

/// Has the browser read a page, with a profile of its own.
fn browse(page: &Path, options: &[&str]) -> Finished {
    let found = Command::new(CHROMIUM).arg("--version").output();
    assert!(found.is_ok(), "{CHROMIUM} cannot be started ({found:?}): run scripts/setup");
    let profile = TempDir::new().unwrap();
    let mut command = Command::new(CHROMIUM);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
    command.args(["--enable-logging=stderr", "--v=0"]).args(options);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    let read = finish(command.arg(format!("file://{}", page.display())));
    assert_eq!(read.status, Some(0), "{read:?}");
    read
}

/// What the browser's console was told.
fn console(read: &Finished) -> Vec<&str> {
    read.errors.lines().filter(|line| line.contains("CONSOLE")).collect()
}

/// What the browser makes of a page, by [`PROBE`].
fn probe(page: &Path, options: &[&str]) -> BTreeMap<String, String> {
    let text = fs::read_to_string(page).unwrap();
    let probed = page.with_file_name("probed.html");
    fs::write(&probed, text.replace("</body>", PROBE)).unwrap();
    let read = browse(&probed, &[&["--dump-dom"], options].concat());
    assert_eq!(console(&read), Vec::<&str>::new());
    let body = read.console.split_once("<body ").unwrap().1.split_once('>').unwrap().0.to_owned();
    let attributes = body.split("data-").filter_map(|attribute| attribute.split_once('='));
    attributes.map(|(name, value)| (name.to_owned(), value.trim().trim_matches('"').to_owned())).collect()
}

/// All numbers of a DOM that say which they are.
fn numbers(dom: &str) -> BTreeMap<String, String> {
    let told = dom.split("data-stat=\"").skip(1).map(|rest| {
        let (name, rest) = rest.split_once("\">").unwrap();
        let text = rest.split_once('<').unwrap().0.replace("&nbsp;", "").replace('\u{2212}', "-");
        (name.to_owned(), text.chars().filter(|letter| !letter.is_whitespace()).collect())
    });
    told.collect()
}

/// The numbers of `log stat --json` under the names that the page has for them.
fn expected(stat: &Value) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (name, value) in stat.as_object().unwrap() {
        match value {
            Value::Object(parts) => {
                all.extend(parts.iter().map(|(part, value)| (format!("{name}.{part}"), value.clone())));
            }
            Value::Array(kinds) => {
                for kind in kinds {
                    let word = kind["kind"].as_str().unwrap();
                    let parts = kind.as_object().unwrap().iter();
                    all.extend(parts.map(|(part, value)| (format!("{name}.{word}.{part}"), value.clone())));
                }
            }
            other => {
                all.insert(name.clone(), other.clone());
            }
        }
    }
    let numbers = all.into_iter().filter_map(|(name, value)| {
        let Value::Number(number) = value else { return None };
        let text = match number.as_f64().filter(|_| number.is_f64()) {
            Some(quotient) => format!("{quotient:.1}"),
            None => number.to_string(),
        };
        Some((name, text))
    });
    numbers.collect()
}

/// Records a guest, and lets a browser read its page.
fn is_shown(guest: Guest, plots: usize) {
    let recording = Recording::of(guest);
    assert_eq!(recording.status, Some(0), "{}", recording.errors);
    let page = page_of(&recording);
    let read = browse(&page, &["--dump-dom"]);
    assert_eq!(console(&read), Vec::<&str>::new());
    let stat = stat(recording.log.path());
    let found = numbers(&read.console);
    assert!(found.len() > 40 && stat["entries"].as_u64().unwrap() > 0, "{found:?}");
    assert_eq!(found, expected(&stat));

    let mut backs = Vec::new();
    for (options, dark) in [(&[] as &[&str], "false"), (&[DARK], "true")] {
        let probed = probe(&page, options);
        assert_eq!(probed["dark"], dark, "{probed:?}");
        plots_have_areas(&probed, plots);
        backs.push((probed["back"].clone(), probed["colors"].clone()));
    }
    assert_ne!(backs[0].0, backs[1].0, "the page has a background of its own in the dark");
    assert!(plots == 0 || backs[0].1 != backs[1].1, "so have the plots");
    is_readable_when_narrow(&page);
}

fn plots_have_areas(probed: &BTreeMap<String, String>, plots: usize) {
    let areas: Vec<_> = probed["areas"].split_whitespace().collect();
    assert_eq!(areas.len(), plots, "{probed:?}");
    for area in areas {
        let (width, height) = area.split_once('x').unwrap();
        let [width, height] = [width, height].map(|length| length.parse::<u32>().unwrap());
        assert!(width > 200 && height > 100, "{probed:?}");
    }
}

fn is_readable_when_narrow(page: &Path) {
    let probed = probe(page, &["--window-size=500,900"]);
    assert_eq!(probed["overflow"], "0", "the page itself is no wider than the window: {probed:?}");
}

#[test]
fn a_run_is_shown_with_the_numbers_of_log_stat_in_light_and_in_dark() {
    is_shown(Guest::bare("ticks"), 5);
}

#[test]
fn a_run_in_which_no_time_passed_has_its_numbers_and_no_plots() {
    is_shown(Guest::bare("disk").with_disk(128, false).0, 0);
}

/// A history of a side, from milliseconds and what was told then: an event, or else a sample.
fn history(role: &str, lines: &[(u32, &str)]) -> String {
    let line = |&(at, event): &(u32, &str)| {
        let (target, fields) = match event {
            "" => (
                "outlive::pair::sample",
                format!(
                    r#""role":"{role}","lag_milliseconds":{at},"log_bytes_per_second":5e3,"slowed":false,
                    "gate_microseconds_median":300.0,"gate_microseconds_99th":900.5"#
                ),
            ),
            event => ("outlive::pair", format!(r#""event":"{event}","message":"<told>""#)),
        };
        let fields = fields.replace('\n', "");
        let (seconds, milliseconds) = (at / 1000, at % 1000);
        format!(
            r#"{{"timestamp":"2026-01-02T03:04:{seconds:02}.{milliseconds:03}Z","fields":{{{fields}}},"target":"{target}"}}"#
        )
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_time_line_of_a_failover_is_shown_with_lag_and_delay() {
    let recording = Recording::of(Guest::bare("hello"));
    let file = |name: &str| recording.guest.folder().join(name);
    let primary = [(0, "listening"), (100, "protected"), (150, ""), (250, ""), (350, "")];
    let backup =
        [(90, "following"), (190, ""), (400, "suspected"), (401, "claim_won"), (460, "alone"), (500, "")];
    fs::write(file("primary"), history("primary", &primary)).unwrap();
    fs::write(file("backup"), history("backup", &backup)).unwrap();
    let mut command = log_report(recording.log.path(), &["-o"]);
    command.arg(file("pair.html"));
    for name in ["primary", "backup"] {
        command.arg("--history").arg(file(name));
    }
    let made = finish(&mut command);
    assert_eq!(made.status, Some(0), "{made:?}");
    let read = browse(&file("pair.html"), &["--dump-dom"]);
    assert_eq!(console(&read), Vec::<&str>::new());
    for plot in ["plot-failover", "plot-lag", "plot-gate", "plot-channel"] {
        assert!(read.console.contains(&format!("id=\"{plot}\"")), "{plot}");
    }
    assert!(read.console.contains("The backup went on alone <b>60.0 ms</b>"));
    plots_have_areas(&probe(&file("pair.html"), &[]), 4);
}

#[test]
fn a_page_is_drawn_in_other_colours_in_the_dark() {
    let recording = Recording::of(Guest::bare("ticks"));
    let page = page_of(&recording);
    let draw = |name: &str, options: &[&str]| {
        let picture = recording.guest.folder().join(name);
        let screenshot = format!("--screenshot={}", picture.display());
        browse(&page, &[&[screenshot.as_str(), "--window-size=1100,1400"], options].concat());
        fs::read(picture).unwrap()
    };
    let (light, dark) = (draw("light.png", &[]), draw("dark.png", &[DARK]));
    for picture in [&light, &dark] {
        assert!(picture.starts_with(b"\x89PNG") && picture.len() > 20_000, "{} bytes", picture.len());
    }
    assert!(light != dark, "both pictures are the same");
}

#[test]
fn an_error_on_a_page_would_be_noticed() {
    let folder = TempDir::new().unwrap();
    for (name, wrong) in [
        ("script.html", "<script>missing.call()</script>"),
        ("shape.html", "<svg viewBox='0 0 9 9'><polygon points='x'/></svg>"),
    ] {
        let page = folder.path().join(name);
        fs::write(&page, format!("<!DOCTYPE html><html><body>{wrong}</body></html>")).unwrap();
        let read = browse(&page, &["--dump-dom"]);
        assert_eq!(console(&read).len(), 1, "{read:?}");
    }
}

#[test]
fn a_page_needs_nothing_but_itself() {
    let page = fs::read_to_string(page_of(&Recording::of(Guest::bare("hello")))).unwrap();
    let page = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for outside in ["<script", "<img", "<iframe", "src=", "url(", "@import", "http:", "https:"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn a_page_goes_where_it_is_wanted_and_replaces_nothing_unasked() {
    let recording = Recording::of(Guest::bare("hello"));
    let (log, page) = (recording.log.path(), page_of(&recording));
    let text = fs::read_to_string(&page).unwrap();
    let to_output = finish(&mut log_report(log, &["-o", "-"]));
    assert_eq!((to_output.status, to_output.console == text), (Some(0), true), "{}", to_output.errors);

    let name = page.to_str().unwrap();
    fs::write(&page, "precious").unwrap();
    refused(&finish(&mut log_report(log, &["-o", name])), 2, &[name, "exists", "--overwrite"]);
    assert_eq!(fs::read(&page).unwrap(), b"precious");
    let replaced = finish(&mut log_report(log, &["-o", name, "--overwrite"]));
    assert_eq!(replaced.status, Some(0), "{replaced:?}");
    assert_eq!(fs::read_to_string(&page).unwrap(), text);

    let before = fs::read(log).unwrap();
    let onto_itself = ["-o", log.to_str().unwrap(), "--overwrite"];
    refused(&finish(&mut log_report(log, &onto_itself)), 2, &["made from"]);
    refused(
        &finish(&mut log_report(log, &["-o", recording.guest.folder().to_str().unwrap()])),
        2,
        &["directory"],
    );
    assert!(fs::read(log).unwrap() == before, "the log has changed");
}

#[test]
fn a_damaged_log_makes_no_page_and_an_unfinished_one_makes_one_that_says_so() {
    let recording = Recording::of(Guest::bare("hello"));
    let (log, folder) = (recording.log.path(), recording.guest.folder());
    let page = folder.join("report.html");
    let whole = fs::read(log).unwrap();
    let mut damaged = whole.clone();
    // In the batches, which begin behind the header.
    let middle = whole.len() * 3 / 4;
    damaged[middle] ^= 1;
    let path = folder.join("damaged");
    fs::write(&path, damaged).unwrap();
    let told = finish(Command::new(OUTLIVE).args(["log", "stat"]).arg(&path));
    let made = finish(&mut log_report(&path, &["-o", page.to_str().unwrap()]));
    assert_eq!(made.status, Some(1), "{made:?}");
    assert_eq!((made.status, &made.errors), (told.status, &told.errors));
    assert!(!page.exists());

    let open = String::from_utf8_lossy(&whole[..400]).find("closed").unwrap();
    let mut unfinished = whole[..whole.len() - 100].to_vec();
    unfinished[open..open + 6].copy_from_slice(b"open  ");
    fs::write(&path, unfinished).unwrap();
    let told = finish(Command::new(OUTLIVE).args(["log", "stat", "--json"]).arg(&path));
    let made = finish(&mut log_report(&path, &["-o", page.to_str().unwrap()]));
    assert_eq!((made.status, told.status), (Some(0), Some(0)), "{made:?}{told:?}");
    let text = fs::read_to_string(page).unwrap();
    assert!(text.contains("unfinished"), "{text}");
    assert_eq!(numbers(&text), expected(&serde_json::from_str(&told.console).unwrap()));
}

#[test]
fn what_a_history_says_that_no_side_says_is_told_with_its_line() {
    let recording = Recording::of(Guest::bare("hello"));
    let history = recording.guest.folder().join("history");
    let line = r#"{"timestamp":"2026-01-02T03:04:05.500000Z","level":"WARN","fields":{"message":"gone","event":"suspected"},"target":"outlive::pair"}"#;
    let report = |text: String| {
        fs::write(&history, text).unwrap();
        finish(&mut log_report(recording.log.path(), &["-o", "-", "--history", history.to_str().unwrap()]))
    };
    let cut = report(format!("{line}\n{}", &line[..50]));
    assert_eq!(cut.status, Some(0), "{}", cut.errors);
    assert!(cut.console.contains("suspected") && cut.console.contains("plot-failover"));
    refused(&report(format!("{line}\nnonsense\n{line}\n")), 1, &["history", "line 2"]);
    fs::remove_file(&history).unwrap();
    let missing =
        finish(&mut log_report(recording.log.path(), &["-o", "-", "--history", history.to_str().unwrap()]));
    refused(&missing, 2, &["history", "No such file"]);
}
