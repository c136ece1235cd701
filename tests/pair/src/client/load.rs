//! Several clients at work.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use fastrand::Rng;

use super::{Connection, Recorder, Repeats, Service};
use crate::history::{Answer, Call, History};
use crate::topology::{GUEST, Namespace};

/// How many keys each client has for itself.
const OWN_KEYS: u64 = 100;
/// How many keys everybody sets.
const SHARED_KEYS: u64 = 8;
/// How many keys everybody counts with.
const COUNTERS: u64 = 4;

/// What load there is to be.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Whom to ask.
    pub service: Service,
    /// How many clients, each with a connection.
    pub clients: usize,
    /// A client thinks up to so long between two requests.
    pub think: Duration,
    /// Where random choices begin.
    pub seed: u64,
}

/// Clients that are at work. Dropping this ends them.
#[derive(Debug)]
pub struct Load {
    plan: Plan,
    orders: Arc<Orders>,
    workers: Vec<Worker>,
}

/// What clients are told from outside.
#[derive(Default, Debug)]
struct Orders {
    stop: AtomicBool,
    rest: AtomicBool,
}

#[derive(Debug)]
struct Worker {
    answered: Arc<AtomicU64>,
    failure: Arc<OnceLock<String>>,
    thread: JoinHandle<anyhow::Result<ClientReport>>,
}

/// What became of one client.
#[derive(Debug)]
pub struct ClientReport {
    /// What it asked and was told.
    pub history: History,
    /// Why it had to give up; `None` if it went on to the end.
    pub failure: Option<String>,
    /// What the server called its connection in the beginning and in the end.
    pub identities: (Option<u64>, Option<u64>),
}

/// What became of all of them.
#[derive(Debug)]
pub struct Outcome {
    /// The operations of all clients, and at last a reading of every key.
    pub history: History,
    /// For each client: why its connection did not survive. Empty if all did.
    pub broken: Vec<String>,
    /// How many connections there were.
    pub clients: usize,
}

impl Worker {
    fn start(namespace: &Namespace, plan: Plan, client: usize, orders: &Arc<Orders>) -> Self {
        let (answered, failure) = (Arc::<AtomicU64>::default(), Arc::<OnceLock<String>>::default());
        let (seen, told, orders) = (Arc::clone(&answered), Arc::clone(&failure), Arc::clone(orders));
        let thread = namespace.start(move || {
            let report = work(plan, client, &orders, seen);
            let why = match &report {
                Ok(report) => report.failure.clone(),
                Err(error) => Some(format!("{error:#}")),
            };
            // It is set here only.
            let _ = told.set(why.unwrap_or_default());
            report
        });
        Self { answered, failure, thread }
    }
}

impl Load {
    /// Starts the clients in a namespace. All of them are connected when this returns.
    ///
    /// # Errors
    /// When one cannot connect.
    pub fn start(namespace: &Namespace, plan: Plan) -> anyhow::Result<Self> {
        let orders = Arc::<Orders>::default();
        let workers = (0..plan.clients).map(|client| Worker::start(namespace, plan, client, &orders));
        let load = Self { plan, workers: workers.collect(), orders };
        load.wait_for_answers(1, Duration::from_secs(120)).context("the service does not answer")?;
        Ok(load)
    }

    /// How many answers each client has had.
    fn answers(&self) -> Vec<u64> {
        self.workers.iter().map(|worker| worker.answered.load(Ordering::Relaxed)).collect()
    }

    /// How many answers there were.
    pub fn answered(&self) -> u64 {
        self.answers().iter().sum()
    }

