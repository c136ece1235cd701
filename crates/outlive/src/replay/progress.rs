//! The progress bar of a long replay.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use outlive_replay::Progress;

/// A replay that is done by then shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);
/// From one look to the next.
const PERIOD: Duration = Duration::from_millis(100);
/// The bar's length in its own units.
const LENGTH: u64 = 10_000;

/// A bar on standard error, until it is dropped.
#[derive(Debug)]
pub(super) struct ProgressDisplay {
    // Dropped to end the thread.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ProgressDisplay {
    /// Shows how far a replay has got. Without a thread there is no bar, which is no reason not to replay.
    pub(super) fn start(progress: Arc<Progress>) -> Self {
        let (end, ended) = channel();
        let show = move || show(&progress, &ended);
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(show);
        Self { end: Some(end), thread: thread.ok() }
    }
}

impl Drop for ProgressDisplay {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn show(progress: &Progress, ended: &Receiver<()>) {
    if ended.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    let bar = ProgressBar::new(LENGTH).with_style(style());
    loop {
        bar.set_position((progress.fraction() * LENGTH as f64) as u64);
        bar.set_message(format!("{:.1} s of guest time", progress.time().nanoseconds() as f64 / 1e9));
        if ended.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout) {
            return bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    let template = "{wide_bar} {percent:>3} %  {msg}, {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_one_that_the_library_understands() {
        assert!(ProgressStyle::with_template("{wide_bar} {percent:>3} %  {msg}, {eta} left").is_ok());
    }
}
