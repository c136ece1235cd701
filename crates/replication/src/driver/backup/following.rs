//! A backup that finds its primary, and follows it.

use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use outlive_log::LogFile;
use outlive_log::header::Counting;
use outlive_machine::host::announcement::AddressSnoop;
use outlive_machine::host::live::OutputSink;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::Driver;
use crate::LogPosition;
use crate::clock;
use crate::driver::link::Link;
use crate::driver::status::{Rate, Reports};
use crate::driver::task::Task;
use crate::driver::{Claims, DriverThread, Outcome, StatusBoard, StopMachine, WaitError, precedence};
use crate::gate::OutputGate;
use crate::message::{FromBackup, PrimaryHello, Timing};
use crate::protocol::Backup;
use crate::transport::{BackupConnection, ConnectError, Security, connect, introduce};
use crate::vcpu::{Feed, FollowerOutputs, ToDriver, queue};

/// A primary that is not there is looked for as often.
const AGAIN: Duration = Duration::from_millis(500);

/// How long a refusal may take to be told.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// A backup that looks for its primary.
#[derive(Debug)]
pub struct ConnectionWanted {
    runtime: Runtime,
    cancel: Arc<Notify>,
}

/// A backup that has found its primary, and has no machine yet.
#[derive(Debug)]
pub struct Following {
    runtime: Runtime,
    connection: BackupConnection,
    hello: PrimaryHello,
}

/// What a backup's driver works with.
pub struct BackupSide {
    /// Stops the machine.
    pub stop: StopMachine,
    /// Called when the flag is won, some time before the machine is live: frames for the guest may be drawn to this host.
    pub won: Box<dyn FnMut() + Send>,
    /// How it claims the flag.
    pub claims: Claims,
    /// Where it tells how it stands.
    pub board: StatusBoard,
}

/// What a backup's machine works with.
#[derive(Debug)]
pub struct BackupMachine<S> {
    /// Where its entries come from.
    pub feed: Feed<S>,
    /// Where its outputs go while it follows.
    pub outputs: FollowerOutputs<S>,
    /// To the driver.
    pub driver: ToDriver<S>,
    /// Whether it is to go live at the log's end.
    pub decision: Decision,
}

/// Whether a machine is to go live where its log ends.
#[derive(Clone, Debug, Default)]
pub struct Decision(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    verdict: Mutex<Option<bool>>,
    changed: Condvar,
}

impl Decision {
    /// It is, or it is not; what was said first counts.
    pub(super) fn decide(&self, is_to_go_live: bool) {
        // It is one word: whole even if a thread panicked while it held the lock.
        let mut verdict = self.0.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        verdict.get_or_insert(is_to_go_live);
        self.0.changed.notify_all();
    }

    /// Waits until that is known. Behind the log's end it is, or will be: if the guest has ended there, when the
    /// primary has let everything out or is dead.
    pub fn wait(&self) -> bool {
        let mut verdict = self.0.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(is_to_go_live) = *verdict {
                return is_to_go_live;
            }
            verdict = self.0.changed.wait(verdict).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl ConnectionWanted {
    /// Begins.
    ///
    /// # Errors
    /// When the host refuses what the network needs.
    pub fn new() -> Result<Self, WaitError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(WaitError::Runtime)?;
        Ok(Self { runtime, cancel: Arc::default() })
    }

    /// What ends the search, from any thread.
    pub fn cancel(&self) -> impl Fn() + Send + Sync + 'static {
        let cancel = Arc::clone(&self.cancel);
        move || cancel.notify_one()
    }

    /// Looks for the primary of the machine of that name until it is there, or until that is cancelled: `None`.
    ///
    /// # Errors
    /// When what is there will never be the primary: it has another key, or another machine.
    pub fn find(
        self,
        address: &str,
        security: &Security,
        name: &str,
    ) -> Result<Option<Following>, ConnectError> {
        let Self { runtime, cancel } = self;
        let found = runtime.block_on(async {
            tokio::select! {
                found = find(address, security, name) => found.map(Some),
                () = cancel.notified() => Ok(None),
            }
        })?;
        Ok(found.map(|(connection, hello)| Following { runtime, connection, hello }))
    }
}

