//! Where the guest's serial console meets a person: the terminal, a file or a pseudo-terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// How long the guest waits for a reader that does not keep up before its output is lost.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// Where nobody may be reading.
const NO_PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// What to connect the console to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConsoleConfig {
    /// Standard input and output. A terminal is put into raw mode until the machine ends.
    Stdio,
    /// Output goes into this file, which is emptied first; there is no input.
    File(PathBuf),
    /// A new pseudo-terminal; [`Console::terminal`] names it.
    Pty,
}

/// A connected console.
#[derive(Debug)]
pub struct Console {
    output: File,
    /// How long the guest waits for the reader.
    patience: Timespec,
    /// The reader did not keep up, and has not begun to read again.
    stalled: bool,
    input: Option<ConsoleInput>,
    terminal: Option<PathBuf>,
    // Restores the person's terminal when the console is dropped.
    _raw: Option<RawTerminal>,
    // Held open so that the pseudo-terminal does not hang up while nobody is attached to it.
    _pty_slave: Option<OwnedFd>,
}

/// Where console input comes from.
#[derive(Debug)]
pub struct ConsoleInput {
    /// Read this.
    pub descriptor: OwnedFd,
    /// Whether Ctrl-A is the escape key: a person types here and has no other way out.
    pub escapes: bool,
}

impl Console {
    /// Connects a console.
    ///
    /// # Errors
    /// When the file cannot be created, or the host has no pseudo-terminal to give.
    pub fn open(config: &ConsoleConfig) -> Result<Self, ConsoleError> {
        match config {
            ConsoleConfig::Stdio => Self::stdio().map_err(ConsoleError::Stdio),
            ConsoleConfig::File(path) => Self::file(path),
            ConsoleConfig::Pty => Self::pty().map_err(ConsoleError::Pty),
        }
    }

    fn stdio() -> io::Result<Self> {
        let descriptor = stdin().try_clone_to_owned()?;
        let escapes = descriptor.is_terminal();
        let raw = if escapes { Some(RawTerminal::enter(descriptor.try_clone()?)?) } else { None };
        Ok(Self {
            output: File::from(stdout().try_clone_to_owned()?),
            patience: PATIENCE,
            stalled: false,
            input: Some(ConsoleInput { descriptor, escapes }),
            terminal: None,
            _raw: raw,
            _pty_slave: None,
        })
    }

    fn file(path: &Path) -> Result<Self, ConsoleError> {
        let output =
            File::create(path).map_err(|source| ConsoleError::File { path: path.to_owned(), source })?;
        Ok(Self {
            output,
            patience: PATIENCE,
            stalled: false,
            input: None,
            terminal: None,
            _raw: None,
            _pty_slave: None,
        })
    }

    fn pty() -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let path = PathBuf::from(String::from_utf8_lossy(name.as_bytes()).into_owned());
        let slave = OpenOptions::new().read(true).write(true).open(&path)?;
        let mut mode = tcgetattr(&slave)?;
        mode.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &mode)?;
        // The thread that reads must never wait here.
        rustix::io::ioctl_fionbio(&master, true)?;
        let input = ConsoleInput { descriptor: master.try_clone()?, escapes: false };
        Ok(Self {
            output: File::from(master),
            patience: NO_PATIENCE,
            stalled: false,
            input: Some(input),
            terminal: Some(path),
            _raw: None,
            _pty_slave: Some(slave.into()),
        })
    }

    /// The pseudo-terminal to attach to, if there is one.
    pub fn terminal(&self) -> Option<&Path> {
        self.terminal.as_deref()
    }

    /// Takes the input side, for the thread that reads it.
    pub(super) fn take_input(&mut self) -> Option<ConsoleInput> {
        self.input.take()
    }

    /// Writes a byte. A reader that went away or does not keep up loses output; the guest goes on.
    pub(super) fn write(&mut self, byte: u8) {
        // Standard output is shared with other programs, so it cannot be made to fail instead of to block.
        let patience = if self.stalled { &NO_PATIENCE } else { &self.patience };
        let mut output = [PollFd::new(&self.output, PollFlags::OUT)];
        self.stalled = !matches!(poll(&mut output, Some(patience)), Ok(1..));
        if self.stalled {
            tracing::debug!("the reader does not keep up: console output was lost");
            return;
        }
        if let Err(error) = self.output.write_all(&[byte]) {
            tracing::debug!(%error, "console output was lost");
        }
    }
}

/// A terminal in raw mode: every key goes to the guest. Output is still processed, so that lines of guests
/// that send no carriage return, and our own messages, begin at the left. Dropping it restores what was before.
#[derive(Debug)]
struct RawTerminal {
    descriptor: OwnedFd,
    before: Termios,
}

impl RawTerminal {
    fn enter(descriptor: OwnedFd) -> io::Result<Self> {
        let before = tcgetattr(descriptor.as_fd())?;
        let mut raw = before.clone();
        raw.make_raw();
        raw.output_modes = before.output_modes;
        tcsetattr(descriptor.as_fd(), OptionalActions::Now, &raw)?;
        Ok(Self { descriptor, before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to restore.
        let _ = tcsetattr(self.descriptor.as_fd(), OptionalActions::Now, &self.before);
    }
}

/// Why a console could not be connected.
#[derive(thiserror::Error, Debug)]
pub enum ConsoleError {
    /// The terminal.
    #[error("cannot use standard input and output as the console")]
    Stdio(#[source] io::Error),
    /// The file.
    #[error("cannot create the console's file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// The pseudo-terminal.
    #[error("cannot create a pseudo-terminal for the console")]
    Pty(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_the_guest_writes_is_read_from_the_pseudo_terminal() {
        let mut console = Console::open(&ConsoleConfig::Pty).unwrap();
        let mut terminal = File::open(console.terminal().unwrap()).unwrap();
        for byte in *b"hello\n" {
            console.write(byte);
        }
        let mut read = [0; 6];
        terminal.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"hello\n");
    }

    #[test]
    fn a_reader_that_does_not_keep_up_loses_output_and_the_guest_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut console = Console::open(&ConsoleConfig::File(folder.path().join("console"))).unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        console.output = File::from(OwnedFd::from(writer));
        let stalls = (0..1 << 20).any(|_| {
            console.write(b'x');
            console.stalled
        });
        assert!(stalls, "a pipe holds less than that");
        console.write(b'x');
        reader.read_exact(&mut [0; 4096]).unwrap();
        console.write(b'y');
        assert!(!console.stalled, "it goes on when there is room again");
    }

    #[test]
    fn a_file_that_cannot_be_created_is_named() {
        let config = ConsoleConfig::File("/nonexistent/console".into());
        let error = Console::open(&config).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/console"), "{error}");
    }
}