    /// Waits until each client has had so many more answers.
    ///
    /// # Errors
    /// When one has not in time.
    pub fn wait_for_answers(&self, more: u64, patience: Duration) -> anyhow::Result<()> {
        let (before, began) = (self.answers(), Instant::now());
        loop {
            let now = self.answers();
            let Some(slow) = before.iter().zip(&now).position(|(before, now)| now - before < more) else {
                return Ok(());
            };
            ensure!(began.elapsed() < patience, "client {slow} had no {more} answers within {patience:?}");
            if let Some(why) = self.workers[slow].failure.get() {
                bail!("client {slow} has given up: {why}");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Lets the clients rest behind what they are at, or go on.
    pub fn rest(&self, rest: bool) {
        self.orders.rest.store(rest, Ordering::Relaxed);
    }

    /// Ends the load, each client with the request that it is at, and reads all keys.
    ///
    /// # Errors
    /// When nobody answers any more, or a client could not even begin.
    pub fn finish(mut self, namespace: &Namespace) -> anyhow::Result<Outcome> {
        self.orders.stop.store(true, Ordering::Relaxed);
        let (plan, clients) = (self.plan, self.plan.clients);
        let mut outcome = Outcome { history: History::default(), broken: Vec::new(), clients };
        for (client, worker) in self.workers.drain(..).enumerate() {
            let report = worker.thread.join().map_err(|_| anyhow!("client {client} has panicked"))??;
            outcome.broken.extend(broken(client, &report));
            outcome.history.extend(report.history);
        }
        let keys: Vec<String> = outcome.history.by_key().into_keys().map(str::to_owned).collect();
        let read = namespace.within(move || read_all(plan, clients, &keys))?;
        outcome.history.extend(read.context("cannot read the keys in the end")?);
        Ok(outcome)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.orders.stop.store(true, Ordering::Relaxed);
    }
}

/// Why a client's connection did not survive.
fn broken(client: usize, report: &ClientReport) -> Option<String> {
    let (first, last) = report.identities;
    match &report.failure {
        Some(failure) => Some(format!("client {client}: {failure}")),
        None if first != last => Some(format!("client {client}: connection {first:?} became {last:?}")),
        None => None,
    }
}

/// What one client does, until it is told to stop or its connection breaks.
fn work(
    plan: Plan,
    client: usize,
    orders: &Orders,
    answered: Arc<AtomicU64>,
) -> anyhow::Result<ClientReport> {
    let mut connection = plan.service.connect(GUEST)?;
    let mut recorder = Recorder::new(client, answered);
    let first = connection.identity()?;
    let mut rng = Rng::with_seed(plan.seed ^ (client as u64) << 32);
    let mut number = 0;
    let mut talk = || -> anyhow::Result<Option<u64>> {
        while !orders.stop.load(Ordering::Relaxed) {
            if orders.rest.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            number += 1;
            let topic = rng.u8(0..if plan.service.counts() { 3 } else { 2 });
            ask_something(
                &mut *connection,
                &mut recorder,
                client,
                number,
                topic,
                plan.service.repeats(),
                &mut rng,
            )?;
            thread::sleep(Duration::from_micros(rng.u64(0..=plan.think.as_micros() as u64)));
        }
        connection.identity()
    };
    let (failure, last) = match talk() {
        Ok(last) => (None, last),
        Err(error) => (Some(format!("{error:#}")), None),
    };
    Ok(ClientReport { history: recorder.finish(), failure, identities: (first, last) })
}

/// A change and a reading, of an own key, a shared one, or a counter.
fn ask_something(
    connection: &mut dyn Connection,
    recorder: &mut Recorder,
    client: usize,
    number: u64,
    topic: u8,
    repeats: Repeats,
    rng: &mut Rng,
) -> anyhow::Result<()> {
    let (key, change) = match topic {
        0 => (format!("own-{client}-{}", number % OWN_KEYS), Call::Set(number)),
        1 => (format!("shared-{}", rng.u64(0..SHARED_KEYS)), Call::Set((client as u64 + 1) << 40 | number)),
        _ => (format!("counter-{}", rng.u64(0..COUNTERS)), Call::Increment),
    };
    connection.ask(&key, change, recorder)?;
    let answer = connection.ask(&key, Call::Get, recorder)?;
    // The checker would find this too; who reads the run's output learns it at once. Where requests are repeated, an
    // older one may come late, and that is for the checker to judge.
    let must_be_new = topic == 0 && repeats == Repeats::Never;
    ensure!(
        !must_be_new || answer == Answer::Value(Some(number)),
        "{key} was set to {number} and is {answer:?}"
    );
    Ok(())
}

/// Reads all keys on a new connection.
fn read_all(plan: Plan, client: usize, keys: &[String]) -> anyhow::Result<History> {
    let mut connection = plan.service.connect(GUEST)?;
    let mut recorder = Recorder::new(client, Arc::default());
    for key in keys {
        connection.ask(key, Call::Get, &mut recorder)?;
    }
    Ok(recorder.finish())
}
