//! The comparison, and what a failure looks like.

use std::fmt::Write;

use iced_x86::{Formatter, IntelFormatter};

use super::generate;
use super::layout::{self, IMAGE};
use super::state::{Case, End, Floating, Outcome, State};
use super::tolerance::Tolerance;
use crate::cpu::number::{RCX, RDI, RSI};
use crate::fault::vector;
use crate::flags::bit;
use crate::testing::{UNDERFLOW, is_smallest_normal};

/// Names of the general registers, by number.
const NAMES: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];

/// What differs: a name, what it was before, and both results.
struct Difference {
    name: String,
    before: String,
    native: String,
    engine: String,
}

/// Differences between the host's processor and the engine, as text. None if there are none.
pub(super) fn differences(
    case: &Case,
    native: &Outcome,
    engine: &Outcome,
    tolerance: &Tolerance,
) -> Option<String> {
    let mut found = Vec::new();
    let [native_end, engine_end] = [native, engine].map(|outcome| known(outcome.end));
    // MXCSR.MM, a bit that only AMD's processors have: others raise #GP.
    if native.after.floating.mxcsr & 1 << 17 != 0 && engine_end != End::Completed {
        return None;
    }
    if tolerance.whether_fault && engine_end == End::Completed {
        return None;
    }
    if tolerance.withheld && is_withheld(case, native, engine_end) {
        return None;
    }
    if native_end != engine_end && !is_tolerated(native_end, engine_end, tolerance) {
        let [native, engine] = [native_end, engine_end].map(|end| format!("{end:x?}"));
        found.push(Difference { name: "end".to_owned(), before: String::new(), native, engine });
    }
    state(&case.before, &native.after, &engine.after, tolerance, &mut found);
    if !tolerance.memory {
        memory(case, native, engine, tolerance, &mut found);
    }
    if found.is_empty() {
        return None;
    }
    let mut text = format!("  native {native_end:x?}\n");
    for Difference { name, before, native, engine } in found {
        writeln!(text, "  {name}: {before} -> native {native}, engine {engine}").expect("a string takes all");
    }
    Some(text)
}

/// Linux hides from ring 3 whether a page beyond the user's addresses is present: it always says so. These
/// end a page below the lower half's end.
fn known(end: End) -> End {
    match end {
        End::Fault { vector, code, address: Some(address) } if address >= 0x7fff_ffff_f000 => {
            End::Fault { vector, code: code | 1, address: Some(address) }
        }
        other => other,
    }
}

/// Whether the host kept a number from memory because of an exception that is pending now, where the engine first
/// finds out that memory cannot be written to.
fn is_withheld(case: &Case, native: &Outcome, engine: End) -> bool {
    const SUMMARY: u16 = 1 << 7;
    let [before, after] = [&case.before.floating, &native.after.floating];
    native.end == End::Completed
        && matches!(engine, End::Fault { vector, .. } if is_of_memory(vector))
        && before.status & SUMMARY == 0
        && after.status & SUMMARY != 0
        && (after.tags, after.stack) == (before.tags, before.stack)
        && native.after.general == case.before.general
        && native.image == case.image
}

/// Exceptions that an operand in memory can raise.
fn is_of_memory(number: u8) -> bool {
    matches!(
        number,
        vector::PAGE_FAULT | vector::GENERAL_PROTECTION | vector::STACK_FAULT | vector::ALIGNMENT_CHECK
    )
}

/// Whether both ways to end are as good.
fn is_tolerated(native: End, engine: End, tolerance: &Tolerance) -> bool {
    let (End::Fault { vector: native, .. }, End::Fault { vector: engine, .. }) = (native, engine) else {
        return false;
    };
    let is_fetch = |number| matches!(number, vector::PAGE_FAULT | vector::INVALID_OPCODE);
    tolerance.which_fault && is_of_memory(native) && is_of_memory(engine)
        || tolerance.fetch && is_fetch(native) && is_fetch(engine)
        || tolerance.lower_bound && native == vector::BOUND_RANGE && is_of_memory(engine)
        || tolerance.length && native == vector::GENERAL_PROTECTION && engine == vector::INVALID_OPCODE
}

fn state(before: &State, native: &State, engine: &State, tolerance: &Tolerance, found: &mut Vec<Difference>) {
    let mut compare = |name: String, before: u128, native: u128, engine: u128| {
        if native != engine {
            let [before, native, engine] = [before, native, engine].map(|value| format!("{value:#x}"));
            found.push(Difference { name, before, native, engine });
        }
    };
    for (number, name) in NAMES.iter().enumerate() {
        if !tolerance.registers.contains(&(number as u8)) {
            let [before, native, engine] = [before, native, engine].map(|state| state.general[number]);
            let lost = tolerance.upper_halves && matches!(number as u8, RCX | RSI | RDI);
            let engine = if lost && native == engine & 0xffff_ffff { native } else { engine };
            let [before, native, engine] = [before, native, engine].map(u128::from);
            compare((*name).to_owned(), before, native, engine);
        }
    }
    compare("rip".to_owned(), before.rip.into(), native.rip.into(), engine.rip.into());
    // RF tells how the kernel was entered.
    let goes_on = native.rip == before.rip && engine.rip == before.rip;
    let is_old = (native.flags ^ before.flags) & bit::ARITHMETIC == 0;
    let late = if tolerance.flags_at_end && goes_on && is_old { bit::ARITHMETIC } else { 0 };
    let [flags_before, flags_native, flags_engine] =
        [before, native, engine].map(|state| u128::from(state.flags & !tolerance.flags & !late & !bit::RF));
    compare("flags".to_owned(), flags_before, flags_native, flags_engine);
    let [floating_before, floating_native, floating_engine] =
        [before, native, engine].map(|state| &state.floating);
    if !tolerance.x87 {
        x87(floating_before, floating_native, floating_engine, tolerance, &mut compare);
    }
    let [mxcsr_before, mxcsr_native, mxcsr_engine] =
        [floating_before, floating_native, floating_engine].map(|floating| floating.mxcsr.into());
    compare("mxcsr".to_owned(), mxcsr_before, mxcsr_native, mxcsr_engine);
    for number in 0..16 {
        let [before, native, engine] =
            [floating_before, floating_native, floating_engine].map(|floating| floating.xmm[number]);
        if !(tolerance.approximate && are_close(native, engine)) {
            compare(format!("xmm{number}"), before, native, engine);
        }
    }
}

