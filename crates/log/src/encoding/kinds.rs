//! The kinds of entries, each with its leading number.

use outlive_engine::GuestTime;

use super::bytes::{Source, put, put_bytes, put_structure, unzigzag, zigzag};
use super::context::{Context, TimeForm};
use super::{DecodeError, state};
use crate::entry::{Check, DiskOperation, Entry, Input, Landmark, OutputMarker};

/// The two low bits of the leading number.
mod group {
    pub(super) const TIME: u64 = 0;
    pub(super) const MEDIUM_TIME: u64 = 1;
    pub(super) const AT_LANDMARK: u64 = 2;
    pub(super) const OTHER: u64 = 3;
}

/// Kinds of [`group::AT_LANDMARK`]. With the landmark's form in three bits below, all of them fit one byte.
mod at_landmark {
    pub(super) const INTERRUPT_AGAIN: u64 = 0;
    pub(super) const INTERRUPT: u64 = 1;
    pub(super) const TICK_AS_EXPECTED: u64 = 2;
    pub(super) const TICK: u64 = 3;
    pub(super) const FIRST_NETWORK: u64 = 4;
    pub(super) const NETWORK: u64 = 5;
    pub(super) const DISK: u64 = 6;
    pub(super) const CONSOLE: u64 = 7;
}

/// Kinds of [`group::OTHER`].
mod other {
    /// Below this, a console output as many exits behind the last one.
    pub(super) const CONSOLE: u64 = 16;
    pub(super) const FIRST_NETWORK: u64 = 17;
    pub(super) const NETWORK: u64 = 18;
    pub(super) const DISK_READ: u64 = 19;
    pub(super) const DISK_WRITE: u64 = 20;
    pub(super) const DISK_FLUSH: u64 = 21;
    pub(super) const EXACT_TIME: u64 = 22;
    pub(super) const REGISTERS: u64 = 23;
    pub(super) const DIGEST: u64 = 24;
    pub(super) const END: u64 = 25;
}

/// Appends an entry, and tells how many bytes at its end are [noise](super#noise).
pub(crate) fn encode(context: &mut Context, entry: &Entry, to: &mut Vec<u8>) -> usize {
    match entry {
        Entry::Time(time) => return encode_time(context, *time, to),
        Entry::Input { at, input } => encode_input(context, *at, input, to),
        Entry::Interrupt { at, vector, check } => {
            let again = *vector == context.vector;
            let kind = if again { at_landmark::INTERRUPT_AGAIN } else { at_landmark::INTERRUPT };
            begin_at_landmark(context, kind, *at, to);
            if !again {
                to.push(*vector);
                context.vector = *vector;
            }
            return put_check(to, *check);
        }
        Entry::Output { exit, output, check } => {
            encode_output(context.exits_to(*exit), output, to);
            return put_check(to, *check);
        }
        Entry::Registers(registers) => {
            begin(other::REGISTERS, to);
            put_structure(to, registers);
        }
        Entry::Digest(digest) => {
            begin(other::DIGEST, to);
            state::encode_digest(digest, to);
        }
        Entry::End(end) => {
            begin(other::END, to);
            state::encode_end(end, to);
        }
    }
    0
}

fn begin(kind: u64, to: &mut Vec<u8>) {
    put(to, kind << 2 | group::OTHER);
}

/// The leading number stands before the landmark, but tells its form, so the landmark is written first.
fn begin_at_landmark(context: &mut Context, kind: u64, at: Landmark, to: &mut Vec<u8>) {
    let start = to.len();
    to.push(0);
    let form = context.encode_landmark(at, to);
    // At most 250, hence the number's only byte: there are 8 kinds and 7 forms.
    to[start] = ((kind << 3 | form) << 2 | group::AT_LANDMARK) as u8;
}

fn put_check(to: &mut Vec<u8>, check: Check) -> usize {
    let bytes = check.0.to_le_bytes();
    to.extend_from_slice(&bytes);
    bytes.len()
}

fn encode_time(context: &mut Context, time: GuestTime, to: &mut Vec<u8>) -> usize {
    match context.time_form(time) {
        TimeForm::Steps(steps) => put(to, steps << 2 | group::TIME),
        TimeForm::MediumSteps(high, low) => {
            put(to, high << 2 | group::MEDIUM_TIME);
            to.push(low);
            return 1;
        }
        TimeForm::Exact(difference) => {
            begin(other::EXACT_TIME, to);
            put(to, difference);
        }
    }
    0
}

fn encode_input(context: &mut Context, at: Landmark, input: &Input, to: &mut Vec<u8>) {
    match input {
        Input::ClockTick(tick) => match context.tick_error(*tick) {
            0 => begin_at_landmark(context, at_landmark::TICK_AS_EXPECTED, at, to),
            error => {
                begin_at_landmark(context, at_landmark::TICK, at, to);
                put(to, error);
            }
        },
        Input::Console(bytes) => {
            begin_at_landmark(context, at_landmark::CONSOLE, at, to);
            put_bytes(to, bytes);
        }
        Input::Frame { network: 0, bytes } => {
            begin_at_landmark(context, at_landmark::FIRST_NETWORK, at, to);
            put_bytes(to, bytes);
        }
        Input::Frame { network, bytes } => {
            begin_at_landmark(context, at_landmark::NETWORK, at, to);
            to.push(*network);
            put_bytes(to, bytes);
        }
        Input::DiskCompletion { disk, request, failed, data } => {
            begin_at_landmark(context, at_landmark::DISK, at, to);
            to.extend_from_slice(&[*disk, u8::from(*failed)]);
            put(to, zigzag(request.wrapping_sub(context.request)));
            context.request = *request;
            put_bytes(to, data);
        }
    }
}

