//! A machine to run: its configuration, and what that names.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::engine::Engine;
use super::process::{Finished, OUTLIVE, Running, finish};

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

/// A machine to run: a configuration and a folder of its own, which is gone when this is dropped.
pub(crate) struct Guest {
    folder: TempDir,
    kernel: PathBuf,
    config: String,
    images: Option<Box<Guest>>,
    disks: Vec<PathBuf>,
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
        Self { folder, kernel: kernel.to_owned(), config, images: None, disks: Vec::new() }
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
    pub(crate) fn disk(mut self, image: &Path, read_only: bool) -> Self {
        self.disks.push(image.to_owned());
        self.with(&format!("[[disk]]\npath = \"{}\"\nread-only = {read_only}", image.display()))
    }

    /// Adds a disk of `sectors` sectors, each filled with its own number, and returns its image.
    pub(crate) fn with_disk(self, sectors: u8, read_only: bool) -> (Self, PathBuf) {
        let path = self.folder().join("disk.img");
        let bytes: Vec<u8> = (0..sectors).flat_map(|sector| [sector; 512]).collect();
        fs::write(&path, bytes).unwrap();
        (self.disk(&path, read_only), path)
    }

    /// Adds a network.
    pub(crate) fn network(self, tap: &str, host_address: &str) -> Self {
        self.with(&format!("[[network]]\ntap = \"{tap}\"\nhost-address = \"{host_address}\""))
    }

    /// The guest's own folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The images of its disks.
    pub(crate) fn disks(&self) -> &[PathBuf] {
        &self.disks
    }

    /// The engine that the configuration names.
    pub(crate) fn configured_engine(&self) -> Engine {
        let engines = [Engine::Kvm, Engine::Soft];
        let is_named = |engine: &Engine| self.config.contains(&format!("engine = \"{}\"", engine.name()));
        engines.into_iter().find(is_named).expect("the configuration names an engine")
    }

    /// The command that runs it.
    pub(crate) fn command(&self) -> Command {
        self.command_to("run")
    }

    /// The command that does this to it: `run` or `record`.
    pub(crate) fn command_to(&self, subcommand: &str) -> Command {
        let path = self.folder().join("machine.toml");
        fs::write(&path, &self.config).unwrap();
        let mut command = Command::new(OUTLIVE);
        command.arg(subcommand).arg(path).stdin(Stdio::null());
        // Copies of images are not for the user's own cache.
        command.env("OUTLIVE_CACHE", self.folder().join("cache"));
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> Finished {
        finish(&mut self.command())
    }

    /// Starts it.
    pub(crate) fn start(&self) -> Running {
        Running::start(&mut self.command(), self.folder().join("console"))
    }
}
