//! Kicks: how other threads make the vCPU thread leave the guest.
//!
//! A kick is a signal to the vCPU thread. The race of every such scheme is the moment between the
//! thread's last look at a flag and its entry into the guest. Here it is closed by the kernel: the thread
//! has the signal blocked at all times, and `KVM_SET_SIGNAL_MASK` (api.rst 4.17) unblocks it only inside
//! `KVM_RUN`. A signal sent a moment too early waits, and `KVM_RUN` then returns EINTR before the guest
//! executes anything. No handler ever runs on the vCPU thread, and no memory is shared with KVM for this.
//!
//! The second danger is a signal to a thread that is gone, or to one that has got its number since. It
//! cannot happen because a kick is sent under a lock, to the thread that has registered itself as being in
//! [`run`](outlive_engine::Engine::run), and that thread needs the same lock to leave.
//!
//! The signal is a standard one. Real-time signals queue, hence sending one can fail when the user's
//! queue is full, and a kick has no way to fail.

use std::io;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

use kvm_ioctls::VcpuFd;
use libc::{c_int, c_void, pid_t, siginfo_t, sigset_t};
use outlive_engine::Kicker;
use vmm_sys_util::signal::register_signal_handler;

use crate::ioctl;

/// A signal that no hardware and no library of today raises.
const SIGNAL: c_int = libc::SIGSTKFLT;

/// What the vCPU thread and the kickers share.
#[derive(Debug, Default)]
pub(crate) struct Kick {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A kick that no `run` has returned for yet.
    kicked: bool,
    /// The thread that is in the guest, or on its way there or back.
    running: Option<pid_t>,
}

/// The thread that was made ready to run a vCPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runner {
    thread: ThreadId,
    number: pid_t,
}

impl Runner {
    /// Makes the calling thread ready to run `vcpu`: blocks the signal, except inside `KVM_RUN`.
    pub(crate) fn prepare(vcpu: &VcpuFd) -> io::Result<Self> {
        let before = block_signal()?;
        ioctl::set_signal_mask(vcpu, before & !bit(SIGNAL))?;
        // SAFETY: takes nothing and cannot fail.
        let number = unsafe { libc::gettid() };
        Ok(Self { thread: thread::current().id(), number })
    }

    pub(crate) fn is_current(&self) -> bool {
        self.thread == thread::current().id()
    }
}

impl Kick {
    /// Takes part in kicking: the handler is there so that a stray signal does not end the process.
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        static HANDLER: OnceLock<Result<(), c_int>> = OnceLock::new();
        HANDLER
            .get_or_init(|| register_signal_handler(SIGNAL, ignore).map_err(|error| error.errno()))
            .map_err(io::Error::from_raw_os_error)?;
        Ok(Arc::default())
    }

    pub(crate) fn kicker(self: &Arc<Self>) -> Kicker {
        let kick = Arc::clone(self);
        Kicker::new(move || kick.send())
    }

    /// Registers the calling thread as running. `false` if there was a kick, which is thereby taken.
    pub(crate) fn begin(&self, runner: Runner) -> bool {
        let mut state = self.lock();
        if std::mem::take(&mut state.kicked) {
            return false;
        }
        state.running = Some(runner.number);
        true
    }

    /// The calling thread has left the guest. A kick that came meanwhile is kept, its signal taken.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.running = None;
        if state.kicked {
            take_signal();
        }
    }

    /// Takes a kick, if there is one.
    pub(crate) fn take(&self) -> bool {
        std::mem::take(&mut self.lock().kicked)
    }

    fn send(&self) {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.kicked, true)
            && let Some(thread) = state.running
        {
            // SAFETY: sends a signal whose handler does nothing to a thread of this process, which cannot
            // end before it gets the lock that is held here.
            let result = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, SIGNAL) };
            assert_eq!(result, 0, "the thread that runs the vCPU exists");
        }
    }

    /// A panic while the lock is held leaves nothing half-done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

extern "C" fn ignore(_: c_int, _: *mut siginfo_t, _: *mut c_void) {}

/// The bit of a signal in the kernel's signal sets.
const fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// Blocks the signal for the calling thread and returns what was blocked before.
fn block_signal() -> io::Result<u64> {
    let mut before = MaybeUninit::<sigset_t>::uninit();
    // SAFETY: both sets are valid, and `before` is initialized where the call succeeds.
    match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &only_signal(), before.as_mut_ptr()) } {
        0 => {}
        error => return Err(io::Error::from_raw_os_error(error)),
    }
    // SAFETY: initialized by the successful call; `signal` is a number that sigismember knows.
    let blocked = |signal| unsafe { libc::sigismember(before.as_ptr(), signal) } == 1;
    Ok((1..=64).filter(|signal| blocked(*signal)).map(bit).sum())
}

