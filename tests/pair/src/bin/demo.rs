//! Shows how a pair survives a failure.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use outlive_rehearsal::checkout::obstacle;
use outlive_rehearsal::client::Service;
use outlive_rehearsal::leftovers;
use outlive_rehearsal::pair::Engine;
use outlive_rehearsal::scenario::{Options, Report, Scenario, rehearse};
use outlive_rehearsal::verdict::Paint;

/// Shows how a pair survives a failure: two hosts and a client in network namespaces, a guest under load, and
/// something that breaks in the middle.
///
/// Exit status: 0 when everything held, 1 when something did not, 2 when the command line is wrong or this host
/// cannot do it, 128 + n when signal n ended it.
#[derive(Parser)]
#[command(name = "scripts/demo", max_term_width = 100)]
struct Arguments {
    /// What executes the guest; auto takes what the host can do.
    #[arg(long, value_enum, default_value = "auto")]
    engine: Engine,
    /// What the guest runs: a bare key-value server, or Linux with redis.
    #[arg(long, value_enum, default_value = "redis")]
    guest: Service,
    /// What breaks.
    #[arg(long, value_enum, default_value = "primary")]
    kill: Victim,
    /// How often.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// The silence after which a side suspects the other one, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 200)]
    suspect_after: u64,
    /// Keep all logs below this folder. Those of a failure are kept anyway.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Where random choices begin. Default: a new one each time.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

/// What breaks.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Victim {
    /// The primary is killed.
    Primary,
    /// The backup is killed.
    Backup,
    /// The logging channel is cut, and both sides live.
    Channel,
}

impl Victim {
    fn scenario(self) -> Scenario {
        match self {
            Self::Primary => Scenario::PrimaryKilled,
            Self::Backup => Scenario::BackupKilled,
            Self::Channel => Scenario::ChannelCut,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(obstacle) = obstacle() {
        eprintln!("demo: {obstacle}");
        return ExitCode::from(2);
    }
    if let Err(error) = leftovers::clear_on_signals().and_then(|()| leftovers::sweep()) {
        eprintln!("demo: {error:#}");
        return ExitCode::from(2);
    }
    let paint = Paint::for_output();
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let mut failures = 0;
    for number in 0..arguments.times {
        let options = Options {
            engine: arguments.engine,
            service: arguments.guest,
            clients: 4,
            seed: seed.wrapping_add(number.into()),
            within: Duration::from_secs(3),
            suspect_after: Duration::from_millis(arguments.suspect_after),
            keep: arguments.keep.clone(),
            talkative: true,
        };
        println!("{}", paint.strong(format!("{} of {}", number + 1, arguments.times)));
        let report = rehearse(arguments.kill.scenario(), &options);
        show(&report, paint);
        failures += u32::from(!report.verdicts.all_hold());
    }
    let held = arguments.times - failures;
    let summary = format!("{held} of {} held (seed {seed})", arguments.times);
    println!("{}", if failures == 0 { paint.good(summary) } else { paint.bad(summary) });
    ExitCode::from(u8::from(failures > 0))
}

fn show(report: &Report, paint: Paint) {
    if let Some((_, timeline)) = &report.timeline {
        println!("\n{timeline}");
    }
    print!("{}", report.verdicts.told(paint));
    if let Some(pause) = report.pause {
        println!("  the longest silence that clients saw: {:.1} ms", pause.as_secs_f64() * 1e3);
    }
    if let Some(folder) = &report.folder {
        println!("  kept: {}", folder.display());
    }
    if let Some(page) = &report.page {
        println!("  a page with plots: {}", page.display());
    }
    if let Some(replay) = &report.replay {
        println!("  again: {replay}");
    }
    println!();
}