async fn find(
    address: &str,
    security: &Security,
    name: &str,
) -> Result<(BackupConnection, PrimaryHello), ConnectError> {
    let mut has_told = false;
    loop {
        let found = match connect(address, security).await {
            Ok(connection) => introduce(connection, name).await,
            Err(error) => Err(error),
        };
        match found {
            Ok((connection, hello)) => {
                tracing::info!(
                    target: crate::TARGET,
                    event = "connected",
                    peer = %connection.peer,
                    generation = hello.generation.0,
                    "connected to the primary"
                );
                return Ok((connection, hello));
            }
            Err(error) if may_pass(&error) => {
                if !has_told {
                    let error: &dyn std::error::Error = &error;
                    tracing::info!(target: crate::TARGET, event = "looking", error, "no primary yet; trying on");
                    has_told = true;
                }
                sleep(AGAIN).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether it is worth while to try again: the primary may come, or come back.
fn may_pass(error: &ConnectError) -> bool {
    use ConnectError as Error;
    matches!(
        error,
        Error::Resolve { .. }
            | Error::Unreachable { .. }
            | Error::Handshake(_)
            | Error::Answer(_)
            | Error::Silent
    )
}

impl Following {
    /// What is to be replicated.
    pub fn hello(&self) -> &PrimaryHello {
        &self.hello
    }

    /// Tells the primary why this backup cannot follow.
    pub fn refuse(self, reason: &str) {
        let Self { runtime, mut connection, .. } = self;
        if connection.sender.queue(&FromBackup::Refused { reason: reason.to_owned() }).is_ok() {
            // A primary that does not listen learns it by the connection's end.
            let _ = runtime.block_on(timeout(REFUSAL_TIME, connection.close()));
        }
    }

    /// Says that the machine is built, and starts the driver on a thread of its own. The addresses that the guest uses
    /// are noted in `addresses`.
    ///
    /// # Errors
    /// When the host refuses a thread.
    pub fn start<S: OutputSink + Send + 'static>(
        self,
        side: BackupSide,
        addresses: Arc<Mutex<AddressSnoop>>,
        counting: Counting,
        file: Option<LogFile>,
    ) -> std::io::Result<(BackupMachine<S>, DriverThread)> {
        let Self { runtime, connection, hello } = self;
        let task = Task::new(&runtime);
        let (driver, vcpu) = queue(task.carrier());
        let (feed, fed) = channel();
        let machine = BackupMachine {
            feed: Feed::new(fed, driver.clone(), counting, file),
            outputs: FollowerOutputs::new(driver.clone(), addresses),
            driver,
            decision: Decision::default(),
        };
        let mut link = Link::new(connection);
        link.queue(&FromBackup::Ready);
        let decision = machine.decision.clone();
        let make = move |timing: Timing| Driver {
            core: Backup::new(timing, clock::now()),
            link,
            claims: side.claims,
            vcpu,
            events: Vec::new(),
            acknowledgement: None,
            feed: Some(feed),
            decision,
            batch: None,
            unreleased: OutputGate::default(),
            released: LogPosition::default(),
            has_gone_live: false,
            is_finish_due: false,
            exits: None,
            divergence: String::new(),
            stop: side.stop,
            won: side.won,
            board: side.board,
            reports: Reports::default(),
            rate: Rate::default(),
            suspected: None,
            outcome: None,
        };
        tracing::info!(
            target: crate::TARGET,
            event = "following",
            generation = hello.generation.0,
            "the machine is built; following the primary"
        );
        let drive = move || {
            precedence::take();
            task.run(&runtime, make(hello.timing).drive()).unwrap_or(Outcome::MachineGone)
        };
        let thread = std::thread::Builder::new().name("driver".to_owned()).spawn(drive)?;
        Ok((machine, DriverThread::new(thread)))
    }
}