fn x87(
    floating_before: &Floating,
    floating_native: &Floating,
    floating_engine: &Floating,
    tolerance: &Tolerance,
    compare: &mut impl FnMut(String, u128, u128, u128),
) {
    let mut native = *floating_native;
    if tolerance.top && top(native.status) == 0 {
        native = with_top(&native, top(floating_engine.status));
    }
    let mut status = tolerance.status;
    for number in 0..2 {
        let [above, below] = [&native, floating_engine].map(|floating| floating.stack[number] << 48 >> 48);
        if tolerance.smallest_normal && is_smallest_normal(above, below) {
            native.stack[number] = floating_engine.stack[number];
            status |= UNDERFLOW;
        }
    }
    let words = |floating: &Floating| {
        [
            ("fcw", u128::from(floating.control)),
            ("fsw", u128::from(floating.status & !status)),
            ("tags", floating.tags.into()),
        ]
    };
    for ((before, native), engine) in
        words(floating_before).into_iter().zip(words(&native)).zip(words(floating_engine))
    {
        compare(before.0.to_owned(), before.1, native.1, engine.1);
    }
    for number in 0..8 {
        let [before, native, engine] =
            [floating_before, &native, floating_engine].map(|floating| floating.stack[number] << 48 >> 48);
        let allowed = if number < 2 { tolerance.last_places } else { 0 };
        if last_place(native).abs_diff(last_place(engine)) > allowed {
            compare(format!("st{number}"), before, native, engine);
        }
    }
}

fn top(status: u16) -> usize {
    usize::from(status >> 11 & 7)
}

/// The same registers, named from another top of the stack.
fn with_top(floating: &Floating, new: usize) -> Floating {
    let status = floating.status & !(7 << 11) | (new as u16) << 11;
    let mut stack = floating.stack;
    stack.rotate_left((new + 8 - top(floating.status)) % 8);
    Floating { status, stack, ..*floating }
}

/// Whether all four numbers of two registers are alike, or both as near to a third one as RCPPS and RSQRTPS get.
fn are_close(native: u128, engine: u128) -> bool {
    (0..4).all(|lane| {
        let [native, engine] = [native, engine].map(|register| (register >> (32 * lane)) as u32);
        let [near, other] = [native, engine].map(|bits| f64::from(f32::from_bits(bits)));
        native == engine || near.is_finite() && (near - other).abs() <= near.abs() * 3.0 / 4096.0
    })
}

/// A number such that neighbours among 80-bit numbers differ by one: without the explicit bit, unless that is
/// not what it should be.
fn last_place(number: u128) -> u128 {
    let (top, fraction) = (number >> 64, number & u128::from(u64::MAX >> 1));
    let is_explicit = number >> 63 & 1 != 0;
    let is_plain = is_explicit == (top & 0x7fff != 0);
    top << 63 | fraction | u128::from(!is_plain) << 100
}

fn memory(
    case: &Case,
    native: &Outcome,
    engine: &Outcome,
    tolerance: &Tolerance,
    found: &mut Vec<Difference>,
) {
    if native.image == engine.image {
        return;
    }
    for (at, (&before, (&native, &engine))) in
        case.image.iter().zip(native.image.iter().zip(engine.image.iter())).enumerate()
    {
        let address = layout::address_of(at + IMAGE as usize);
        if native != engine && !tolerance.bytes.iter().any(|bytes| bytes.contains(&address)) {
            let [before, native, engine] = [before, native, engine].map(|byte| format!("{byte:02x}"));
            let name = format!("[{address:#x}]");
            found.push(Difference { name, before, native, engine });
        }
    }
}

/// The instruction, for people.
pub(super) fn disassembly(case: &Case) -> String {
    let mut text = String::new();
    IntelFormatter::new().format(&generate::instruction(case), &mut text);
    format!("{:02x?} {text} ({:?})", case.code, case.mode)
}

/// Everything that an instruction began with.
pub(super) fn beginning(case: &Case) -> String {
    let mut text = String::new();
    let State { general, rip, flags, floating } = &case.before;
    let mut line =
        |arguments: std::fmt::Arguments<'_>| text.write_fmt(arguments).expect("a string takes all");
    for (name, value) in NAMES.iter().zip(general) {
        line(format_args!("  {name}={value:#x}"));
    }
    line(format_args!("\n  rip={rip:#x} flags={flags:#x}"));
    let Floating { control, status, tags, mxcsr, stack, xmm, .. } = floating;
    line(format_args!(" fcw={control:#x} fsw={status:#x} tags={tags:#x} mxcsr={mxcsr:#x}\n "));
    stack.iter().enumerate().for_each(|(number, value)| line(format_args!(" st{number}={value:#x}")));
    line(format_args!("\n "));
    xmm.iter().enumerate().for_each(|(number, value)| line(format_args!(" xmm{number}={value:#x}")));
    text.push('\n');
    text
}
