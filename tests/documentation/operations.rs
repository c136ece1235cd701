//! The commands of docs/operations.md: two hosts with a common folder, and a client that is not on either.

use rustix::process::Signal;

use crate::page::read;
use crate::surroundings::Surroundings;

const NETWORK: [&str; 4] = [
    "ip link add br0 type bridge forward_delay 0 stp_state 0",
    "ip link set eth1 master br0",
    "ip link set eth1 up",
    "ip link set br0 up",
];

const ONCE: [&str; 7] = [
    "cp target/guests/linux/vmlinux target/guests/linux/initramfs.cpio.gz /srv/outlive/",
    "cp --sparse=always target/guests/linux/disk.img /srv/outlive/redis.img",
    "mkdir /srv/outlive/arbiter",
    "mkdir -p /usr/local/etc/outlive",
    "outlive keys /usr/local/etc/outlive/redis.keys",
    "cp docs/examples/redis.toml /usr/local/etc/outlive/",
    "outlive config check /usr/local/etc/outlive/redis.toml",
];

/// What connects the hosts is there before the page begins, and so is the folder that both have.
fn hosts() -> Option<Surroundings> {
    let surroundings = Surroundings::new(&["a", "b", "client"])?;
    surroundings.connect(("a", "eth0"), ("b", "eth0"));
    surroundings.connect(("a", "eth1"), ("client", "port-a"));
    surroundings.connect(("b", "eth1"), ("client", "port-b"));
    let [a, b, client] = ["a", "b", "client"].map(|host| surroundings.namespace(host));
    surroundings.prepare(&format!(
        "ip -n {a} address add 192.0.2.1/24 dev eth0; ip -n {a} link set eth0 up
         ip -n {b} address add 192.0.2.2/24 dev eth0; ip -n {b} link set eth0 up
         ip -n {client} link add switch type bridge forward_delay 0 stp_state 0
         for port in port-a port-b; do ip -n {client} link set $port master switch up; done
         ip -n {client} address add 10.0.2.1/24 dev switch; ip -n {client} link set switch up
         mkdir storage/outlive"
    ));
    Some(surroundings)
}

/// A request of the client, repeated until the answer comes.
fn ask(surroundings: &Surroundings, request: &str, answer: &str) {
    let client = surroundings.namespace("client");
    surroundings.prepare(&format!(
        "for attempt in {{1..100}}; do
             [[ $(timeout 5 ip netns exec {client} redis-cli -h 10.0.2.15 {request} 2>/dev/null) != '{answer}' ]] || exit 0
             sleep 0.3
         done
         echo 'the answer to {request} is never {answer}' >&2; exit 1"
    ));
}

#[test]
fn a_pair_on_two_hosts_is_set_up_watched_and_survives() {
    let Some(surroundings) = hosts() else { return };
    for host in ["a", "b"] {
        surroundings.run_on(host, "install -m 755 target/release/outlive /usr/local/bin/");
        for command in NETWORK {
            surroundings.run_on(host, command);
        }
    }
    surroundings.run("outlive doctor");
    for command in ONCE {
        surroundings.run(command);
    }
    surroundings.prepare("cp -a of-a/usr/local/etc/outlive of-b/usr/local/etc/");

    let mut primary = surroundings.start_in(
        ("a", "cd /usr/local/etc/outlive"),
        "outlive primary redis.toml --keys redis.keys --listen 192.0.2.1:7475",
    );
    primary.wait_for("waiting for the backup");
    let mut backup = surroundings.start_in(
        ("b", "cd /usr/local/etc/outlive"),
        "outlive backup redis.toml --keys redis.keys --connect 192.0.2.1:7475",
    );
    primary.wait_for("the guest is protected");
    ask(&surroundings, "set mercury 1", "OK");
    let status = surroundings.run_on("a", "outlive status");
    assert!(status.contains("redis (primary") && status.contains("protected"), "{status}");
    let status = surroundings.run_on("b", "outlive status --json");
    assert!(status.contains(r#""phase":"following""#) && status.contains(r#""protected":true"#), "{status}");

    primary.signal(Signal::KILL);
    backup.wait_for("the guest is live on this host");
    ask(&surroundings, "get mercury", "1");
    let status = surroundings.run_on("b", "outlive status");
    assert!(status.contains("NOT PROTECTED"), "{status}");
    let arbiter = surroundings.run_on("b", "outlive arbiter show /srv/outlive/arbiter");
    assert!(arbiter.contains("claimed") && arbiter.contains("backup on"), "{arbiter}");
}

/// The units execute what the page does by hand, with the same files.
#[test]
fn the_units_start_what_the_page_starts() {
    for (unit, role, peer) in
        [("outlive-primary", "primary", "--listen"), ("outlive-backup", "backup", "--connect")]
    {
        let text = read(&format!("docs/examples/{unit}.service"));
        let starts = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let expected = format!(
            "/usr/local/bin/outlive --trace-format json {role} redis.toml --keys redis.keys {peer} 192.0.2.1:7475"
        );
        assert_eq!(starts, expected, "{unit}");
        assert!(text.contains("\nWorkingDirectory=/usr/local/etc/outlive\n"), "{unit}");
        assert!(text.contains("\nRestart=no\n") && text.contains("\nSuccessExitStatus=3\n"), "{unit}");
    }
}
