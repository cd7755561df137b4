//! The tasks that a process owns. If one of them ends before the process is asked to, the process ends as well: half a process
//! that looks healthy is worse than one that is started again.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::thread;

use futures::FutureExt;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A task that was to run for as long as the process does, and did not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskFailure {
    #[error("{0} panicked")]
    Panicked(String),
    #[error("{0} ended before the process was asked to")]
    Ended(String),
}

/// Owns tasks, stops them, and waits for them. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
    failure: Arc<OnceLock<TaskFailure>>,
}

impl Tasks {
    /// Tasks that end with `stop`, which a failure cancels.
    pub fn until(stop: CancellationToken) -> Self {
        Self { stop, ..Self::default() }
    }

    /// Cancelled when the process is to end: by a signal, or because a task failed.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs a task that ends only after [`Tasks::stop`]. `name` is for the log.
    pub fn own(&self, name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) {
        let (tasks, name) = (self.clone(), name.into());
        self.tracker.spawn(async move {
            let failure = match AssertUnwindSafe(task).catch_unwind().await {
                Ok(()) if tasks.stop.is_cancelled() => return,
                Ok(()) => TaskFailure::Ended(name),
                Err(_) => TaskFailure::Panicked(name),
            };
            tracing::error!("{failure}: the process ends");
            let _ = tasks.failure.set(failure);
            tasks.stop.cancel();
        });
    }

    /// Like [`Tasks::own`], on a thread with a runtime of its own, which no other work can keep from running.
    pub fn own_thread<F>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()>,
    {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (ended, end) = oneshot::channel::<()>();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Dropped at the end, however that comes.
            let _ended = ended;
            runtime.block_on(work());
        })?;
        self.own(name, end.map(drop));
        Ok(())
    }

    /// Returns when everything has ended. Nothing more may be started.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// The first task that failed, if one did.
    pub fn failure(&self) -> Result<(), TaskFailure> {
        self.failure.get().map_or(Ok(()), |failure| Err(failure.clone()))
    }
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Waits until something has asked the process to end, and returns why.
    async fn end_of(tasks: &Tasks) -> Result<(), TaskFailure> {
        timeout(Duration::from_secs(10), tasks.stop().cancelled()).await.unwrap();
        tasks.ended().await;
        tasks.failure()
    }

    async fn forever(stop: CancellationToken) {
        stop.cancelled().await;
    }

    #[tokio::test]
    async fn class_23_a_task_that_panics_or_ends_early_ends_the_process_with_an_error() {
        let tasks = Tasks::default();
        tasks.own("a watch", forever(tasks.stop().clone()));
        tasks.own("chores", async { panic!("a fault") });
        assert_eq!(end_of(&tasks).await, Err(TaskFailure::Panicked("chores".into())));

        let tasks = Tasks::default();
        tasks.own("a watch", forever(tasks.stop().clone()));
        tasks.own("a controller", async {});
        assert_eq!(end_of(&tasks).await, Err(TaskFailure::Ended("a controller".into())));
    }

    #[tokio::test]
    async fn class_23_a_thread_that_panics_ends_the_process_too() {
        let tasks = Tasks::default();
        tasks.own_thread("probes", || async { panic!("a fault") }).unwrap();
        assert!(end_of(&tasks).await.is_err());
    }

    #[tokio::test]
    async fn an_ordinary_end_is_no_failure() {
        let tasks = Tasks::default();
        let stop = tasks.stop().clone();
        tasks.own("a watch", forever(stop.clone()));
        tasks.own_thread("probes", move || forever(stop)).unwrap();
        tasks.stop().cancel();
        assert_eq!(end_of(&tasks).await, Ok(()));
    }
}
