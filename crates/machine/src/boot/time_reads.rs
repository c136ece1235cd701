//! Rewriting RDTSC in a kernel's text, for engines that cannot trap it.
//!
//! Stock KVM offers no exit for RDTSC: VMX and SVM could trap it, but KVM does not ask them to. Ring 0 may
//! always execute it (CR4.TSD binds rings 1 to 3 only), and what it reads is the host's counter, which no
//! replay could reproduce. So before the guest starts, every `RDTSC` (`0F 31`) in the kernel's text is
//! replaced by `IN EAX, 0xE4` (`E5 E4`), which has the same length, touches no flag and always exits in
//! ring 0; the engine then sets EDX too, as RDTSC would have. RDTSCP and RDRAND need no such care: CPUID
//! does not offer them and kernels ask it first.
//!
//! The two bytes `0F 31` also stand inside other instructions (a kernel of a few MiB holds more such pairs
//! than RDTSCs), so they are found by *disassembly*, never by search. x86 code can only be disassembled
//! from a known start: the symbol table names all functions with their sizes, and each is decoded from its
//! first byte to its last. Executable sections without functions, such as `.altinstr_replacement`, hold
//! nothing but instructions, one after the other, and are decoded as a whole. What lies between functions
//! is padding; should it hold a time read, the kernel is refused, and so is code that does not decode:
//! guessing could corrupt it.

use std::collections::BTreeSet;
use std::ops::Range;

use iced_x86::{Code, Decoder, DecoderOptions};
use object::elf::FileHeader64;
use object::read::elf::ElfFile;
use object::{LittleEndian, Object as _, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind, elf};
use outlive_engine::ports::TIME_READ_PORT;

/// `IN EAX, TIME_READ_PORT`.
const REPLACEMENT: [u8; 2] = [0xe5, TIME_READ_PORT as u8];
/// `RDTSC`.
const TIME_READ: [u8; 2] = [0x0f, 0x31];

/// Replaces every RDTSC in the text of the ELF file `kernel`, in place, and returns how many there were.
///
/// # Errors
/// When the text cannot be disassembled with certainty. `kernel` is unchanged then.
pub fn rewrite(kernel: &mut [u8]) -> Result<usize, RewriteError> {
    let offsets = find(kernel)?;
    for &offset in &offsets {
        let bytes = &mut kernel[offset..offset + TIME_READ.len()];
        assert_eq!(bytes, TIME_READ, "the disassembler found an RDTSC here");
        bytes.copy_from_slice(&REPLACEMENT);
    }
    Ok(offsets.len())
}

/// File offsets of all RDTSC instructions. A set, for nothing forbids two sections to share their bytes.
fn find(kernel: &[u8]) -> Result<BTreeSet<usize>, RewriteError> {
    let file = ElfFile::<FileHeader64<LittleEndian>>::parse(kernel).map_err(RewriteError::Malformed)?;
    let functions = functions(&file)?;
    let mut offsets = BTreeSet::new();
    for section in file.sections().filter(is_executable) {
        let (Some((start, _)), Ok(bytes)) = (section.file_range(), section.data()) else {
            continue;
        };
        let text = Text::new(section.address(), bytes)?;
        let found = text.time_reads(&functions)?;
        offsets.extend(found.iter().map(|address| (start + (address - text.address)) as usize));
    }
    Ok(offsets)
}

fn is_executable<'d>(section: &impl ObjectSection<'d>) -> bool {
    let wanted = u64::from(elf::SHF_EXECINSTR | elf::SHF_ALLOC);
    matches!(section.flags(), SectionFlags::Elf { sh_flags } if sh_flags & wanted == wanted)
}

/// Address ranges of all functions, sorted by their start. A symbol inside another function is left out:
/// its bytes are decoded as part of that function, and one byte must not be read in two ways.
fn functions(file: &ElfFile<'_, FileHeader64<LittleEndian>>) -> Result<Vec<Range<u64>>, RewriteError> {
    let mut functions: Vec<Range<u64>> = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
        .map(|symbol| symbol.address()..symbol.address().saturating_add(symbol.size()))
        .collect();
    if functions.is_empty() {
        return Err(RewriteError::NoSymbols);
    }
    functions.sort_by_key(|function| (function.start, std::cmp::Reverse(function.end)));
    functions.dedup_by(|inner, outer| inner.end <= outer.end);
    Ok(functions)
}

