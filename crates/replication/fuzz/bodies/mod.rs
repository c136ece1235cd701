//! What the fuzzer's bytes become: what a stranger, or the other side, sends.
//!
//! The same body runs under `cargo fuzz`, which chooses the bytes by the branches that they reach, and in the ordinary
//! test `fuzz`, which takes random ones and those that once found something (`regressions`).
//!
//! Whatever the bytes are, nothing may panic, no error may heal by asking again, no more memory may be taken than for the
//! bytes that have arrived, it must not matter in what pieces they come, and what is read must say the same when it is
//! written and read again.

use std::fmt::Debug;

use outlive_replication::message::{FromBackup, FromPrimary};
use outlive_replication::wire::{Frames, Message, encode};

/// A stream of bytes. The first byte chooses who sends it, whether that one is trusted, and whether the rest is taken as
/// it is or becomes the contents of frames: a fuzzer does not guess lengths. The second is the length of the pieces
/// in which it arrives.
pub(crate) fn read_frames(bytes: &[u8]) {
    let Some((&[choice, piece], rest)) = bytes.split_first_chunk() else { return };
    let stream = if choice & 1 == 0 { rest.to_vec() } else { framed(rest) };
    let (trusted, piece) = (choice & 2 != 0, usize::from(piece).max(1));
    if choice & 4 == 0 {
        read::<FromPrimary>(&stream, trusted, piece);
    } else {
        read::<FromBackup>(&stream, trusted, piece);
    }
}

fn read<M: Message + PartialEq + Debug>(stream: &[u8], trusted: bool, piece: usize) {
    let (messages, error) = read_in_pieces::<M>(stream, trusted, piece);
    let whole = read_in_pieces::<M>(stream, trusted, stream.len().max(1));
    assert_eq!((&messages, &error), (&whole.0, &whole.1), "pieces make no difference");
    let mut again = Vec::new();
    for message in &messages {
        encode(message, &mut again).expect("it came out of a frame that was no longer");
    }
    assert_eq!(read_in_pieces::<M>(&again, true, again.len().max(1)), (messages, None));
}

/// The messages, and what was wrong with the bytes behind them.
fn read_in_pieces<M: Message>(stream: &[u8], trusted: bool, piece: usize) -> (Vec<M>, Option<String>) {
    let mut frames = Frames::<M>::of_stranger();
    if trusted {
        frames.trust();
    }
    let mut messages = Vec::new();
    for piece in stream.chunks(piece) {
        frames.push(piece);
        loop {
            match frames.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => {
                    let again = frames.next_message().err().expect("an error stays");
                    assert_eq!(again.to_string(), error.to_string());
                    return (messages, Some(error.to_string()));
                }
            }
        }
        assert!(frames.memory() <= 2 * stream.len() + 64, "{} bytes of memory", frames.memory());
    }
    (messages, None)
}

/// Frames: each takes a byte for the length of its content, and that from the bytes.
fn framed(mut bytes: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let Some((&length, rest)) = bytes.split_first() {
        let (content, rest) = rest.split_at(usize::from(length).min(rest.len()));
        stream.extend_from_slice(&(content.len() as u32).to_le_bytes());
        stream.extend_from_slice(content);
        bytes = rest;
    }
    stream
}
