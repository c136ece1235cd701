//! The checkout that is rehearsed with: its command, its guests, and the programs of the host.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

/// The folder of the checkout.
pub fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own)
}

/// The command that is rehearsed with: `$OUTLIVE`, or the one that was built with this program, or the one in the
/// checkout's `target/release`.
///
/// # Errors
/// When there is none.
pub fn outlive() -> anyhow::Result<PathBuf> {
    if let Some(given) = std::env::var_os("OUTLIVE") {
        let given = PathBuf::from(given);
        ensure!(is_there(&given), "$OUTLIVE is {}, which is not there", given.display());
        return std::path::absolute(given).context("the working directory is gone");
    }
    let this = std::env::current_exe().context("this program does not know where it is")?;
    let own = this.ancestors().skip(1).take(2).map(|folder| folder.join("outlive"));
    let found = own.chain([root().join("target/release/outlive")]).find(|path| path.is_file());
    found.context("there is no `outlive` to rehearse with; run cargo build --release, or set $OUTLIVE")
}

/// An image that `scripts/build-guests` makes.
///
/// # Errors
/// When it was not made.
pub fn image(name: &str) -> anyhow::Result<PathBuf> {
    let path = root().join("target/guests").join(name);
    ensure!(is_there(&path), "{} is missing; run scripts/build-guests", path.display());
    Ok(path)
}

/// Whether a file is there.
pub(crate) fn is_there(path: &Path) -> bool {
    path.exists()
}

/// Why this host cannot be rehearsed on; `None` if it can.
pub fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can make network namespaces".to_owned());
    }
    if !is_there(Path::new("/dev/net/tun")) {
        return Some("there is no /dev/net/tun".to_owned());
    }
    run("ip", &["-V"]).err().map(|error| format!("{error:#}; run scripts/setup"))
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// When it cannot be started, or ends with another status than 0; what it said is in the error.
pub fn run(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {} ended with {}: {}", arguments.join(" "), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
