//! Which op executes an instruction.

use iced_x86::{Code, Instruction};

use crate::decode::Selection;
use crate::op::{Execute, Op};
use crate::x87::instructions::arithmetic::{
    self, Add, Divide, DivideReversed, Multiply, Subtract, SubtractReversed,
};
use crate::x87::instructions::comparison::{
    self, Below, BelowOrEqual, Equal, NotBelow, NotBelowOrEqual, NotEqual, NotUnordered, Unordered,
};
use crate::x87::instructions::environment::{self, Large, Small};
use crate::x87::instructions::operand::{Double, Long, Quad, Short, Single};
use crate::x87::instructions::{control, load, stack, store, transcendental};

/// What executes an instruction of this group, whose bytes are `bytes`.
pub(crate) fn select(instruction: &Instruction, bytes: &[u8], op: &mut Op) -> Option<Selection> {
    let execute = function(instruction.code())?;
    let (opcode, mod_rm) = opcode(bytes);
    op.extra = match instruction.code() {
        // Of the others without a register, FCOMPP and FUCOMPP encode ST(1), and the constants their number.
        Code::Fscale => 1,
        _ => mod_rm & 7,
    };
    op.immediate = u64::from(opcode & 7) << 8 | u64::from(mod_rm);
    Some(Selection::plain(execute))
}

/// The opcode, and the byte behind it, if there is one.
fn opcode(bytes: &[u8]) -> (u8, u8) {
    let at = bytes.iter().position(|byte| matches!(byte, 0xd8..=0xdf)).unwrap_or(0);
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    (byte(at), byte(at + 1))
}

/// Instructions that move numbers and compute.
fn function(code: Code) -> Option<Execute> {
    let function: Execute = match code {
        Code::Fld_m32fp => load::load::<Single>,
        Code::Fld_m64fp => load::load::<Double>,
        Code::Fld_m80fp => load::load_extended,
        Code::Fild_m16int => load::load::<Short>,
        Code::Fild_m32int => load::load::<Long>,
        Code::Fild_m64int => load::load::<Quad>,
        Code::Fbld_m80bcd => load::load_decimal,
        Code::Fld_sti => load::load_register,
        Code::Fld1 | Code::Fldl2t | Code::Fldl2e | Code::Fldpi | Code::Fldlg2 | Code::Fldln2 | Code::Fldz => {
            load::load_constant
        }
        Code::Fst_m32fp => store::store::<Single, false>,
        Code::Fst_m64fp => store::store::<Double, false>,
        Code::Fstp_m32fp => store::store::<Single, true>,
        Code::Fstp_m64fp => store::store::<Double, true>,
        Code::Fstp_m80fp => store::store_extended,
        Code::Fist_m16int => store::store::<Short, false>,
        Code::Fist_m32int => store::store::<Long, false>,
        Code::Fistp_m16int => store::store::<Short, true>,
        Code::Fistp_m32int => store::store::<Long, true>,
        Code::Fistp_m64int => store::store::<Quad, true>,
        Code::Fbstp_m80bcd => store::store_decimal,
        Code::Fst_sti => store::store_register::<false>,
        Code::Fstp_sti | Code::Fstp_sti_DFD0 | Code::Fstp_sti_DFD8 => store::store_register::<true>,
        Code::Fstpnce_sti => store::store_unchecked,
        Code::Fxch_st0_sti | Code::Fxch_st0_sti_DDC8 | Code::Fxch_st0_sti_DFC8 => stack::exchange,
        Code::Ffree_sti => stack::free,
        Code::Ffreep_sti => stack::free_and_pop,
        Code::Fincstp => stack::increment_top,
        Code::Fdecstp => stack::decrement_top,
        _ => return arithmetic(code).or_else(|| comparison(code)).or_else(|| control(code)),
    };
    Some(function)
}

