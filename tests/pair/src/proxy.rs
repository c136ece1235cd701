//! A relay for the logging channel, which can hold back, delay and drop what it carries.
//!
//! The backup connects to the relay, the relay to the primary. A connection that one side loses is lost for the other
//! one too. While a direction is held nothing of it is forwarded and nothing is lost; neither side can tell that from a
//! peer that says nothing.
//!
//! The relay stands on both hosts: it listens on the backup's, and connects on the primary's. So each side can be told
//! that the other one is on its own host, and does without keys; then the relay can [read](Proxy::start_reading) and
//! [falsify](Proxy::falsify_frame) what it carries.

mod reading;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use outlive_log::EntryNumber;

use self::reading::{Reading, Seen};
use crate::topology::Namespace;

/// How often the relay looks for a new connection, or for its end.
const GLANCE: Duration = Duration::from_millis(5);
/// Pieces that wait for their delay in one direction.
const IN_FLIGHT: usize = 4096;

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From who listens to who connected: log entries.
    ToBackup,
    /// From who connected to who listens: acknowledgements.
    ToPrimary,
}

/// A running relay. Dropping it drops its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default, Debug)]
struct Shared {
    ended: AtomicBool,
    to_backup: Gate,
    to_primary: Gate,
    connections: Mutex<Vec<TcpStream>>,
    /// What was seen of what it carries, if it is to be read.
    seen: Option<Arc<Seen>>,
}

impl Shared {
    fn gate(&self, direction: Direction) -> &Gate {
        match direction {
            Direction::ToBackup => &self.to_backup,
            Direction::ToPrimary => &self.to_primary,
        }
    }

    fn connections(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one direction must wait for.
#[derive(Default, Debug)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default, Debug)]
struct GateState {
    held: bool,
    delay: Duration,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut GateState)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits until what came in at `arrived` may go on.
    fn pass(&self, arrived: Instant) {
        let mut state = self.state();
        loop {
            let rest = (arrived + state.delay).saturating_duration_since(Instant::now());
            if !state.held && rest.is_zero() {
                return;
            }
            let limit = if state.held { Duration::from_secs(3600) } else { rest };
            state = match self.changed.wait_timeout(state, limit) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

impl Proxy {
    /// Starts a relay. It listens at an address in one namespace and carries each connection to another address, of
    /// another namespace.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(from: (&Namespace, SocketAddr), to: (&Namespace, SocketAddr)) -> anyhow::Result<Self> {
        Self::carrying(from, to, None)
    }

    /// The same for the logging channel of a pair without keys, which is read.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start_reading(
        from: (&Namespace, SocketAddr),
        to: (&Namespace, SocketAddr),
    ) -> anyhow::Result<Self> {
        Self::carrying(from, to, Some(Arc::default()))
    }

    fn carrying(
        (namespace, listen): (&Namespace, SocketAddr),
        (primary, to): (&Namespace, SocketAddr),
        seen: Option<Arc<Seen>>,
    ) -> anyhow::Result<Self> {
        let listener = namespace.within(|| TcpListener::bind(listen))?;
        let listener = listener.with_context(|| format!("cannot listen at {listen}"))?;
        listener.set_nonblocking(true).context("cannot listen without waiting")?;
        let address = listener.local_addr().context("the relay has no address")?;
        let shared = Arc::new(Shared { seen, ..Shared::default() });
        let relay = Arc::clone(&shared);
        primary.start(move || {
            while !relay.ended.load(Ordering::Acquire) {
                match listener.accept() {
                    // A connection that cannot be carried on is dropped, which tells its maker.
                    Ok((backup, _)) => drop(carry(&relay, backup, to)),
                    Err(_) => thread::sleep(GLANCE),
                }
            }
            Ok(())
        });
        Ok(Self { address, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards nothing more in this direction, until it is [released](Self::release).
    pub fn hold(&self, direction: Direction) {
        self.shared.gate(direction).change(|state| state.held = true);
    }

    /// Forwards everything that was held, and all that comes.
    pub fn release(&self, direction: Direction) {
        self.shared.gate(direction).change(|state| state.held = false);
    }

    /// Forwards everything in this direction so much later than it came.
    pub fn delay(&self, direction: Direction, delay: Duration) {
        self.shared.gate(direction).change(|state| state.delay = delay);
    }

    /// Changes a byte of the next frame with contents that the backup's guest is to get. The checksums of the channel
    /// are right, so the backup takes it for what the primary's guest got. Does nothing if the channel is not read.
    pub fn falsify_frame(&self) {
        if let Some(seen) = &self.shared.seen {
            seen.falsify_frame();
        }
    }

    /// The entry that was falsified.
    pub fn falsified(&self) -> Option<EntryNumber> {
        self.shared.seen.as_ref()?.falsified()
    }

    /// Whether the entry that ends the guest is on its way to the backup, and with it all that comes before. Never if
    /// the channel is not read.
    pub fn has_carried_the_end(&self) -> bool {
        self.shared.seen.as_ref().is_some_and(|seen| seen.has_end())
    }

    /// Drops all connections. New ones are carried.
    pub fn drop_connections(&self) {
        for connection in self.shared.connections().drain(..) {
            // It may be gone already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        for direction in [Direction::ToBackup, Direction::ToPrimary] {
            self.shared.gate(direction).change(|state| *state = GateState::default());
        }
        self.drop_connections();
    }
}

/// Carries a connection on to `to`.
fn carry(shared: &Arc<Shared>, backup: TcpStream, to: SocketAddr) -> std::io::Result<()> {
    backup.set_nonblocking(false)?;
    let primary = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    for stream in [&backup, &primary] {
        stream.set_nodelay(true)?;
        shared.connections().push(stream.try_clone()?);
    }
    let reading = shared.seen.as_ref().map(|seen| Reading::new(Arc::clone(seen)));
    pump(shared, Direction::ToPrimary, None, backup.try_clone()?, primary.try_clone()?);
    pump(shared, Direction::ToBackup, reading, primary, backup);
    Ok(())
}

/// Forwards one direction, on two threads: one notes when bytes came, the other sends them when they may go.
fn pump(
    shared: &Arc<Shared>,
    direction: Direction,
    mut reading: Option<Reading>,
    mut from: TcpStream,
    to: TcpStream,
) {
    let (sender, receiver) = sync_channel(IN_FLIGHT);
    let shared = Arc::clone(shared);
    thread::spawn(move || forward(&shared, direction, &receiver, to));
    thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            let bytes = &bytes[..length];
            // What is no message drops the connection.
            let Ok(bytes) = reading.as_mut().map_or(Ok(bytes.to_vec()), |reading| reading.take(bytes)) else {
                break;
            };
            if sender.send((Instant::now(), bytes)).is_err() {
                break;
            }
        }
    });
}

fn forward(shared: &Shared, direction: Direction, from: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (arrived, bytes) in from {
        shared.gate(direction).pass(arrived);
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    // What is held back holds back the news of the end too.
    shared.gate(direction).pass(Instant::now());
    // One that is lost on one side is lost on both.
    let _ = to.shutdown(Shutdown::Both);
}
