//! The Linux guest with redis.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Engine, Guest, Running, image};

/// A Linux guest with a disk, and a network that no other test has at the same time.
pub(crate) struct Linux {
    pub(crate) guest: Guest,
    pub(crate) address: String,
    pub(crate) tap: String,
    /// Its disk's image: at first a copy of `linux/disk.img`.
    pub(crate) disk: PathBuf,
}

/// The Linux guest of one test.
pub(crate) fn linux(engine: Engine, test: u8) -> Linux {
    let network = 10 * test + engine as u8;
    let (tap, address) = (format!("outlivelinux{network}"), format!("10.77.{network}.15"));
    let words = fs::read_to_string(image("linux/cmdline")).unwrap();
    let words: Vec<_> =
        words.split_whitespace().filter(|word| !word.starts_with("outlive.address=")).collect();
    let words = format!("{} outlive.address={address}/24", words.join(" "));
    let guest = Guest::new(&image("linux/vmlinux"), "256M")
        .engine(engine.name())
        .command_line(&words)
        .with(&format!("initramfs = \"{}\"", image("linux/initramfs.cpio.gz").display()));
    let disk = guest.folder().join("disk.img");
    fs::copy(image("linux/disk.img"), &disk).unwrap();
    let guest = guest.disk(&disk, false).network(&tap, &format!("10.77.{network}.1/24"));
    Linux { guest, address, tap, disk }
}

/// What a command prints; it must succeed.
pub(crate) fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What redis at this address answers.
pub(crate) fn redis(address: &str, arguments: &[&str]) -> String {
    output("redis-cli", &[&["-h", address], arguments].concat())
}

/// Gives the console a command and waits for it to be done.
pub(crate) fn shell(machine: &mut Running, command: &str, marker: &str) {
    // The echo of what is typed must not look like the answer.
    machine.type_line(&format!("{command} && echo {}''{}", &marker[..1], &marker[1..]));
    machine.wait_for(&format!("\n{marker}"));
}
