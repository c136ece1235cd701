//! Where the commands of a page are executed as they stand: a folder that looks like the checkout, hosts that are
//! network namespaces, and `/srv`, `/usr/local/bin` and `/usr/local/etc` that belong to nobody else.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::page::{assert_shown, checkout};

/// What takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(240);

/// Folders of the host that commands write to: each gets an empty one instead.
const REPLACED: [&str; 3] = ["/srv", "/usr/local/bin", "/usr/local/etc"];

/// A folder and hosts for the commands of a page. All is gone when it is dropped.
pub(crate) struct Surroundings {
    folder: TempDir,
    hosts: Vec<String>,
}

impl Surroundings {
    /// A folder, and hosts with nothing but `lo`. The first one is where commands go that name none. Where none can be
    /// made, the test is skipped.
    pub(crate) fn new(hosts: &[&str]) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: only root can make network namespaces");
            return None;
        }
        if !Path::new("/dev/net/tun").exists() {
            eprintln!("SKIPPED: there is no /dev/net/tun");
            return None;
        }
        Some(Self::make(hosts))
    }

    fn make(hosts: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("outlive-documentation-").tempdir().unwrap();
        for part in ["docs", "scripts", "tests", "crates", "Cargo.toml", "Cargo.lock", "README.md"] {
            symlink(checkout().join(part), folder.path().join(part)).unwrap();
        }
        let surroundings = Self { folder, hosts: hosts.iter().map(|host| (*host).to_owned()).collect() };
        surroundings.make_target();
        surroundings.make_configurations();
        for host in hosts {
            for replaced in REPLACED {
                fs::create_dir_all(surroundings.replacement(host, replaced)).unwrap();
            }
            fs::create_dir_all(surroundings.runtime_folder(host)).unwrap();
            surroundings.prepare(&format!("ip netns add {}", surroundings.namespace(host)));
            surroundings.prepare(&format!("ip -n {} link set lo up", surroundings.namespace(host)));
        }
        surroundings
    }

    /// `target` has the command under test, and the guests.
    fn make_target(&self) {
        let (own, target) = (Path::new(env!("CARGO_BIN_EXE_outlive")), self.path("target"));
        fs::create_dir(&target).unwrap();
        symlink(own.parent().unwrap(), target.join("release")).unwrap();
        symlink(checkout().join("target/guests"), target.join("guests")).unwrap();
    }

    /// `guest-images` has the configurations, whose paths are relative to it.
    fn make_configurations(&self) {
        let (from, to) = (checkout().join("guest-images"), self.path("guest-images"));
        fs::create_dir(&to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_file() {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The network namespace of a host.
    pub(crate) fn namespace(&self, host: &str) -> String {
        format!("documentation-{}-{host}", std::process::id())
    }

    /// Both hosts of a pair have the same `/srv`; the others are a host's own.
    fn replacement(&self, host: &str, replaced: &str) -> PathBuf {
        match replaced {
            "/srv" => self.path("storage"),
            _ => self.path(&format!("of-{host}{replaced}")),
        }
    }

    fn runtime_folder(&self, host: &str) -> PathBuf {
        self.path(&format!("of-{host}/run"))
    }

    /// Does what no page shows, such as connecting the hosts.
    pub(crate) fn prepare(&self, script: &str) {
        let output =
            Command::new("bash").args(["-ec", script]).current_dir(self.folder.path()).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Connects two interfaces of two hosts.
    pub(crate) fn connect(&self, (host, interface): (&str, &str), (other_host, other): (&str, &str)) {
        let (namespace, other_namespace) = (self.namespace(host), self.namespace(other_host));
        self.prepare(&format!(
            "ip link add {interface} netns {namespace} type veth peer name {other} netns {other_namespace}"
        ));
    }

    /// Executes a command of a page to its end, which must be a good one, and returns what it printed.
    pub(crate) fn run(&self, command: &str) -> String {
        self.run_on(&self.hosts[0], command)
    }

    /// The same on a certain host.
    pub(crate) fn run_on(&self, host: &str, command: &str) -> String {
        assert_shown(command);
        self.run_unseen(host, command)
    }

    /// A command that takes long, in a form that does the same for less long.
    pub(crate) fn run_shortened(&self, command: &str, shorter: &str) -> String {
        assert_shown(command);
        self.run_unseen(&self.hosts[0], shorter)
    }

    fn run_unseen(&self, host: &str, command: &str) -> String {
        let ended = self.spawn(host, command).end();
        assert!(ended.status.success(), "`{command}` ended with {}:\n{}", ended.status, ended.text);
        ended.text
    }

    /// Starts a command of a page that goes on for as long as somebody wants.
    pub(crate) fn start(&self, command: &str) -> Running {
        assert_shown(command);
        self.spawn(&self.hosts[0], &format!("exec {command}"))
    }

    /// The same on a certain host, behind a command that goes to another folder.
    pub(crate) fn start_in(&self, (host, change): (&str, &str), command: &str) -> Running {
        assert_shown(change);
        assert_shown(command);
        self.spawn(host, &format!("{change}\nexec {command}"))
    }

    fn spawn(&self, host: &str, command: &str) -> Running {
        // Scripts of the checkout are as a developer has them: with the host's programs, its guests and its lab.
        let is_script = command.contains("scripts/");
        let mut script = String::from("set -e\n");
        for replaced in REPLACED.iter().filter(|_| !is_script) {
            let own = self.replacement(host, replaced);
            script += &format!("mount --bind '{}' {replaced}\n", own.display());
        }
        script += command;
        let path = std::env::var("PATH").unwrap();
        let release = self.path("target/release");
        let mut child = Command::new("ip");
        child
            .args(["netns", "exec", &self.namespace(host)])
            .args(["unshare", "--mount", "--propagation", "private", "bash", "-c", &script])
            .current_dir(self.folder.path())
            .env("PATH", format!("{path}:{}", release.display()))
            .env("XDG_RUNTIME_DIR", self.runtime_folder(host))
            .process_group(0);
        if !is_script {
            child.env("OUTLIVE_CACHE", self.path("cache"));
        }
        // What cargo tells its tests a person's shell does not have, and build scripts would run again for it.
        for (name, _) in std::env::vars() {
            if ["CARGO_MANIFEST_", "CARGO_PKG_", "NEXTEST"].iter().any(|start| name.starts_with(start)) {
                child.env_remove(name);
            }
        }
        Running::new(child, command)
    }
}

impl Drop for Surroundings {
    fn drop(&mut self) {
        for host in &self.hosts {
            // A namespace that was never made needs no removing.
            let _ = Command::new("ip").args(["netns", "delete", &self.namespace(host)]).output();
        }
    }
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// What it printed on standard output and standard error, in one.
    pub(crate) text: String,
}

/// A command that runs. It is killed when it is dropped.
pub(crate) struct Running {
    command: String,
    child: Child,
    text: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    fn new(mut command: Command, name: &str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let text = Arc::default();
        let readers = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&text)),
            collect(child.stderr.take().unwrap(), Arc::clone(&text)),
        ];
        Self { command: name.to_owned(), child, text, readers }
    }

    /// What it has printed so far.
    pub(crate) fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// Waits until it has printed this.
    pub(crate) fn wait_for(&mut self, wanted: &str) {
        self.wait(|running| running.text().contains(wanted), wanted);
    }

    fn wait(&mut self, mut has_come: impl FnMut(&mut Self) -> bool, what: &str) {
        let begun = Instant::now();
        while !has_come(self) {
            assert!(
                begun.elapsed() < PATIENCE,
                "`{}` does not come to {what}:\n{}",
                self.command,
                self.text()
            );
            if let Some(status) = self.child.try_wait().unwrap() {
                thread::sleep(Duration::from_millis(100));
                assert!(
                    has_come(self),
                    "`{}` ended with {status} before {what}:\n{}",
                    self.command,
                    self.text()
                );
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types something.
    pub(crate) fn type_in(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Sends it, and all that it has started, a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let group = Pid::from_child(&self.child);
        kill_process_group(group, signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        drop(self.child.stdin.take());
        self.wait(|running| running.child.try_wait().unwrap().is_some(), "its end");
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Ended { status: self.child.wait().unwrap(), text: self.text() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It may end just now.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Reads to the end, beside everything else.
fn collect(mut from: impl Read + Send + 'static, text: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            text.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    })
}
