use proptest::prelude::*;

use super::*;
use crate::batch::{BatchDecoder, BatchEncoder, COMPRESSED, Damage, NumberedEntry};
use crate::encoding::DecodeError;
use crate::encoding::tests::entries;
use crate::entry::{Entry, EntryNumber, Input};
use crate::file::FRAME_BYTES;
use crate::file::section::{Kind, put_section};
use crate::sample::{self, at, tick, time};
use outlive_engine::InstructionCount;

fn batch(entries: &[Entry]) -> Vec<u8> {
    let mut encoder = BatchEncoder::new(EntryNumber(0));
    for entry in entries {
        encoder.push(entry, InstructionCount(0)).unwrap();
    }
    let mut bytes = Vec::new();
    encoder.finish(&mut bytes);
    bytes
}

/// A compressed batch of so many entries, with good checksums, around whatever takes the place of the frame.
fn around(frame: &[u8], entries: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_section(Kind::Batch, &[&[COMPRESSED, entries, 0, 0, 0, 0, 0, 0], frame], &mut bytes);
    bytes
}

fn read(bytes: Vec<u8>) -> Result<Vec<NumberedEntry>, Damage> {
    let mut decoder = BatchDecoder::new(bytes)?;
    let mut entries = Vec::new();
    while let Some(entry) = decoder.next_entry()? {
        entries.push(entry);
    }
    Ok(entries)
}

