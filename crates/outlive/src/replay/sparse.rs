//! Copying files that are mostly holes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use outlive_machine::host::sparse::next_data;

/// Copies what `from` holds into `to`, which is all holes and as long.
pub(super) fn copy(mut from: &File, mut to: &File) -> io::Result<()> {
    let end = from.seek(SeekFrom::End(0))?;
    let mut at = 0;
    while let Some(data) = next_data(from, at..end) {
        from.seek(SeekFrom::Start(data.start))?;
        to.seek(SeekFrom::Start(data.start))?;
        let length = data.end - data.start;
        if io::copy(&mut from.take(length), &mut to)? < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        at = data.end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    #[test]
    fn a_copy_has_the_same_bytes_and_no_fewer_holes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let from = File::create_new(path("from")).unwrap();
        from.set_len(64 << 20).unwrap();
        for (at, bytes) in [(5u64, &b"begin"[..]), (20 << 20, b"middle"), ((64 << 20) - 3, b"end")] {
            from.write_all_at(bytes, at).unwrap();
        }
        let to = File::create_new(path("to")).unwrap();
        to.set_len(64 << 20).unwrap();
        copy(&File::open(path("from")).unwrap(), &to).unwrap();
        assert!(fs::read(path("from")).unwrap() == fs::read(path("to")).unwrap());
        assert!(to.metadata().unwrap().blocks() < 1024, "holes stay holes");
    }

    #[test]
    fn an_empty_file_and_one_hole_are_copied() {
        for length in [0, 1 << 20] {
            let from = tempfile::tempfile().unwrap();
            let to = tempfile::tempfile().unwrap();
            from.set_len(length).unwrap();
            to.set_len(length).unwrap();
            copy(&from, &to).unwrap();
            assert_eq!(to.metadata().unwrap().blocks(), 0);
        }
    }
}
