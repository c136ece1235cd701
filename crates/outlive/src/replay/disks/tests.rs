use super::*;

const SECTORS: u64 = 64;

fn header_disk(path: &Path, contents: &[u8]) -> header::Disk {
    fs::write(path, contents).unwrap();
    let digest = DiskImage::open(path, true).unwrap().contents_digest().unwrap().0;
    header::Disk { path: path.to_owned(), sectors: SECTORS, read_only: false, serial: String::new(), digest }
}

/// A disk of sectors that hold their own numbers.
fn numbered() -> Vec<u8> {
    (0..SECTORS).flat_map(|sector| [sector as u8; SECTOR as usize]).collect()
}

fn bytes(byte: u8, sectors: u64) -> Vec<u8> {
    vec![byte; (sectors * SECTOR) as usize]
}

fn output(folder: &Path, disk: &header::Disk, given: Option<&Path>) -> Result<DiskOutput, String> {
    let wanted = DiskFile { position: 0, path: folder.join("out") };
    DiskOutput::create(&wanted, disk, given).map_err(|failure| failure.to_string())
}

/// Writes, reads what was there before, and reads again, as a guest may with requests under way at once.
fn requests(output: &mut DiskOutput) {
    let read = DiskOperation::Read { sector: 8, bytes: 4 * SECTOR as u32 };
    output.request(DiskRequestId(0), &read).unwrap();
    let write = DiskOperation::Write { sector: 10, data: bytes(0xaa, 1) };
    output.request(DiskRequestId(1), &write).unwrap();
    output.request(DiskRequestId(2), &DiskOperation::Flush).unwrap();
    let before = numbered()[8 * SECTOR as usize..12 * SECTOR as usize].to_vec();
    output.completion(DiskRequestId(0), &before).unwrap();
    output.completion(DiskRequestId(1), &[]).unwrap();
    output.completion(DiskRequestId(2), &[]).unwrap();
}

fn sector(contents: &[u8], sector: usize) -> u8 {
    contents[sector * SECTOR as usize]
}

#[test]
fn a_copy_of_the_disk_with_all_writes_is_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = header_disk(&folder.path().join("disk"), &numbered());
    let mut output = output(folder.path(), &disk, None).unwrap();
    requests(&mut output);
    output.keep().unwrap();
    drop(output);
    let mut expected = numbered();
    expected[10 * SECTOR as usize..11 * SECTOR as usize].fill(0xaa);
    assert_eq!(fs::read(folder.path().join("out")).unwrap(), expected);
    assert_eq!(fs::read(folder.path().join("disk")).unwrap(), numbered(), "the disk itself is left alone");
}

#[test]
fn without_the_disk_as_it_was_there_is_what_the_guest_read_and_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let disk = header_disk(&folder.path().join("disk"), &numbered());
    fs::write(folder.path().join("disk"), bytes(0xff, SECTORS)).unwrap();
    let mut output = output(folder.path(), &disk, None).unwrap();
    requests(&mut output);
    output.keep().unwrap();
    let contents = fs::read(folder.path().join("out")).unwrap();
    assert_eq!(contents.len() as u64, SECTORS * SECTOR);
    let found: Vec<u8> = (7..13).map(|at| sector(&contents, at)).collect();
    assert_eq!(
        found,
        [0, 8, 9, 0xaa, 11, 0],
        "a late answer to a read changes nothing that was written since"
    );
}

#[test]
fn a_disk_that_is_given_must_be_the_one_that_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let disk = header_disk(&folder.path().join("disk"), &numbered());
    let path = |name: &str| folder.path().join(name);
    fs::write(path("copy"), numbered()).unwrap();
    fs::write(path("other"), bytes(1, SECTORS)).unwrap();
    fs::write(path("short"), bytes(1, SECTORS - 1)).unwrap();
    drop(output(folder.path(), &disk, Some(&path("copy"))).unwrap());
    for (name, word) in [("other", "digest"), ("short", "63 sectors"), ("none", "No such file")] {
        let error = output(folder.path(), &disk, Some(&path(name))).unwrap_err();
        assert!(error.contains(word) && error.contains(name), "{error}");
        assert!(!path("out").exists(), "nothing is left behind");
    }
}

#[test]
fn a_file_that_exists_is_not_touched_and_a_disk_that_is_not_kept_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = header_disk(&folder.path().join("disk"), &numbered());
    drop(output(folder.path(), &disk, None).unwrap());
    assert!(!folder.path().join("out").exists());
    fs::write(folder.path().join("out"), "mine").unwrap();
    let error = output(folder.path(), &disk, None).unwrap_err();
    assert!(error.contains("File exists") && error.contains("out"), "{error}");
    assert_eq!(fs::read(folder.path().join("out")).unwrap(), b"mine");
}

#[test]
fn a_file_may_have_a_disk_number_before_it() {
    let parse = |text: &str| DiskFile::parse(text.into()).map(|file| (file.position, file.path));
    assert_eq!(parse("disk.img"), Ok((0, "disk.img".into())));
    assert_eq!(parse("3=disk.img"), Ok((3, "disk.img".into())));
    assert_eq!(parse("0=1=x"), Ok((0, "1=x".into())));
    assert_eq!(parse("a=b"), Ok((0, "a=b".into())));
    assert_eq!(parse("=b"), Ok((0, "=b".into())));
    for bad in ["", "1=", "99999999999999999999999=x"] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
