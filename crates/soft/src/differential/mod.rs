//! The engine beside the host's own processor: random instances of every form of every instruction.
//!
//! Each *case* is one instruction with registers and memory around it ([`generate`], [`arrange`]). The host
//! executes it in a process of its own ([`native`]), the engine in a processor whose memory is mapped alike
//! ([`engine`]). Then registers, flags, memory, x87 and SSE state, and the exception with its error code and
//! address are compared ([`compare`]), but for what the architecture leaves undefined ([`tolerance`]) and for
//! instructions that cannot be compared ([`forms`]), each of which is listed with its reason.
//!
//! Every test prints its seed. A failure prints the seed and the number of the instance; with these,
//!
//! ```text
//! OUTLIVE_SEED=<seed> OUTLIVE_INSTANCE=<number> cargo test -p outlive-soft differential::<test>
//! ```
//!
//! runs that instance again, alone. `OUTLIVE_INSTANCES=<count>` sets how many instances each test makes:
//! 300,000 are more than two million in all, and with `all_opcodes` it takes 1,310,720 to make every one.
//! Nothing is tried twice, and nothing is left out that is not listed.

mod arrange;
mod compare;
mod encode;
mod engine;
mod forms;
mod generate;
mod layout;
mod native;
mod random;
mod state;
mod table;
mod tolerance;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;

use iced_x86::Code;

use engine::Software;
use forms::{Form, Group, Treatment};
use generate::Background;
use native::Native;
use random::Random;
use state::{Case, End, Mode, Outcome};

use crate::fault::{Reason, vector};
use crate::testing::Vendor;

/// The most failures that a test describes.
const DESCRIBED: usize = 20;

/// One test's run.
struct Run {
    name: &'static str,
    seed: u64,
    vendor: Vendor,
    background: Background,
    native: Native,
    software: Software,
    /// Instances by what became of them.
    compared: u64,
    excluded: u64,
    absent: u64,
    /// How often each form was compared.
    executed: BTreeMap<(Code, Mode), u64>,
    failures: Vec<(String, String)>,
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Some(parsed.unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

impl Run {
    fn new(name: &'static str) -> Self {
        let seed = setting("OUTLIVE_SEED").unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.expect("the clock is right").as_nanos() as u64
        });
        println!("differential::{name}: OUTLIVE_SEED={seed:#x}");
        let background = Background::new(seed);
        let native = Native::new(&background.constant);
        let software = Software::new(&background.constant);
        let (executed, failures) = (BTreeMap::new(), Vec::new());
        Self {
            name,
            seed,
            vendor: Vendor::of_host(),
            background,
            native,
            software,
            compared: 0,
            excluded: 0,
            absent: 0,
            executed,
            failures,
        }
    }

    /// Makes and compares `instances` cases, or the one or as many as the environment asks for. `make` gets the
    /// number of the instance.
    fn go(&mut self, instances: u64, mut make: impl FnMut(&mut Random, &Background, u64) -> Case) {
        let numbers = match setting("OUTLIVE_INSTANCE") {
            Some(only) => only..only + 1,
            None => 0..setting("OUTLIVE_INSTANCES").unwrap_or(instances),
        };
        let mut batch = Vec::new();
        for number in numbers {
            let mut random = Random::new(self.seed, self.name, number);
            let case = make(&mut random, &self.background, number);
            let instruction = generate::instruction(&case);
            match forms::treatment(self.vendor, &instruction, &case) {
                Treatment::Compared => batch.push((number, case)),
                Treatment::Excluded(_) => self.excluded += 1,
                Treatment::Absent => self.absent(number, &case),
            }
            if batch.len() == native::BATCH {
                self.compare(std::mem::take(&mut batch));
            }
        }
        if !batch.is_empty() {
            self.compare(batch);
        }
    }

    /// An instruction that the guest's processor does not have is #UD, unless it cannot even be fetched.
    fn absent(&mut self, number: u64, case: &Case) {
        self.absent += 1;
        let ended = self.software.execute(case).map(|outcome| outcome.end);
        let is_cut = case.code.len() < generate::instruction(case).len();
        let is_refused = match ended {
            Ok(End::Fault { vector: vector::INVALID_OPCODE, .. }) => true,
            Ok(End::Fault { vector: vector::PAGE_FAULT, .. }) => is_cut,
            _ => false,
        };
        if !is_refused {
            self.fail(number, case, format!("  not offered, but {ended:x?}\n"));
        }
    }

