//! Random numbers, and values that instructions find hard.

use iced_x86::MemorySize;

/// A generator of random numbers (SplitMix64): small, and the same everywhere.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The generator of one instance: any two instances have generators of their own.
    pub(super) fn new(seed: u64, test: &str, instance: u64) -> Self {
        let name = test.bytes().fold(0u64, |hash, byte| hash.wrapping_mul(0x100_0193) ^ u64::from(byte));
        let mut random = Self(seed ^ name << 32);
        let start = random.next().wrapping_add(instance.wrapping_mul(0xd134_2543_de82_ef95));
        Self(start)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Less than `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// True once in `times` times.
    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// An integer, with a liking for the ends of ranges of all widths.
    pub(super) fn integer(&mut self) -> u64 {
        match self.below(12) {
            0 => self.pick(&[0, 1, 2, u64::MAX, u64::MAX - 1]),
            1 => {
                let bits = self.pick(&[8, 16, 32, 64]);
                (1u64 << (bits - 1)).wrapping_add(self.below(3)).wrapping_sub(1)
            }
            2 => {
                let bits = self.pick(&[8, 16, 32]);
                (1u64 << bits).wrapping_add(self.below(3)).wrapping_sub(1)
            }
            3 => (self.below(5) as i64 - 2) as u64,
            4 => 1 << self.below(64),
            5 => u64::MAX << self.below(64),
            6 => u64::MAX >> self.below(64),
            7 => self.below(256),
            8 => self.below(1 << 16),
            9 => self.next() >> self.below(64),
            10 => (self.next() as i64 >> self.below(64)) as u64,
            _ => self.next(),
        }
    }

    /// A floating-point number with `exponent` and `fraction` bits, sign on top: every class of number, and
    /// numbers near the limits of the integers.
    fn ieee(&mut self, exponent: u32, fraction: u32) -> u64 {
        let top = (1u64 << exponent) - 1;
        let bias = top >> 1;
        let all = (1u64 << fraction) - 1;
        let part = match self.below(4) {
            0 => 0,
            1 => all.wrapping_sub(self.below(3)) & all,
            2 => self.next() & all & all << self.below(u64::from(fraction)),
            _ => self.next() & all,
        };
        let (power, part) = match self.below(14) {
            0 => (0, 0),
            1 => (0, self.pick(&[1, all, 1 << (fraction - 1), part])),
            2 => (top, 0),
            // Quiet and signalling NaNs.
            3 => (top, part | 1 << (fraction - 1)),
            4 => (top, part & all >> 1 | 1),
            5 => (1 + self.below(3), part),
            6 => (top - 1 - self.below(3), part),
            7 => (bias, self.pick(&[0, 0, part])),
            8 => (bias + self.pick(&[7, 8, 14, 15, 16, 30, 31, 32, 62, 63, 64]), part),
            9 => (bias.wrapping_sub(self.below(4)), part),
            10 | 11 => (bias - 4 + self.below(70), part),
            _ => (self.below(top), part),
        };
        (self.next() & 1) << (exponent + fraction) | (power & top) << fraction | part
    }

    pub(super) fn single(&mut self) -> u32 {
        self.ieee(8, 23) as u32
    }

    pub(super) fn double(&mut self) -> u64 {
        self.ieee(11, 52)
    }

    /// An 80-bit number, of the forms that no processor makes too.
    pub(super) fn extended(&mut self) -> u128 {
        const ONE: u64 = 1 << 63;
        let part = match self.below(4) {
            0 => 0,
            1 => u64::MAX >> 1,
            2 => self.next() & u64::MAX << self.below(64),
            _ => self.next(),
        } & !ONE;
        let (power, part) = match self.below(16) {
            0 => (0, 0),
            1 => (0, self.pick(&[1, part, 1 << 62])),
            // Pseudo-denormal, unnormal, pseudo-infinity and pseudo-NaN.
            2 => (0, ONE | part),
            3 => (1 + self.below(0x7ffe), part),
            4 => (0x7fff, self.pick(&[0, part])),
            5 => (0x7fff, ONE),
            6 => (0x7fff, ONE | 1 << 62 | part),
            7 => (0x7fff, ONE | part & !(1 << 62) | 1),
            8 => (1 + self.below(4), ONE | part),
            9 => (0x7ffe - self.below(4), ONE | part),
            10 => (0x3fff, ONE | self.pick(&[0, part])),
            11 => (0x3fff - self.below(70), ONE | part),
            12 | 13 => (0x3fff + self.below(66), ONE | part),
            // What singles and doubles hold: few bits, or exponents at their limits.
            14 => (self.pick(&[0x3f80, 0x407f, 0x3c00, 0x43ff, 0x3bcd]), ONE | part & u64::MAX << 11),
            _ => (0x3fff - 0x400 + self.below(0x800), ONE | part),
        };
        u128::from((self.next() & 1) << 15 | power) << 64 | u128::from(part)
    }

    /// A decimal number for FBLD.
    fn decimal(&mut self) -> u128 {
        let mut digits = 0u128;
        for _ in 0..18 {
            let digit = if self.once_in(40) { self.below(16) } else { self.below(10) };
            digits = digits << 4 | u128::from(digit);
        }
        u128::from(self.pick(&[0u64, 0x80, 0x7f])) << 72 | digits
    }

    /// Two of what `half` makes.
    fn twice(&mut self, half: fn(&mut Self) -> u64) -> u128 {
        u128::from(half(self)) << 64 | u128::from(half(self))
    }

    /// An XMM register: packed or scalar, numbers or integers.
    pub(super) fn vector(&mut self) -> u128 {
        match self.below(5) {
            0 | 1 => self.twice(|random| u64::from(random.single()) << 32 | u64::from(random.single())),
            2 | 3 => self.twice(Self::double),
            _ => self.twice(Self::integer),
        }
    }

    /// 16 bytes of memory, by what the instruction takes them for.
    pub(super) fn operand(&mut self, size: MemorySize) -> u128 {
        match size {
            MemorySize::Float32 => self.single().into(),
            MemorySize::Float64 => self.double().into(),
            MemorySize::Float80 => self.extended(),
            MemorySize::Bcd => self.decimal(),
            _ if size.element_type() == MemorySize::Float32 => {
                self.twice(|random| u64::from(random.single()) << 32 | u64::from(random.single()))
            }
            _ if size.element_type() == MemorySize::Float64 => self.twice(Self::double),
            _ => self.twice(Self::integer),
        }
    }
}
