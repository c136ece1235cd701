use std::os::unix::fs::FileExt;

use rustix::fs::fcntl_getfl;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::*;

const PAGE: usize = 4096;

/// An image of 64 KiB.
fn image(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("disk");
    std::fs::write(&path, vec![1; 64 << 10]).unwrap();
    path
}

#[test]
fn a_backup_opens_the_disk_that_its_primary_has_locked_and_takes_the_lock_when_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    for read_only in [true, false] {
        let path = image(&folder);
        let primary = DiskImage::open_shared(&path, read_only, Sharing::PairPrimary).unwrap();
        let backup = DiskImage::open_shared(&path, read_only, Sharing::PairBackup).unwrap();
        assert_eq!((backup.sectors(), backup.read_only()), (128, read_only));
        // Readers share a lock.
        let held = if read_only { Lock::Taken } else { Lock::HeldByOther };
        assert_eq!(backup.go_live().unwrap(), held);
        drop(primary);
        assert_eq!(backup.go_live().unwrap(), Lock::Taken);
        let third = DiskImage::open(&path, false);
        assert!(matches!(third, Err(DiskError::InUse { .. })), "{third:?}");
    }
}

#[test]
fn a_primary_does_not_share_its_disk_with_a_machine_that_is_no_backup() {
    let folder = tempfile::tempdir().unwrap();
    let path = image(&folder);
    let _primary = DiskImage::open_shared(&path, false, Sharing::PairPrimary).unwrap();
    for sharing in [Sharing::Alone, Sharing::PairPrimary] {
        let other = DiskImage::open_shared(&path, false, sharing);
        assert!(matches!(other, Err(DiskError::InUse { .. })), "{sharing:?}: {other:?}");
    }
}

#[test]
fn what_a_pair_writes_is_on_the_storage_when_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for (sharing, through) in
        [(Sharing::Alone, false), (Sharing::PairPrimary, true), (Sharing::PairBackup, true)]
    {
        let image = DiskImage::open_shared(&image(&folder), false, sharing).unwrap();
        // What rustix calls DSYNC is O_SYNC, which has a bit more.
        let flags = fcntl_getfl(&image.file).unwrap().bits();
        assert_eq!(flags & libc::O_DSYNC as u32 != 0, through, "{sharing:?}");
    }
}

/// How many pages of the file are in the host's cache.
fn cached_pages(file: &File) -> usize {
    let bytes = file.metadata().unwrap().len() as usize;
    let mut pages = vec![0; bytes.div_ceil(PAGE)];
    // SAFETY: a new mapping, which nothing but mincore(2) looks at before it is gone; there is one byte per page.
    unsafe {
        let mapping = mmap(std::ptr::null_mut(), bytes, ProtFlags::READ, MapFlags::SHARED, file, 0).unwrap();
        assert_eq!(libc::mincore(mapping, bytes, pages.as_mut_ptr()), 0);
        munmap(mapping, bytes).unwrap();
    }
    pages.iter().filter(|&page| page & 1 != 0).count()
}

#[test]
fn who_goes_live_reads_nothing_from_an_old_cache() {
    let folder = tempfile::tempdir().unwrap();
    if rustix::fs::statfs(folder.path()).unwrap().f_type == libc::TMPFS_MAGIC {
        eprintln!("SKIPPED: the folder for temporary files is a tmpfs, which is nothing but a cache");
        return;
    }
    let path = image(&folder);
    let backup = DiskImage::open_shared(&path, false, Sharing::PairBackup).unwrap();
    backup.file.sync_data().unwrap();
    backup.file.read_exact_at(&mut vec![0; 64 << 10], 0).unwrap();
    assert_eq!(cached_pages(&backup.file), (64 << 10) / PAGE);
    backup.go_live().unwrap();
    assert_eq!(cached_pages(&backup.file), 0);
}
