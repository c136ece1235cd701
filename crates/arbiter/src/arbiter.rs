//! What an arbiter is.

use crate::{ArbiterError, Claimant, Generation};

/// The answer to a claim.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Claim {
    /// The flag is the claimant's, and stays so. It goes on alone.
    Won,
    /// The flag is another's, who is told. The claimant stops without another output.
    Lost(Claimant),
}

/// Flags of one virtual machine, one for each generation, which one claimant only can win.
///
/// Calls wait for storage, and there may be no way to end one that waits. Make them on a thread that can be left
/// behind. A call that was given up may still have its effect; so repeat a claim until it is answered.
pub trait Arbiter: Send + Sync {
    /// Begins a pairing: gives it the number after the highest that there is, and records who opened it and when.
    /// Of those who open one at the same time each gets a number of its own. A claimant who opens again gets another
    /// number again; one that is not used does no harm.
    ///
    /// # Errors
    /// When the storage does not take it. No number is used up, unless only the answer was lost.
    fn open_generation(&self, claimant: &Claimant) -> Result<Generation, ArbiterError>;

    /// Does everything that a claim does except claiming, so that what stands in its way is known before it is needed.
    /// Tells who opened the generation. A backup refuses the pairing if that is not its primary: then the two have
    /// different arbiters.
    ///
    /// # Errors
    /// When a claim would fail now.
    fn rehearse(&self, generation: Generation, claimant: &Claimant) -> Result<Claimant, ArbiterError>;

    /// Claims the flag of a generation, by test-and-set: of all claimants, at any time, one wins. The same claimant
    /// who claims again has won again, so a claim whose answer was lost is repeated. A win is durable when it is told.
    ///
    /// # Errors
    /// When there is no answer: the storage is away or does not take it, the generation was never opened, or the flag
    /// cannot be understood. The claimant has neither won nor lost, and may ask again. It may be that an earlier claim
    /// had its effect; the next answer tells.
    fn claim(&self, generation: Generation, claimant: &Claimant) -> Result<Claim, ArbiterError>;
}
