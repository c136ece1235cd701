//! Framing, with bytes that come in any pieces, and with bytes of strangers.

use std::slice::from_ref;

use proptest::collection::vec;
use proptest::prelude::{any, proptest};
use proptest::sample::Index;

use super::samples::{backup_hello, batch, from_backup, from_primary};
use super::*;

fn encoded<M: Message>(messages: &[M]) -> Vec<u8> {
    let mut bytes = Vec::new();
    messages.iter().for_each(|message| encode(message, &mut bytes).unwrap());
    bytes
}

fn trusting<M: Message>() -> Frames<M> {
    let mut frames = Frames::of_stranger();
    frames.trust();
    frames
}

/// A frame of any content.
fn frame(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32).to_le_bytes(), content].concat()
}

/// What the first frame of a trusted peer is.
fn first<M: Message>(bytes: &[u8]) -> Result<Option<M>, WireError> {
    let mut frames = trusting();
    frames.push(bytes);
    frames.next_message()
}

fn come_through<M: Message + PartialEq + std::fmt::Debug>(messages: &[M], cuts: &[Index]) {
    let bytes = encoded(messages);
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let mut frames = trusting::<M>();
    let mut found = Vec::new();
    for piece in cuts.windows(2) {
        frames.push(&bytes[piece[0]..piece[1]]);
        while let Some(message) = frames.next_message().unwrap() {
            found.push(message);
        }
    }
    assert_eq!(found, messages);
    assert!(!frames.is_within_message());
}

proptest! {
    #[test]
    fn messages_come_through_in_whatever_pieces(
        primary in vec(from_primary(), 0..8),
        backup in vec(from_backup(), 0..8),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        come_through(&primary, &cuts);
        come_through(&backup, &cuts);
    }

    #[test]
    fn a_message_is_there_with_its_last_byte_and_not_before(message in from_primary()) {
        let bytes = encoded(from_ref(&message));
        let (last, before) = bytes.split_last().unwrap();
        let mut frames = trusting();
        frames.push(before);
        assert!(frames.next_message().unwrap().is_none());
        frames.push(&[*last]);
        assert_eq!(frames.next_message().unwrap(), Some(message));
    }

    #[test]
    fn a_cut_frame_with_a_shorter_length_is_an_error(message in from_primary(), cut in any::<Index>()) {
        let content = &encoded(&[message])[LENGTH_BYTES..];
        let found = first::<FromPrimary>(&frame(&content[..cut.index(content.len())]));
        assert!(matches!(found, Err(WireError::Meaningless(_))), "{found:?}");
    }
}

#[test]
fn a_stranger_can_send_no_more_than_a_hello_takes() {
    let mut frames = Frames::<FromBackup>::of_stranger();
    let length = FromBackup::HELLO_LIMIT + 1;
    frames.push(&(length as u32).to_le_bytes());
    let limit = FromBackup::HELLO_LIMIT;
    let found = frames.next_message();
    assert!(
        matches!(found, Err(WireError::TooLong { length: l, limit: m }) if (l, m) == (length, limit)),
        "{found:?}"
    );
    frames.trust();
    assert!(frames.next_message().unwrap().is_none(), "a trusted peer may go on");
}

#[test]
fn a_header_of_any_length_that_a_log_may_have_fits_the_first_message() {
    let header = "x".repeat(MAXIMUM_HEADER);
    let hello = FromPrimary::Hello(Box::new(crate::message::PrimaryHello {
        header,
        ..samples::primary_hello(&"n".repeat(255))
    }));
    let mut frames = Frames::of_stranger();
    frames.push(&encoded(from_ref(&hello)));
    assert_eq!(frames.next_message().unwrap(), Some(hello));
}

#[test]
fn the_longest_batch_fits_and_a_longer_one_is_not_sent() {
    let longest = batch(3, FRAME_BYTES + MAXIMUM_BYTES);
    assert_eq!(first(&encoded(from_ref(&longest))).unwrap(), Some(longest));
    let mut bytes = encoded(&[FromPrimary::Leave]);
    let error = encode(&batch(3, FromPrimary::LIMIT), &mut bytes).unwrap_err();
    assert!(matches!(error, WireError::TooLong { .. }), "{error}");
    assert_eq!(bytes, encoded(&[FromPrimary::Leave]), "nothing was appended");
}

