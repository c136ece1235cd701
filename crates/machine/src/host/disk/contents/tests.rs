use std::fs::{File, OpenOptions};
use std::path::Path;

use proptest::prelude::*;

use super::*;

fn digest(path: &Path) -> Digest {
    DiskImage::open(path, true).unwrap().contents_digest().unwrap()
}

/// Creates an image with holes wherever nothing is written.
fn create(path: &Path, bytes: u64, written: &[(u64, Vec<u8>)]) -> File {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path).unwrap();
    file.set_len(bytes).unwrap();
    written.iter().for_each(|(at, data)| file.write_all_at(data, *at).unwrap());
    file
}

#[test]
fn every_bit_and_the_place_of_each_block_is_in_the_digest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let bytes = 3 * BLOCK + SECTOR;
    let file = create(&path, bytes, &[(0, vec![1; bytes as usize])]);
    let full = digest(&path);
    for at in [0, BLOCK - 1, BLOCK, 2 * BLOCK + 77, 3 * BLOCK, bytes - 1] {
        file.write_all_at(&[1 ^ 0x10], at).unwrap();
        assert_ne!(digest(&path), full, "byte {at}");
        file.write_all_at(&[1], at).unwrap();
        assert_eq!(digest(&path), full);
    }
    let block = vec![7; BLOCK as usize];
    let places = [0, BLOCK, 2 * BLOCK].map(|at| {
        create(&path, bytes, &[(at, block.clone())]);
        digest(&path)
    });
    assert!(places[0] != places[1] && places[1] != places[2] && places[0] != places[2]);
}

#[test]
fn the_length_is_in_the_digest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let of_length = |bytes| {
        create(&path, bytes, &[(0, vec![1; 512])]);
        digest(&path)
    };
    assert_ne!(of_length(BLOCK), of_length(BLOCK + SECTOR));
    assert_ne!(of_length(BLOCK), of_length(2 * BLOCK));
}

#[test]
fn holes_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    // Four tebibytes, which would take an hour.
    create(&path, 4 << 40, &[(3 << 40, b"here".to_vec())]);
    let far = digest(&path);
    create(&path, 4 << 40, &[(2 << 40, b"here".to_vec())]);
    assert_ne!(digest(&path), far);
}

#[test]
fn an_image_that_has_become_shorter_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let file = create(&path, 2 * BLOCK, &[(0, vec![1; 2 * BLOCK as usize])]);
    let image = DiskImage::open(&path, true).unwrap();
    file.set_len(BLOCK + 1).unwrap();
    assert_eq!(image.contents_digest().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

/// A digest stands in the header of a log. If this one changes, logs of before do not fit their disks any more.
#[test]
fn the_digest_of_contents_is_frozen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    create(&path, 3 * BLOCK + SECTOR, &[(BLOCK + 5, b"outlive".to_vec()), (3 * BLOCK + 511, vec![9])]);
    assert_eq!(digest(&path).to_string(), "b0841d0511d70fb999560766c2a0a234bbfff3388c7505061ec5a79fef24551b");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn written_zeros_and_holes_are_alike(
        sectors in 1u64..1500,
        written in prop::collection::vec((any::<prop::sample::Index>(), 0u8..3, 1usize..100_000), 0..8),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let bytes = sectors * SECTOR;
        let mut contents = vec![0; bytes as usize];
        let mut parts = Vec::new();
        for (at, value, length) in written {
            let at = at.index(contents.len());
            let part = &mut contents[at..];
            let length = length.min(part.len());
            part[..length].fill(value);
            parts.push((at as u64, vec![value; length]));
        }
        let [sparse, dense] = ["sparse", "dense"].map(|name| folder.path().join(name));
        create(&sparse, bytes, &parts);
        create(&dense, bytes, &[(0, contents)]);
        prop_assert_eq!(digest(&sparse), digest(&dense));
    }
}
