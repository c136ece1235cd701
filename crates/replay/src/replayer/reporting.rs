//! How a replayer tells that something differs.

use outlive_engine::VcpuState;
use outlive_log::entry::Entry;
use outlive_machine::world::Place;

use super::{ReplayError, Replayer};
use crate::divergence::Divergence;
use crate::place::landmark;
use crate::registers;
use crate::source::EntrySource;

impl<S: EntrySource> Replayer<S> {
    /// The replay does not agree with the next entry.
    pub(crate) fn divergence(
        &mut self,
        found: String,
        place: String,
        state: Option<&VcpuState>,
    ) -> Box<Divergence> {
        let expected = self.entries.fetched().map_or("the end of the log".to_owned(), Entry::to_string);
        let entry = self.entries.number();
        let [before, after] = self.entries.around();
        let processor = state.map(|state| registers::listing(self.exit, state)).unwrap_or_default();
        let (registers, pages) = (Vec::new(), Vec::new());
        Box::new(Divergence { entry, expected, found, place, before, after, registers, pages, processor })
    }

    /// The machine refuses what the last entry told it.
    pub(crate) fn refused(&mut self, found: String) -> ReplayError {
        let place = format!("behind exit {}", self.exit.0);
        self.entries.step_back();
        ReplayError::Divergence(self.divergence(found, place, None))
    }

    /// The guest is not where the next entry says.
    pub(super) fn misplaced(&mut self, at: &mut dyn Place, what: &str) -> ReplayError {
        let place = match landmark(at, self.counting) {
            Ok(Some(here)) => format!("landmark {here}"),
            Ok(None) => format!("behind exit {}, within an instruction", at.exit().0),
            Err(error) => return error.into(),
        };
        let state = at.state().ok();
        ReplayError::Divergence(self.divergence(what.to_owned(), place, state.as_ref()))
    }

    /// Something differs at the next entry, whose registers the log may tell.
    pub(super) fn different(
        &mut self,
        at: &mut dyn Place,
        found: String,
        expected: Option<&VcpuState>,
        state: Option<&VcpuState>,
    ) -> ReplayError {
        let place = match landmark(at, self.counting) {
            Ok(Some(here)) => format!("landmark {here}"),
            Ok(None) => format!("behind exit {}", at.exit().0),
            Err(error) => return error.into(),
        };
        let mut divergence = self.divergence(found, place, state);
        if let (Some(expected), Some(state)) = (expected, state) {
            divergence.registers = registers::differences(expected, state);
        }
        ReplayError::Divergence(divergence)
    }
}