/// Takes the pending signal from the calling thread, if there is one.
fn take_signal() {
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the set and the time are valid, and no information is asked for.
    while unsafe { libc::sigtimedwait(&only_signal(), std::ptr::null_mut(), &at_once) } == SIGNAL {}
}

fn only_signal() -> sigset_t {
    let mut set = MaybeUninit::<sigset_t>::uninit();
    // SAFETY: sigemptyset initializes the set; SIGNAL is a valid signal.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), SIGNAL);
        set.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::testing::{guest, in_lab, run};
    use outlive_engine::{AccessSize, Engine, Exit};

    /// jmp to itself
    const SPIN: [u8; 2] = [0xeb, 0xfe];

    #[test]
    fn a_kick_before_the_run_ends_it_at_once_and_only_once() {
        // out 0x80, al; hlt
        let Some(mut guest) = guest(&[0xe6, 0x80, 0xf4]) else { return };
        let kicker = guest.engine.kicker();
        kicker.kick();
        kicker.kick();
        assert_eq!(run(&mut guest), Exit::Kicked);
        assert_eq!(run(&mut guest), Exit::PortWrite { port: 0x80, size: AccessSize::Byte, value: 0 });
        kicker.kick();
        assert_eq!(run(&mut guest), Exit::Kicked);
        assert_eq!(run(&mut guest), Exit::Halt);
    }

    #[test]
    fn a_kick_ends_a_run_that_would_not_end() {
        let Some(mut guest) = guest(&SPIN) else { return };
        let kicker = guest.engine.kicker();
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            kicker.kick();
        });
        assert_eq!(run(&mut guest), Exit::Kicked);
        other.join().unwrap();
    }

    #[test]
    fn no_kick_is_lost_wherever_it_falls() {
        // A kick takes 10 ms in the emulated machine of scripts/kvm-lab.
        let kicks = if in_lab() { 1_000 } else { 10_000 };
        let Some(mut guest) = guest(&SPIN) else { return };
        let kicker = guest.engine.kicker();
        let returned = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&returned);
        // Each kick is sent as soon as the one before was seen, thus while the vCPU thread is anywhere
        // between two runs. A lost one would leave both threads waiting.
        let other = thread::spawn(move || {
            for kick in 0..kicks {
                while seen.load(Ordering::Acquire) < kick {
                    std::hint::spin_loop();
                }
                kicker.kick();
            }
        });
        for number in 1..=kicks {
            assert_eq!(run(&mut guest), Exit::Kicked);
            returned.store(number, Ordering::Release);
        }
        other.join().unwrap();
    }

    #[test]
    fn kicks_lose_and_repeat_no_exit() {
        // inc eax; out 0x80, eax; jmp back
        let Some(mut guest) = guest(&[0xff, 0xc0, 0xe7, 0x80, 0xeb, 0xfa]) else { return };
        let kicker = guest.engine.kicker();
        let done = Arc::new(AtomicU64::new(0));
        let stop = Arc::clone(&done);
        let other = thread::spawn(move || {
            while stop.load(Ordering::Acquire) == 0 {
                kicker.kick();
                thread::sleep(Duration::from_micros(20));
            }
        });
        let mut expected = 1;
        while expected <= 5_000 {
            match run(&mut guest) {
                Exit::Kicked => {}
                exit => {
                    let written = Exit::PortWrite { port: 0x80, size: AccessSize::Dword, value: expected };
                    assert_eq!(exit, written);
                    expected += 1;
                }
            }
        }
        done.store(1, Ordering::Release);
        other.join().unwrap();
    }

    #[test]
    fn an_engine_may_run_on_another_thread_than_the_one_that_made_it_and_end_there() {
        let Some(mut guest) = guest(&SPIN) else { return };
        let kicker = guest.engine.kicker();
        let for_other = kicker.clone();
        let other = thread::spawn(move || {
            for_other.kick();
            run(&mut guest)
        });
        assert_eq!(other.join().unwrap(), Exit::Kicked);
        kicker.kick();
    }

    #[test]
    fn one_engine_may_run_on_several_threads_in_turn() {
        let Some(mut guest) = guest(&SPIN) else { return };
        for _ in 0..3 {
            let kicker = guest.engine.kicker();
            guest = thread::spawn(move || {
                let soon = thread::spawn(move || {
                    thread::sleep(Duration::from_millis(5));
                    kicker.kick();
                });
                assert_eq!(run(&mut guest), Exit::Kicked);
                soon.join().unwrap();
                guest
            })
            .join()
            .unwrap();
        }
    }
}
