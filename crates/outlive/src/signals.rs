//! SIGINT, SIGTERM, SIGHUP and SIGQUIT end the machine in good order: the terminal is restored, disks are finished.
//!
//! One that the command was started to ignore, as `nohup` does it with SIGHUP, stays ignored.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

/// Signals that are caught, but do nothing yet.
#[derive(Debug)]
pub(crate) struct CaughtSignals(Signals);

impl CaughtSignals {
    /// Catches signals. To be done before the terminal is changed, so that none can end the command while
    /// there is something to restore.
    pub(crate) fn catch() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        Ok(Self(Signals::new(watched(&status))?))
    }
}

/// Watches for signals until it is dropped.
#[derive(Debug)]
pub(crate) struct SignalWatch {
    received: Arc<AtomicI32>,
    handle: Handle,
    /// Whether nobody needs to be told any more.
    over: Arc<AtomicBool>,
}

/// How often a machine that was told to stop is told again: it may stand where it cannot stop yet.
const AGAIN: Duration = Duration::from_millis(500);

impl SignalWatch {
    /// Starts to watch; each signal, also one that was caught before, makes it call `stop`, and again every now and
    /// then until this is dropped.
    pub(crate) fn start(caught: CaughtSignals, stop: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        let CaughtSignals(mut signals) = caught;
        let handle = signals.handle();
        let received = Arc::new(AtomicI32::new(0));
        let first = Arc::clone(&received);
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let stop = Arc::new(stop);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                let is_first = first.compare_exchange(0, signal, Ordering::AcqRel, Ordering::Acquire).is_ok();
                stop();
                if is_first {
                    tell_again(Arc::clone(&stop), Arc::clone(&told));
                }
            }
        })?;
        Ok(Self { received, handle, over })
    }

    /// The first signal, if there was one.
    pub(crate) fn received(&self) -> Option<u8> {
        u8::try_from(self.received.load(Ordering::Acquire)).ok().filter(|&signal| signal != 0)
    }
}

fn tell_again(stop: Arc<impl Fn() + Send + Sync + 'static>, over: Arc<AtomicBool>) {
    let told = std::thread::Builder::new().name("stop".to_owned()).spawn(move || {
        while !over.load(Ordering::Acquire) {
            std::thread::sleep(AGAIN);
            stop();
        }
    });
    if let Err(error) = told {
        tracing::warn!(%error, "cannot tell the machine again to stop");
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        self.handle.close();
    }
}

/// The signals that end the machine, but for those that `status`, a `/proc/<pid>/status`, says are ignored.
fn watched(status: &str) -> impl Iterator<Item = i32> {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    [SIGINT, SIGTERM, SIGHUP, SIGQUIT].into_iter().filter(move |signal| ignored >> (signal - 1) & 1 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_is_ignored_stays_ignored() {
        let watched = |status| watched(status).collect::<Vec<_>>();
        assert_eq!(watched("Name:\toutlive\nSigIgn:\t0000000000001001\n"), [SIGINT, SIGTERM, SIGQUIT]);
        assert_eq!(
            watched("SigIgn:\t0000000000001000\nSigCgt:\t0000000000000001\n"),
            [SIGINT, SIGTERM, SIGHUP, SIGQUIT]
        );
        assert_eq!(watched(""), [SIGINT, SIGTERM, SIGHUP, SIGQUIT]);
    }
}
