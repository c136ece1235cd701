//! Programs of the Linux guest do not read the time-stamp counter: where the hardware executes them, what they read
//! would be the host's, unseen.

use std::fmt::Write as _;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::harness::{Engine, Guest, checkout, image, on_each_engine};

/// A Linux guest with neither disk nor network.
fn linux(engine: Engine) -> Guest {
    let words = std::fs::read_to_string(image("linux/cmdline")).unwrap();
    Guest::new(&image("linux/vmlinux"), "128M")
        .engine(engine.name())
        .command_line(words.trim())
        .with(&format!("initramfs = \"{}\"", image("linux/initramfs.cpio.gz").display()))
}

/// A program, as small as an ELF file can be: this code, and then it exits with status 42.
fn program(code: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    // mov edi, 42; mov eax, 60; syscall
    let exit = [0xbf, 42, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    let bytes = HEADERS + (code.len() + exit.len()) as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // An executable for x86-64, version 1.
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    // Entry, program headers, no section headers.
    file.extend([BASE + HEADERS, 64, 0].into_iter().flat_map(u64::to_le_bytes));
    // No flags; sizes of the header and of a program header, of which there is one; no sections.
    file.extend([0u16, 0, 64, 56, 1, 0, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    // The whole file is loaded, to be read and executed.
    file.extend([1u32, 5].into_iter().flat_map(u32::to_le_bytes));
    file.extend([0, BASE, BASE, bytes, bytes, 0x1000].into_iter().flat_map(u64::to_le_bytes));
    file.extend([code, &exit[..]].concat());
    file
}

/// A line for the shell that makes this program, executes it and tells its status.
fn line_that_runs(name: &str, program: &[u8]) -> String {
    let escaped = program.iter().fold(String::new(), |mut text, byte| {
        write!(text, "\\{byte:03o}").unwrap();
        text
    });
    format!("printf '{escaped}' >/tmp/{name}; chmod +x /tmp/{name}; /tmp/{name}; echo {name}: status $?")
}

on_each_engine! {
    fn a_program_that_executes_rdtsc_is_killed(engine: Engine) {
        if !engine.runs_linux() {
            return;
        }
        let guest = linux(engine);
        let mut machine = guest.start();
        machine.wait_for("outlive: ready");
        // What is no RDTSC is no reason to be killed.
        machine.type_line(&line_that_runs("plain", &program(&[0x90, 0x90])));
        machine.wait_for("\nplain: status 42");
        machine.type_line(&line_that_runs("rdtsc", &program(&[0x0f, 0x31])));
        machine.wait_for("\nrdtsc: status 139");
        machine.type_line("poweroff");
        assert_eq!(machine.end(), Some(0), "{}", machine.console());
    }
}

/// Assembles a library, lets `remove-rdtsc` copy it, and returns the library, how that went, and the copy.
fn remove_rdtsc(assembly: &str) -> (Vec<u8>, Output, Vec<u8>) {
    let folder = TempDir::new().unwrap();
    let [source, library, copy] = ["source.s", "library.so", "copy.so"].map(|name| folder.path().join(name));
    std::fs::write(&source, format!(".text\n{assembly}\n")).unwrap();
    let built = Command::new("gcc").args(["-shared", "-nostdlib", "-o"]).args([&library, &source]).status();
    assert!(built.unwrap().success(), "{assembly}");
    let tool = checkout().join("guest-images/linux/remove-rdtsc");
    let output = Command::new(tool).args([&library, &copy]).output().unwrap();
    (std::fs::read(library).unwrap(), output, std::fs::read(copy).unwrap_or_default())
}

/// A function of this code that the table for unwinding names.
fn function(code: &str) -> String {
    format!(".cfi_startproc\n{code}\n.cfi_endproc\n")
}

#[test]
fn rdtsc_is_removed_where_it_is_an_instruction_and_nowhere_else() {
    // The bytes as an operand, as an instruction, and as data.
    let assembly = function("mov $0x310f, %ecx; ret")
        + &function("mov $0x310f, %ecx; rdtsc; shl $32, %rdx; or %rdx, %rax; ret")
        + ".byte 0x0f, 0x31, 0x06, 0x06\n"
        + &function("mov $1, %eax; ret");
    let (before, output, after) = remove_rdtsc(&assembly);
    assert!(output.status.success(), "{output:?}");
    let at = before.windows(6).position(|bytes| bytes == [0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20]).unwrap();
    let mut expected = before;
    expected[at..at + 2].copy_from_slice(&[0x31, 0xc0]);
    assert!(after == expected, "something else was changed");
}

#[test]
fn an_rdtsc_that_cannot_be_replaced_with_certainty_is_refused() {
    let cases = [
        ("with a prefix", function(".byte 0xf3; rdtsc; ret")),
        ("where its flags may be wanted by je", function("cmp %edi, %esi; rdtsc; je 1f; nop; 1: ret")),
        ("at the end of its function", function("nop; rdtsc")),
        ("in a function that does not decode", function("rdtsc; ret; .byte 0x06")),
        // No table names it: it may be a function, or data.
        ("outside of the functions", function("ret") + "rdtsc; ret\n"),
        ("neither clearly code nor clearly data", function("ret") + "rdtsc; ret; .byte 0x06\n"),
    ];
    for (reason, assembly) in cases {
        let (_, output, _) = remove_rdtsc(&assembly);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains(reason), "{assembly}{errors}");
    }
}
