use outlive_log::series::Buckets;

use super::super::history::Event;
use super::*;

fn side(role: Role, events: &[(u64, &str)], end: u64) -> History {
    let at = |milliseconds: u64| Moment((1000 + milliseconds) * 1_000_000);
    let event = |&(milliseconds, name): &(u64, &str)| Event {
        at: at(milliseconds),
        name: name.to_owned(),
        text: "<words>".to_owned(),
    };
    let events = events.iter().map(event).collect();
    let standing = Buckets::default();
    History { role: Some(role), begin: at(0), end: at(end), events, more_events: 0, standing, torn: false }
}

#[test]
fn a_killed_primary_serves_up_to_its_last_line_and_the_backup_from_where_it_is_alone() {
    let primary = side(Role::Primary, &[(10, "protected")], 950);
    let events =
        [(20, "following"), (1000, "suspected"), (1001, "claiming"), (1050, "live"), (1060, "alone")];
    let backup = side(Role::Backup, &events, 2000);
    let zero = backup.first("suspected").unwrap();
    assert_eq!(serving(&primary, zero), (vec![-990.0..-50.0], Some(-50.0..0.0)));
    assert_eq!(serving(&backup, zero), (vec![60.0..1000.0], None));
}

#[test]
fn a_primary_that_stands_alone_lets_nothing_out_while_it_claims() {
    let primary =
        side(Role::Primary, &[(0, "protected"), (100, "suspected"), (101, "claiming"), (110, "alone")], 500);
    assert_eq!(serving(&primary, primary.begin), (vec![0.0..100.0, 110.0..500.0], None));
}

#[test]
fn events_of_both_sides_stand_in_one_order_from_the_first_suspicion() {
    let histories = [
        side(Role::Primary, &[(10, "protected"), (300, "stood_down")], 301),
        side(Role::Backup, &[(100, "suspected"), (160, "alone")], 400),
    ];
    let pair = Pair::of(&histories).unwrap();
    let happenings = pair.happenings(pair.loss.unwrap());
    let told: Vec<_> =
        happenings.iter().map(|happening| (happening.milliseconds, happening.name.as_str())).collect();
    let expected = [
        (-90.0, "protected"),
        (0.0, "suspected"),
        (60.0, "alone"),
        (200.0, "stood_down"),
        (201.0, ""),
        (300.0, ""),
    ];
    assert_eq!(told, expected);
    let mut page = String::new();
    section(&mut page, &histories).unwrap();
    assert!(page.contains("plot-failover") && page.contains("&lt;words&gt;") && !page.contains("<words>"));
}

#[test]
fn a_guest_that_was_slowed_down_is_told_with_its_time() {
    let mut primary = side(Role::Primary, &[(10, "protected")], 400);
    for milliseconds in [100, 200, 300] {
        let standing = Standing { slowed: milliseconds > 100, ..Standing::default() };
        *primary.standing.at(milliseconds * 1_000_000) = standing;
    }
    let mut page = String::new();
    section(&mut page, &[primary]).unwrap();
    assert!(page.contains("slowed the guest down for about 0.2 s"), "{page}");
}

#[test]
fn a_pair_that_nothing_happened_to_has_no_time_line_of_a_failover() {
    let mut page = String::new();
    section(&mut page, &[side(Role::Primary, &[(10, "protected")], 400)]).unwrap();
    assert!(page.contains("id=\"events\"") && !page.contains("plot-failover"));
    page.clear();
    section(&mut page, &[]).unwrap();
    assert_eq!(page, "");
}
