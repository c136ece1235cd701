//! The commands of README.md that stand on no other page, and those of docs/engines.md.

use crate::surroundings::Surroundings;

#[test]
fn the_demo_survives_a_killed_primary() {
    let Some(surroundings) = Surroundings::new(&["host"]) else { return };
    let told = surroundings.run("scripts/demo");
    assert!(told.contains("survived"), "{told}");
}

/// `tests/pair` does each of the scenarios.
#[test]
fn chaos_judges_what_came_of_it_shortened() {
    let Some(surroundings) = Surroundings::new(&["host"]) else { return };
    let killed = surroundings.run_shortened("scripts/chaos --kills 10", "scripts/chaos --kills 1 --guest kv");
    assert!(killed.contains("1 of 1 held"), "{killed}");
    let cut = surroundings
        .run_shortened("scripts/chaos --scenario all", "scripts/chaos --scenario channel-cut --guest kv");
    assert!(cut.contains("1 of 1 held"), "{cut}");
}

#[test]
fn a_bare_guest_runs() {
    let Some(surroundings) = Surroundings::new(&["host"]) else { return };
    let console = surroundings.run("target/release/outlive run guest-images/hello.toml");
    assert!(console.contains("hello: ok"), "{console}");
}

#[test]
fn the_doctor_tells_of_this_host_and_of_the_lab() {
    let Some(surroundings) = Surroundings::new(&["host"]) else { return };
    assert!(surroundings.run("target/release/outlive doctor").contains("engine = \"auto\" takes"));
    let lab = surroundings.run("scripts/kvm-lab target/release/outlive doctor");
    assert!(lab.contains("engine = \"auto\" takes: kvm"), "{lab}");
}

/// Of docs/performance.md. Pairs are what the other tests are about.
#[test]
fn the_benchmark_makes_its_table_shortened() {
    let Some(surroundings) = Surroundings::new(&["host"]) else { return };
    let table = surroundings.run_shortened(
        "scripts/bench all --markdown --json figures.json",
        "scripts/bench all --quick --markdown --json figures.json replay",
    );
    assert!(table.contains("| ---"), "{table}");
    let figures = std::fs::read_to_string(surroundings.path("figures.json")).unwrap();
    assert!(figures.contains("\"comparison\""), "{figures}");
}
