//! Breaks pairs at random moments, many times and in every way.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use outlive_rehearsal::checkout::obstacle;
use outlive_rehearsal::client::Service;
use outlive_rehearsal::leftovers;
use outlive_rehearsal::pair::Engine;
use outlive_rehearsal::scenario::{Options, Report, Scenario, rehearse};
use outlive_rehearsal::verdict::Paint;

/// Breaks pairs at random moments under load, and judges what came of it.
///
/// Exit status: 0 when everything held, 1 when something did not, 2 when the command line is wrong or this host
/// cannot do it, 128 + n when signal n ended it.
#[derive(Parser)]
#[command(name = "scripts/chaos", max_term_width = 100)]
struct Arguments {
    /// How often the primary is killed.
    #[arg(long, value_name = "N", default_value_t = 0)]
    kills: u32,
    /// What else is rehearsed, each once: a scenario, or all. May be repeated.
    #[arg(long, value_name = "NAME", value_parser = scenarios)]
    scenario: Vec<Chosen>,
    /// Where random choices begin. Default: a new one each time, which is printed.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// What the guest runs.
    #[arg(long, value_enum, default_value = "redis")]
    guest: Service,
    /// What executes the guest; auto takes what the host can do.
    #[arg(long, value_enum, default_value = "auto")]
    engine: Engine,
    /// How many clients there are.
    #[arg(long, value_name = "N", default_value_t = 4)]
    clients: usize,
    /// The silence after which a side suspects the other one, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 200)]
    suspect_after: u64,
    /// Keep all logs below this folder. Those of a failure are kept anyway.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Tell what is being done.
    #[arg(long)]
    verbose: bool,
}

/// One scenario, or all.
#[derive(Clone, Debug)]
struct Chosen(Vec<Scenario>);

fn scenarios(text: &str) -> Result<Chosen, String> {
    if text == "all" {
        return Ok(Chosen(Scenario::ALL.to_vec()));
    }
    let names = || Scenario::ALL.iter().map(|scenario| scenario.name()).collect::<Vec<_>>().join(", ");
    let found = Scenario::ALL.iter().find(|scenario| scenario.name() == text);
    found.map(|scenario| Chosen(vec![*scenario])).ok_or_else(|| format!("one of: all, {}", names()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut all = vec![Scenario::PrimaryKilled; arguments.kills as usize];
    all.extend(arguments.scenario.iter().flat_map(|chosen| chosen.0.iter().copied()));
    if all.is_empty() {
        eprintln!("chaos: nothing to do; give --kills N or --scenario all");
        return ExitCode::from(2);
    }
    if let Some(obstacle) = obstacle() {
        eprintln!("chaos: {obstacle}");
        return ExitCode::from(2);
    }
    if let Err(error) = leftovers::clear_on_signals().and_then(|()| leftovers::sweep()) {
        eprintln!("chaos: {error:#}");
        return ExitCode::from(2);
    }
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let paint = Paint::for_output();
    let mut reports = Vec::new();
    for (number, scenario) in all.iter().enumerate() {
        let report = rehearse(*scenario, &options(&arguments, seed.wrapping_add(number as u64)));
        println!("{}", row(number + 1, all.len(), &report, paint));
        if !report.verdicts.all_hold() {
            explain(&report, paint);
        }
        reports.push(report);
    }
    summarise(&reports, seed, paint)
}

fn options(arguments: &Arguments, seed: u64) -> Options {
    Options {
        engine: arguments.engine,
        service: arguments.guest,
        clients: arguments.clients,
        seed,
        within: Duration::from_secs(3),
        suspect_after: Duration::from_millis(arguments.suspect_after),
        keep: arguments.keep.clone(),
        talkative: arguments.verbose,
    }
}

/// One line of the table.
fn row(number: usize, count: usize, report: &Report, paint: Paint) -> String {
    let held = report.verdicts.all_hold();
    let verdict = if held { paint.good("held") } else { paint.bad("FAILED") };
    let pause = report.pause.map_or_else(String::new, |pause| format!("{:.1} ms", pause.as_secs_f64() * 1e3));
    let (name, answers, seed) = (report.scenario.name(), report.answers, report.seed);
    format!("{number:>4}/{count}  {name:24}  {pause:>11}  {answers:>7} answers  seed {seed:>20}  {verdict}")
}

fn explain(report: &Report, paint: Paint) {
    if let Some((_, timeline)) = &report.timeline {
        println!("{timeline}");
    }
    print!("{}", report.verdicts.told(paint));
    for line in report.folder.iter().map(|folder| folder.display().to_string()).chain(report.replay.clone()) {
        println!("  {line}");
    }
}

/// Counts, and the pauses of killed primaries.
fn summarise(reports: &[Report], seed: u64, paint: Paint) -> ExitCode {
    let failed = reports.iter().filter(|report| !report.verdicts.all_hold()).count();
    let killed = reports.iter().filter(|report| report.scenario == Scenario::PrimaryKilled);
    let mut pauses: Vec<_> = killed.filter_map(|report| report.pause).collect();
    pauses.sort_unstable();
    if let (Some(least), Some(most)) = (pauses.first(), pauses.last()) {
        let median = pauses[pauses.len() / 2];
        println!("pause after a kill: least {least:.1?}, median {median:.1?}, most {most:.1?}");
    }
    let summary = format!("{} of {} held (seed {seed})", reports.len() - failed, reports.len());
    println!("{}", if failed == 0 { paint.good(summary) } else { paint.bad(summary) });
    ExitCode::from(u8::from(failed > 0))
}
