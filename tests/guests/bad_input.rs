//! What people get wrong: one clear sentence with the cause, the right exit status, nothing left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Finished, Guest, OUTLIVE, finish, image, kvm_at_hand};

/// Checks that a run was refused with `status` and one line that has all of `words`.
fn refused(finished: &Finished, status: i32, words: &[&str]) {
    assert_eq!(finished.status, Some(status), "{finished:#?}");
    let lines: Vec<_> = finished.errors.lines().filter(|line| line.starts_with("outlive: ")).collect();
    assert_eq!(lines.len(), 1, "{finished:#?}");
    for word in words {
        assert!(finished.errors.contains(word), "no {word:?} in {finished:#?}");
    }
}

fn run(arguments: &[&str]) -> Finished {
    finish(Command::new(OUTLIVE).args(arguments))
}

#[test]
fn a_missing_configuration_is_named() {
    refused(&run(&["run", "/nonexistent.toml"]), 2, &["/nonexistent.toml", "No such file"]);
}

#[test]
fn wrong_arguments_are_refused_with_status_two() {
    for arguments in [&["run"][..], &["fly"], &["run", "--fast", "x"], &[]] {
        assert_eq!(run(arguments).status, Some(2), "{arguments:?}");
    }
}

#[test]
fn a_mistake_in_the_configuration_is_shown_with_its_line() {
    let finished = Guest::new(Path::new("vmlinux"), "16M").with("kernal = \"x\"").run();
    refused(&finished, 2, &["line 5", "kernal"]);
}

#[test]
fn missing_images_are_named() {
    let kernel = Guest::new(Path::new("/nonexistent/vmlinux"), "16M").run();
    refused(&kernel, 2, &["kernel", "/nonexistent/vmlinux", "No such file"]);
    let initramfs = Guest::bare("hello").with("initramfs = \"/nonexistent/initramfs\"").run();
    refused(&initramfs, 2, &["initramfs", "/nonexistent/initramfs", "No such file"]);
    let disk = Guest::bare("hello").disk(Path::new("/nonexistent/disk"), false).run();
    refused(&disk, 2, &["disk", "/nonexistent/disk", "No such file"]);
}

#[test]
fn a_folder_is_no_kernel() {
    refused(&Guest::new(Path::new("/tmp"), "16M").run(), 2, &["kernel", "/tmp", "it is a directory"]);
}

#[test]
fn devices_and_fifos_are_refused_before_they_are_read() {
    let guest = Guest::bare("hello");
    let fifo = guest.folder().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let fifo = fifo.to_str().unwrap().to_owned();
    for path in [fifo.as_str(), "/dev/zero"] {
        refused(&run(&["run", path]), 2, &[path, "no ordinary file"]);
        refused(&Guest::new(Path::new(path), "16M").run(), 2, &["kernel", path, "no ordinary file"]);
        let initramfs = Guest::bare("hello").with(&format!("initramfs = \"{path}\"")).run();
        refused(&initramfs, 2, &["initramfs", path, "no ordinary file"]);
        let disk = Guest::bare("hello").disk(Path::new(path), true).run();
        refused(&disk, 2, &["disk", path, "neither a file nor a block device"]);
    }
}

#[test]
fn a_console_does_not_overwrite_the_machines_own_files() {
    let guest = Guest::bare("hello");
    let disk = guest.folder().join("disk.img");
    fs::write(&disk, vec![7; 1024]).unwrap();
    let guest = guest.console("{ file = \"disk.img\" }").disk(&disk, false);
    refused(&guest.run(), 2, &["console", "disk.img", "needs what is in it"]);
    assert_eq!(fs::read(&disk).unwrap(), vec![7; 1024]);
}

#[test]
fn a_kernel_that_is_no_elf_file_is_refused() {
    let text = Guest::new(Path::new("/etc/passwd"), "16M").run();
    refused(&text, 2, &["not a 64-bit ELF file"]);
}

#[test]
fn images_that_do_not_fit_into_memory_are_refused() {
    let kernel = Guest::new(&image("linux/vmlinux"), "16M").run();
    refused(&kernel, 2, &["guest memory", "more memory"]);
    let guest = Guest::bare("hello");
    let initramfs = guest.folder().join("initramfs");
    fs::File::create(&initramfs).unwrap().set_len(32 << 20).unwrap();
    let finished = guest.with(&format!("initramfs = \"{}\"", initramfs.display())).run();
    refused(&finished, 2, &["initramfs", "more memory"]);
}

#[test]
fn a_disk_with_half_a_sector_is_refused() {
    let guest = Guest::bare("hello");
    let path = guest.folder().join("disk.img");
    fs::write(&path, vec![0; 700]).unwrap();
    refused(&guest.disk(&path, false).run(), 2, &["700 bytes", "sector"]);
}

#[test]
fn a_disk_that_another_machine_writes_is_refused() {
    let first = Guest::bare("kv");
    let path = first.folder().join("disk.img");
    fs::write(&path, vec![0; 1024]).unwrap();
    let first = first.disk(&path, false).network("outlivetest3", "10.79.0.1/24");
    let mut running = first.start();
    running.wait_for("kv: ready");
    refused(&Guest::bare("hello").disk(&path, false).run(), 2, &["in use by another machine"]);
}

#[test]
fn a_tap_that_another_machine_uses_is_refused_and_survives() {
    let first = Guest::bare("kv").network("outlivetest4", "10.80.0.1/24");
    let mut running = first.start();
    running.wait_for("kv: ready");
    let second = Guest::bare("hello").network("outlivetest4", "10.80.0.1/24").run();
    refused(&second, 1, &["outlivetest4", "in use"]);
    assert!(Path::new("/sys/class/net/outlivetest4").exists());
    drop(running);
    assert!(!Path::new("/sys/class/net/outlivetest4").exists(), "the TAP goes with its machine");
}

/// A guest that every user may run: its kernel and a copy of the command stand in its own folder.
fn guest_for_everybody() -> (Guest, PathBuf) {
    let home = Guest::bare("hello");
    let kernel = home.folder().join("hello.elf");
    fs::copy(image("bare/hello.elf"), &kernel).unwrap();
    let guest = Guest::new(&kernel, "16M").keeping(home);
    let command = guest.folder().join("outlive");
    fs::copy(OUTLIVE, &command).unwrap();
    for folder in [guest.folder(), kernel.parent().unwrap()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    (guest, command)
}

/// Runs a guest by a copy of the command with fewer rights.
fn run_restricted(guest: &Guest, command: &Path, restriction: &[&str]) -> Finished {
    let ordinary = guest.command();
    finish(
        Command::new("setpriv").args(restriction).arg(command).args(ordinary.get_args()).stdin(Stdio::null()),
    )
}

#[test]
fn a_user_without_permission_is_told_what_to_do() {
    if !kvm_at_hand() || !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs /dev/kvm, and root to give up rights");
        return;
    }
    let (guest, command) = guest_for_everybody();
    let guest = guest.engine("kvm");
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    refused(&run_restricted(&guest, &command, &nobody), 1, &["/dev/kvm", "group kvm"]);

    let (guest, command) = guest_for_everybody();
    let guest = guest.network("outlivetest5", "10.81.0.1/24");
    let no_network = ["--bounding-set=-net_admin", "--inh-caps=-net_admin"];
    refused(&run_restricted(&guest, &command, &no_network), 1, &["outlivetest5", "ip tuntap add"]);
    assert!(!Path::new("/sys/class/net/outlivetest5").exists());
}
