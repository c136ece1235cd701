//! What goes to a backup whose channel has no keys: messages, batches in them, entries in these.
//!
//! Messages go on as they came. If a frame is to be falsified, the batch that holds one is made anew with another byte in
//! it: entries, numbers and checksums are what a primary would have sent whose guest got that frame.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use outlive_log::entry::{Entry, Input};
use outlive_log::{BatchDecoder, BatchEncoder, EntryNumber};
use outlive_replication::message::FromPrimary;
use outlive_replication::wire::{Frames, encode};

/// What was seen so far, and what is to be done.
#[derive(Default, Debug)]
pub(super) struct Seen(Mutex<State>);

#[derive(Default, Debug)]
struct State {
    is_to_falsify: bool,
    falsified: Option<EntryNumber>,
    has_end: bool,
}

impl Seen {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Falsifies the next frame with contents.
    pub(super) fn falsify_frame(&self) {
        self.state().is_to_falsify = true;
    }

    /// The entry that was falsified last.
    pub(super) fn falsified(&self) -> Option<EntryNumber> {
        self.state().falsified
    }

    /// Whether the guest's end has come by.
    pub(super) fn has_end(&self) -> bool {
        self.state().has_end
    }
}

/// The messages of one connection.
#[derive(Debug)]
pub(super) struct Reading {
    frames: Frames<FromPrimary>,
    seen: Arc<Seen>,
}

impl Reading {
    pub(super) fn new(seen: Arc<Seen>) -> Self {
        Self { frames: Frames::of_stranger(), seen }
    }

    /// Takes bytes as they come, and returns those that are to go on: of whole messages.
    ///
    /// # Errors
    /// When they are no messages of a primary.
    pub(super) fn take(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.frames.push(bytes);
        let mut on = Vec::new();
        while let Some(mut message) = self.frames.next_message().context("no message")? {
            match &mut message {
                FromPrimary::Hello(_) => self.frames.trust(),
                FromPrimary::Batch { batch, .. } => self.look_at(batch)?,
                _ => {}
            }
            encode(&message, &mut on).context("a message cannot be sent on")?;
        }
        Ok(on)
    }

    fn look_at(&self, batch: &mut Vec<u8>) -> anyhow::Result<()> {
        let mut state = self.seen.state();
        let mut decoder = BatchDecoder::new(batch.clone()).context("no batch")?;
        let mut encoder = BatchEncoder::going_on(decoder.first(), decoder.bases());
        let mut falsified = None;
        while let Some(read) = decoder.next_entry().context("no entry")? {
            let mut entry = read.entry;
            state.has_end |= matches!(entry, Entry::End(_));
            if state.is_to_falsify && falsified.is_none() && falsify(&mut entry) {
                falsified = Some(read.number);
            }
            encoder.push(&entry, decoder.instructions()).context("an entry has grown")?;
        }
        if falsified.is_some() {
            batch.clear();
            encoder.finish(batch);
            state.is_to_falsify = false;
            state.falsified = falsified;
        }
        Ok(())
    }
}

/// Changes the last byte of what a frame carries, if the entry is such a frame. No guest takes it for what it was: with
/// right checksums or not, it answers something else, or nothing.
fn falsify(entry: &mut Entry) -> bool {
    let Entry::Input { input: Input::Frame { bytes, .. }, .. } = entry else { return false };
    let Some(last) = last_of_contents(bytes).and_then(|at| bytes.get_mut(at)) else { return false };
    *last ^= 1;
    true
}

/// Where the last byte of a UDP datagram or TCP segment is that is not empty.
fn last_of_contents(frame: &[u8]) -> Option<usize> {
    const ETHERNET: usize = 14;
    const IPV4: [u8; 2] = [8, 0];
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    let ip = frame.get(ETHERNET..).filter(|_| frame[12..ETHERNET] == IPV4)?;
    let header = usize::from(ip.first()? & 15) * 4;
    let length = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
    let inner = match *ip.get(9)? {
        TCP => usize::from(ip.get(header + 12)? >> 4) * 4,
        UDP => 8,
        _ => return None,
    };
    (length > header + inner && length <= ip.len()).then(|| ETHERNET + length - 1)
}

#[cfg(test)]
mod tests {
    use outlive_engine::InstructionCount;
    use outlive_log::entry::Landmark;
    use outlive_replication::{LogPosition, Moment};

    use super::*;

    /// An Ethernet frame that is longer than the packet in it.
    fn frame(protocol: u8, contents: &[u8]) -> Vec<u8> {
        let inner = if protocol == 17 { 8 } else { 20 };
        let length = (20 + inner + contents.len()) as u8;
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0, 0, length, 0, 0, 0, 0, 64, protocol]);
        frame.extend([0; 10]);
        frame.extend((0..inner).map(|at| if at == 12 { 0x50 } else { 0 }));
        frame.extend(contents);
        frame.extend([0; 6]);
        frame
    }

    fn input(bytes: Vec<u8>) -> Entry {
        Entry::Input { at: Landmark::default(), input: Input::Frame { network: 0, bytes } }
    }

    /// A message with these entries, as a primary sends it.
    fn message(entries: &[Entry]) -> Vec<u8> {
        let mut encoder = BatchEncoder::new(EntryNumber(0));
        for entry in entries {
            encoder.push(entry, InstructionCount(5)).unwrap();
        }
        let mut batch = Vec::new();
        encoder.finish(&mut batch);
        let message = FromPrimary::Batch { sent: Moment(1), released: LogPosition(0), batch };
        let mut bytes = Vec::new();
        encode(&message, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn messages_go_on_as_they_came_however_they_were_cut() {
        let bytes = message(&[input(frame(17, b"SET k 5"))]);
        let mut reading = Reading::new(Arc::default());
        let (first, second) = bytes.split_at(9);
        assert_eq!(reading.take(first).unwrap(), b"");
        assert_eq!(reading.take(second).unwrap(), bytes);
        assert!(reading.take(&[0xff; 64]).is_err());
    }

    #[test]
    fn one_byte_of_the_next_frame_with_contents_is_changed_and_nothing_else() {
        for protocol in [6, 17] {
            let mut falsified = frame(protocol, b"SET k 5");
            let at = falsified.iter().rposition(|byte| *byte == b'5').unwrap();
            falsified[at] = b'4';
            let before = [input(frame(protocol, b"")), input(frame(1, b"ping")), input(vec![0; 20])];
            let with = |bytes: Vec<u8>| [&before[..], &[input(bytes), input(frame(protocol, b"2"))]].concat();
            let seen = Arc::<Seen>::default();
            let mut reading = Reading::new(Arc::clone(&seen));
            seen.falsify_frame();
            let sent = message(&with(frame(protocol, b"SET k 5")));
            assert_eq!(reading.take(&sent).unwrap(), message(&with(falsified)));
            assert_eq!(seen.falsified(), Some(EntryNumber(3)));
            assert_eq!(reading.take(&sent).unwrap(), sent, "only once");
        }
    }
}
