//! FLDENV, FSTENV, FRSTOR, FSAVE: the environment, and the registers behind it, in memory (Intel SDM volume 1,
//! figures 8-9 and 8-11: the formats of protected mode, which long mode shares).

use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::memory::Kind;
use crate::op::{Op, Step};
use crate::x87::guard::{begin, begin_without_wait};
use crate::x87::instructions::operand::check_store;
use crate::x87::number::{Class, Extended, Number};
use crate::x87::status::EXCEPTIONS;
use crate::x87::{REGISTER, X87};

/// Bytes of the registers.
const REGISTERS: usize = 80;
/// The most bytes of all.
const MOST: usize = 28 + REGISTERS;

/// A layout, by the size of operands.
pub(in crate::x87) trait Layout {
    /// Bytes of a field.
    const FIELD: usize;
    /// Bytes of the environment.
    const BYTES: usize = 7 * Self::FIELD;
    /// The environment's fields.
    fn fields(x87: &X87) -> [u32; 7];
    /// Takes over the pointers from the last four fields.
    fn set_pointers(x87: &mut X87, fields: [u32; 4]);
}

/// 16 bits.
pub(in crate::x87) struct Small;
/// 32 bits.
pub(in crate::x87) struct Large;

impl Layout for Small {
    const FIELD: usize = 2;

    fn fields(x87: &X87) -> [u32; 7] {
        let [control, status, tags] = words(x87);
        [control, status, tags, x87.instruction as u32, 0, x87.operand as u32, 0]
    }

    fn set_pointers(x87: &mut X87, [instruction, _, operand, _]: [u32; 4]) {
        x87.instruction = instruction.into();
        x87.opcode = 0;
        x87.operand = operand.into();
    }
}

impl Layout for Large {
    const FIELD: usize = 4;

    fn fields(x87: &X87) -> [u32; 7] {
        // Where there is nothing, there are ones.
        let [control, status, tags] = words(x87).map(|word| word | 0xffff << 16);
        let opcode = u32::from(x87.opcode) << 16;
        [control, status, tags, x87.instruction as u32, opcode, x87.operand as u32, 0xffff << 16]
    }

    fn set_pointers(x87: &mut X87, [instruction, opcode, operand, _]: [u32; 4]) {
        x87.instruction = instruction.into();
        x87.opcode = (opcode >> 16 & 0x7ff) as u16;
        x87.operand = operand.into();
    }
}

/// FCW, FSW and FTW.
fn words(x87: &X87) -> [u32; 3] {
    [x87.control.into(), x87.status_word().into(), tag_word(x87).into()]
}

/// FTW: two bits for each register that tell what it holds: 0 a normal number, 1 zero, 2 something special, 3
/// nothing (Intel SDM volume 1, 8.1.7).
fn tag_word(x87: &X87) -> u16 {
    (0..8).fold(0, |tags, register| {
        let number = Number::from_extended(Extended::from_bits(x87.registers[register]));
        let tag = match number.class {
            _ if x87.valid >> register & 1 == 0 => 3,
            Class::Zero => 1,
            Class::Finite if !number.is_denormal => 0,
            _ => 2,
        };
        tags | tag << (2 * register)
    })
}

/// Which registers are not empty, of FTW. What else it says follows from what they hold.
fn valid(tag_word: u16) -> u8 {
    (0..8)
        .filter(|register| tag_word >> (2 * register) & 3 != 3)
        .fold(0, |valid, register| valid | 1 << register)
}

/// Fields to bytes.
fn environment<L: Layout>(x87: &X87) -> [u8; MOST] {
    let mut image = [0; MOST];
    for (place, field) in image.chunks_exact_mut(L::FIELD).zip(L::fields(x87)) {
        place.copy_from_slice(&field.to_le_bytes()[..L::FIELD]);
    }
    image
}

fn set_environment<L: Layout>(x87: &mut X87, image: &[u8; MOST]) {
    let [control, status, tags, pointers @ ..]: [u32; 7] = std::array::from_fn(|at| {
        let mut field = [0; 4];
        field[..L::FIELD].copy_from_slice(&image[at * L::FIELD..][..L::FIELD]);
        u32::from_le_bytes(field)
    });
    x87.set_control(control as u16);
    x87.set_status(status as u16);
    x87.valid = valid(tags as u16);
    L::set_pointers(x87, pointers);
}

/// Reads `bytes` bytes by fields.
fn read<L: Layout>(cpu: &mut Cpu, op: &Op, bytes: usize) -> Result<[u8; MOST], Abort> {
    let linear = cpu.address(op, bytes, Kind::Read)?;
    let mut image = [0; MOST];
    for (at, place) in image[..bytes].chunks_exact_mut(L::FIELD).enumerate() {
        let address = linear.wrapping_add((at * L::FIELD) as u64);
        match L::FIELD {
            2 => place.copy_from_slice(&cpu.memory.read::<2>(address)?),
            _ => place.copy_from_slice(&cpu.memory.read::<4>(address)?),
        }
    }
    Ok(image)
}

/// Writes `bytes` bytes by fields, all or none.
fn write<L: Layout>(cpu: &mut Cpu, op: &Op, image: &[u8; MOST], bytes: usize) -> Result<Step, Abort> {
    let linear = check_store(cpu, op, bytes, L::FIELD as u64)?;
    let mut step = Step::Next;
    for (at, field) in image[..bytes].chunks_exact(L::FIELD).enumerate() {
        let address = linear.wrapping_add((at * L::FIELD) as u64);
        let last = match *field {
            [low, high] => cpu.memory.write::<2>(address, [low, high])?,
            [first, second, third, fourth] => {
                cpu.memory.write::<4>(address, [first, second, third, fourth])?
            }
            _ => unreachable!("a field has two bytes or four"),
        };
        if last != Step::Next {
            step = last;
        }
    }
    Ok(step)
}

