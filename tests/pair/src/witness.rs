//! What a host has done to the world: frames that left it, and a disk image that was written to.

use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;

use crate::topology::{Host, Topology};

/// How things stood at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Witness {
    frames: u64,
    disk: Option<DiskState>,
}

/// The contents of an image, and when somebody wrote to it last: that tells of writes that changed nothing, too.
#[derive(Clone, PartialEq, Eq, Debug)]
struct DiskState {
    digest: blake3::Hash,
    written: SystemTime,
}

impl Witness {
    /// Looks at the frames that one host has sent, and at a disk.
    ///
    /// # Errors
    /// When the host does not tell, or the image cannot be read.
    pub fn look(topology: &Topology, host: Host, disk: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self { frames: topology.frames_from(host)?, disk: disk.map(DiskState::look).transpose()? })
    }

    /// That nothing has happened between this look and a later one.
    ///
    /// # Errors
    /// What has happened, in words.
    pub fn nothing_until(&self, later: &Self) -> Result<String, String> {
        let frames = later.frames.saturating_sub(self.frames);
        if frames > 0 {
            return Err(format!("{frames} frames left the host"));
        }
        match (&self.disk, &later.disk) {
            (Some(before), Some(after)) if before != after => Err("the disk was written to".to_owned()),
            (Some(_), Some(_)) => Ok("no frame, no sector".to_owned()),
            _ => Ok("no frame; this guest has no disk".to_owned()),
        }
    }
}

impl DiskState {
    fn look(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read {}", path.display());
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path).with_context(cannot)?).with_context(cannot)?;
        let written = fs::metadata(path).and_then(|metadata| metadata.modified()).with_context(cannot)?;
        Ok(Self { digest: hasher.finalize(), written })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_noticed_even_if_it_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        fs::write(&path, [7; 512]).unwrap();
        let look = || Witness { frames: 3, disk: Some(DiskState::look(&path).unwrap()) };
        let before = look();
        before.nothing_until(&look()).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(before.nothing_until(&look()), Err("the disk was written to".to_owned()));
    }

    #[test]
    fn a_frame_is_noticed() {
        let look = |frames| Witness { frames, disk: None };
        look(3).nothing_until(&look(3)).unwrap();
        assert!(look(3).nothing_until(&look(4)).unwrap_err().contains("1 frames"));
    }
}
