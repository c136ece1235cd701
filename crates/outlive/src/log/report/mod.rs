//! `outlive log report`: a page with plots of a recorded run.
//!
//! The page needs nothing but itself: no script, no font, nothing from a network. It is read in light and in dark.

mod history;
mod html;
mod numbers;
mod page;
mod pair;
mod plot;
mod run;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use outlive_log::series::Series;
use outlive_log::statistics::Statistics;
use outlive_log::{EntryNumber, Position};

use super::{damaged, open};
use crate::failure::Failure;
use crate::live::are_same;
use crate::print::printed;
use history::History;
use page::Report;

/// What the command line says.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The log.
    #[arg(value_name = "FILE")]
    log: PathBuf,
    /// Where the page goes: a file that does not exist, unless --overwrite is given, or `-` for standard output.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the page if there is one already.
    #[arg(long)]
    overwrite: bool,
    /// What a side of the pair has told of itself, from its own option --history. May be given for each side.
    #[arg(long, value_name = "FILE")]
    history: Vec<PathBuf>,
}

/// Makes a report.
pub(super) fn report(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments { log: path, out, history, .. } = arguments;
    let is_file = out != Path::new("-");
    let mut log = open(path)?;
    if is_file {
        check(arguments).map_err(Failure::usage)?;
    }
    let histories: Vec<_> = history.iter().map(|path| read_history(path)).collect::<Result<_, _>>()?;
    let statistics = Statistics::gather(&mut log).map_err(|error| damaged(path, error))?;
    let again = log.seek(Position::Entry(EntryNumber(0)));
    let series = again.and_then(|()| Series::gather(&mut log)).map_err(|error| damaged(path, error))?;
    let report = Report {
        log: path.display().to_string(),
        header: log.header(),
        statistics: &statistics,
        series: &series,
        histories: &histories,
    };
    let page = report.page()?;
    if !is_file {
        let mut output = io::stdout().lock();
        return printed(output.write_all(page.as_bytes()).and_then(|()| output.flush()));
    }
    write(out, arguments.overwrite, &page)
        .with_context(|| format!("cannot write {}", out.display()))
        .map_err(Failure::runtime)?;
    Ok(ExitCode::SUCCESS)
}

/// Finds out early whether the page can be written, and that nothing else is lost by that.
fn check(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { log, out, overwrite, history } = arguments;
    if [log].into_iter().chain(history).any(|file| are_same(file, out)) {
        anyhow::bail!("the page cannot be {}: it is made from what is in it", out.display());
    }
    match std::fs::metadata(out) {
        Ok(metadata) if metadata.is_dir() => {
            anyhow::bail!("the page cannot be {}: it is a directory", out.display())
        }
        Ok(_) if !overwrite => anyhow::bail!("{} exists already: --overwrite replaces it", out.display()),
        _ => Ok(()),
    }
}

fn write(out: &Path, overwrite: bool, page: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    if overwrite {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    options.open(out)?.write_all(page.as_bytes())
}

/// Reads a history. What is not there is the fault of whoever named it; what is in it is not.
fn read_history(path: &Path) -> Result<History, Failure> {
    History::open(path).map_err(|error| {
        let is_missing = matches!(error, history::HistoryError::File(_));
        let error = anyhow::Error::from(error).context(format!("cannot read the history {}", path.display()));
        if is_missing { Failure::usage(error) } else { Failure::runtime(error) }
    })
}
