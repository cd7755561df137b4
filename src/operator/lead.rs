//! Of several replicas one leads: it reconciles, sends and does the periodic work. The others keep their caches filled and wait.

use std::sync::Arc;

use bowline_runtime::tasks::Tasks;
use tokio_util::sync::CancellationToken;

use super::keyring::OpenKeyring;
use super::{chores, endings, rounds, watchdog};
use crate::context::Context;
use crate::kube_ext::lease::Election;
use crate::notify::NotificationDelivery;

/// What it takes to lead.
pub(super) struct Lead {
    pub(super) election: Election,
    pub(super) keyring: OpenKeyring,
    pub(super) delivery: Option<NotificationDelivery>,
}

impl Lead {
    /// The election is won. What only a leader does is in `life`; the Lease is renewed in `lasting`, until everything that was
    /// started has committed.
    pub(super) fn begin(self, ctx: &Arc<Context>, life: &Tasks, lasting: &Tasks) {
        let Self { election, keyring, delivery } = self;
        lasting.own("the Lease", keep(Arc::clone(ctx), election, lasting.stop().clone()));
        let stop = life.stop();
        life.own("the queue of endings", endings::queue(ctx).run(stop.clone()));
        life.own("the news of records", endings::follow_records(Arc::clone(ctx), stop.clone()));
        life.own("the periodic work", chores::run(Arc::clone(ctx), keyring, stop.clone()));
        if let Some(delivery) = delivery {
            life.own("the delivery of notifications", delivery.run(stop.clone()));
        }
        life.own("the watchdog of the clocks", watchdog::run(Arc::clone(ctx), stop.clone()));
        life.own("the rounds", rounds::run(Arc::clone(ctx), stop.clone()));
        ctx.metrics.leader.set(1);
        wake_all(ctx);
    }
}

/// Renews the Lease, and gives it up in the end. A process that loses it ends: it is started again as one that waits.
async fn keep(ctx: Arc<Context>, mut election: Election, stop: CancellationToken) {
    let renewed = election.keep(|| wake_all(&ctx));
    if stop.run_until_cancelled(renewed).await.is_none() {
        election.release().await;
    }
}

/// Whoever does not lead reconciles nothing, so everything is looked at once it does.
fn wake_all(ctx: &Context) {
    ctx.world.kinds.look_again(|_| true);
}
