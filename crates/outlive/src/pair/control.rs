//! The socket at which a side tells how it stands.

use std::fs;
use std::io::{self, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::Context;
use outlive_replication::driver::StatusBoard;

use super::runtime_folder;

/// Whoever connects is told the status as one line of JSON. The socket is gone when this is dropped.
#[derive(Debug)]
pub(super) struct ControlSocket(PathBuf);

impl ControlSocket {
    /// Opens the socket at this path, or one for the machine of this name in the usual folder.
    ///
    /// # Errors
    /// When the host refuses it, or somebody listens there.
    pub(super) fn open(path: Option<&Path>, name: &str, board: StatusBoard) -> anyhow::Result<Self> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => {
                let folder = runtime_folder();
                fs::create_dir_all(&folder)
                    .with_context(|| format!("cannot make the folder {}", folder.display()))?;
                folder.join(format!("{name}.{}.sock", std::process::id()))
            }
        };
        let listener = bind(&path).with_context(|| format!("cannot open the socket {}", path.display()))?;
        let socket = Self(path);
        let serve = move || {
            for connection in listener.incoming() {
                if let Err(error) = connection.and_then(|connection| tell(connection, &board)) {
                    tracing::debug!(%error, "somebody who asked for the status was not told");
                }
            }
        };
        std::thread::Builder::new().name("control".to_owned()).spawn(serve)?;
        Ok(socket)
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Whoever asks there now finds nobody.
        let _ = fs::remove_file(&self.0);
    }
}

/// Takes the path, also if a side that is dead has left it there.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_over(path) => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        other => other,
    }
}

/// Whether nobody listens at a socket.
pub(super) fn is_left_over(path: &Path) -> bool {
    let refused = std::os::unix::net::UnixStream::connect(path);
    matches!(refused, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

fn tell(mut to: impl Write, board: &StatusBoard) -> io::Result<()> {
    let mut line = serde_json::to_vec(&board.read())?;
    line.push(b'\n');
    to.write_all(&line)
}
