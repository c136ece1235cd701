//! A relay for the logging channel, which can hold back, delay and drop what it carries.
//!
//! The backup connects to the relay, the relay to the primary. A connection that one side loses is lost for the other
//! one too. While a direction is held nothing of it is forwarded and nothing is lost; neither side can tell that from a
//! peer that says nothing.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

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
    /// Starts a relay in a namespace. It listens at an address there and carries each connection to `to`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(namespace: &Namespace, listen: SocketAddr, to: SocketAddr) -> anyhow::Result<Self> {
        let listener = namespace.within(|| TcpListener::bind(listen))?;
        let listener = listener.with_context(|| format!("cannot listen at {listen}"))?;
        listener.set_nonblocking(true).context("cannot listen without waiting")?;
        let address = listener.local_addr().context("the relay has no address")?;
        let shared = Arc::new(Shared::default());
        let relay = Arc::clone(&shared);
        namespace.start(move || {
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
fn carry(shared: &Arc<Shared>, backup: TcpStream, to: SocketAddr) -> io::Result<()> {
    backup.set_nonblocking(false)?;
    let primary = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    for stream in [&backup, &primary] {
        stream.set_nodelay(true)?;
        shared.connections().push(stream.try_clone()?);
    }
    pump(shared, Direction::ToPrimary, backup.try_clone()?, primary.try_clone()?);
    pump(shared, Direction::ToBackup, primary, backup);
    Ok(())
}

/// Forwards one direction, on two threads: one notes when bytes came, the other sends them when they may go.
fn pump(shared: &Arc<Shared>, direction: Direction, mut from: TcpStream, to: TcpStream) {
    let (sender, receiver) = sync_channel(IN_FLIGHT);
    let shared = Arc::clone(shared);
    thread::spawn(move || forward(&shared, direction, &receiver, to));
    thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            if sender.send((Instant::now(), bytes[..length].to_vec())).is_err() {
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
