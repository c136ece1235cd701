//! The networks of a machine that is about to go live.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outlive_machine::host::announcement::{AddressSnoop, MacAddress};
use outlive_machine::host::tap::{Tap, TapConfig};

use crate::config::Config;
use crate::description::Description;
use crate::failure::Failure;

/// The TAPs of a backup. They are attached and announced as soon as the guest is ours, while the machine may still have
/// to execute the rest of the log: what is sent to the guest meanwhile waits in the TAP, and is not lost.
#[derive(Clone)]
pub(super) struct Networks(Arc<Shared>);

struct Shared {
    taps: Vec<(TapConfig, MacAddress)>,
    addresses: Arc<Mutex<AddressSnoop>>,
    attached: Mutex<Option<Vec<Tap>>>,
}

impl Networks {
    /// Those of a machine. The addresses of its guest stand in `addresses` by the time they are wanted.
    pub(super) fn new(
        config: &Config,
        description: &Description,
        addresses: Arc<Mutex<AddressSnoop>>,
    ) -> Self {
        let taps = config.network.iter().zip(&description.networks);
        let taps = taps.map(|(network, seen)| (network.tap(), MacAddress(seen.mac))).collect();
        Self(Arc::new(Shared { taps, addresses, attached: Mutex::new(None) }))
    }

    /// Attaches them, so that going live finds them there. What cannot be done now is told then.
    pub(super) fn attach_early(&self) {
        match self.open() {
            Ok(taps) => *self.attached() = Some(taps),
            Err(error) => {
                tracing::warn!(target: outlive_replication::TARGET, %error, "the networks are not attached yet");
            }
        }
    }

    /// Attaches them, unless that was done early.
    ///
    /// # Errors
    /// When the host refuses one.
    pub(super) fn attach(&self) -> Result<Vec<Tap>, Failure> {
        let attached = self.attached().take();
        attached.map_or_else(|| self.open(), Ok)
    }

    fn open(&self) -> Result<Vec<Tap>, Failure> {
        let addresses = self.0.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let open = |(config, mac): &(TapConfig, MacAddress)| {
            let mut tap = Tap::open(config).map_err(Failure::runtime)?;
            if let Err(error) = tap.announce(*mac, addresses.address(*mac)) {
                tracing::warn!(target: outlive_replication::TARGET, tap = %config.name, %error, "the guest is not announced");
            }
            Ok(tap)
        };
        self.0.taps.iter().map(open).collect()
    }

    fn attached(&self) -> MutexGuard<'_, Option<Vec<Tap>>> {
        // A list of TAPs is whole even if a thread panicked while it held the lock.
        self.0.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