#[test]
fn what_is_claimed_takes_no_memory() {
    let mut frames = trusting::<FromPrimary>();
    frames.push(&(FromPrimary::LIMIT as u32).to_le_bytes());
    frames.push(&[1, 0, 0]);
    assert!(frames.next_message().unwrap().is_none());
    assert!(frames.memory() < 64, "{}", frames.memory());
    for size in 0..2000 {
        frames.push(&[0; 100]);
        assert!(frames.next_message().unwrap().is_none());
        assert!(frames.memory() <= 2 * (LENGTH_BYTES + 3 + 100 * (size + 1)) + 64);
    }
}

#[test]
fn memory_of_a_large_batch_is_given_back() {
    let mut frames = trusting::<FromPrimary>();
    frames.push(&encoded(&[batch(1, 20 << 20)]));
    assert!(frames.next_message().unwrap().is_some());
    assert!(frames.memory() <= 1 << 20, "{}", frames.memory());
}

#[test]
fn a_length_within_a_message_that_its_frame_does_not_have_is_an_error() {
    // A batch of 60 MiB, and a reason of as many bytes, in frames of a dozen.
    let claimed = [&[252], &(60u32 << 20).to_le_bytes()[..], b"abc"].concat();
    for content in [[&[1, 0, 0], &claimed[..]].concat(), [&[4], &claimed[..]].concat()] {
        let found = first::<FromPrimary>(&frame(&content));
        assert!(matches!(found, Err(WireError::Meaningless(_))), "{found:?}");
    }
}

#[test]
fn bytes_behind_a_message_are_an_error() {
    let found = first::<FromPrimary>(&frame(&[3, 0, 0]));
    assert!(matches!(found, Err(WireError::Trailing(2))), "{found:?}");
}

#[test]
fn unknown_kinds_are_errors() {
    for kind in [FromPrimary::KINDS as u8, 200] {
        let found = first::<FromPrimary>(&frame(&[kind]));
        assert!(matches!(found, Err(WireError::Kind(k)) if k == u32::from(kind)), "{found:?}");
    }
    for kind in [FromBackup::KINDS as u8, 200] {
        let found = first::<FromBackup>(&frame(&[kind]));
        assert!(matches!(found, Err(WireError::Kind(k)) if k == u32::from(kind)), "{found:?}");
    }
}

#[test]
fn all_kinds_below_the_number_of_kinds_are_known() {
    for kind in 0..FromPrimary::KINDS as u8 {
        assert!(!matches!(first::<FromPrimary>(&frame(&[kind])), Err(WireError::Kind(_))), "{kind}");
    }
    for kind in 0..FromBackup::KINDS as u8 {
        assert!(!matches!(first::<FromBackup>(&frame(&[kind])), Err(WireError::Kind(_))), "{kind}");
    }
}

#[test]
fn an_empty_frame_is_an_error() {
    assert!(matches!(first::<FromBackup>(&frame(&[])), Err(WireError::Meaningless(_))));
}

#[test]
fn text_that_is_no_text_is_an_error() {
    assert!(matches!(first::<FromPrimary>(&frame(&[4, 2, 0xff, 0xfe])), Err(WireError::Meaningless(_))));
}

#[test]
fn a_hello_of_another_version_is_told_whatever_stands_behind_the_version() {
    for content in [&[0, 3][..], &[0, 3, 0xff, 0xff, 0xff], &[0, 3, 5, b'r']] {
        let found = first::<FromBackup>(&frame(content));
        assert!(matches!(found, Err(WireError::Version(3))), "{found:?}");
        let found = first::<FromPrimary>(&frame(content));
        assert!(matches!(found, Err(WireError::Version(3))), "{found:?}");
    }
}

#[test]
fn an_error_stays() {
    let mut frames = trusting::<FromBackup>();
    frames.push(&encoded(&[backup_hello("a")]));
    frames.push(&frame(&[250]));
    frames.push(&encoded(&[backup_hello("b")]));
    assert_eq!(frames.next_message().unwrap(), Some(backup_hello("a")));
    for _ in 0..3 {
        assert!(matches!(frames.next_message(), Err(WireError::Kind(250))));
        frames.push(&encoded(&[backup_hello("c")]));
    }
}
