//! What was claimed of a rehearsal, and whether it held.

use std::fmt::Display;
use std::io::IsTerminal;

/// Colours for a terminal, and for nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Paint {
    colours: bool,
}

impl Paint {
    /// Colours if standard output is a terminal and nobody said `NO_COLOR`.
    pub fn for_output() -> Self {
        let colours =
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        Self { colours }
    }

    /// No colours.
    pub fn plain() -> Self {
        Self { colours: false }
    }

    /// What went well.
    pub fn good(self, text: impl Display) -> String {
        self.with("32", text)
    }

    /// What did not.
    pub fn bad(self, text: impl Display) -> String {
        self.with("1;31", text)
    }

    /// What matters most.
    pub fn strong(self, text: impl Display) -> String {
        self.with("1", text)
    }

    /// What matters least.
    pub fn faint(self, text: impl Display) -> String {
        self.with("2", text)
    }

    fn with(self, code: &str, text: impl Display) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// One claim.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// What is claimed.
    pub claim: String,
    /// What was seen: in favour, or against.
    pub outcome: Result<String, String>,
}

/// All claims of a rehearsal, in the order in which they were judged.
#[derive(Clone, Default, Debug)]
pub struct Verdicts(Vec<Verdict>);

impl Verdicts {
    /// Judges a claim. A detail may be empty.
    pub fn judge(&mut self, claim: &str, outcome: Result<impl Into<String>, impl Into<String>>) {
        let outcome = outcome.map(Into::into).map_err(Into::into);
        self.0.push(Verdict { claim: claim.to_owned(), outcome });
    }

    /// Whether every claim held, and there was one.
    pub fn all_hold(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|verdict| verdict.outcome.is_ok())
    }

    /// Those that did not hold.
    pub fn failed(&self) -> impl Iterator<Item = &Verdict> {
        self.0.iter().filter(|verdict| verdict.outcome.is_err())
    }

    /// A line for each claim.
    pub fn told(&self, paint: Paint) -> String {
        let line = |verdict: &Verdict| match &verdict.outcome {
            Ok(seen) => format!("  {}  {}{}\n", paint.good("ok"), verdict.claim, paint.faint(detail(seen))),
            Err(seen) => format!("  {}  {}{}\n", paint.bad("NO"), verdict.claim, detail(seen)),
        };
        self.0.iter().map(line).collect()
    }
}

fn detail(seen: &str) -> String {
    if seen.is_empty() { String::new() } else { format!(" ({seen})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rehearsal_holds_only_if_something_was_claimed_and_all_of_it_held() {
        let mut verdicts = Verdicts::default();
        assert!(!verdicts.all_hold());
        verdicts.judge("water is wet", Ok::<_, String>("seen"));
        assert!(verdicts.all_hold());
        verdicts.judge("pigs fly", Err::<String, _>("none did"));
        assert!(!verdicts.all_hold());
        assert_eq!(verdicts.failed().count(), 1);
        assert_eq!(verdicts.told(Paint::plain()), "  ok  water is wet (seen)\n  NO  pigs fly (none did)\n");
    }
}
