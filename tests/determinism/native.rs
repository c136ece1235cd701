//! Machine code of the host changes how fast a guest runs, and nothing else.

use outlive_soft::NativeCode;

use crate::guest::{Guest, Sight};
use crate::random::Random;

/// How many instructions of Linux are executed.
const LINUX: u64 = 300_000_000;

/// What is seen of a guest at these counts.
fn seen_at(guest: &Guest, native_code: NativeCode, places: &[u64]) -> Vec<Sight> {
    let mut computer = guest.power_on_with(native_code);
    let look = |&place: &u64| {
        computer.run_until(place);
        computer.look()
    };
    places.iter().map(look).collect()
}

fn makes_no_difference_to(guest: &Guest) {
    let end = guest.power_on_with(NativeCode::Never).run_to_end();
    let places = Random::new().places(100, end.instructions - 1);
    let interpreted = seen_at(guest, NativeCode::Never, &places);
    for native_code in [NativeCode::WhenHot, NativeCode::Always] {
        assert_eq!(guest.power_on_with(native_code).run_to_end(), end, "{guest:?}: {native_code:?}");
        assert_eq!(seen_at(guest, native_code, &places), interpreted, "{guest:?}: {native_code:?}");
    }
}

mod native_code_makes_no_difference_to {
    every_guest!(super::makes_no_difference_to);

    #[test]
    fn linux() {
        use outlive_soft::NativeCode;

        let places = crate::random::Random::new().places(10, super::LINUX);
        let seen = |native_code| super::seen_at(&crate::guest::Guest::linux(), native_code, &places);
        let interpreted = seen(NativeCode::Never);
        assert_eq!(seen(NativeCode::WhenHot), interpreted);
        assert_eq!(seen(NativeCode::Always), interpreted);
    }
}