/// FNSTENV. It masks all exceptions.
pub(in crate::x87) extern "sysv64-unwind" fn store<L: Layout>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin_without_wait(cpu)?;
    let image = environment::<L>(&cpu.x87);
    let step = write::<L>(cpu, op, &image, L::BYTES)?;
    cpu.x87.set_control(cpu.x87.control | EXCEPTIONS);
    Ok(step)
}

/// FLDENV. An exception that is not masked is raised by the next instruction that waits.
pub(in crate::x87) extern "sysv64-unwind" fn load<L: Layout>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    let image = read::<L>(cpu, op, L::BYTES)?;
    set_environment::<L>(&mut cpu.x87, &image);
    Ok(Step::Next)
}

/// FNSAVE. It initialises, as FNINIT does.
pub(in crate::x87) extern "sysv64-unwind" fn save<L: Layout>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin_without_wait(cpu)?;
    let mut image = environment::<L>(&cpu.x87);
    for (register, place) in (0..8).zip(image[L::BYTES..].chunks_exact_mut(10)) {
        place.copy_from_slice(&cpu.x87.st(register).bits().to_le_bytes()[..10]);
    }
    let step = write::<L>(cpu, op, &image, L::BYTES + REGISTERS)?;
    cpu.x87.initialise();
    Ok(step)
}

/// FRSTOR.
pub(in crate::x87) extern "sysv64-unwind" fn restore<L: Layout>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    begin(cpu)?;
    let image = read::<L>(cpu, op, L::BYTES + REGISTERS)?;
    set_environment::<L>(&mut cpu.x87, &image);
    for (register, bytes) in (0..8).zip(image[L::BYTES..].chunks_exact(10)) {
        let mut value = [0; 16];
        value[..10].copy_from_slice(bytes);
        let physical = cpu.x87.physical(register);
        cpu.x87.registers[usize::from(physical)] = u128::from_le_bytes(value) & REGISTER;
    }
    Ok(Step::Next)
}

#[cfg(test)]
mod tests {
    use crate::cpu::number;
    use crate::op::Step;
    use crate::testing::{CODE, DATA, RAM, Trial};

    const FLDPI: &[u8] = &[0xd9, 0xeb];
    /// With the operand at RDI.
    const FSTP_M80: &[u8] = &[0xdb, 0x3f];
    const FBSTP: &[u8] = &[0xdf, 0x37];
    const FNSAVE: &[u8] = &[0xdd, 0x37];
    const FNSTENV: &[u8] = &[0xd9, 0x37];
    const FNSTENV_16: &[u8] = &[0x66, 0xd9, 0x37];

    /// A processor with π in ST(0), and RDI.
    fn loaded(rdi: u64) -> Trial {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RDI) = rdi;
        assert_eq!(trial.execute(FLDPI), Ok(Step::Next));
        trial
    }

    #[test]
    fn the_environment_has_two_layouts() {
        let mut trial = loaded(DATA);
        trial.cpu.x87.operand = 0x1234_5678;
        assert_eq!(trial.execute(FNSTENV), Ok(Step::Next));
        let fields: [u32; 7] = std::array::from_fn(|at| u32::from_le_bytes(trial.read(DATA + 4 * at as u64)));
        let opcode = 0x1eb << 16;
        assert_eq!(
            fields,
            [0xffff_037f, 0xffff_3800, 0xffff_3fff, CODE as u32, opcode, 0x1234_5678, 0xffff_0000]
        );
        assert_eq!(trial.execute(FNSTENV_16), Ok(Step::Next));
        let fields: [u16; 7] = std::array::from_fn(|at| u16::from_le_bytes(trial.read(DATA + 2 * at as u64)));
        assert_eq!(fields, [0x37f, 0x3800, 0x3fff, CODE as u16, 0, 0x5678, 0]);
    }

    #[test]
    fn a_store_that_faults_on_its_second_page_changes_nothing() {
        // The first 2 MiB are mapped; only the beginning of them is RAM.
        const END: u64 = 1 << 21;
        for instruction in [FSTP_M80, FBSTP, FNSAVE, FNSTENV] {
            let mut trial = loaded(END - 4);
            let before = format!("{:?}", trial.cpu.x87);
            trial.fault(instruction);
            assert_eq!(format!("{:?}", trial.cpu.x87), before, "{instruction:02x?}");
            assert_eq!(trial.cpu.memory.mmio.next_write(), None);
        }
    }

    #[test]
    fn a_store_may_cross_pages() {
        let mut trial = loaded(RAM - 0x1004);
        assert_eq!(trial.execute(FSTP_M80), Ok(Step::Next));
        let pi = [0x35, 0xc2, 0x68, 0x21, 0xa2, 0xda, 0x0f, 0xc9, 0x00, 0x40];
        assert_eq!(trial.read(RAM - 0x1004), pi);
    }

    #[test]
    fn a_store_to_a_device_is_told_in_parts() {
        let mut trial = loaded(RAM + 0x100);
        assert_eq!(trial.execute(FSTP_M80), Ok(Step::Leave));
        let first = trial.cpu.memory.mmio.next_write().expect("eight bytes");
        let second = trial.cpu.memory.mmio.next_write().expect("two bytes");
        assert_eq!((first.bytes, first.value), (8, 0xc90f_daa2_2168_c235));
        assert_eq!((second.bytes, second.value), (2, 0x4000));
    }
}
