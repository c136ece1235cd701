//! A primary that waits for its backup.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use outlive_arbiter::Generation;
use outlive_log::LogFile;
use outlive_log::encoding::Bases;
use outlive_log::entry::EntryNumber;
use outlive_machine::host::fence::Fence;
use outlive_machine::host::live::OutputSink;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::driver;
use crate::clock;
use crate::driver::link::Link;
use crate::driver::task::Task;
use crate::driver::{Claims, DriverThread, Outcome, StatusBoard, StopMachine, WaitError, precedence};
use crate::message::{FromBackup, FromPrimary, PrimaryHello, Timing};
use crate::protocol::Primary;
use crate::transport::{Listener, PrimaryConnection, Security};
use crate::vcpu::{Outbox, Pace, PairLog, queue};

/// A backup gets so much time to build its machine: it may have to read disks and images to the end.
const BUILD_TIME: Duration = Duration::from_secs(600);

/// A primary that listens.
#[derive(Debug)]
pub struct Waiting {
    runtime: Runtime,
    listener: Listener,
    cancel: Arc<Notify>,
}

/// What a primary's driver works with.
pub struct PrimarySide<S> {
    /// What outputs leave through.
    pub outputs: S,
    /// What its disks obey.
    pub fence: Fence,
    /// Stops the machine.
    pub stop: StopMachine,
    /// How it claims the flag.
    pub claims: Claims,
    /// Where it tells how it stands.
    pub board: StatusBoard,
}

/// A primary whose backup is ready.
#[derive(Debug)]
pub struct Paired {
    runtime: Runtime,
    listener: Listener,
    connection: PrimaryConnection,
    timing: Timing,
}

impl Waiting {
    /// Listens for the backup of the machine of that name.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn listen(address: &str, security: Security, name: &str) -> Result<Self, WaitError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(WaitError::Runtime)?;
        let listener = runtime.block_on(Listener::bind(address, security, name))?;
        Ok(Self { runtime, listener, cancel: Arc::default() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// What ends the wait, from any thread.
    pub fn cancel(&self) -> impl Fn() + Send + Sync + 'static {
        let cancel = Arc::clone(&self.cancel);
        move || cancel.notify_one()
    }

    /// Waits for a backup that is ready; `None` if the wait was cancelled. One that cannot follow is told of, and the
    /// next one waited for.
    pub fn wait(mut self, hello: &PrimaryHello) -> Option<Paired> {
        let cancel = Arc::clone(&self.cancel);
        let listener = &mut self.listener;
        let connection = self.runtime.block_on(async {
            tokio::select! {
                connection = ready_backup(listener, hello) => Some(connection),
                () = cancel.notified() => None,
            }
        })?;
        let Self { runtime, listener, .. } = self;
        Some(Paired { runtime, listener, connection, timing: hello.timing })
    }
}

/// Accepts backups until one is ready.
async fn ready_backup(listener: &mut Listener, hello: &PrimaryHello) -> PrimaryConnection {
    loop {
        let mut connection = listener.accept().await;
        let peer = connection.peer;
        tracing::info!(target: crate::TARGET, event = "connected", %peer, "a backup has connected");
        match introduce(&mut connection, hello).await {
            Ok(()) => return connection,
            Err(reason) => {
                tracing::warn!(target: crate::TARGET, event = "refused", %peer, reason, "the backup cannot follow");
            }
        }
    }
}

/// Tells a backup what is to be replicated, and waits until its machine is built.
async fn introduce(connection: &mut PrimaryConnection, hello: &PrimaryHello) -> Result<(), String> {
    let message = FromPrimary::Hello(Box::new(hello.clone()));
    connection.sender.queue(&message).map_err(|error| error.to_string())?;
    connection.sender.flush().await.map_err(|error| error.to_string())?;
    let answer = timeout(BUILD_TIME, connection.receiver.receive()).await;
    match answer {
        Ok(Ok(FromBackup::Ready)) => Ok(()),
        Ok(Ok(FromBackup::Refused { reason })) => Err(reason),
        Ok(Ok(other)) => Err(format!("it says {other:?}, which does not belong here")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("its machine is not built after {BUILD_TIME:?}")),
    }
}

impl Paired {
    /// Starts the driver, on a thread of its own. Its clock runs from now on: start the machine at once.
    ///
    /// # Errors
    /// When the host refuses a thread.
    pub fn start<S: OutputSink + Send + 'static>(
        self,
        side: PrimarySide<S>,
        file: Option<LogFile>,
    ) -> std::io::Result<(Outbox<S>, PairLog<S>, DriverThread)> {
        let Self { runtime, listener, connection, timing } = self;
        let task = Task::new(&runtime);
        let (to_driver, vcpu) = queue(task.carrier());
        let pace = Pace::default();
        let outbox = Outbox::new(to_driver.clone());
        let log = PairLog::new(to_driver, pace.clone(), EntryNumber(0), Bases::default(), file);
        protected(side.claims.generation(), &connection);
        let drive = move || {
            precedence::take();
            let core = Primary::new(timing, clock::now());
            let driver = driver(core, side, Link::new(connection), vcpu, pace);
            let outcome = task.run(&runtime, driver.drive());
            // Strangers are turned away to the end.
            drop(listener);
            outcome.unwrap_or(Outcome::MachineGone)
        };
        let thread = std::thread::Builder::new().name("driver".to_owned()).spawn(drive)?;
        Ok((outbox, log, DriverThread::new(thread)))
    }
}

fn protected(generation: Generation, connection: &PrimaryConnection) {
    tracing::info!(
        target: crate::TARGET,
        event = "protected",
        generation = generation.0,
        peer = %connection.peer,
        "the guest is protected"
    );
}
