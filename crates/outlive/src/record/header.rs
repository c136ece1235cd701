//! The header of a new log: all that a replay needs to build the machine again.

use anyhow::Context;
use outlive_engine::Capabilities;
use outlive_log::header::{Disk, Header};
use outlive_machine::host::disk::DiskImage;

use crate::config;
use crate::description::{self, Description};
use crate::images::recorded_path;
use crate::live::Preparation;

/// The header for a machine that an engine with these capabilities will run. Reads the disks, to digest them.
///
/// # Errors
/// When a disk cannot be read, or the host has no random seed to give.
pub(crate) fn of(preparation: &Preparation, engine: Capabilities) -> anyhow::Result<Header> {
    let Preparation { config, images, disks } = preparation;
    let description = Description::of_config(config, disks, engine.time_reads)?;
    let disks = config.disk.iter().zip(disks).zip(&description.disks);
    let disks = disks.map(|((config, image), seen)| disk(config, image, seen));
    Ok(Header {
        engine: engine.engine.to_string(),
        counting: outlive_replay::counting(engine.landing),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        recorded: description::unix_now(),
        machine: description.header_machine(),
        kernel: images.kernel.header(),
        initramfs: images.initramfs.as_ref().map(|image| image.header()),
        disk: disks.collect::<anyhow::Result<_>>()?,
        network: description.header_networks(),
    })
}

fn disk(config: &config::Disk, image: &DiskImage, seen: &description::Disk) -> anyhow::Result<Disk> {
    let digest = image.contents_digest();
    let digest = digest.with_context(|| format!("cannot read the disk image {}", config.path.display()))?;
    Ok(Disk {
        path: recorded_path(&config.path),
        sectors: seen.sectors,
        read_only: seen.read_only,
        serial: seen.serial.clone(),
        digest: digest.0,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use outlive_engine::{EngineKind, Landing, TimeReads};
    use outlive_log::header::Counting;

    use super::*;

    const SOFT: Capabilities = Capabilities {
        engine: EngineKind::Soft,
        landing: Landing::AnyInstruction,
        time_reads: TimeReads::Trapped,
    };
    const KVM: Capabilities = Capabilities {
        engine: EngineKind::Kvm,
        landing: Landing::AtExits,
        time_reads: TimeReads::MustBeRewritten,
    };

    fn preparation(folder: &std::path::Path) -> Preparation {
        let text = "memory = \"16M\"\nkernel = \"vmlinux\"\ninitramfs = \"initramfs\"\nwall-clock = 7\n\
                    command-line = \"quiet\"\n[[disk]]\npath = \"disk\"\nread-only = true\n[[network]]\ntap = \"x\"";
        fs::write(folder.join("machine.toml"), text).unwrap();
        fs::write(folder.join("vmlinux"), "a kernel").unwrap();
        fs::write(folder.join("initramfs"), "files").unwrap();
        fs::write(folder.join("disk"), [7; 1024]).unwrap();
        Preparation::of(&folder.join("machine.toml")).unwrap()
    }

    #[test]
    fn a_header_tells_the_machine_its_images_and_its_devices() {
        let folder = tempfile::tempdir().unwrap();
        let preparation = preparation(folder.path());
        let header = of(&preparation, SOFT).unwrap();
        assert_eq!((header.engine.as_str(), header.counting), ("soft", Counting::Steps));
        assert_eq!((header.machine.memory, header.machine.wall_clock), (16 << 20, 7));
        assert!(header.machine.command_line.starts_with("quiet virtio_mmio.device="));
        assert_eq!(header.kernel.digest, *blake3::hash(b"a kernel").as_bytes());
        assert_eq!(header.initramfs.as_ref().unwrap().bytes, 5);
        assert_eq!((header.disk[0].sectors, header.disk[0].read_only), (2, true));
        assert_eq!(header.disk[0].digest, preparation.disks[0].contents_digest().unwrap().0);
        assert_eq!(header.network[0].mac, "52:54:00:6f:6c:00");
    }

    #[test]
    fn a_machine_built_from_the_header_is_the_one_of_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let preparation = preparation(folder.path());
        for engine in [SOFT, KVM] {
            let header = of(&preparation, engine).unwrap();
            let mut built = Description::of_header(&header).unwrap();
            let wanted = Description::of_config(&preparation.config, &preparation.disks, engine.time_reads);
            // The configuration leaves the seed open.
            built.random_seed = [0; 32];
            assert_eq!(built, Description { random_seed: [0; 32], ..wanted.unwrap() });
        }
        assert_eq!(of(&preparation, KVM).unwrap().counting, Counting::Windows);
    }
}