fn arithmetic(code: Code) -> Option<Execute> {
    let function: Execute = match code {
        Code::Fadd_m32fp => arithmetic::by_memory::<Add, Single>,
        Code::Fadd_m64fp => arithmetic::by_memory::<Add, Double>,
        Code::Fiadd_m16int => arithmetic::by_memory::<Add, Short>,
        Code::Fiadd_m32int => arithmetic::by_memory::<Add, Long>,
        Code::Fadd_st0_sti => arithmetic::by_register::<Add>,
        Code::Fadd_sti_st0 => arithmetic::to_register::<Add, false>,
        Code::Faddp_sti_st0 => arithmetic::to_register::<Add, true>,
        Code::Fsub_m32fp => arithmetic::by_memory::<Subtract, Single>,
        Code::Fsub_m64fp => arithmetic::by_memory::<Subtract, Double>,
        Code::Fisub_m16int => arithmetic::by_memory::<Subtract, Short>,
        Code::Fisub_m32int => arithmetic::by_memory::<Subtract, Long>,
        Code::Fsub_st0_sti => arithmetic::by_register::<Subtract>,
        Code::Fsub_sti_st0 => arithmetic::to_register::<Subtract, false>,
        Code::Fsubp_sti_st0 => arithmetic::to_register::<Subtract, true>,
        Code::Fsubr_m32fp => arithmetic::by_memory::<SubtractReversed, Single>,
        Code::Fsubr_m64fp => arithmetic::by_memory::<SubtractReversed, Double>,
        Code::Fisubr_m16int => arithmetic::by_memory::<SubtractReversed, Short>,
        Code::Fisubr_m32int => arithmetic::by_memory::<SubtractReversed, Long>,
        Code::Fsubr_st0_sti => arithmetic::by_register::<SubtractReversed>,
        Code::Fsubr_sti_st0 => arithmetic::to_register::<SubtractReversed, false>,
        Code::Fsubrp_sti_st0 => arithmetic::to_register::<SubtractReversed, true>,
        Code::Fmul_m32fp => arithmetic::by_memory::<Multiply, Single>,
        Code::Fmul_m64fp => arithmetic::by_memory::<Multiply, Double>,
        Code::Fimul_m16int => arithmetic::by_memory::<Multiply, Short>,
        Code::Fimul_m32int => arithmetic::by_memory::<Multiply, Long>,
        Code::Fmul_st0_sti => arithmetic::by_register::<Multiply>,
        Code::Fmul_sti_st0 => arithmetic::to_register::<Multiply, false>,
        Code::Fmulp_sti_st0 => arithmetic::to_register::<Multiply, true>,
        Code::Fdiv_m32fp => arithmetic::by_memory::<Divide, Single>,
        Code::Fdiv_m64fp => arithmetic::by_memory::<Divide, Double>,
        Code::Fidiv_m16int => arithmetic::by_memory::<Divide, Short>,
        Code::Fidiv_m32int => arithmetic::by_memory::<Divide, Long>,
        Code::Fdiv_st0_sti => arithmetic::by_register::<Divide>,
        Code::Fdiv_sti_st0 => arithmetic::to_register::<Divide, false>,
        Code::Fdivp_sti_st0 => arithmetic::to_register::<Divide, true>,
        Code::Fdivr_m32fp => arithmetic::by_memory::<DivideReversed, Single>,
        Code::Fdivr_m64fp => arithmetic::by_memory::<DivideReversed, Double>,
        Code::Fidivr_m16int => arithmetic::by_memory::<DivideReversed, Short>,
        Code::Fidivr_m32int => arithmetic::by_memory::<DivideReversed, Long>,
        Code::Fdivr_st0_sti => arithmetic::by_register::<DivideReversed>,
        Code::Fdivr_sti_st0 => arithmetic::to_register::<DivideReversed, false>,
        Code::Fdivrp_sti_st0 => arithmetic::to_register::<DivideReversed, true>,
        Code::Fsqrt => arithmetic::square_root,
        Code::Fabs => arithmetic::absolute,
        Code::Fchs => arithmetic::change_sign,
        Code::Frndint => arithmetic::round,
        Code::Fscale => arithmetic::scale,
        Code::Fprem => arithmetic::remainder,
        Code::Fprem1 => arithmetic::remainder_of_nearest,
        Code::Fxtract => arithmetic::extract,
        Code::F2xm1 => transcendental::exponential,
        Code::Fyl2x => transcendental::logarithm,
        Code::Fyl2xp1 => transcendental::logarithm_of_one_more,
        Code::Fpatan => transcendental::arctangent,
        Code::Fptan => transcendental::tangent,
        Code::Fsin => transcendental::sine,
        Code::Fcos => transcendental::cosine,
        Code::Fsincos => transcendental::sine_and_cosine,
        _ => return None,
    };
    Some(function)
}

