//! Digests of the whole state, and the end. They are rare, so their numbers are written as they are.

use outlive_engine::{ExitNumber, GuestTime, InstructionCount};

use super::DecodeError;
use super::bytes::{Source, put, put_bytes, put_structure};
use crate::entry::{End, EndReason, Landmark, PageCheck, StateDigest};

/// How an end's reason is written.
mod reason {
    pub(super) const POWER_OFF: u8 = 0;
    pub(super) const RESET: u8 = 1;
    pub(super) const DEBUG_EXIT: u8 = 2;
    pub(super) const REQUESTED: u8 = 3;
    pub(super) const TRIPLE_FAULT: u8 = 4;
    pub(super) const REFUSED: u8 = 5;
}

/// The fewest bytes that a page takes.
const PAGE_BYTES: usize = 3;

pub(super) fn encode_digest(digest: &StateDigest, to: &mut Vec<u8>) {
    let StateDigest { at, time, instructions, running, registers, memory, devices, disks, pages } = digest;
    put(to, (at.exit.0, at.since_exit, at.rip, time.nanoseconds(), instructions.0));
    for hash in [running, memory, devices, disks] {
        to.extend_from_slice(hash);
    }
    put_structure(to, registers);
    encode_pages(pages, to);
}

pub(super) fn decode_digest(from: &mut Source<'_>) -> Result<StateDigest, DecodeError> {
    let (exit, since_exit, rip, time, instructions) = from.get()?;
    Ok(StateDigest {
        at: Landmark { exit: ExitNumber(exit), since_exit, rip },
        time: GuestTime::from_nanoseconds(time),
        instructions: InstructionCount(instructions),
        running: from.take()?,
        memory: from.take()?,
        devices: from.take()?,
        disks: from.take()?,
        registers: from.structure()?,
        pages: decode_pages(from)?,
    })
}

/// Pages ascend, so the distance from each to the one that would come next is small.
fn encode_pages(pages: &[PageCheck], to: &mut Vec<u8>) {
    put(to, pages.len() as u64);
    let mut next = 0u64;
    for &PageCheck { page, check } in pages {
        put(to, page.wrapping_sub(next));
        to.extend_from_slice(&check.to_le_bytes());
        next = page.wrapping_add(1);
    }
}

fn decode_pages(from: &mut Source<'_>) -> Result<Vec<PageCheck>, DecodeError> {
    let count: u64 = from.get()?;
    if count > (from.left() / PAGE_BYTES) as u64 {
        return Err(DecodeError::Short);
    }
    let mut pages = Vec::with_capacity(count as usize);
    let mut next = 0u64;
    for _ in 0..count {
        let page = next.wrapping_add(from.get()?);
        pages.push(PageCheck { page, check: u16::from_le_bytes(from.take()?) });
        next = page.wrapping_add(1);
    }
    Ok(pages)
}

pub(super) fn encode_end(end: &End, to: &mut Vec<u8>) {
    encode_reason(&end.reason, to);
    put(to, end.exit.0);
    to.push(u8::from(end.state.is_some()));
    if let Some(state) = &end.state {
        encode_digest(state, to);
    }
}

pub(super) fn decode_end(from: &mut Source<'_>) -> Result<End, DecodeError> {
    let reason = decode_reason(from)?;
    let exit = ExitNumber(from.get()?);
    let [has_state] = from.take()?;
    let state = match has_state {
        0 => None,
        1 => Some(decode_digest(from)?),
        other => return Err(DecodeError::Part("state at the end", u64::from(other))),
    };
    Ok(End { reason, exit, state })
}

fn encode_reason(end: &EndReason, to: &mut Vec<u8>) {
    match end {
        EndReason::PowerOff => to.push(reason::POWER_OFF),
        EndReason::Reset => to.push(reason::RESET),
        EndReason::DebugExit(number) => to.extend_from_slice(&[reason::DEBUG_EXIT, *number]),
        EndReason::Requested => to.push(reason::REQUESTED),
        EndReason::TripleFault => to.push(reason::TRIPLE_FAULT),
        EndReason::Refused(what) => {
            to.push(reason::REFUSED);
            put_bytes(to, what.as_bytes());
        }
    }
}

fn decode_reason(from: &mut Source<'_>) -> Result<EndReason, DecodeError> {
    let [kind] = from.take()?;
    Ok(match kind {
        reason::POWER_OFF => EndReason::PowerOff,
        reason::RESET => EndReason::Reset,
        reason::DEBUG_EXIT => {
            let [number] = from.take()?;
            EndReason::DebugExit(number)
        }
        reason::REQUESTED => EndReason::Requested,
        reason::TRIPLE_FAULT => EndReason::TripleFault,
        reason::REFUSED => {
            let text =
                std::str::from_utf8(from.bytes()?).map_err(|error| DecodeError::Value(Box::new(error)))?;
            EndReason::Refused(text.to_owned())
        }
        other => return Err(DecodeError::Part("end", u64::from(other))),
    })
}
