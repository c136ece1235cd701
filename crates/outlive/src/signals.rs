//! SIGINT, SIGTERM and SIGHUP end the machine in good order: the terminal is restored, disks are finished.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use outlive_machine::host::live::StopHandle;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

/// Watches for signals until it is dropped.
#[derive(Debug)]
pub(crate) struct SignalWatch {
    received: Arc<AtomicI32>,
    handle: Handle,
}

impl SignalWatch {
    /// Starts to watch; the first signal stops the machine.
    pub(crate) fn start(stop: StopHandle) -> io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let handle = signals.handle();
        let received = Arc::new(AtomicI32::new(0));
        let first = Arc::clone(&received);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                let _ = first.compare_exchange(0, signal, Ordering::AcqRel, Ordering::Acquire);
                stop.stop();
            }
        })?;
        Ok(Self { received, handle })
    }

    /// The first signal, if there was one.
    pub(crate) fn received(&self) -> Option<u8> {
        u8::try_from(self.received.load(Ordering::Acquire)).ok().filter(|&signal| signal != 0)
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.handle.close();
    }
}
