//! `outlive run --digest`.

use std::path::Path;
use std::process::{Command, Output};

use outlive_machine::digest::Digest;

/// Runs a guest that looks at no clock, so that it does the same in the live world on each run.
fn run(command_line: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let kernel = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests/bare/ends.elf");
    let config = format!(
        "memory = \"16M\"\nengine = \"soft\"\nkernel = \"{}\"\nconsole = \"stdio\"\nwall-clock = 1700000000\n\
         random-seed = \"{:064}\"\ncommand-line = \"{command_line}\"\n",
        kernel.display(),
        7
    );
    let path = folder.path().join("machine.toml");
    std::fs::write(&path, config).unwrap();
    Command::new(env!("CARGO_BIN_EXE_outlive")).args(["run", "--digest"]).arg(path).output().unwrap()
}

/// What was printed of a digest, by part.
fn digests(output: &Output) -> Vec<(String, Digest)> {
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    let digest = |line: &str| {
        let (part, digest) = line.strip_prefix("digest of ").unwrap().split_once(' ').unwrap();
        (part.to_owned(), digest.parse().unwrap())
    };
    errors.lines().map(digest).collect()
}

#[test]
fn the_digest_is_printed_by_part_whichever_way_a_machine_ends_and_is_the_same_each_time() {
    for how in ["", "how=halt", "how=reset"] {
        let (first, second) = (run(how), run(how));
        assert!(first.status.success(), "{how}: {first:?}");
        let parts: Vec<_> = digests(&first).into_iter().map(|(part, _)| part).collect();
        assert_eq!(parts, ["registers", "memory", "devices"], "{how}");
        assert_eq!(digests(&first), digests(&second), "{how}");
    }
}
