//! `outlive man`: the manual pages, made of the same texts as `--help`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::failure::Failure;
use crate::print::print;

/// What the command line says.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Write a page for each subcommand, and that of the whole, into this folder. It is made if it is not there; pages
    /// of the same name are replaced. Default: the page of the whole, to standard output.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Prints the manual page of the whole, or writes all pages into a folder.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn manual(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let whole = whole();
    match &arguments.out {
        Some(folder) => {
            let written = write_pages(&whole, folder);
            let cannot = || format!("cannot write manual pages into {}", folder.display());
            written.with_context(cannot).map_err(Failure::runtime)?;
            Ok(ExitCode::SUCCESS)
        }
        None => print(&page(&whole).map_err(Failure::runtime)?),
    }
}

/// The command with all that clap adds to it, but for the subcommand `help`, which needs no page.
fn whole() -> Command {
    let mut command = crate::Arguments::command().disable_help_subcommand(true);
    command.build();
    command
}

fn write_pages(whole: &Command, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut open = vec![whole];
    while let Some(command) = open.pop() {
        std::fs::write(folder.join(Man::new(command.clone()).get_filename()), page(command)?)?;
        open.extend(command.get_subcommands());
    }
    Ok(())
}

/// One page. Its sections are clap's, but for the examples, whose lines must stay lines.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let source = concat!("outlive ", env!("CARGO_PKG_VERSION"));
    // No date, but a place for it, or what follows would be taken for it.
    let man = Man::new(command.clone()).date(" ").source(source).manual("Outlive");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut own = Roff::new();
    if let Some(examples) = command.get_after_help() {
        examples_section(&mut own, &examples.to_string());
    }
    see_also_section(&mut own, command);
    own.to_writer(&mut page)?;
    Ok(page)
}

/// The lines of `--help` after "Examples:", as they stand there.
fn examples_section(roff: &mut Roff, text: &str) {
    roff.control("SH", ["EXAMPLES"]);
    roff.control("nf", []);
    for line in text.lines().skip(1) {
        roff.text([roman(line.trim_start())]);
    }
    roff.control("fi", []);
}

/// The page one step up. Those one step down are listed as subcommands.
fn see_also_section(roff: &mut Roff, command: &Command) {
    let own = command.get_display_name().unwrap_or(command.get_name());
    if let Some((above, _)) = own.rsplit_once('-') {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([bold(above), roman("(1)")]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_with_its_examples() {
        let folder = tempfile::tempdir().unwrap();
        write_pages(&whole(), &folder.path().join("man1")).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join("man1").join(name)).unwrap();
        assert!(read("outlive.1").contains("outlive\\-log"));
        assert!(read("outlive-log.1").contains("outlive\\-log\\-show(1)"));
        let show = read("outlive-log-show.1");
        assert!(show.contains("\noutlive log show run.log | head\n"), "{show}");
        assert!(show.contains(".SH \"SEE ALSO\"\n\\fBoutlive\\-log\\fR(1)"), "{show}");
    }

    #[test]
    fn a_file_is_no_folder_for_pages() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let arguments = Arguments { out: Some(file.path().to_owned()) };
        let failure = manual(&arguments).unwrap_err();
        assert!(failure.to_string().contains(&file.path().display().to_string()), "{failure}");
    }
}
