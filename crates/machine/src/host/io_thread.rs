//! The thread that reads TAPs and the console.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::console::ConsoleInput;
use super::live::{EventSender, MachineGone};
use super::tap::Tap;
use crate::world::{Input, NetworkIndex};

/// Ctrl-A: the escape key of a console that a person types at.
const ESCAPE: u8 = 1;
/// Most bytes that are read from the console at once.
const CONSOLE_READ: usize = 256;
/// Most frames that are read from one network before the others and the console have their turn.
const FRAMES_PER_TURN: usize = 64;

/// The running thread. Dropping it stops it.
#[derive(Debug)]
pub(super) struct IoThread {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl IoThread {
    /// Starts to read; what comes in goes to `events`.
    pub(super) fn start(
        taps: Vec<Tap>,
        console: Option<ConsoleInput>,
        events: EventSender,
    ) -> io::Result<Self> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let taps = (0..).map(NetworkIndex).zip(taps).collect();
        let mut reader = Reader { taps, console, escaped: false, events };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("io".to_owned()).spawn(move || {
            if let Err(error) = reader.serve(&stopped) {
                tracing::error!(%error, "cannot read the guest's networks and console any more");
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        // An eventfd takes 2^64 - 2 of these before it refuses one.
        let _ = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Reader {
    taps: Vec<(NetworkIndex, Tap)>,
    console: Option<ConsoleInput>,
    escaped: bool,
    events: EventSender,
}

impl Reader {
    fn serve(&mut self, stop: &OwnedFd) -> io::Result<()> {
        loop {
            let ready = self.wait(stop)?;
            if ready[0] {
                return Ok(());
            }
            // Backwards, for a TAP that is gone leaves the list.
            for (index, _) in ready[1..].iter().enumerate().rev().filter(|(_, ready)| **ready) {
                let outcome =
                    if index < self.taps.len() { self.read_tap(index) } else { self.read_console() };
                if outcome.is_err() {
                    return Ok(());
                }
            }
        }
    }

    /// Waits until something can be read: the stop event, each TAP, the console.
    fn wait(&self, stop: &OwnedFd) -> io::Result<Vec<bool>> {
        let mut watched: Vec<BorrowedFd<'_>> = vec![stop.as_fd()];
        watched.extend(self.taps.iter().map(|(_, tap)| tap.as_fd()));
        watched.extend(self.console.iter().map(|console| console.descriptor.as_fd()));
        let mut polled: Vec<_> =
            watched.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        loop {
            match poll(&mut polled, None) {
                Ok(_) => return Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Passes frames on. A TAP that is gone is not read any more; the rest of the world goes on.
    fn read_tap(&mut self, index: usize) -> Result<(), MachineGone> {
        let (network, tap) = &mut self.taps[index];
        for _ in 0..FRAMES_PER_TURN {
            match tap.receive() {
                Ok(Some(bytes)) => self.events.send(Input::Frame { network: *network, bytes })?,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(network = network.0, %error, "cannot read the guest's network any more");
                    self.taps.remove(index);
                    break;
                }
            }
        }
        Ok(())
    }

    fn read_console(&mut self) -> Result<(), MachineGone> {
        let Some(console) = &self.console else { return Ok(()) };
        let mut bytes = [0; CONSOLE_READ];
        match rustix::io::read(&console.descriptor, &mut bytes[..]) {
            Ok(0) => {
                tracing::debug!("console input has ended");
                self.console = None;
                Ok(())
            }
            Ok(length) => self.typed(&bytes[..length]),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "console input has failed");
                self.console = None;
                Ok(())
            }
        }
    }

    /// Passes typed bytes on, but for the escape key and the one behind it.
    fn typed(&mut self, bytes: &[u8]) -> Result<(), MachineGone> {
        if !self.console.as_ref().is_some_and(|console| console.escapes) {
            return self.events.send(Input::Console(bytes.to_vec()));
        }
        let mut passed = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            match (std::mem::take(&mut self.escaped), byte) {
                (false, ESCAPE) => self.escaped = true,
                (true, b'x' | b'X') => self.events.request_stop(),
                (true, ESCAPE) | (false, _) => passed.push(byte),
                (true, _) => passed.extend([ESCAPE, byte]),
            }
        }
        if passed.is_empty() { Ok(()) } else { self.events.send(Input::Console(passed)) }
    }
}