#[track_caller]
fn refused(frame: &[u8]) -> CompressionError {
    match BatchDecoder::new(around(frame, 1)) {
        Err(Damage::Compression(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// A frame that claims this length in eight bytes, of blocks: their header, and what stands behind it.
fn frame(length: u64, blocks: &[(u32, &[u8])]) -> Vec<u8> {
    // Magic number; length in eight bytes, one segment, no checksum, no dictionary.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1110_0000];
    frame.extend_from_slice(&length.to_le_bytes());
    for (header, content) in blocks {
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.extend_from_slice(content);
    }
    frame
}

const LAST: u32 = 1;

/// The header of a block that says one byte so many times.
fn repeated(times: u32) -> u32 {
    times << 3 | 1 << 1
}

/// The header of a block that holds so many bytes as they are.
fn raw(bytes: u32) -> u32 {
    bytes << 3
}

proptest! {
    #[test]
    fn entries_that_repeat_are_compressed_and_come_back(entries in entries(), times in 2..40usize) {
        let entries: Vec<_> = std::iter::repeat_n(&entries, times).flatten().cloned().collect();
        let mut encoder = BatchEncoder::new(EntryNumber(0));
        let (mut body, mut lengths) = (0, Vec::new());
        for entry in &entries {
            let length = encoder.push(entry, InstructionCount(0)).unwrap();
            (body, lengths) = (body + length, [lengths, vec![length as u32]].concat());
        }
        let (most, mut bytes) = (encoder.bytes(), Vec::new());
        encoder.finish(&mut bytes);
        prop_assert!(bytes.len() <= most);
        if entries.is_empty() {
            return Ok(());
        }
        prop_assert_eq!(bytes[FRAME_BYTES] == COMPRESSED, bytes.len() < most);
        let mut decoder = BatchDecoder::new(bytes.clone()).unwrap();
        prop_assert_eq!(decoder.saved_bytes(), (most - bytes.len()) as i64);
        let mut read = decoder.bytes_read();
        for (entry, length) in entries.iter().zip(lengths) {
            let found = decoder.next_entry().unwrap().unwrap();
            prop_assert_eq!((&found.entry, found.bytes), (entry, length));
            prop_assert!(read <= decoder.bytes_read() && decoder.bytes_read() <= bytes.len());
            prop_assert!(decoder.offset() <= decoder.bytes_read());
            read = decoder.bytes_read();
        }
        prop_assert_eq!(decoder.next_entry().unwrap(), None);
        prop_assert_eq!(read, bytes.len());
    }

    #[test]
    fn anything_that_is_called_compressed_is_a_batch_or_an_error(frame: Vec<u8>, count in 1..6u8) {
        let _ = read(around(&frame, count));
    }

    #[test]
    fn any_blocks_of_a_good_frame_are_a_batch_or_an_error(
        length in 0..400u64, blocks: Vec<(u32, Vec<u8>)>, count in 1..6u8
    ) {
        let blocks: Vec<_> = blocks.iter().map(|(header, content)| (*header, &content[..])).collect();
        let _ = read(around(&frame(length, &blocks), count));
    }
}

#[test]
fn an_idle_guest_takes_less_than_two_thirds() {
    let entries: Vec<_> = (1..=100)
        .flat_map(|n| {
            let here = at(14 * n, 0, sample::KERNEL);
            let read = Entry::Time(time(10_000_000 * n + 90_000));
            [tick(here, 10_000_000 * n), sample::interrupt(here, 32, (n * 40_503) as u16), read]
        })
        .collect();
    let decoder = BatchDecoder::new(batch(&entries)).unwrap();
    let saved = usize::try_from(decoder.saved_bytes()).unwrap();
    assert!(3 * decoder.bytes() < 2 * (decoder.bytes() + saved), "{saved} of {} more", decoder.bytes());
}

#[test]
fn a_short_body_and_one_that_gets_no_shorter_stay_as_they_are() {
    let mut compressor = Compressor::default();
    assert_eq!(compressor.compress(&[7; COMPRESSED_FROM - 1], &[], LEVEL), None);
    assert!(compressor.context.is_none(), "no memory was taken");
    assert!(compressor.compress(&[7; COMPRESSED_FROM], &[], LEVEL).is_some_and(|frame| frame.len() < 30));
    assert_eq!(compressor.compress(&sample::noise(1, 10_000), &[], LEVEL), None);
}

/// Frozen as bytes, for another zstd may compress otherwise: what was compressed once stays readable.
#[test]
fn a_frame_that_was_once_made_is_read() {
    let batch = FROZEN.split_whitespace().collect::<String>();
    let byte = |at| u8::from_str_radix(&batch[at..at + 2], 16).unwrap();
    let bytes: Vec<_> = (0..batch.len()).step_by(2).map(byte).collect();
    assert_eq!(bytes[FRAME_BYTES], COMPRESSED);
    let found: Vec<_> = read(bytes).unwrap().into_iter().map(|entry| entry.entry).collect();
    assert_eq!(found, sample::entries());
}

const FROZEN: &str = "
    4224010000c574470b0f4a9d1d011b00000000000028b52ffd603a03dd0700e20c32354073d201838031f924317020a5acdc
    bfda3dd8ff8da1e90ab98ed0889eb00f133262b844708bbe98c90e93d102d536ebdf7bef940233aa18efea2b911014c8c561
    1a495da80f01b8e1df246b3f30b6af725192ec738237fa538ce2c40296f1326a51e535926563cac3f9a5cc751147caaf5aca
    3fbb7dc03730516bc795689350db99091c14003ee7db90f6a250c3ce39e7c90f22b2eb288ac903d2e768418ba70bbb28c4b0
    8f1d7eb7468087c67ec9b2ba5928601709b6df5b41d827d3ac86150de3a1a504010a1200299644e9f10b0775372957f88612
    0327a3aeada013c05dab903917811e39504f204026d01c68186824008d4909f0efbeefbe39efbe3412efbeefbe3512361277
    77efbeefbe
";

#[test]
fn a_frame_can_be_made_by_hand() {
    // The entry that is one zero byte tells the time that was told before.
    let found = read(around(&frame(3, &[(repeated(2), &[0]), (raw(1) | LAST, &[0])]), 3)).unwrap();
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|found| found.entry == Entry::Time(time(0)) && found.bytes == 1));
}

#[test]
fn damage_within_a_compressed_batch_is_told_at_its_beginning() {
    let two = frame(2, &[(raw(2) | LAST, &[0, 0])]);
    let error = read(around(&two, 3)).unwrap_err();
    assert!(matches!(error, Damage::Entry { number: EntryNumber(2), at: 0, .. }), "{error:?}");
    let mut decoder = BatchDecoder::new(around(&two, 1)).unwrap();
    assert!(decoder.next_entry().unwrap().is_some());
    assert!(matches!(decoder.next_entry(), Err(Damage::Trailing(1))));
    assert_eq!(decoder.offset(), 0);
}

#[test]
fn what_does_not_begin_with_a_whole_frame_is_refused() {
    let one = frame(1, &[(raw(1) | LAST, &[0])]);
    assert!(read(around(&one, 1)).is_ok());
    for frame in [vec![], vec![0; 20], one[..one.len() - 1].to_vec()] {
        assert!(matches!(refused(&frame), CompressionError::Frame), "{frame:x?}");
    }
    // What follows a frame is noise, and there is none in this entry.
    for frame in [[&one[..], &[0]].concat(), one.repeat(2)] {
        assert!(matches!(read(around(&frame, 1)), Err(Damage::Trailing(_))), "{frame:x?}");
    }
    // A frame to be skipped has no entries.
    let skipped = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2];
    assert!(matches!(read(around(&skipped, 1)), Err(Damage::Entry { at: 0, .. })));
}

#[test]
fn noise_stands_behind_the_frame() {
    // An interrupt at the landmark that was told last, and its vector; the check is noise.
    let interrupt = frame(2, &[(raw(2) | LAST, &[0x22, 32])]);
    let batch = |noise: &[u8]| around(&[&interrupt[..], noise].concat(), 1);
    let found = read(batch(&[0x34, 0x12])).unwrap();
    assert_eq!((&found[0].entry, found[0].bytes), (&sample::interrupt(at(0, 0, 0), 32, 0x1234), 4));
    assert!(matches!(read(batch(&[0x34])), Err(Damage::Entry { source: DecodeError::Short, .. })));
    assert!(matches!(read(batch(&[0x34, 0x12, 0])), Err(Damage::Trailing(1))));
}

#[test]
fn a_frame_without_a_length_is_refused() {
    // A window of a kilobyte instead of a length.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 0, 9, 0, 0, 0];
    assert!(matches!(refused(&frame), CompressionError::NoLength));
}

#[test]
fn a_frame_that_is_longer_or_shorter_than_it_says_is_refused() {
    for length in [0, 1, 4, 100_000] {
        let error = refused(&frame(length, &[(raw(3) | LAST, &[0; 3])]));
        assert!(matches!(error, CompressionError::Content(_)), "{length}: {error:?}");
    }
}

#[test]
fn no_memory_is_taken_for_a_length_that_cannot_be() {
    let of_blocks = |count| {
        let block: (u32, &[u8]) = (repeated(MAXIMUM_BLOCK as u32), &[0]);
        let mut blocks = vec![block; count];
        blocks[count - 1].0 |= LAST;
        frame((count * MAXIMUM_BLOCK) as u64, &blocks)
    };
    let most = MAXIMUM_BYTES / MAXIMUM_BLOCK;
    let body = Decompressor::default().decompress(of_blocks(most), 0).unwrap();
    assert_eq!(body.0.len(), MAXIMUM_BYTES);
    // More than a batch may have, though the blocks really hold it.
    let bomb = of_blocks(most + 1);
    // More than so few blocks could hold, and more than any memory.
    let lies = [MAXIMUM_BYTES as u64, MAXIMUM_BYTES as u64 + 1, u64::MAX / 2, u64::MAX - 2];
    let lies = lies.map(|length| frame(length, &[(raw(1) | LAST, &[0])]));
    for frame in lies.iter().chain([&bomb]) {
        let mut decompressor = Decompressor::default();
        let error = decompressor.decompress(frame.clone(), 0).unwrap_err();
        assert!(matches!(error, CompressionError::Length(_)), "{error:?}");
        assert_eq!((decompressor.capacity(), decompressor.context.is_none()), (0, true));
    }
}

#[test]
fn memory_for_a_long_batch_is_not_kept() {
    let mut decompressor = Decompressor::default();
    let mut encoder = BatchEncoder::new(EntryNumber(0));
    for length in [8 << 20, 300, 8 << 20, 300] {
        let input = Input::Console(vec![7; length]);
        encoder.push(&Entry::Input { at: at(1, 0, 0), input }, InstructionCount(0)).unwrap();
        let mut bytes = Vec::new();
        encoder.finish(&mut bytes);
        let mut decoder = BatchDecoder::with_decompressor(bytes, &mut decompressor).unwrap();
        assert!(decoder.next_entry().unwrap().is_some() && decoder.capacity() >= length);
        assert!(decompressor.capacity() <= KEPT_BYTES);
    }
    // The body, what of it is compressed, and the frame.
    assert!(encoder.capacity() <= 3 * KEPT_BYTES, "{}", encoder.capacity());
}
