//! The bits of a 16550A's registers.

/// Interrupt enable register.
pub(super) mod ier {
    pub(in super::super) const DATA_AVAILABLE: u8 = 1 << 0;
    pub(in super::super) const TRANSMITTER_EMPTY: u8 = 1 << 1;
    pub(in super::super) const LINE_STATUS: u8 = 1 << 2;
    pub(in super::super) const MODEM_STATUS: u8 = 1 << 3;
    /// The upper half reads as zeros, by which drivers tell this chip from later ones.
    pub(in super::super) const ALL: u8 = 0x0f;
}

/// Interrupt identification register: causes, most urgent first.
pub(super) mod iir {
    pub(in super::super) const LINE_STATUS: u8 = 0b0110;
    pub(in super::super) const DATA_AVAILABLE: u8 = 0b0100;
    /// There is data, less than the trigger level, and no more has come for a while.
    pub(in super::super) const TIMEOUT: u8 = 0b1100;
    pub(in super::super) const TRANSMITTER_EMPTY: u8 = 0b0010;
    pub(in super::super) const MODEM_STATUS: u8 = 0b0000;
    pub(in super::super) const NONE: u8 = 0b0001;
    pub(in super::super) const FIFO_ENABLED: u8 = 0b11 << 6;
}

/// FIFO control register.
pub(super) mod fcr {
    pub(in super::super) const ENABLE: u8 = 1 << 0;
    pub(in super::super) const CLEAR_RECEIVER: u8 = 1 << 1;
    /// What outlasts the write: enable and trigger level.
    pub(in super::super) const KEPT: u8 = 0b1100_0001;

    /// How many bytes make data available.
    pub(in super::super) fn trigger_level(value: u8) -> usize {
        [1, 4, 8, 14][usize::from(value >> 6)]
    }
}

/// Line control register.
pub(super) mod lcr {
    /// The first two ports give access to the divisor.
    pub(in super::super) const DIVISOR_ACCESS: u8 = 1 << 7;
}

/// Modem control register.
pub(super) mod mcr {
    pub(in super::super) const DATA_TERMINAL_READY: u8 = 1 << 0;
    pub(in super::super) const REQUEST_TO_SEND: u8 = 1 << 1;
    pub(in super::super) const OUT1: u8 = 1 << 2;
    /// On a PC, this lets the interrupt output through.
    pub(in super::super) const OUT2: u8 = 1 << 3;
    pub(in super::super) const LOOPBACK: u8 = 1 << 4;
    pub(in super::super) const ALL: u8 = 0x1f;
}

/// Line status register.
pub(super) mod lsr {
    pub(in super::super) const DATA_READY: u8 = 1 << 0;
    pub(in super::super) const OVERRUN: u8 = 1 << 1;
    /// Both the holding and the shift register are empty.
    pub(in super::super) const TRANSMITTER_EMPTY: u8 = 0b11 << 5;
}

/// Modem status register.
pub(super) mod msr {
    use super::mcr;

    const CLEAR_TO_SEND: u8 = 1 << 4;
    const DATA_SET_READY: u8 = 1 << 5;
    const RING: u8 = 1 << 6;
    const CARRIER: u8 = 1 << 7;
    /// A modem that is connected, and that nobody calls.
    pub(in super::super) const READY: u8 = CLEAR_TO_SEND | DATA_SET_READY | CARRIER;
    /// The delta bits.
    pub(in super::super) const CHANGES: u8 = 0x0f;

    /// In loopback, each output of the modem control register is one input here.
    pub(in super::super) fn looped_back(modem_control: u8) -> u8 {
        let wires = [
            (mcr::REQUEST_TO_SEND, CLEAR_TO_SEND),
            (mcr::DATA_TERMINAL_READY, DATA_SET_READY),
            (mcr::OUT1, RING),
            (mcr::OUT2, CARRIER),
        ];
        let connected = wires.iter().filter(|(output, _)| modem_control & output != 0);
        connected.fold(0, |inputs, (_, input)| inputs | input)
    }

    /// The delta bits for inputs that were `before` and are `after`. Of the ring, only its end counts.
    pub(in super::super) fn changes(before: u8, after: u8) -> u8 {
        let changed = (before ^ after) & !RING | before & !after & RING;
        changed >> 4
    }
}
