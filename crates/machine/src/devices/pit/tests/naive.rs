//! An 8254 counter that is clocked tick by tick, in the words of the data sheet: the judge of the
//! arithmetic.

/// Binary, with both bytes of a count written at once.
pub(super) struct Naive {
    mode: u8,
    gate: bool,
    register: Option<u16>,
    /// The next clock loads the counting element.
    load_next: bool,
    null_count: bool,
    element: u16,
    running: bool,
    /// The count in force is odd: a high half of a square wave is one clock longer.
    odd: bool,
    /// The terminal count has yet to come.
    armed: bool,
    output: bool,
    rose: bool,
}

impl Naive {
    pub(super) fn new(gate: bool) -> Self {
        Self {
            mode: 3,
            gate,
            register: None,
            load_next: false,
            null_count: false,
            element: 0,
            running: false,
            odd: false,
            armed: false,
            output: true,
            rose: false,
        }
    }

    pub(super) fn output(&self) -> bool {
        self.output
    }

    pub(super) fn count(&self) -> u16 {
        self.element
    }

    pub(super) fn null_count(&self) -> bool {
        self.null_count || self.load_next
    }

    pub(super) fn take_rise(&mut self) -> bool {
        std::mem::take(&mut self.rose)
    }

    fn set_output(&mut self, high: bool) {
        self.rose |= high && !self.output;
        self.output = high;
    }

    pub(super) fn program(&mut self, mode: u8) {
        self.mode = mode;
        self.register = None;
        self.null_count = true;
        (self.load_next, self.running, self.armed) = (false, false, false);
        self.set_output(mode != 0);
    }

    pub(super) fn load(&mut self, count: u16) {
        self.register = Some(count);
        match self.mode {
            0 | 4 => {
                self.load_next = true;
                self.set_output(self.mode == 4);
            }
            2 | 3 if !self.running => (self.load_next, self.running) = (true, true),
            _ => self.null_count = !self.load_next,
        }
        if matches!(self.mode, 0 | 4) {
            self.running = true;
        }
    }

    pub(super) fn set_gate(&mut self, high: bool) {
        let rises = high && !self.gate;
        self.gate = high;
        if !high && matches!(self.mode, 2 | 3) {
            self.set_output(true);
        }
        if rises && matches!(self.mode, 1 | 2 | 3 | 5) && self.register.is_some() {
            (self.load_next, self.running) = (true, true);
            if self.mode == 5 {
                self.set_output(true);
            }
        }
    }

    pub(super) fn clock(&mut self) {
        if self.load_next {
            self.reload();
            self.load_next = false;
            self.armed = true;
            if self.mode == 1 {
                self.set_output(false);
            }
        } else if self.running && (self.gate || matches!(self.mode, 1 | 5)) {
            self.count_down();
        }
    }

    fn reload(&mut self) {
        let count = self.register.unwrap();
        self.element = if self.mode == 3 { count & !1 } else { count };
        self.odd = count & 1 != 0;
        self.null_count = false;
    }

    fn count_down(&mut self) {
        match self.mode {
            2 if self.element == 1 => {
                self.reload();
                self.set_output(true);
            }
            2 => {
                self.element -= 1;
                self.set_output(self.element != 1);
            }
            3 => self.count_square_wave(),
            _ => {
                self.element = self.element.wrapping_sub(1);
                self.count_once();
            }
        }
    }

    /// Modes 0 and 1 end high; modes 4 and 5 end with a low pulse of one clock.
    fn count_once(&mut self) {
        let terminal = self.element == 0 && self.armed;
        self.armed &= !terminal;
        match self.mode {
            0 | 1 if terminal => self.set_output(true),
            4 | 5 => self.set_output(!terminal),
            _ => {}
        }
    }

    fn count_square_wave(&mut self) {
        let lingers = self.odd && self.output && self.element != 0;
        self.element = self.element.saturating_sub(2);
        if self.element == 0 && !lingers {
            self.reload();
            self.set_output(!self.output);
        }
    }
}
