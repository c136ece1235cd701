//! Files with holes: where there is something to read.

use std::fs::File;
use std::ops::Range;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// The next part of a file that may hold other than zeros, within `range`; `None` if the rest of it is a hole. Moves
/// the file's own position.
pub fn next_data(file: &File, range: Range<u64>) -> Option<Range<u64>> {
    if range.is_empty() {
        return None;
    }
    match seek(file, SeekFrom::Data(range.start)) {
        Ok(data) if data < range.end => {
            let hole = seek(file, SeekFrom::Hole(data)).unwrap_or(range.end);
            Some(data..hole.min(range.end))
        }
        Ok(_) | Err(Errno::NXIO) => None,
        // A host that does not tell, as for block devices: look everywhere.
        Err(_) => Some(range),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn holes_are_left_out_and_the_range_is_kept() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        assert_eq!(next_data(&file, 0..1 << 20), None);
        file.write_all_at(&[1; 0x1_0000], 0x4_0000).unwrap();
        assert_eq!(next_data(&file, 0..1 << 20), Some(0x4_0000..0x5_0000));
        assert_eq!(next_data(&file, 0x4_8000..0x4_9000), Some(0x4_8000..0x4_9000));
        assert_eq!(next_data(&file, 0..0x4_0000), None);
        assert_eq!(next_data(&file, 0x5_0000..1 << 20), None);
        assert_eq!(next_data(&file, 0x4_8000..0x4_8000), None);
    }

    #[test]
    fn a_file_that_tells_no_holes_is_all_data() {
        let pipe = File::from(std::os::fd::OwnedFd::from(std::io::pipe().unwrap().0));
        assert_eq!(next_data(&pipe, 3..9), Some(3..9));
    }
}
