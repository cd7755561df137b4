//! Whether the process still makes progress. Says nothing about the API server or a provider: while those are down, calls fail,
//! and that is progress too.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bowline_runtime::tasks::Tasks;
use tokio::time::interval;

const BEAT_EVERY: Duration = Duration::from_secs(1);
/// No worker thread was free for this long: something blocks them all.
const WORKERS_WITHIN: Duration = Duration::from_mins(1);
/// Reconciles of a kind are under way, and none has ended for this long. Each of their calls ends within seconds, but one
/// may make hundreds.
const RECONCILES_WITHIN: Duration = Duration::from_mins(30);

/// What `/livez` answers from. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Liveness(Arc<Signs>);

#[derive(Debug)]
struct Signs {
    start: Instant,
    workers: AtomicU64,
    controllers: Mutex<Vec<(&'static str, Arc<Progress>)>>,
}

/// The reconciles of one kind.
#[derive(Debug, Default)]
struct Progress {
    running: AtomicUsize,
    /// When one ended, or the first of those under way began.
    moved: AtomicU64,
}

/// A reconcile under way.
pub(super) struct Underway {
    liveness: Liveness,
    progress: Arc<Progress>,
}

/// A kind's controller, as its reconciles know it.
#[derive(Clone, Debug)]
pub(super) struct Reconciles {
    liveness: Liveness,
    progress: Arc<Progress>,
}

impl Default for Liveness {
    fn default() -> Self {
        let (workers, controllers) = (AtomicU64::new(0), Mutex::default());
        Self(Arc::new(Signs { start: Instant::now(), workers, controllers }))
    }
}

impl Liveness {
    /// Starts the sign of life of the worker threads.
    pub(super) fn start(&self, life: &Tasks) {
        let (liveness, stop) = (self.clone(), life.stop().clone());
        life.own("the sign of life", async move {
            let mut beat = interval(BEAT_EVERY);
            while stop.run_until_cancelled(beat.tick()).await.is_some() {
                liveness.beat();
            }
        });
    }

    pub(super) fn controller(&self, label: &'static str) -> Reconciles {
        let progress = Arc::new(Progress::default());
        self.controllers().push((label, Arc::clone(&progress)));
        Reconciles { liveness: self.clone(), progress }
    }

    /// Why the process should be started again, if it should.
    pub(super) fn stalled(&self) -> Option<String> {
        self.stalled_at(self.elapsed())
    }

    fn stalled_at(&self, now: Duration) -> Option<String> {
        let since =
            |moment: &AtomicU64| now.saturating_sub(Duration::from_millis(moment.load(Ordering::SeqCst)));
        let silent = since(&self.0.workers);
        if silent > WORKERS_WITHIN {
            return Some(format!("no worker thread was free for {} s", silent.as_secs()));
        }
        self.controllers().iter().find_map(|(label, progress)| {
            let stuck = since(&progress.moved);
            let running = progress.running.load(Ordering::SeqCst);
            (running > 0 && stuck > RECONCILES_WITHIN).then(|| {
                format!(
                    "of {running} reconciles of the controller {label} none has ended for {} s",
                    stuck.as_secs()
                )
            })
        })
    }

    fn beat(&self) {
        self.0.workers.store(self.millis(), Ordering::SeqCst);
    }

    fn elapsed(&self) -> Duration {
        self.0.start.elapsed()
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn controllers(&self) -> std::sync::MutexGuard<'_, Vec<(&'static str, Arc<Progress>)>> {
        self.0.controllers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reconciles {
    /// A reconcile begins; it ends when the result is dropped.
    pub(super) fn begin(&self) -> Underway {
        if self.progress.running.fetch_add(1, Ordering::SeqCst) == 0 {
            self.progress.moved.store(self.liveness.millis(), Ordering::SeqCst);
        }
        Underway { liveness: self.liveness.clone(), progress: Arc::clone(&self.progress) }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.progress.moved.store(self.liveness.millis(), Ordering::SeqCst);
        self.progress.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_hours(1);

    #[test]
    fn class_23_reconciles_of_which_none_ends_are_said() {
        let liveness = Liveness::default();
        let reconciles = liveness.controller("connection");
        let alive_at = |at: Duration| {
            liveness.0.workers.store(u64::try_from(at.as_millis()).unwrap(), Ordering::SeqCst);
            liveness.stalled_at(at)
        };
        assert_eq!(alive_at(LATER), None, "nothing to do is no fault");
        let stuck = reconciles.begin();
        assert_eq!(alive_at(Duration::from_mins(2)), None, "it may be slow");
        assert!(alive_at(LATER).unwrap().contains("connection"));
        drop(stuck);
        assert_eq!(alive_at(LATER), None);
    }

    /// Every worker is blocked; the answer comes from another thread.
    #[test]
    fn class_23_workers_that_are_all_blocked_are_said() {
        let liveness = Liveness::default();
        assert_eq!(liveness.stalled(), None);
        assert!(liveness.stalled_at(Duration::from_mins(2)).unwrap().contains("no worker"));
        liveness.beat();
        assert_eq!(liveness.stalled(), None);
    }
}
