"""Registers, digests and ends (sections 7 and 8). The names of fields are those of the page."""

from .damage import Damage
from .source import MASK

GENERAL = "rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15".split()
SEGMENTS = "cs ds es fs gs ss tr ldt".split()
CONTROL = "cr0 cr2 cr3 cr4 cr8 efer".split()
MSRS = "star lstar cstar sfmask kernel_gs_base sysenter_cs sysenter_esp sysenter_eip".split()
SHADOWS = ["None", "Sti", "MovSs"]
ACTIVITIES = ["Running", "Halted"]
REASONS = ["PowerOff", "Reset", "DebugExit", "Requested", "TripleFault", "Refused"]


def registers(source):
    """The state of a processor. Registers of 80 and 128 bits are told as 32 hexadecimal digits."""
    return {
        "general": _numbers(GENERAL, source),
        "rip": source.v64(),
        "rflags": source.v64(),
        "segments": {name: _segment(source) for name in SEGMENTS},
        "gdt": _table(source),
        "idt": _table(source),
        "control": _numbers(CONTROL, source),
        "debug": {
            "address": [source.v64() for _ in range(4)],
            "status": source.v64(),
            "control": source.v64(),
        },
        "msrs": _numbers(MSRS, source),
        "floating_point": _floating_point(source),
        "pending": _pending(source),
        "shadow": _variant("shadow", SHADOWS, source),
        "activity": _variant("activity", ACTIVITIES, source),
    }


def _numbers(names, source):
    return {name: source.v64() for name in names}


def _segment(source):
    return {
        "selector": source.v16(),
        "base": source.v64(),
        "limit": source.v32(),
        "attributes": source.v16(),
        "unusable": source.flag(),
    }


def _table(source):
    return {"base": source.v64(), "limit": source.v16()}


def _floating_point(source):
    return {
        "control": source.v16(),
        "status": source.v16(),
        "tags": source.u8(),
        "opcode": source.v16(),
        "instruction": source.v64(),
        "operand": source.v64(),
        "stack": [f"{source.v128():032x}" for _ in range(8)],
        "xmm": [f"{source.v128():032x}" for _ in range(16)],
        "mxcsr": source.v32(),
    }


def _pending(source):
    if not source.flag():
        return None
    event = source.v32()
    if event == 0:
        vector = source.u8()
        return {"Exception": {"vector": vector, "error_code": source.v32() if source.flag() else None}}
    if event == 1:
        return {"Interrupt": {"vector": source.u8()}}
    raise Damage(f"there is no event {event}")


def _variant(what, names, source):
    number = source.v32()
    if number >= len(names):
        raise Damage(f"there is no {what} {number}")
    return names[number]


def digest(source):
    """The whole state at one point."""
    exit_number, since, rip, time, instructions = (source.v64() for _ in range(5))
    hashes = {name: source.take(32).hex() for name in ("running", "memory", "devices", "disks")}
    return {
        "at": {"exit": exit_number, "since_exit": since, "rip": rip},
        "time": time,
        "instructions": instructions,
        **hashes,
        "registers": registers(source),
        "pages": _pages(source),
    }


def _pages(source):
    pages, following = [], 0
    for _ in range(source.v64()):
        page = (following + source.v64()) & MASK
        pages.append({"page": page, "check": source.fixed(2)})
        following = page + 1
    return pages


def end(source):
    """The end of a recording."""
    number = source.u8()
    if number >= len(REASONS):
        raise Damage(f"there is no end {number}")
    reason = REASONS[number]
    if reason == "DebugExit":
        reason = {reason: source.u8()}
    elif reason == "Refused":
        reason = {reason: _text(source.bytes())}
    exit_number = source.v64()
    return {"reason": reason, "exit": exit_number, "state": digest(source) if source.flag() else None}


def _text(data):
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Damage(f"a text is none: {error}") from error
