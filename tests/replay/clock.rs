//! The host's clock may be set while a guest is recorded: guest time does not follow it.
//!
//! The tests set the clock of the lab, which is nobody else's, and that of this machine only when they are told to by
//! the environment variable `OUTLIVE_SET_CLOCK`.

use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::harness::{in_lab, kv, on_each_engine};
use crate::kv::talk;
use crate::recording::Live;

/// The host's clock while it is set wrong; dropping this sets it right.
struct WrongClock {
    right: SystemTime,
    since: Instant,
}

impl WrongClock {
    /// Sets the clock ahead.
    fn ahead(by: Duration) -> Self {
        let clock = Self { right: SystemTime::now(), since: Instant::now() };
        set(clock.right + by).expect("the clock can be set");
        clock
    }
}

impl Drop for WrongClock {
    fn drop(&mut self) {
        if let Err(error) = set(self.right + self.since.elapsed()) {
            eprintln!("THE CLOCK IS STILL WRONG: {error}");
        }
    }
}

/// Sets the host's clock.
fn set(time: SystemTime) -> Result<(), String> {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let output = Command::new("date").arg("-s").arg(format!("@{since_epoch:.6}")).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Whether the clock may and can be set. Says so when it is not to be.
fn can_be_set() -> bool {
    if !in_lab() && std::env::var_os("OUTLIVE_SET_CLOCK").is_none() {
        eprintln!("SKIPPED: without OUTLIVE_SET_CLOCK, the clock of this machine is left alone");
        return false;
    }
    let can = set(SystemTime::now());
    if let Err(error) = &can {
        eprintln!("SKIPPED: the clock cannot be set: {error}");
    }
    can.is_ok()
}

on_each_engine! {
    fn a_clock_that_is_set_ahead_and_back_changes_nothing(engine: Engine) {
        if !engine.records() || !can_be_set() {
            return;
        }
        let (guest, address) = kv(engine, 13);
        let mut live = Live::start(guest);
        live.machine.wait_for("kv: ready");
        talk(&address, 10);
        {
            let _wrong = WrongClock::ahead(Duration::from_secs(3600));
            talk(&address, 10);
        }
        talk(&address, 10);
        live.signal("INT");
        let recording = live.finish();
        assert_eq!(recording.status, Some(128 + 2), "{}", recording.errors);
        let guest_time = Duration::from_nanos(recording.summary["guest_nanoseconds"].as_u64().unwrap());
        assert!(guest_time < Duration::from_secs(3600), "{guest_time:?}");
        recording.is_replayed();
    }
}
