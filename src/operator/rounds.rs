//! A second source for every wake-up: each object of ours is looked at again at least every ten minutes. From the caches, so
//! that it costs no request, and not all of them at once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// A part of all objects is woken this often …
const STEP: Duration = Duration::from_secs(5);
/// … so that this many steps are a round of ten minutes.
const STEPS: u64 = 120;

pub(super) async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let mut steps = interval(STEP);
    // After a pause of the process none is left out.
    steps.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for step in (0..STEPS).cycle() {
        if stop.run_until_cancelled(steps.tick()).await.is_none() {
            return;
        }
        ctx.world.kinds.look_again(|uid| step_of(uid) == step);
    }
}

/// The step of a round in which an object is woken, always the same for the same UID.
fn step_of(uid: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    hasher.finish() % STEPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_takes_ten_minutes_and_has_every_object_in_one_of_its_steps() {
        assert_eq!(STEP * u32::try_from(STEPS).unwrap_or_default(), Duration::from_mins(10));
        let steps: Vec<u64> = (0..10_000).map(|number| step_of(&format!("uid-{number}"))).collect();
        assert!(steps.iter().all(|step| *step < STEPS));
        let in_first = steps.iter().filter(|step| **step == 0).count();
        assert!((40..160).contains(&in_first), "not spread: {in_first} of 10,000 in one step of {STEPS}");
    }
}
