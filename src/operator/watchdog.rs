//! Notices that the machine slept or that its wall clock was set: timers are late then, or times in plans are wrong.

use std::sync::Arc;
use std::time::Duration;

use bowline_runtime::clock::MachineClocks;
use bowline_runtime::steps::{TimeStep, TimeSteps};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::context::Context;

const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let (clocks, mut steps) = (MachineClocks::default(), TimeSteps::default());
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        if let Some(step) = steps.since_last(clocks.read()) {
            jumped(&ctx, step);
        }
    }
}

/// Every plan is made again, by the time as it is now.
fn jumped(ctx: &Context, step: TimeStep) {
    let TimeStep { slept, set } = step;
    tracing::warn!(
        slept_s = slept.as_secs(),
        set_s = set.as_secs(),
        "the machine slept, or its clock was set: every object is looked at again"
    );
    ctx.lifetimes.clock_was_set(set);
    ctx.world.kinds.look_again(|_| true);
}
