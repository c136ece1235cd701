//! `--history`: what a side tells of itself, kept in a file.
//!
//! Lines of JSON with time stamps, as `--trace-format json` has them: all events of pairs, and ten times a second how
//! the side stands. `outlive log report` draws them. A thread of its own writes the file, so that no disk, however slow
//! or full, is ever waited for by the driver or by the guest. Each line is in the file when it has been written, so that
//! who kills this process loses none of them.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use outlive_replication::driver::{Status, StatusBoard};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::registry::LookupSpan;

use crate::failure::Failure;

/// The target of the events that tell how a side stands. Below that of all other events of pairs, and at level TRACE,
/// so that nobody sees them who has not asked.
pub(crate) const SAMPLE: &str = "outlive::pair::sample";

/// How often it is told how a side stands.
pub(crate) const EVERY: Duration = Duration::from_millis(100);

/// How many lines may wait for the disk. Those that come then are left out.
const MOST_WAITING: usize = 4096;

/// A history before there is a file. Events that come early wait here.
#[derive(Debug)]
pub(crate) struct History {
    sender: SyncSender<Message>,
    messages: Receiver<Message>,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    End,
}

impl History {
    /// One without a line.
    pub(crate) fn new() -> Self {
        let (sender, messages) = sync_channel(MOST_WAITING);
        Self { sender, messages }
    }

    /// What takes down the events of pairs, and no others.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let pairs = Targets::new().with_target(outlive_replication::TARGET, tracing::Level::TRACE);
        let layer = tracing_subscriber::fmt::layer().json().log_internal_errors(false);
        layer.with_writer(Lines(self.sender.clone())).with_filter(pairs)
    }

    /// Creates the file, and from now on tells what the board says. An existing file is overwritten only if that is asked
    /// for.
    ///
    /// # Errors
    /// When the file exists already, or the host refuses it.
    pub(super) fn keep(self, path: &Path, overwrite: bool, board: StatusBoard) -> Result<Keeper, Failure> {
        let mut options = OpenOptions::new();
        options.write(true);
        if overwrite {
            options.create(true).truncate(true)
        } else {
            options.create_new(true)
        };
        let cannot = || format!("cannot create the history {}", path.display());
        let file = options.open(path).with_context(cannot).map_err(Failure::runtime)?;
        let Self { sender, messages } = self;
        let write = move || write(&messages, file, &board);
        let thread = std::thread::Builder::new().name("history".to_owned()).spawn(write);
        let thread = thread.with_context(cannot).map_err(Failure::runtime)?;
        Ok(Keeper { sender, thread: Some(thread) })
    }
}

/// A history with its file. Dropping it waits until all lines are written.
#[derive(Debug)]
pub(super) struct Keeper {
    sender: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // A thread that has given up its file is not there to be told, and cannot be helped.
        let _ = self.sender.send(Message::End);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Puts lines where the thread finds them.
#[derive(Clone, Debug)]
struct Lines(SyncSender<Message>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Lines {
    /// Takes one event. Whether there was room for it is not the business of whoever tells it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.try_send(Message::Line(line.to_vec()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines until the end, or until the file takes no more.
fn write(messages: &Receiver<Message>, mut file: impl Write, board: &StatusBoard) {
    let mut due = Instant::now();
    loop {
        if due <= Instant::now() {
            sample(&board.read());
            due = Instant::now() + EVERY;
        }
        let written = match messages.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(Message::Line(line)) => file.write_all(&line),
            Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => Ok(()),
        };
        if let Err(error) = written {
            return lost(&error);
        }
    }
    sample(&board.read());
    for message in messages.try_iter() {
        if let Message::Line(line) = message
            && let Err(error) = file.write_all(&line)
        {
            return lost(&error);
        }
    }
}

fn lost(error: &io::Error) {
    let error: &dyn std::error::Error = error;
    tracing::error!(
        target: outlive_replication::TARGET,
        event = "history_lost",
        error,
        "the history of this side ends here; the pair goes on without it"
    );
}

/// Tells how a side stands.
fn sample(status: &Status) {
    tracing::trace!(
        target: SAMPLE,
        role = status.role,
        phase = status.phase,
        generation = status.generation,
        protected = status.protected,
        entries = status.entries,
        log_bytes = status.log_bytes,
        log_bytes_per_second = status.log_bytes_per_second,
        lag_entries = status.lag_entries,
        lag_bytes = status.lag_bytes,
        lag_milliseconds = status.lag_milliseconds,
        held_outputs = status.held_outputs,
        held_bytes = status.held_bytes,
        slowed = status.slowed,
        gate_microseconds_median = status.gate_microseconds_median,
        gate_microseconds_99th = status.gate_microseconds_99th,
    );
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Tells events as a side does, and returns the lines of the file.
    fn kept(tell: impl FnOnce(&StatusBoard)) -> Vec<serde_json::Value> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let (history, board) = (History::new(), StatusBoard::default());
        board.write(|status| status.role = "backup");
        let subscriber = tracing_subscriber::registry().with(history.layer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: outlive_replication::TARGET, event = "early", "before there is a file");
            let keeper = history.keep(&path, false, board.clone()).unwrap();
            tell(&board);
            drop(keeper);
        });
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn events_of_pairs_are_kept_in_their_order_and_no_others() {
        let lines = kept(|_| {
            tracing::info!(target: "outlive::other", event = "other", "not of a pair");
            tracing::debug!(target: outlive_replication::TARGET, event = "late", number = 5, "the last one");
        });
        let events: Vec<_> = lines.iter().filter_map(|line| line["fields"]["event"].as_str()).collect();
        assert_eq!(events, ["early", "late"]);
        assert_eq!(lines.last().unwrap()["fields"]["number"], 5);
        assert!(lines.iter().all(|line| line["timestamp"].is_string()));
    }

    #[test]
    fn how_a_side_stands_is_told_in_all_fields() {
        let (history, mut status) = (History::new(), Status::default());
        (status.role, status.phase, status.gate_microseconds_median) = ("primary", "protected", Some(12.5));
        let subscriber = tracing_subscriber::registry().with(history.layer());
        tracing::subscriber::with_default(subscriber, || sample(&status));
        let Ok(Message::Line(line)) = history.messages.try_recv() else { panic!("no sample") };
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line["target"], SAMPLE);
        let told = line["fields"].as_object().unwrap();
        let status = serde_json::to_value(&status).unwrap();
        for (name, value) in status.as_object().unwrap() {
            if !value.is_null() && name != "name" {
                assert_eq!(told[name], *value, "{name}");
            }
        }
    }

    #[test]
    fn a_full_disk_ends_the_history_and_nothing_else() {
        let (history, board) = (History::new(), StatusBoard::default());
        for _ in 0..2 * MOST_WAITING {
            Lines(history.sender.clone()).write_all(b"line\n").unwrap();
        }
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        write(&history.messages, full, &board);
        drop(history.messages);
        Lines(history.sender).write_all(b"line\n").unwrap();
    }

    #[test]
    fn a_file_that_is_there_is_replaced_only_if_that_is_wanted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "precious").unwrap();
        let keep = |overwrite| History::new().keep(file.path(), overwrite, StatusBoard::default());
        assert!(keep(false).unwrap_err().to_string().contains("cannot create the history"));
        assert_eq!(std::fs::read(file.path()).unwrap(), b"precious");
        drop(keep(true).unwrap());
        assert_eq!(std::fs::read(file.path()).unwrap(), b"");
    }
}
