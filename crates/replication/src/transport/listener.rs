//! The primary's side.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::admission::{Refusal, Stranger, admit};
use super::connection::PrimaryConnection;
use super::error::ListenError;
use super::refusals::Refusals;
use super::{Security, socket};

/// So many of those that connect may be unknown yet, at most.
pub const MOST_HANDSHAKES: usize = 8;

/// Whoever connects has so much time to prove that it is the backup.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// While no backup is wanted, so much time passes before the next stranger is looked at: a flood of them takes no
/// processor time from the pair.
pub const PACE: Duration = Duration::from_millis(50);

/// When the host has no more descriptors, so much time passes before the next attempt.
const PAUSE: Duration = Duration::from_millis(200);

/// What a second backup is told.
const OCCUPIED: &str = "there is a backup already";

/// Listens for the backup, and turns away everybody else, until it is dropped.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    door: Arc<Door>,
    /// The backup comes from here, if one is waited for.
    expected: Option<oneshot::Receiver<PrimaryConnection>>,
    task: JoinHandle<()>,
}

/// What all who connect come to.
#[derive(Debug)]
struct Door {
    security: Security,
    /// Of the virtual machine.
    name: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Where the backup goes, if one is wanted.
    wanted: Option<oneshot::Sender<PrimaryConnection>>,
    /// What those with the right key are told otherwise.
    reason: String,
    refusals: Refusals,
}

impl Listener {
    /// Listens at `host:port` for the backup of the machine of that name. Needs a tokio runtime.
    ///
    /// The first backup to come is wanted, whether or not [`accept`](Self::accept) is called yet.
    ///
    /// # Errors
    /// When the address cannot be had, or can be reached from other hosts although there are no keys.
    pub async fn bind(address: &str, security: Security, name: &str) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Bind { address: address.to_owned(), source };
        let addresses = socket::resolve(address).await;
        let addresses =
            addresses.map_err(|source| ListenError::Resolve { address: address.to_owned(), source })?;
        if matches!(security, Security::PlainOnLoopback)
            && let Some(&address) = addresses.iter().find(|address| !socket::is_loopback(address))
        {
            return Err(ListenError::NotLoopback { address });
        }
        let listener = TcpListener::bind(&*addresses).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let state =
            State { wanted: None, reason: OCCUPIED.to_owned(), refusals: Refusals::new(Instant::now()) };
        let door = Arc::new(Door { security, name: name.to_owned(), state: Mutex::new(state) });
        let expected = Some(door.want());
        let task = tokio::spawn(listen(listener, door.clone()));
        Ok(Self { address, door, expected, task })
    }

    /// Where it listens, with the port that was found if port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the backup: one that has the key, our version and our machine's name. From then on all others are turned
    /// away, until this is called again. The primary's Hello is for the caller to send.
    ///
    /// May be cancelled at any point. A backup that comes after that is there when this is called again.
    pub async fn accept(&mut self) -> PrimaryConnection {
        loop {
            let expected = self.expected.get_or_insert_with(|| self.door.want());
            let accepted = expected.await;
            self.expected = None;
            // The other end is dropped without a word only when the runtime ends.
            if let Ok(connection) = accepted {
                return connection;
            }
        }
    }

    /// What those with the right key are told from now on when none is wanted.
    pub fn refuse_because(&self, reason: impl Into<String>) {
        self.door.state().reason = reason.into();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Door {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is locked, and it would be whole if something did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a backup is wanted, once.
    fn want(&self) -> oneshot::Receiver<PrimaryConnection> {
        let (to, from) = oneshot::channel();
        self.state().wanted = Some(to);
        from
    }

    fn is_backup_wanted(&self) -> bool {
        self.state().wanted.is_some()
    }

    /// Gives the backup to who waits for it, if somebody does.
    fn hand_over(&self, connection: PrimaryConnection) -> Result<(), Stranger> {
        let mut state = self.state();
        let unwanted = match state.wanted.take() {
            Some(wanted) => wanted.send(connection).err(),
            None => Some(connection),
        };
        let Some(connection) = unwanted else { return Ok(()) };
        Err(Stranger::with_key(Refusal::Unwanted(state.reason.clone()), connection))
    }

    /// Finds out who connects.
    async fn meet(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let admitted = timeout(HANDSHAKE_TIME, admit(stream, peer, &self.security, &self.name)).await;
        let admitted = admitted.unwrap_or_else(|_| Err(Refusal::Slow.into()));
        if let Err(stranger) = admitted.and_then(|connection| self.hand_over(connection)) {
            self.tell(peer, &stranger.refusal);
            stranger.dismiss().await;
        }
    }

    /// Tells the log of one who is turned away.
    fn tell(&self, peer: SocketAddr, refusal: &Refusal) {
        self.state().refusals.tell(Instant::now(), peer, refusal);
    }
}

/// Accepts connections for ever. When it is dropped, so are those that are not known yet.
async fn listen(listener: TcpListener, door: Arc<Door>) {
    let mut meetings = JoinSet::new();
    let mut oldest_first: VecDeque<(SocketAddr, AbortHandle)> = VecDeque::new();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_one_connection(&error) {
                    tracing::warn!(target: "outlive::pair", event = "refused", reason = %error);
                    sleep(PAUSE).await;
                }
                continue;
            }
        };
        while meetings.try_join_next().is_some() {}
        oldest_first.retain(|(_, meeting)| !meeting.is_finished());
        if oldest_first.len() >= MOST_HANDSHAKES
            && let Some((displaced, meeting)) = oldest_first.pop_front()
        {
            meeting.abort();
            door.tell(displaced, &Refusal::Displaced);
        }
        oldest_first.push_back((peer, meetings.spawn(door.clone().meet(stream, peer))));
        if !door.is_backup_wanted() {
            sleep(PACE).await;
        }
    }
}

/// Whether a connection was lost before it could be accepted: the next one may be good (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused)
}
