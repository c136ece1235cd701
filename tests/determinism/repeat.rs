//! Runs in one process.

use crate::guest::{Guest, Sight};
use crate::random::Random;

/// How often each guest is stopped.
const STOPS: usize = 1000;
/// How many instructions of Linux are executed.
const LINUX: u64 = 400_000_000;

/// What is seen of a guest that is stopped at all these counts, and of its end.
fn stopped_at(guest: &Guest, places: &[u64]) -> (Vec<Sight>, Sight) {
    let mut computer = guest.power_on();
    let look = |&place: &u64| {
        computer.run_until(place);
        computer.look()
    };
    let sights = places.iter().map(look).collect();
    (sights, computer.run_to_end())
}

fn holds_wherever_it_is_stopped(guest: &Guest) {
    let end = guest.power_on().run_to_end();
    assert_eq!(guest.power_on().run_to_end(), end, "{guest:?}: a second run");

    let places = Random::new().places(STOPS, end.instructions - 1);
    let (sights, stopped_end) = stopped_at(guest, &places);
    assert_eq!(stopped_end, end, "{guest:?}: a run that was stopped");

    // The same stops again, and none but every seventh: the others must leave no trace.
    let (again, _) = stopped_at(guest, &places);
    let some: Vec<_> = places.iter().copied().step_by(7).collect();
    let (seldom, _) = stopped_at(guest, &some);
    for (first, second) in sights.iter().zip(&again) {
        assert_eq!(first, second, "{guest:?}: the same place in a second run");
    }
    for (often, seldom) in sights.iter().step_by(7).zip(&seldom) {
        assert_eq!(often, seldom, "{guest:?}: the same place with fewer stops before it");
    }
}

/// Linux does not end by itself. It is stopped in the middle of its boot, where kernel and user space are at work.
fn linux_stopped_at(places: &[u64]) -> Vec<Sight> {
    let mut computer = Guest::linux().power_on();
    let look = |&place: &u64| {
        computer.run_until(place);
        computer.look()
    };
    places.iter().map(look).collect()
}

mod every_stop_leaves_no_trace_in {
    every_guest!(super::holds_wherever_it_is_stopped);

    #[test]
    fn linux() {
        let places = crate::random::Random::new().places(20, super::LINUX);
        let sights = super::linux_stopped_at(&places);
        assert!(sights.last().unwrap().console.contains("Linux version"));
        assert_eq!(super::linux_stopped_at(&places), sights);
        assert_eq!(super::linux_stopped_at(&places[19..]), sights[19..]);
    }
}
