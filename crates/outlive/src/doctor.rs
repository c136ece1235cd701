//! `outlive doctor`: what this host's KVM can really do, and which engine `auto` takes.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use outlive_engine::EngineKind;
use outlive_kvm::DEVICE;
use outlive_kvm::probe::{self, KvmFitness, NeededBy, Outcome, ProbeReport};
use serde::{Serialize, Serializer};

use crate::failure::Failure;
use crate::print::print;

/// What `--json` prints. Keys are never renamed; new ones may come.
#[derive(Serialize)]
struct Report<'a> {
    kernel: String,
    processor: String,
    probes: Vec<ProbeLine<'a>>,
    verdict: Verdict,
}

#[derive(Serialize)]
struct ProbeLine<'a> {
    name: &'a str,
    meaning: &'a str,
    needed_by: &'static str,
    outcome: &'static str,
    detail: Option<&'a str>,
    milliseconds: f64,
}

#[derive(Serialize)]
struct Verdict {
    kvm: &'static str,
    runs_linux: bool,
    runs_bare_guests: bool,
    /// Whether runs on KVM can be recorded and replayed.
    records: bool,
    /// What `engine = "auto"` takes.
    #[serde(serialize_with = "by_name")]
    engine: EngineKind,
    why: String,
}

/// Probes the host and prints what was found.
pub(crate) fn doctor(json: bool) -> Result<ExitCode, Failure> {
    let reports = probe::probe_all(Path::new(DEVICE));
    let verdict = Verdict::new(&reports);
    let text = if json { as_json(&reports, verdict)? } else { as_table(&reports, &verdict) };
    print(text.as_bytes())
}

/// The engine that `engine = "auto"` takes on this host; says which and why.
pub(crate) fn automatic_engine() -> EngineKind {
    let verdict = Verdict::new(&probe::probe_all(Path::new(DEVICE)));
    eprintln!("outlive: engine {}: {}", verdict.engine, verdict.why);
    verdict.engine
}

impl Verdict {
    fn new(reports: &[ProbeReport]) -> Self {
        let fitness = probe::fitness(reports);
        let (kvm, why) = match &fitness {
            KvmFitness::RunsLinux => ("runs-linux", "KVM does everything that Linux guests need".to_owned()),
            KvmFitness::RingZeroOnly => (
                "ring-0-only",
                "KVM runs bare guests, which stay in ring 0, but not Linux and its programs".to_owned(),
            ),
            KvmFitness::Unusable(reason) => ("unusable", format!("KVM cannot be used: {reason}")),
        };
        let runs_linux = fitness == KvmFitness::RunsLinux;
        Self {
            kvm,
            runs_linux,
            runs_bare_guests: !matches!(fitness, KvmFitness::Unusable(_)),
            records: probe::opens_windows(Path::new(DEVICE)) == Outcome::Passed,
            engine: if runs_linux { EngineKind::Kvm } else { EngineKind::Soft },
            why,
        }
    }
}

fn as_json(reports: &[ProbeReport], verdict: Verdict) -> Result<String, Failure> {
    let probes = reports.iter().map(ProbeLine::new).collect();
    let report = Report { kernel: kernel(), processor: processor(), probes, verdict };
    let text = serde_json::to_string_pretty(&report).map_err(Failure::runtime)?;
    Ok(text + "\n")
}

impl<'a> ProbeLine<'a> {
    fn new(report: &'a ProbeReport) -> Self {
        let (outcome, detail) = match &report.outcome {
            Outcome::Passed => ("passed", None),
            Outcome::Failed(seen) => ("failed", Some(seen.as_str())),
            Outcome::Unavailable(why) => ("unavailable", Some(why.as_str())),
        };
        let needed_by = match report.needed_by {
            NeededBy::EveryGuest => "every-guest",
            NeededBy::Linux => "linux",
            NeededBy::Nothing => "nothing",
        };
        let milliseconds = report.duration.as_secs_f64() * 1e3;
        Self { name: report.name, meaning: report.meaning, needed_by, outcome, detail, milliseconds }
    }
}

fn by_name<S: Serializer>(engine: &EngineKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(engine)
}

fn as_table(reports: &[ProbeReport], verdict: &Verdict) -> String {
    let mut table = format!("kernel {}, {}\n\n", kernel(), processor());
    for (title, needed_by) in [
        ("Every guest needs", NeededBy::EveryGuest),
        ("Linux needs", NeededBy::Linux),
        ("Good to have", NeededBy::Nothing),
    ] {
        let mut section = reports.iter().filter(|report| report.needed_by == needed_by).peekable();
        if section.peek().is_some() {
            table += &format!("{title}:\n");
            section.for_each(|report| table += &as_row(report));
            table.push('\n');
        }
    }
    let _ = writeln!(table, "{}.\nengine = \"auto\" takes: {}", verdict.why, verdict.engine);
    table
}

fn as_row(report: &ProbeReport) -> String {
    let (mark, detail) = match &report.outcome {
        Outcome::Passed => ("ok", None),
        Outcome::Failed(seen) => ("FAILED", Some(seen)),
        Outcome::Unavailable(why) => ("absent", Some(why)),
    };
    let detail = detail.map_or(String::new(), |detail| format!("          {detail}\n"));
    format!("  {mark:<7} {:<53} so {}\n{detail}", report.name, report.meaning)
}

/// The host's kernel release.
fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The host's processor, as it calls itself.
fn processor() -> String {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = information.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or("unknown processor", |name| name.trim_start_matches([' ', '\t', ':'])).to_owned()
}
