//! The time is passed in: this is the only code that reads the clocks of the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::steps::TimeReading;

/// The time as the operator sees it, in whole seconds.
///
/// Kubernetes stores times with second precision. A finer time would differ from itself after a round trip, and an unchanged
/// status would look changed.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    /// A clock that stands still until it is moved. For tests.
    Manual(ManualClock),
}

impl Clock {
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => whole_seconds(Timestamp::now()),
            Self::Manual(clock) => clock.now(),
        }
    }
}

/// Reads every clock of this machine.
#[derive(Clone, Copy, Debug)]
pub struct MachineClocks {
    start: Instant,
}

impl Default for MachineClocks {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl MachineClocks {
    pub fn read(&self) -> TimeReading {
        let running = self.start.elapsed();
        TimeReading { wall: Timestamp::now(), boot: since_boot().unwrap_or(running), running }
    }
}

/// `CLOCK_BOOTTIME`, where the kernel shows it: `350735.47 234388.90`.
fn since_boot() -> Option<Duration> {
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    Duration::try_from_secs_f64(uptime.split_whitespace().next()?.parse().ok()?).ok()
}

/// A clock moved by hand. Its clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Starts at `start`, cut to whole seconds.
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(start.as_second())))
    }

    /// Moves forward, or back for a negative duration; parts of a second are dropped.
    pub fn advance(&self, by: SignedDuration) {
        self.0.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// `at` plus `by`, rounded up to a whole second, or the end of time.
///
/// Status contains whole seconds: a finer time would differ from the one in status, and be written again each time.
pub fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(rounded_up(by)).unwrap_or(Timestamp::MAX)
}

/// `at` minus `by`, rounded to the earlier whole second, or the beginning of time.
pub fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_sub(rounded_up(by)).unwrap_or(Timestamp::MIN)
}

fn rounded_up(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_has_no_parts_of_a_second() {
        assert_eq!(Clock::System.now().subsec_nanosecond(), 0);
    }

    #[test]
    fn the_clock_since_boot_is_read_and_goes_on() {
        let clocks = MachineClocks::default();
        let (first, second) = (clocks.read(), clocks.read());
        assert!(second.boot >= first.boot && second.running >= first.running);
        assert_eq!(since_boot().is_some(), cfg!(target_os = "linux"));
    }

    #[test]
    fn clones_of_a_manual_clock_move_together() {
        let manual = ManualClock::at(Timestamp::UNIX_EPOCH);
        let clock = Clock::Manual(manual.clone());
        manual.advance(SignedDuration::from_secs(90));
        assert_eq!(clock.now().as_second(), 90);
    }

    #[test]
    fn times_are_moved_by_whole_seconds_and_never_past_the_end() {
        let at = Timestamp::UNIX_EPOCH;
        let half = Duration::from_millis(1_500);
        assert_eq!((later(at, half).as_second(), earlier(at, half).as_second()), (2, -2));
        assert_eq!((later(at, Duration::MAX), earlier(at, Duration::MAX)), (Timestamp::MAX, Timestamp::MIN));
    }
}
