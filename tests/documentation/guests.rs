//! The commands of docs/guests.md.

use rustix::process::Signal;

use crate::surroundings::Surroundings;

const MAKE: [&str; 6] = [
    "mkdir -p my-guest/bin my-guest/dev my-guest/proc my-guest/www",
    "cp /bin/busybox my-guest/bin/",
    "echo 'Hello from a guest' > my-guest/www/index.html",
    "install -m 755 docs/examples/init my-guest/init",
    "(cd my-guest && find . | cpio --quiet -o -H newc | gzip) > my-guest.cpio.gz",
    "cp docs/examples/my-guest.toml .",
];

/// Where the page's service has been made.
fn with_service() -> Option<Surroundings> {
    let surroundings = Surroundings::new(&["host"])?;
    for command in MAKE {
        surroundings.run(command);
    }
    Some(surroundings)
}

/// Asks the guest's web server, as the page does.
fn ask(surroundings: &Surroundings) {
    let answer = surroundings.run("busybox wget -q -O - http://10.0.2.15/");
    assert_eq!(answer, "Hello from a guest\n");
}

#[test]
fn a_service_of_ones_own_runs_and_replays() {
    let Some(surroundings) = with_service() else { return };
    let mut guest = surroundings.start("target/release/outlive run my-guest.toml");
    guest.wait_for("my guest: ready");
    ask(&surroundings);
    guest.signal(Signal::TERM);
    assert_eq!(guest.end().status.code(), Some(143));

    let mut guest = surroundings.start("target/release/outlive record my-guest.toml --log my-guest.log");
    guest.wait_for("my guest: ready");
    ask(&surroundings);
    guest.signal(Signal::INT);
    assert_eq!(guest.end().status.code(), Some(130));
    surroundings.run("target/release/outlive replay my-guest.log");
}

#[test]
fn a_service_on_a_disk_of_ones_own_runs() {
    let Some(surroundings) = with_service() else { return };
    surroundings.run("mke2fs -q -t ext4 -d my-guest my-guest.img 64M");
    surroundings.run("cp docs/examples/my-disk.toml .");
    let mut guest = surroundings.start("target/release/outlive run my-disk.toml");
    guest.wait_for("my guest: ready");
    ask(&surroundings);
}

#[test]
fn debians_kernel_runs_as_it_is() {
    let Some(surroundings) = Surroundings::new(&["host"]) else { return };
    let mut guest = surroundings.start("target/release/outlive run guest-images/debian.toml");
    guest.wait_for("outlive: ready");
    guest.type_in("poweroff\n");
    assert!(guest.end().status.success());
}
