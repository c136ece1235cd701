//! One network namespace.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::thread::{self, JoinHandle};

use anyhow::{Context, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::checkout::run;
use crate::leftovers::Guard;

/// A network namespace of our own. It is gone when this is dropped, and its interfaces with it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    _guard: Guard,
}

impl Namespace {
    /// Makes a namespace without any interface but `lo`, and without IPv6.
    pub(super) fn new(name: &str) -> anyhow::Result<Self> {
        run("ip", &["netns", "add", name])?;
        let namespace = Self { name: name.to_owned(), _guard: Guard::namespace(name) };
        namespace.within(forbid_ipv6)??;
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// As `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` with these arguments in it.
    pub(super) fn ip(&self, arguments: &[&str]) -> anyhow::Result<()> {
        run("ip", &[&["-n", &self.name], arguments].concat()).map(drop)
    }

    /// Makes a bridge that forwards at once and says nothing by itself.
    pub(super) fn make_bridge(&self, name: &str) -> anyhow::Result<()> {
        let kind = ["type", "bridge", "forward_delay", "0", "stp_state", "0", "mcast_snooping", "0"];
        self.ip(&[&["link", "add", name][..], &kind].concat())?;
        self.ip(&["link", "set", name, "up"])
    }

    /// Does something in it: sockets that are opened there stay there.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn within<T: Send>(&self, action: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        let name = self.name.clone();
        let action = move || {
            enter(&name)?;
            Ok(action())
        };
        thread::scope(|scope| scope.spawn(action).join()).map_err(|_| anyhow!("a thread has panicked"))?
    }

    /// Starts a thread in it.
    pub fn start<T: Send + 'static>(
        &self,
        action: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> JoinHandle<anyhow::Result<T>> {
        let name = self.name.clone();
        thread::spawn(move || {
            enter(&name)?;
            action()
        })
    }
}

/// Moves the calling thread into a namespace. What is in `/proc/sys/net` is then the namespace's.
fn enter(name: &str) -> anyhow::Result<()> {
    let cannot = || format!("cannot enter the network namespace {name}");
    let file = File::open(Path::new("/run/netns").join(name)).with_context(cannot)?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).with_context(cannot)
}

fn forbid_ipv6() -> anyhow::Result<()> {
    for scope in ["all", "default"] {
        match fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "1") {
            // A kernel without IPv6 is as good.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.context("cannot switch IPv6 off")?,
        }
    }
    Ok(())
}
