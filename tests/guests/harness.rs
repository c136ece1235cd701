//! Running the command on a guest, and telling what it said.

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The command under test.
pub(crate) const OUTLIVE: &str = env!("CARGO_BIN_EXE_outlive");

/// How long a guest may take before the test gives up on it: far beyond what any host needs.
const PATIENCE: Duration = Duration::from_secs(100);

/// The checkout.
pub(crate) fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// An image that `scripts/build-guests` makes.
pub(crate) fn image(name: &str) -> PathBuf {
    let path = checkout().join("target/guests").join(name);
    assert!(path.exists(), "{} is missing: run scripts/build-guests", path.display());
    path
}

/// Whether this is the lab.
pub(crate) fn in_lab() -> bool {
    std::env::var_os("OUTLIVE_LAB").is_some()
}

/// What executes a guest in a test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Engine {
    Kvm,
    Soft,
}

impl Engine {
    /// As a configuration names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Soft => "soft",
        }
    }

    /// Whether this machine has it. Says so when it has not, for a skipped test must be seen.
    pub(crate) fn at_hand(self) -> bool {
        self == Self::Soft || kvm_at_hand()
    }

    /// Whether it runs Linux guests here. Says so when it does not.
    pub(crate) fn runs_linux(self) -> bool {
        self == Self::Soft || kvm_runs_linux()
    }
}

/// Makes each function a test on either engine: `on_kvm::name` and `on_soft::name`.
macro_rules! on_each_engine {
    ($(fn $name:ident($engine:ident: Engine) $body:block)*) => {
        $(fn $name($engine: $crate::harness::Engine) $body)*

        mod on_kvm {
            $(#[test] fn $name() { super::$name($crate::harness::Engine::Kvm); })*
        }

        mod on_soft {
            $(#[test] fn $name() { super::$name($crate::harness::Engine::Soft); })*
        }
    };
}

pub(crate) use on_each_engine;

/// Whether this machine has a KVM at all. Says so when it has none, for a skipped test must be seen. The lab is
/// there to have one.
pub(crate) fn kvm_at_hand() -> bool {
    let at_hand = Path::new("/dev/kvm").exists();
    if !at_hand {
        assert!(!in_lab(), "the lab has no /dev/kvm");
        eprintln!("SKIPPED: no /dev/kvm on this machine");
    }
    at_hand
}

/// Whether this machine's KVM runs Linux guests. Says so when it does not.
pub(crate) fn kvm_runs_linux() -> bool {
    static VERDICT: LazyLock<serde_json::Value> = LazyLock::new(|| doctor_json()["verdict"].clone());
    if !kvm_at_hand() {
        return false;
    }
    let fit = VERDICT["runs_linux"].as_bool().expect("the verdict says whether Linux runs");
    if !fit {
        assert!(!in_lab(), "the lab's KVM does not run Linux: {}", *VERDICT);
        eprintln!("SKIPPED: this machine's KVM does not run Linux: {}", *VERDICT);
    }
    fit
}

/// What `outlive doctor --json` says.
pub(crate) fn doctor_json() -> serde_json::Value {
    let output = Command::new(OUTLIVE).args(["doctor", "--json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).expect("doctor prints JSON")
}

/// A machine to run: a configuration and a folder of its own, which is gone when this is dropped.
pub(crate) struct Guest {
    folder: TempDir,
    config: String,
    images: Option<Box<Guest>>,
}

impl Guest {
    /// A bare guest with 16 MiB, on `soft`.
    pub(crate) fn bare(name: &str) -> Self {
        Self::new(&image(&format!("bare/{name}.elf")), "16M")
    }

    /// A guest with this kernel, on `soft`.
    pub(crate) fn new(kernel: &Path, memory: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let config = format!(
            "memory = \"{memory}\"\nengine = \"soft\"\nkernel = \"{}\"\nconsole = \"stdio\"\n",
            kernel.display()
        );
        Self { folder, config, images: None }
    }

    /// Keeps `other`, whose folder holds images of this one.
    pub(crate) fn keeping(mut self, other: Self) -> Self {
        self.images = Some(Box::new(other));
        self
    }

    /// Takes another engine than `soft`.
    pub(crate) fn engine(mut self, engine: &str) -> Self {
        self.config = self.config.replace("engine = \"soft\"", &format!("engine = \"{engine}\""));
        self
    }

    /// Sends the console elsewhere than to standard output.
    pub(crate) fn console(mut self, value: &str) -> Self {
        self.config = self.config.replace("console = \"stdio\"", &format!("console = {value}"));
        self
    }

    /// Adds a line to the configuration.
    pub(crate) fn with(mut self, line: &str) -> Self {
        writeln!(self.config, "{line}").unwrap();
        self
    }

    /// Sets the command line.
    pub(crate) fn command_line(self, words: &str) -> Self {
        self.with(&format!("command-line = \"{words}\""))
    }

    /// Adds a disk.
    pub(crate) fn disk(self, image: &Path, read_only: bool) -> Self {
        self.with(&format!("[[disk]]\npath = \"{}\"\nread-only = {read_only}", image.display()))
    }

    /// Adds a network.
    pub(crate) fn network(self, tap: &str, host_address: &str) -> Self {
        self.with(&format!("[[network]]\ntap = \"{tap}\"\nhost-address = \"{host_address}\""))
    }

    /// The guest's own folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The command that runs it.
    pub(crate) fn command(&self) -> Command {
        let path = self.folder().join("machine.toml");
        std::fs::write(&path, &self.config).unwrap();
        let mut command = Command::new(OUTLIVE);
        command.arg("run").arg(path).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> Finished {
        finish(&mut self.command())
    }

    /// Starts it.
    pub(crate) fn start(&self) -> Running {
        let console = self.folder().join("console");
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(std::fs::File::create(&console).unwrap());
        Running { child: command.spawn().unwrap(), console }
    }
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Finished {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (console, errors) = (read_all(child.stdout.take()), read_all(child.stderr.take()));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!(
                "the command does not end; it said: {}{}",
                console.join().unwrap(),
                errors.join().unwrap()
            );
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Finished { status, console: console.join().unwrap(), errors: errors.join().unwrap() }
}

/// Reads to the end, beside everything else.
fn read_all(from: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.unwrap().read_to_end(&mut bytes).unwrap();
        text(&bytes)
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\r', "")
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: Option<i32>,
    pub(crate) console: String,
    pub(crate) errors: String,
}

/// A machine that is running. Dropping it kills it.
pub(crate) struct Running {
    pub(crate) child: Child,
    console: PathBuf,
}

impl Running {
    /// What the guest has printed so far.
    pub(crate) fn console(&self) -> String {
        let mut bytes = Vec::new();
        std::fs::File::open(&self.console).unwrap().read_to_end(&mut bytes).unwrap();
        text(&bytes)
    }

    /// Waits until the guest has printed `text`.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let begun = Instant::now();
        while !self.console().contains(text) {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "the machine ended ({ended:?}) before it said {text:?}:\n{}",
                self.console()
            );
            assert!(begun.elapsed() < PATIENCE, "the guest does not say {text:?}:\n{}", self.console());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types at the guest's console.
    pub(crate) fn type_line(&mut self, line: &str) {
        use std::io::Write as _;
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).unwrap();
        stdin.write_all(b"\n").unwrap();
    }

    /// Waits for the machine's end and returns its exit status.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "the machine does not end:\n{}", self.console());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
