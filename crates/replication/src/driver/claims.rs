//! Claims, made on a thread of their own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use outlive_arbiter::{Arbiter, ArbiterError, Claim, Claimant, Generation};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use crate::protocol::ClaimOutcome;

/// An arbiter that has not answered for so long is told as unavailable. Its answer counts when it comes.
const PATIENCE: Duration = Duration::from_secs(1);

type Answer = Result<Claim, ArbiterError>;

/// Asks the arbiter for the flag of a generation.
pub struct Claims {
    arbiter: Arc<dyn Arbiter>,
    generation: Generation,
    claimant: Claimant,
    to_us: UnboundedSender<Answer>,
    answers: UnboundedReceiver<Answer>,
    /// Whether a thread is asking. There is never a second one: storage that is away would collect them.
    is_asking: bool,
    /// Until when its answer is waited for.
    deadline: Option<Instant>,
}

impl Claims {
    /// Claims of this side.
    pub fn new(arbiter: Arc<dyn Arbiter>, generation: Generation, claimant: Claimant) -> Self {
        let (to_us, answers) = unbounded_channel();
        Self { arbiter, generation, claimant, to_us, answers, is_asking: false, deadline: None }
    }

    /// The generation.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Claims the flag.
    pub(super) fn claim(&mut self) {
        tracing::info!(target: crate::TARGET, event = "claiming", generation = self.generation.0, "claiming the flag");
        self.deadline = Some(Instant::now() + PATIENCE);
        if self.is_asking {
            return;
        }
        let (arbiter, generation) = (Arc::clone(&self.arbiter), self.generation);
        let (claimant, to_us) = (self.claimant.clone(), self.to_us.clone());
        let ask = move || {
            // If nobody wants the answer any more, this side has ended.
            let _ = to_us.send(arbiter.claim(generation, &claimant));
        };
        match std::thread::Builder::new().name("claim".to_owned()).spawn(ask) {
            Ok(_) => self.is_asking = true,
            Err(error) => unavailable(&error),
        }
    }

    /// Waits for the outcome of the claim; for ever if none is under way. May be cancelled.
    pub(super) async fn outcome(&mut self) -> ClaimOutcome {
        let Some(deadline) = self.deadline else { return std::future::pending().await };
        let answer = timeout_at(deadline, self.answers.recv()).await;
        self.deadline = None;
        match answer {
            Ok(Some(answer)) => {
                self.is_asking = false;
                outcome(answer)
            }
            Ok(None) => unreachable!("this side holds a sender"),
            Err(_) => {
                tracing::warn!(
                    target: crate::TARGET,
                    event = "claim_unavailable",
                    "the arbiter does not answer; nothing goes out meanwhile"
                );
                ClaimOutcome::Unavailable
            }
        }
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("generation", &self.generation).finish_non_exhaustive()
    }
}

fn outcome(answer: Answer) -> ClaimOutcome {
    match answer {
        Ok(Claim::Won) => {
            tracing::info!(target: crate::TARGET, event = "claim_won", "the flag is won");
            ClaimOutcome::Won
        }
        Ok(Claim::Lost(winner)) => {
            tracing::warn!(target: crate::TARGET, event = "claim_lost", %winner, "the flag is the other side's");
            ClaimOutcome::Lost
        }
        Err(error) => {
            unavailable(&error);
            ClaimOutcome::Unavailable
        }
    }
}

fn unavailable(error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(
        target: crate::TARGET,
        event = "claim_unavailable",
        error,
        "the arbiter cannot be asked; nothing goes out meanwhile"
    );
}