    fn compare(&mut self, batch: Vec<(u64, Case)>) {
        let (numbers, cases): (Vec<u64>, Vec<Case>) = batch.into_iter().unzip();
        self.native.start(&cases);
        let engine: Vec<Result<Outcome, Reason>> =
            cases.iter().map(|case| self.software.execute(case)).collect();
        let native = self.native.finish(&cases);
        for (((number, case), engine), native) in numbers.into_iter().zip(&cases).zip(engine).zip(native) {
            self.compared += 1;
            let instruction = generate::instruction(case);
            *self.executed.entry((instruction.code(), case.mode)).or_default() += 1;
            let differences = match engine {
                Ok(engine) => {
                    let tolerance = tolerance::tolerance(self.vendor, &instruction, case, native.end);
                    compare::differences(case, &native, &engine, &tolerance)
                }
                Err(reason) => Some(format!("  engine {reason:x?}, native {:x?}\n", native.end)),
            };
            if let Some(differences) = differences {
                self.fail(number, case, differences);
            }
        }
    }

    fn fail(&mut self, number: u64, case: &Case, differences: String) {
        let instruction = generate::instruction(case);
        let text = format!(
            "OUTLIVE_SEED={:#x} OUTLIVE_INSTANCE={number}: {}\n{}{differences}",
            self.seed,
            compare::disassembly(case),
            compare::beginning(case),
        );
        let form = match instruction.code() {
            Code::INVALID => {
                let rest = forms::behind_prefixes(case);
                format!("INVALID {:02x?}", &rest[..rest.len().min(2)])
            }
            code => format!("{code:?}"),
        };
        self.failures.push((form, text));
    }

    /// Says what was done, and fails if anything differed.
    fn finish(self) {
        let Self { name, compared, excluded, absent, .. } = self;
        println!(
            "differential::{name}: {compared} instances compared, {absent} not offered, {excluded} excluded"
        );
        if self.failures.is_empty() {
            return;
        }
        let mut report = String::new();
        let mut by_form: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (form, text) in &self.failures {
            by_form.entry(form).or_default().push(text);
        }
        for texts in by_form.values().take(DESCRIBED) {
            writeln!(report, "{}", texts[0]).expect("a string takes all");
        }
        for (form, texts) in &by_form {
            writeln!(report, "{form}: {} instances differ", texts.len()).expect("a string takes all");
        }
        panic!("{} of {compared} instances differ\n{report}", self.failures.len());
    }
}

/// Instances of each form in turn. Each must have been compared.
fn all_forms(name: &'static str, instances: u64, choose: impl Fn(&Form) -> bool) {
    let forms: Vec<Form> =
        forms::known().into_iter().filter(|form| form.excluded.is_none() && choose(form)).collect();
    let mut run = Run::new(name);
    run.go(instances, |random, background, number| {
        let form = forms[(number % forms.len() as u64) as usize];
        generate::of_form(random, background, form.code, form.mode)
    });
    let missing = forms.iter().filter(|form| !run.executed.contains_key(&(form.code, form.mode)));
    let missing: Vec<&Form> = missing.collect();
    assert!(missing.is_empty() || setting("OUTLIVE_INSTANCE").is_some(), "never compared: {missing:?}");
    run.finish();
}

/// A test by its name, which is also that of its run.
macro_rules! tests {
    ($($name:ident => $run:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let run: fn(&'static str) = $run;
                run(stringify!($name));
            }
        )*
    };
}

tests! {
    integer_instructions_do_what_the_hosts_do => |name| {
        all_forms(name, 25_000, |form| form.mode == Mode::Long && form.group == Group::Integer);
    };
    system_instructions_do_what_the_hosts_do => |name| {
        all_forms(name, 3_000, |form| form.mode == Mode::Long && form.group == Group::System);
    };
    sse_instructions_do_what_the_hosts_do => |name| {
        all_forms(name, 25_000, |form| form.mode == Mode::Long && form.group == Group::Sse);
    };
    x87_instructions_do_what_the_hosts_do => |name| {
        all_forms(name, 15_000, |form| form.mode == Mode::Long && form.group == Group::X87);
    };
    instructions_of_compatibility_mode_do_what_the_hosts_do => |name| {
        all_forms(name, 20_000, |form| form.mode == Mode::Compatibility);
    };
    random_bytes_do_what_the_hosts_do => |name| {
        let mut run = Run::new(name);
        run.go(10_000, |random, background, number| {
            let mode = if number % 4 == 0 { Mode::Compatibility } else { Mode::Long };
            generate::of_bytes(random, background, mode)
        });
        run.finish();
    };
    all_opcodes_do_what_the_hosts_do => |name| {
        let mut run = Run::new(name);
        run.go(15_000, generate::of_opcode);
        run.finish();
    };
    all_byte_values_give_what_the_hosts_give => |name| {
        let mut run = Run::new(name);
        run.go(15_000, generate::of_byte_values);
        run.finish();
    };
}