fn comparison(code: Code) -> Option<Execute> {
    let function: Execute = match code {
        Code::Fcom_m32fp => comparison::with_memory::<Single, 0>,
        Code::Fcom_m64fp => comparison::with_memory::<Double, 0>,
        Code::Ficom_m16int => comparison::with_memory::<Short, 0>,
        Code::Ficom_m32int => comparison::with_memory::<Long, 0>,
        Code::Fcomp_m32fp => comparison::with_memory::<Single, 1>,
        Code::Fcomp_m64fp => comparison::with_memory::<Double, 1>,
        Code::Ficomp_m16int => comparison::with_memory::<Short, 1>,
        Code::Ficomp_m32int => comparison::with_memory::<Long, 1>,
        Code::Fcom_st0_sti | Code::Fcom_st0_sti_DCD0 => comparison::with_register::<0>,
        Code::Fcomp_st0_sti | Code::Fcomp_st0_sti_DCD8 | Code::Fcomp_st0_sti_DED0 => {
            comparison::with_register::<1>
        }
        Code::Fcompp => comparison::with_register::<2>,
        Code::Fucom_st0_sti => comparison::quietly_with_register::<0>,
        Code::Fucomp_st0_sti => comparison::quietly_with_register::<1>,
        Code::Fucompp => comparison::quietly_with_register::<2>,
        Code::Fcomi_st0_sti => comparison::to_flags::<false>,
        Code::Fcomip_st0_sti => comparison::to_flags::<true>,
        Code::Fucomi_st0_sti => comparison::quietly_to_flags::<false>,
        Code::Fucomip_st0_sti => comparison::quietly_to_flags::<true>,
        Code::Ftst => comparison::with_zero,
        Code::Fxam => comparison::examine,
        Code::Fcmovb_st0_sti => comparison::move_if::<Below>,
        Code::Fcmove_st0_sti => comparison::move_if::<Equal>,
        Code::Fcmovbe_st0_sti => comparison::move_if::<BelowOrEqual>,
        Code::Fcmovu_st0_sti => comparison::move_if::<Unordered>,
        Code::Fcmovnb_st0_sti => comparison::move_if::<NotBelow>,
        Code::Fcmovne_st0_sti => comparison::move_if::<NotEqual>,
        Code::Fcmovnbe_st0_sti => comparison::move_if::<NotBelowOrEqual>,
        Code::Fcmovnu_st0_sti => comparison::move_if::<NotUnordered>,
        _ => return None,
    };
    Some(function)
}

fn control(code: Code) -> Option<Execute> {
    let function: Execute = match code {
        Code::Fninit => control::initialise,
        Code::Fnclex => control::clear_exceptions,
        Code::Fldcw_m2byte => control::load_control,
        Code::Fnstcw_m2byte => control::store_control,
        Code::Fnstsw_m2byte => control::store_status,
        Code::Fnstsw_AX => control::store_status_in_ax,
        Code::Fnop => control::nothing,
        Code::Fneni | Code::Fndisi | Code::Fnsetpm => control::nothing_without_wait,
        Code::Wait => control::wait,
        Code::Fldenv_m14byte => environment::load::<Small>,
        Code::Fldenv_m28byte => environment::load::<Large>,
        Code::Fnstenv_m14byte => environment::store::<Small>,
        Code::Fnstenv_m28byte => environment::store::<Large>,
        Code::Frstor_m94byte => environment::restore::<Small>,
        Code::Frstor_m108byte => environment::restore::<Large>,
        Code::Fnsave_m94byte => environment::save::<Small>,
        Code::Fnsave_m108byte => environment::save::<Large>,
        _ => return None,
    };
    Some(function)
}

#[cfg(test)]
mod tests {
    use iced_x86::CpuidFeature;

    use super::*;

    /// What the decoder never yields: instructions behind an FWAIT, which are two.
    const WITH_WAIT: [Code; 12] = [
        Code::Fclex,
        Code::Fdisi,
        Code::Feni,
        Code::Finit,
        Code::Fsave_m108byte,
        Code::Fsave_m94byte,
        Code::Fsetpm,
        Code::Fstcw_m2byte,
        Code::Fstenv_m14byte,
        Code::Fstenv_m28byte,
        Code::Fstsw_AX,
        Code::Fstsw_m2byte,
    ];

    #[test]
    fn every_instruction_of_the_features_is_known() {
        use CpuidFeature::{CMOV, FPU, FPU287, FPU387};
        let is_ours = |code: &Code| {
            let features = code.cpuid_features();
            let is_x87 = features.iter().any(|feature| matches!(feature, &FPU | &FPU287 | &FPU387));
            is_x87 && features.iter().all(|feature| matches!(feature, &FPU | &FPU287 | &FPU387 | &CMOV))
        };
        let ours: Vec<Code> = Code::values().filter(is_ours).collect();
        assert!(ours.len() > 130, "{} instructions", ours.len());
        let unknown = ours.iter().filter(|code| function(**code).is_none() && !WITH_WAIT.contains(code));
        assert_eq!(unknown.collect::<Vec<_>>(), Vec::<&Code>::new());
    }

    #[test]
    fn the_opcode_is_found_behind_prefixes() {
        assert_eq!(opcode(&[0xd9, 0xc1]), (0xd9, 0xc1));
        assert_eq!(opcode(&[0x66, 0x64, 0x4d, 0xdd, 0x36]), (0xdd, 0x36));
        assert_eq!(opcode(&[0x9b]), (0x9b, 0));
    }
}