/// One executable section.
struct Text<'a> {
    address: u64,
    bytes: &'a [u8],
}

impl<'a> Text<'a> {
    /// A section that ends before the address space does.
    fn new(address: u64, bytes: &'a [u8]) -> Result<Self, RewriteError> {
        match address.checked_add(bytes.len() as u64) {
            Some(_) => Ok(Self { address, bytes }),
            None => Err(RewriteError::Overflow(address)),
        }
    }

    fn range(&self) -> Range<u64> {
        self.address..self.address + self.bytes.len() as u64
    }

    /// Addresses of all RDTSC instructions in this section.
    fn time_reads(&self, functions: &[Range<u64>]) -> Result<BTreeSet<u64>, RewriteError> {
        let own = self.range();
        let within = |f: &&Range<u64>| own.start <= f.start && f.end <= own.end;
        let functions: Vec<_> = functions.iter().filter(within).collect();
        let mut found = BTreeSet::new();
        if functions.is_empty() {
            found.extend(self.decode(own)?);
            return Ok(found);
        }
        let mut decoded_to = own.start;
        for function in functions {
            if decoded_to < function.start {
                self.check_padding(decoded_to..function.start)?;
            }
            found.extend(self.decode(function.clone())?);
            decoded_to = decoded_to.max(function.end);
        }
        self.check_padding(decoded_to..own.end)?;
        Ok(found)
    }

    /// RDTSC instructions in a range that starts with an instruction and holds nothing else.
    fn decode(&self, range: Range<u64>) -> Result<Vec<u64>, RewriteError> {
        let mut found = Vec::new();
        let mut decoder = self.decoder(&range);
        while decoder.can_decode() {
            let instruction = decoder.decode();
            if instruction.is_invalid() {
                return Err(RewriteError::Undecodable { address: instruction.ip(), from: range.start });
            }
            if instruction.code() == Code::Rdtsc {
                if instruction.len() != TIME_READ.len() {
                    return Err(RewriteError::Prefixed(instruction.ip()));
                }
                found.push(instruction.ip());
            }
        }
        Ok(found)
    }

    /// Between functions there must be no time read, however one looks at it.
    fn check_padding(&self, range: Range<u64>) -> Result<(), RewriteError> {
        let mut decoder = self.decoder(&range);
        while decoder.can_decode() {
            let instruction = decoder.decode();
            if instruction.code() == Code::Rdtsc {
                return Err(RewriteError::OutsideFunction(instruction.ip()));
            }
        }
        Ok(())
    }

    fn decoder(&self, range: &Range<u64>) -> Decoder<'_> {
        let offset = |address| (address - self.address) as usize;
        let bytes = &self.bytes[offset(range.start)..offset(range.end)];
        Decoder::with_ip(64, bytes, range.start, DecoderOptions::NONE)
    }
}