fn encode_output(exits: u64, output: &OutputMarker, to: &mut Vec<u8>) {
    match output {
        OutputMarker::Console if exits < other::CONSOLE => begin(exits, to),
        OutputMarker::Console => {
            begin(other::CONSOLE, to);
            put(to, exits);
        }
        OutputMarker::Frame { network: 0, bytes } => {
            begin(other::FIRST_NETWORK, to);
            put(to, (exits, *bytes));
        }
        OutputMarker::Frame { network, bytes } => {
            begin(other::NETWORK, to);
            put(to, (exits, *network, *bytes));
        }
        OutputMarker::Disk { disk, operation, bytes } => {
            let kind = match operation {
                DiskOperation::Read => other::DISK_READ,
                DiskOperation::Write => other::DISK_WRITE,
                DiskOperation::Flush => other::DISK_FLUSH,
            };
            begin(kind, to);
            put(to, (exits, *disk, *bytes));
        }
    }
}

/// The entry that the bytes begin with.
pub(crate) fn decode(context: &mut Context, from: &mut Source<'_>) -> Result<Entry, DecodeError> {
    let leading: u64 = from.get()?;
    let above = leading >> 2;
    match leading & 3 {
        group::TIME => Ok(Entry::Time(context.time_of(TimeForm::Steps(above))?)),
        group::MEDIUM_TIME => {
            // What is beyond one byte has a shorter form.
            let high = u8::try_from(above).map_err(|_| DecodeError::Range("steps in two bytes"))?;
            let [low] = from.take_noise()?;
            Ok(Entry::Time(context.time_of(TimeForm::MediumSteps(u64::from(high), low))?))
        }
        group::AT_LANDMARK => {
            let at = context.decode_landmark(above & 7, from)?;
            decode_at_landmark(context, above >> 3, at, from)
        }
        _ => decode_other(context, above, from),
    }
}

fn decode_at_landmark(
    context: &mut Context,
    kind: u64,
    at: Landmark,
    from: &mut Source<'_>,
) -> Result<Entry, DecodeError> {
    let input = match kind {
        at_landmark::INTERRUPT_AGAIN | at_landmark::INTERRUPT => {
            if kind == at_landmark::INTERRUPT {
                [context.vector] = from.take()?;
            }
            return Ok(Entry::Interrupt { at, vector: context.vector, check: check(from)? });
        }
        at_landmark::TICK_AS_EXPECTED => Input::ClockTick(context.tick_of(0)),
        at_landmark::TICK => Input::ClockTick(context.tick_of(from.get()?)),
        at_landmark::FIRST_NETWORK => Input::Frame { network: 0, bytes: from.bytes()?.to_vec() },
        at_landmark::NETWORK => {
            let [network] = from.take()?;
            Input::Frame { network, bytes: from.bytes()?.to_vec() }
        }
        at_landmark::DISK => decode_disk_completion(context, from)?,
        at_landmark::CONSOLE => Input::Console(from.bytes()?.to_vec()),
        _ => return Err(DecodeError::Kind(kind)),
    };
    Ok(Entry::Input { at, input })
}

fn decode_disk_completion(context: &mut Context, from: &mut Source<'_>) -> Result<Input, DecodeError> {
    let [disk, failed] = from.take()?;
    let failed = match failed {
        0 => false,
        1 => true,
        other => return Err(DecodeError::Part("disk status", u64::from(other))),
    };
    let request = context.request.wrapping_add(unzigzag(from.get()?));
    context.request = request;
    Ok(Input::DiskCompletion { disk, request, failed, data: from.bytes()?.to_vec() })
}

fn decode_other(context: &mut Context, kind: u64, from: &mut Source<'_>) -> Result<Entry, DecodeError> {
    match kind {
        other::EXACT_TIME => Ok(Entry::Time(context.time_of(TimeForm::Exact(from.get()?))?)),
        other::REGISTERS => Ok(Entry::Registers(Box::new(from.structure()?))),
        other::DIGEST => Ok(Entry::Digest(Box::new(state::decode_digest(from)?))),
        other::END => Ok(Entry::End(Box::new(state::decode_end(from)?))),
        _ => {
            let (exits, output) = decode_output(kind, from)?;
            Ok(Entry::Output { exit: context.exit_after(exits), output, check: check(from)? })
        }
    }
}

fn decode_output(kind: u64, from: &mut Source<'_>) -> Result<(u64, OutputMarker), DecodeError> {
    let operation = match kind {
        exits if exits < other::CONSOLE => return Ok((exits, OutputMarker::Console)),
        other::CONSOLE => return Ok((from.get()?, OutputMarker::Console)),
        other::FIRST_NETWORK => {
            let (exits, bytes) = from.get()?;
            return Ok((exits, OutputMarker::Frame { network: 0, bytes }));
        }
        other::NETWORK => {
            let (exits, network, bytes) = from.get()?;
            return Ok((exits, OutputMarker::Frame { network, bytes }));
        }
        other::DISK_READ => DiskOperation::Read,
        other::DISK_WRITE => DiskOperation::Write,
        other::DISK_FLUSH => DiskOperation::Flush,
        _ => return Err(DecodeError::Kind(kind)),
    };
    let (exits, disk, bytes) = from.get()?;
    Ok((exits, OutputMarker::Disk { disk, operation, bytes }))
}

fn check(from: &mut Source<'_>) -> Result<Check, DecodeError> {
    Ok(Check(u16::from_le_bytes(from.take_noise()?)))
}
