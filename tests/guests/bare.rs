//! Every bare guest, on each engine at hand. What each proves is told in `guest-images/bare/README.md`.

use std::fs;

use crate::harness::{Engine, Finished, Guest, faults_words, on_each_engine};

fn bare(engine: Engine, name: &str) -> Guest {
    Guest::bare(name).engine(engine.name())
}

/// Runs a guest to its end and checks that it says of itself that all went well.
fn passes(engine: Engine, name: &str, guest: &Guest) -> Option<Finished> {
    if !engine.at_hand() {
        return None;
    }
    let finished = guest.run();
    let last = format!("{name}: ok");
    assert_eq!(finished.console.lines().last(), Some(last.as_str()), "{finished:#?}");
    assert_eq!(finished.status, Some(0), "{finished:#?}");
    Some(finished)
}

/// Runs the guest `ends` to the end that it is told.
fn end(engine: Engine, how: &str) -> Option<Finished> {
    let guest = bare(engine, "ends").command_line(&format!("how={how}"));
    engine.at_hand().then(|| guest.run())
}

on_each_engine! {
    fn hello_prints_its_command_line_and_ends_with_success(engine: Engine) {
        let guest = bare(engine, "hello").command_line("one two=3");
        if let Some(finished) = passes(engine, "hello", &guest) {
            assert!(finished.console.contains("one two=3"), "{finished:#?}");
        }
    }

    fn ticks_of_the_interval_timer_arrive_and_wake_a_halted_processor(engine: Engine) {
        passes(engine, "ticks", &bare(engine, "ticks"));
    }

    fn all_clocks_agree_and_never_go_back(engine: Engine) {
        passes(engine, "time", &bare(engine, "time"));
    }

    fn a_loop_without_exits_computes_the_right_sum(engine: Engine) {
        passes(engine, "compute", &bare(engine, "compute"));
    }

    fn a_loop_with_exits_and_interrupts_computes_the_right_sum(engine: Engine) {
        passes(engine, "exits", &bare(engine, "exits"));
    }

    fn repeated_string_instructions_survive_faults_and_interrupts(engine: Engine) {
        passes(engine, "strings", &bare(engine, "strings"));
    }

    fn code_that_changes_itself_executes_as_changed(engine: Engine) {
        passes(engine, "smc", &bare(engine, "smc"));
    }

    fn exceptions_arrive_with_the_right_frames(engine: Engine) {
        passes(engine, "faults", &bare(engine, "faults").command_line(faults_words(engine)));
    }

    fn a_disk_keeps_what_is_written_and_refuses_what_is_wrong(engine: Engine) {
        let (guest, _) = bare(engine, "disk").with_disk(128, false);
        passes(engine, "disk", &guest);
    }

    fn a_read_only_disk_is_not_written(engine: Engine) {
        let (guest, image) = bare(engine, "disk").with_disk(128, true);
        let before = fs::read(&image).unwrap();
        passes(engine, "disk", &guest);
        assert_eq!(fs::read(&image).unwrap(), before);
    }

    fn a_hostile_driver_does_the_machine_no_harm(engine: Engine) {
        let (guest, _) = bare(engine, "hostile").command_line("case=all").with_disk(128, false);
        let number = engine as u8;
        let guest = guest.network(&format!("outlivehostile{number}"), &format!("10.82.{number}.1/24"));
        passes(engine, "hostile", &guest);
    }

    fn power_off_and_reset_end_the_machine_with_success(engine: Engine) {
        for how in ["halt", "reset"] {
            let Some(finished) = end(engine, how) else { return };
            assert_eq!((finished.status, finished.errors.as_str()), (Some(0), ""), "{how}: {finished:#?}");
        }
    }

    fn a_failure_of_the_guest_is_a_failure_of_the_command(engine: Engine) {
        let Some(finished) = end(engine, "failure") else { return };
        assert_eq!(finished.status, Some(1), "{finished:#?}");
        assert!(finished.errors.contains("failure number 1"), "{finished:#?}");
    }

    fn a_triple_fault_is_reported_with_registers_and_code(engine: Engine) {
        let Some(finished) = end(engine, "triple") else { return };
        assert_eq!(finished.status, Some(1), "{finished:#?}");
        assert!(finished.errors.contains("triple fault"), "{finished:#?}");
        // Where the host lets us look, the report shows the instruction: ud2.
        let shown = finished.errors.contains("code at rip: 0f 0b");
        assert!(shown || finished.errors.contains("registers of a reset"), "{finished:#?}");
    }
}
