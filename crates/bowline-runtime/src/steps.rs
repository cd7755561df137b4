//! What the clocks of this machine say together. Timers stop while it sleeps, and the wall clock may be set.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// Smaller differences are corrections in passing, and the time between reading one clock and the next.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(2);

/// All clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeReading {
    /// What the date is; may be set at any time.
    pub wall: Timestamp,
    /// Since the machine started, sleep included; never set.
    pub boot: Duration,
    /// What timers wait on: without sleep.
    pub running: Duration,
}

impl TimeReading {
    /// The longest time that may have passed since `earlier`, by whichever clock says so: for what must not be done too late.
    pub fn at_most_since(&self, earlier: &Self) -> Duration {
        let wall = Duration::try_from(self.wall.duration_since(earlier.wall)).unwrap_or_default();
        self.at_least_since(earlier).max(self.boot.saturating_sub(earlier.boot)).max(wall)
    }

    /// The shortest time that may have passed since `earlier`: for what must not be done too soon.
    pub fn at_least_since(&self, earlier: &Self) -> Duration {
        self.running.saturating_sub(earlier.running)
    }
}

/// What happened between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeStep {
    /// How long the machine slept: all timers are late by that.
    pub slept: SignedDuration,
    /// How far the wall clock was set, forwards or back.
    pub set: SignedDuration,
}

/// Compares each reading with the one before.
#[derive(Debug, Default)]
pub struct TimeSteps {
    last: Option<TimeReading>,
}

impl TimeSteps {
    /// What happened since the last reading, if anything did.
    pub fn since_last(&mut self, now: TimeReading) -> Option<TimeStep> {
        let last = self.last.replace(now)?;
        let boot = passed(last.boot, now.boot);
        let ignored = |by: SignedDuration| if by.abs() < TOLERANCE { SignedDuration::ZERO } else { by };
        let step = TimeStep {
            slept: ignored(boot - passed(last.running, now.running)),
            set: ignored(now.wall.duration_since(last.wall) - boot),
        };
        (step != TimeStep::default()).then_some(step)
    }
}

fn passed(from: Duration, to: Duration) -> SignedDuration {
    SignedDuration::try_from(to.saturating_sub(from)).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(wall: i64, boot: u64, running: u64) -> TimeReading {
        TimeReading {
            wall: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(wall),
            boot: Duration::from_secs(boot),
            running: Duration::from_secs(running),
        }
    }

    #[test]
    fn class_27_of_three_clocks_the_one_counts_that_errs_on_the_safe_side() {
        let then = reading(1_000, 100, 100);
        for (row, now, at_most, at_least) in [
            ("all agree", reading(1_010, 110, 110), 10, 10),
            ("asleep for an hour", reading(4_610, 3_710, 110), 3_610, 10),
            ("set forwards", reading(4_610, 110, 110), 3_610, 10),
            ("set back", reading(-2_590, 110, 110), 10, 10),
        ] {
            assert_eq!(now.at_most_since(&then).as_secs(), at_most, "{row}");
            assert_eq!(now.at_least_since(&then).as_secs(), at_least, "{row}");
        }
    }

    #[test]
    fn class_21_sleep_and_a_clock_that_is_set_are_told_apart() {
        let hour = SignedDuration::from_hours(1);
        let rows = [
            ("an ordinary second", reading(1_001, 101, 101), None),
            ("a small correction", reading(1_002, 101, 101), None),
            ("asleep for an hour", reading(4_601, 3_701, 101), Some((hour, SignedDuration::ZERO))),
            ("set forwards", reading(4_601, 101, 101), Some((SignedDuration::ZERO, hour))),
            ("set back", reading(-2_599, 101, 101), Some((SignedDuration::ZERO, -hour))),
            ("asleep, and the clock was wrong", reading(8_201, 3_701, 101), Some((hour, hour))),
        ];
        for (row, now, step) in rows {
            let mut steps = TimeSteps::default();
            assert_eq!(steps.since_last(reading(1_000, 100, 100)), None, "{row}");
            let want = step.map(|(slept, set)| TimeStep { slept, set });
            assert_eq!(steps.since_last(now), want, "{row}");
            assert_eq!(steps.since_last(now), None, "{row}: it is told once");
        }
    }
}
