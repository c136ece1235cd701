use super::*;

const SUSPECTED: &str = r#"{"timestamp":"2026-01-02T03:04:05.500000Z","level":"WARN","fields":{"message":"gone","event":"suspected","why":"silence","took":1.25,"none":null,"digest":"0123456789012345678901234567890123456789012345"},"target":"outlive::pair"}"#;

fn sample(milliseconds: u32, lag: f64) -> String {
    format!(
        r#"{{"timestamp":"2026-01-02T03:04:05.{milliseconds:03}Z","level":"TRACE","fields":{{"role":"backup","lag_milliseconds":{lag},"log_bytes_per_second":7.5,"slowed":false,"more":1}},"target":"outlive::pair::sample"}}"#
    )
}

fn read(text: &str) -> Result<History, String> {
    History::read(text.as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn events_and_samples_are_told_apart() {
    let lines = [sample(100, 1.0), SUSPECTED.to_owned(), sample(900, 5.0)];
    let history = read(&format!("{}\n", lines.join("\n"))).unwrap();
    assert_eq!(history.role, Some(Role::Backup));
    assert!(!history.torn && history.more_events == 0);
    assert_eq!(history.end.milliseconds_since(history.begin), 800.0);
    let [event] = &history.events[..] else { panic!("{history:?}") };
    assert_eq!((event.name.as_str(), event.text.as_str()), ("suspected", "gone; took 1.2; why silence"));
    assert_eq!(history.first("suspected").unwrap().milliseconds_since(history.begin), 400.0);
    let lags = history.standing.as_slice().iter().filter_map(|standing| standing.lag_milliseconds);
    assert_eq!(lags.collect::<Vec<_>>(), [1.0, 5.0]);
}

#[test]
fn a_last_line_that_is_cut_off_is_the_mark_of_a_killed_side_and_no_error() {
    let text = format!("{SUSPECTED}\n{}", sample(900, 1.0));
    for cut in SUSPECTED.len() + 2..text.len() {
        let history = read(&text[..cut]).unwrap();
        assert!(history.torn && history.events.len() == 1, "{cut}");
    }
    assert!(!read(&text).unwrap().torn, "the last line is whole but for its end");
}

#[test]
fn a_bad_line_is_told_with_its_number() {
    let good = sample(100, 1.0);
    for bad in [
        "outlive: cannot read",
        "{}",
        "",
        &SUSPECTED.replace("2026-01-02", "yesterday"),
        &SUSPECTED.replace("2026", "1926"),
        &good.replace("backup", "neither"),
        &good.replace("7.5", "\"seven\""),
    ] {
        let error = read(&format!("{good}\n{good}\n{bad}\n{good}\n")).unwrap_err();
        assert!(error.starts_with("line 3: "), "{bad}: {error}");
    }
    let long = format!("{good}\n{}", "x".repeat(LONGEST_LINE as usize + 1));
    assert!(read(&long).unwrap_err().starts_with("line 2: "));
}

#[test]
fn a_file_without_a_line_is_no_history() {
    assert_eq!(read("").unwrap_err(), "there is nothing in it");
    assert_eq!(read("{\"times").unwrap_err(), "there is nothing in it");
}

#[test]
fn the_worst_of_a_time_is_what_is_kept_of_it() {
    let standing = |lag, slowed| Standing { lag_milliseconds: lag, slowed, ..Standing::default() };
    let mut first = standing(Some(2.0), true);
    first.merge(standing(Some(1.0), false));
    assert_eq!(first, standing(Some(2.0), true));
    let mut none = Standing::default();
    none.merge(standing(Some(3.0), false));
    assert_eq!(none.lag_milliseconds, Some(3.0));
}
