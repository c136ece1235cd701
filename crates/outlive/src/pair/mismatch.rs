//! Whether a backup has the machine that its primary wants to have replicated.

use std::path::Path;

use outlive_log::header::{Header, Image};

/// Finds what the two sides do not have in common. What a primary draws anew for each machine, and where files are on its
/// host, is not compared.
///
/// # Errors
/// When something differs: the first such thing, for a person.
pub(super) fn check(ours: &Header, theirs: &Header) -> Result<(), String> {
    differ("memory", &ours.machine.memory, &theirs.machine.memory)?;
    differ("command-line", &ours.machine.command_line, &theirs.machine.command_line)?;
    image("kernel", Some(&ours.kernel), Some(&theirs.kernel))?;
    image("initramfs", ours.initramfs.as_ref(), theirs.initramfs.as_ref())?;
    differ("number of disks", &ours.disk.len(), &theirs.disk.len())?;
    for (number, (ours, theirs)) in ours.disk.iter().zip(&theirs.disk).enumerate() {
        differ(&format!("size of disk {number}, in sectors,"), &ours.sectors, &theirs.sectors)?;
        differ(&format!("read-only of disk {number}"), &ours.read_only, &theirs.read_only)?;
        if ours.digest != theirs.digest {
            return Err(format!(
                "disk {number} has other contents here ({}) than at the primary ({}): both must open the same disk",
                path(&ours.path),
                path(&theirs.path)
            ));
        }
    }
    differ("number of networks", &ours.network.len(), &theirs.network.len())?;
    for (number, (ours, theirs)) in ours.network.iter().zip(&theirs.network).enumerate() {
        differ(&format!("mac of network {number}"), &ours.mac, &theirs.mac)?;
    }
    Ok(())
}

fn differ<T: PartialEq + std::fmt::Debug>(what: &str, ours: &T, theirs: &T) -> Result<(), String> {
    if ours == theirs {
        return Ok(());
    }
    Err(format!("the {what} is {ours:?} here, but {theirs:?} at the primary"))
}

fn image(what: &str, ours: Option<&Image>, theirs: Option<&Image>) -> Result<(), String> {
    match (ours, theirs) {
        (None, None) => Ok(()),
        (Some(ours), Some(theirs)) if ours.digest == theirs.digest => Ok(()),
        (Some(ours), Some(theirs)) => Err(format!(
            "the {what} is another one here ({}) than at the primary ({})",
            path(&ours.path),
            path(&theirs.path)
        )),
        (Some(_), None) => Err(format!("there is an {what} here, but none at the primary")),
        (None, Some(_)) => Err(format!("there is no {what} here, but one at the primary")),
    }
}

/// A path that may come from the other side, without what a terminal would obey.
fn path(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use outlive_log::header::{Counting, Disk, Machine, Network};

    use super::*;

    fn header() -> Header {
        let image = |digest| Image { path: "x".into(), bytes: 1, digest: [digest; 32] };
        Header {
            engine: "soft".to_owned(),
            counting: Counting::Steps,
            version: String::new(),
            recorded: 0,
            machine: Machine {
                memory: 16 << 20,
                command_line: "quiet".to_owned(),
                random_seed: [0; 32],
                wall_clock: 0,
                rewritten_time_reads: false,
            },
            kernel: image(1),
            initramfs: Some(image(2)),
            disk: vec![Disk {
                path: "d".into(),
                sectors: 8,
                read_only: false,
                serial: String::new(),
                digest: [3; 32],
            }],
            network: vec![Network { mac: "52:54:00:00:00:01".to_owned() }],
        }
    }

    fn refusal(change: impl FnOnce(&mut Header)) -> String {
        let mut theirs = header();
        change(&mut theirs);
        check(&header(), &theirs).unwrap_err()
    }

    #[test]
    fn whatever_makes_another_machine_is_told_by_name() {
        check(&header(), &header()).unwrap();
        assert!(refusal(|theirs| theirs.machine.memory = 1).contains("memory"));
        assert!(refusal(|theirs| theirs.machine.command_line.clear()).contains("command-line"));
        assert!(refusal(|theirs| theirs.kernel.digest = [9; 32]).contains("kernel"));
        assert!(refusal(|theirs| theirs.initramfs = None).contains("initramfs"));
        assert!(refusal(|theirs| theirs.disk.clear()).contains("number of disks"));
        assert!(refusal(|theirs| theirs.disk[0].sectors = 9).contains("disk 0"));
        assert!(refusal(|theirs| theirs.disk[0].digest = [9; 32]).contains("same disk"));
        assert!(refusal(|theirs| theirs.network[0].mac.clear()).contains("mac of network 0"));
    }

    #[test]
    fn what_each_machine_draws_anew_is_the_primarys_to_say() {
        let mut theirs = header();
        theirs.machine.random_seed = [7; 32];
        theirs.machine.wall_clock = 7;
        theirs.kernel.path = "elsewhere".into();
        check(&header(), &theirs).unwrap();
    }
}
