//! Operand widths, as types, so that one piece of code serves all four at no cost.

/// A width of integer operands. Values travel as `u64`, zero-extended.
pub(crate) trait Width: Copy + 'static {
    /// In bits.
    const BITS: u32;
    /// In bytes.
    const BYTES: usize = Self::BITS as usize / 8;
    /// All bits of a value.
    const MASK: u64 = u64::MAX >> (64 - Self::BITS);
    /// The highest bit.
    const SIGN: u64 = 1 << (Self::BITS - 1);

    /// A value of this width, sign-extended.
    #[inline]
    fn sign_extend(value: u64) -> u64 {
        let unused = 64 - Self::BITS;
        ((value << unused) as i64 >> unused) as u64
    }
}

macro_rules! widths {
    ($($name:ident: $bits:literal),*) => {
        $(
            #[doc = concat!(stringify!($bits), " bits.")]
            #[derive(Clone, Copy, Debug)]
            pub(crate) struct $name;

            impl Width for $name {
                const BITS: u32 = $bits;
            }
        )*
    };
}

widths!(Byte: 8, Word: 16, Dword: 32, Qword: 64);