/// Why a kernel's time reads could not be rewritten.
#[derive(thiserror::Error, Debug)]
pub enum RewriteError {
    /// Not readable as ELF.
    #[error("the kernel's section headers or symbols are damaged")]
    Malformed(#[source] object::Error),
    /// A section that no address space holds.
    #[error("the kernel's section at {0:#x} ends beyond the address space")]
    Overflow(u64),
    /// Not ELF but compressed.
    #[error(
        "the kernel is a bzImage: its RDTSC instructions cannot be found while it is compressed, and this \
         engine cannot trap them; give the vmlinux inside it with its symbols, or choose engine = \"soft\""
    )]
    Compressed,
    /// No symbols.
    #[error(
        "the kernel has no symbol table, without which its RDTSC instructions cannot be found, and this \
         engine cannot trap them; give an unstripped vmlinux"
    )]
    NoSymbols,
    /// Code that is no code.
    #[error(
        "the kernel's code at {address:#x} does not decode (counted from {from:#x}), so its RDTSC \
         instructions cannot be found with certainty"
    )]
    Undecodable {
        /// Where.
        address: u64,
        /// Where decoding began.
        from: u64,
    },
    /// A time read that is longer than its replacement.
    #[error("the RDTSC at {0:#x} of the kernel has a prefix; it cannot be rewritten")]
    Prefixed(u64),
    /// A time read that no function owns.
    #[error(
        "there is an RDTSC at {0:#x} outside of all functions of the kernel; it cannot be rewritten safely"
    )]
    OutsideFunction(u64),
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::write::{Object, StandardSection, Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope};
    use proptest::prelude::*;

    fn found(bytes: &[u8], functions: &[Range<u64>]) -> Result<Vec<u64>, RewriteError> {
        Ok(Text::new(0x1000, bytes)?.time_reads(functions)?.into_iter().collect())
    }

    /// An ELF file with two functions, `mov eax, 0x310f; ret` and `rdtsc; ret`.
    fn elf() -> Vec<u8> {
        let mut file = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let section = file.section_id(StandardSection::Text);
        for (name, code) in [("plain", &[0xb8, 0x0f, 0x31, 0, 0, 0xc3][..]), ("clock", &[0x0f, 0x31, 0xc3])] {
            let symbol = file.add_symbol(Symbol {
                name: name.into(),
                value: 0,
                size: 0,
                kind: SymbolKind::Text,
                scope: SymbolScope::Linkage,
                weak: false,
                section: SymbolSection::Undefined,
                flags: SymbolFlags::None,
            });
            file.add_symbol_data(symbol, section, code, 1);
        }
        file.write().unwrap()
    }

    #[test]
    fn a_file_is_rewritten_in_place_and_nowhere_else() {
        let before = elf();
        let mut after = before.clone();
        assert_eq!(rewrite(&mut after).unwrap(), 1);
        let changed: Vec<_> = (0..before.len()).filter(|&at| before[at] != after[at]).collect();
        let [first, second] = changed[..] else { panic!("{changed:?}") };
        assert_eq!(
            (second, &before[first..=second], &after[first..=second]),
            (first + 1, &TIME_READ[..], &REPLACEMENT[..])
        );
    }

    proptest! {
        #[test]
        fn no_damage_to_a_file_panics(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let mut file = elf();
            for (at, value) in damage {
                let at = at.index(file.len());
                file[at] = value;
            }
            let _ = rewrite(&mut file);
        }
    }

    #[test]
    fn a_time_read_is_found_and_the_same_bytes_inside_an_instruction_are_not() {
        // mov eax, 0x310f; rdtsc; ret
        let bytes = [0xb8, 0x0f, 0x31, 0, 0, 0x0f, 0x31, 0xc3];
        assert_eq!(found(&bytes, std::slice::from_ref(&(0x1000..0x1008))).unwrap(), [0x1005]);
    }

    #[test]
    fn a_section_without_functions_is_decoded_as_a_whole() {
        // lfence; rdtsc
        assert_eq!(found(&[0x0f, 0xae, 0xe8, 0x0f, 0x31], &[]).unwrap(), [0x1003]);
    }

    #[test]
    fn a_time_read_between_functions_is_refused() {
        let bytes = [0xc3, 0x0f, 0x31, 0xc3];
        let error = found(&bytes, &[0x1000..0x1001, 0x1003..0x1004]).unwrap_err();
        assert!(matches!(error, RewriteError::OutsideFunction(0x1001)));
    }

    #[test]
    fn a_time_read_with_a_prefix_is_refused() {
        // ds rdtsc
        let error = found(&[0x3e, 0x0f, 0x31], &[]).unwrap_err();
        assert!(matches!(error, RewriteError::Prefixed(0x1000)));
    }

    #[test]
    fn a_section_beyond_the_address_space_is_refused() {
        assert!(matches!(Text::new(u64::MAX - 2, &[0x90; 4]), Err(RewriteError::Overflow(_))));
    }

    #[test]
    fn code_that_does_not_decode_is_refused() {
        // 06 is no instruction in 64-bit mode.
        let error = found(&[0x90, 0x06], std::slice::from_ref(&(0x1000..0x1002))).unwrap_err();
        assert!(matches!(error, RewriteError::Undecodable { address: 0x1001, from: 0x1000 }));
    }

    #[test]
    fn a_file_without_symbols_is_refused() {
        let mut kernel = std::fs::read("/proc/self/exe").unwrap();
        // Drop the section headers, and with them the symbols.
        kernel[40..48].fill(0);
        kernel[60..64].fill(0);
        assert!(matches!(rewrite(&mut kernel), Err(RewriteError::NoSymbols)));
    }
}
