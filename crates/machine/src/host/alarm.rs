//! A thread that kicks the vCPU when the next device timer is due.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use outlive_engine::Kicker;

/// What the alarm is set to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Setting {
    Off,
    At(Instant),
    Ended,
}

#[derive(Debug)]
struct Shared {
    setting: Mutex<Setting>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Setting> {
        // A setting is one word: it is whole even if a thread panicked while it held the lock.
        self.setting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An alarm clock for the vCPU. It rings once per setting.
#[derive(Debug)]
pub(super) struct Alarm {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Alarm {
    /// Starts the thread.
    pub(super) fn start(kicker: Kicker) -> io::Result<Self> {
        let shared = Arc::new(Shared { setting: Mutex::new(Setting::Off), changed: Condvar::new() });
        let watched = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("alarm".to_owned()).spawn(move || watch(&watched, &kicker))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Sets the alarm, or turns it off.
    pub(super) fn set(&self, at: Option<Instant>) {
        self.change(at.map_or(Setting::Off, Setting::At));
    }

    fn change(&self, to: Setting) {
        *self.shared.lock() = to;
        self.shared.changed.notify_one();
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.change(Setting::Ended);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(shared: &Shared, kicker: &Kicker) {
    let mut setting = shared.lock();
    loop {
        let now = Instant::now();
        setting = match *setting {
            Setting::Ended => return,
            Setting::Off => shared.changed.wait(setting).unwrap_or_else(PoisonError::into_inner),
            Setting::At(moment) if moment <= now => {
                *setting = Setting::Off;
                kicker.kick();
                setting
            }
            Setting::At(moment) => {
                let waited = shared.changed.wait_timeout(setting, moment - now);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}
