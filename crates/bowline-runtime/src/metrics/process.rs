//! What the kernel says of this process, under the names that all Prometheus clients use. Read from `/proc` at each scrape; where
//! there is none, nothing is served.

use std::fs;
use std::path::Path;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, Opts};

use super::{Family, MetricType};

/// Ticks per second in `/proc/self/stat`: `USER_HZ`, which is 100 on every architecture we build for.
const TICKS: f64 = 100.0;

macro_rules! process {
    ($($constant:ident: $kind:ident $name:literal $help:literal;)*) => {
        $(const $constant: Family = Family {
            name: $name, kind: MetricType::$kind, help: $help, labels: &[], buckets: &[],
        };)*
        /// The standard metrics of a process.
        pub const PROCESS_FAMILIES: &[Family] = &[$($constant),*];
    };
}

process! {
    CPU: Counter "process_cpu_seconds_total" "User and system CPU time, in seconds.";
    MAX_FDS: Gauge "process_max_fds" "Most file descriptors that may be open.";
    OPEN_FDS: Gauge "process_open_fds" "Open file descriptors.";
    RESIDENT: Gauge "process_resident_memory_bytes" "Resident memory, in bytes.";
    START_TIME: Gauge "process_start_time_seconds" "When the process started, in seconds since 1970.";
    THREADS: Gauge "process_threads" "Threads of the process.";
    VIRTUAL: Gauge "process_virtual_memory_bytes" "Virtual memory, in bytes.";
}

pub(super) struct ProcessCollector {
    cpu: Counter,
    gauges: Vec<(&'static str, Gauge)>,
}

impl ProcessCollector {
    pub(super) fn new() -> prometheus::Result<Self> {
        let options = |family: &Family| Opts::new(family.name, family.help);
        let gauge = |family: &&Family| Ok((family.name, Gauge::with_opts(options(family))?));
        let gauges = PROCESS_FAMILIES.iter().filter(|family| family.kind == MetricType::Gauge);
        Ok(Self {
            cpu: Counter::with_opts(options(&CPU))?,
            gauges: gauges.map(|it| gauge(&it)).collect::<prometheus::Result<_>>()?,
        })
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self.gauges.iter().flat_map(|(_, gauge)| gauge.desc());
        self.cpu.desc().into_iter().chain(gauges).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now = read(Path::new("/proc"));
        let mut found = Vec::new();
        if let Some(seconds) = now.cpu {
            self.cpu.reset();
            self.cpu.inc_by(seconds);
            found.extend(self.cpu.collect());
        }
        for (name, gauge) in &self.gauges {
            let value = now.gauges.iter().find(|(of, _)| of == name).and_then(|(_, value)| *value);
            if let Some(value) = value {
                gauge.set(value);
                found.extend(gauge.collect());
            }
        }
        found
    }
}

/// What could be read.
struct ProcessSample {
    cpu: Option<f64>,
    gauges: [(&'static str, Option<f64>); 6],
}

fn read(proc: &Path) -> ProcessSample {
    let own = proc.join("self");
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let stat = text(&own.join("stat"));
    let status = text(&own.join("status"));
    let system = text(&proc.join("stat"));
    // The name in brackets may contain anything; the third field, the state, follows it.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    // By the numbers that proc_pid_stat(5) gives the fields.
    let ticks = |field: usize| Some(fields.get(field - 3)?.parse::<f64>().ok()? / TICKS);
    let kibibytes = |name: &str| Some(named(&status, name)? * 1024.0);
    let started = named(&system, "btime").zip(ticks(22)).map(|(boot, after)| boot + after);
    let open =
        fs::read_dir(own.join("fd")).ok().map(Iterator::count).and_then(|count| u32::try_from(count).ok());
    ProcessSample {
        cpu: ticks(14).zip(ticks(15)).map(|(user, system)| user + system),
        gauges: [
            (MAX_FDS.name, named(&text(&own.join("limits")), "Max open files")),
            (OPEN_FDS.name, open.map(f64::from)),
            (RESIDENT.name, kibibytes("VmRSS:")),
            (START_TIME.name, started),
            (THREADS.name, named(&status, "Threads:")),
            (VIRTUAL.name, kibibytes("VmSize:")),
        ],
    }
}

/// The first number in the line that begins with `name`.
fn named(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_described_in_full_and_in_the_right_units() {
        let sample = read(Path::new("/proc"));
        let value =
            |family: &Family| sample.gauges.iter().find(|(name, _)| *name == family.name).unwrap().1.unwrap();
        assert!(sample.cpu.unwrap() >= 0.0);
        assert!(value(&RESIDENT) > 1e5 && value(&VIRTUAL) > value(&RESIDENT));
        assert!(value(&OPEN_FDS) >= 3.0 && value(&MAX_FDS) >= value(&OPEN_FDS));
        assert!(value(&THREADS) >= 2.0, "the test runs on a thread of its own");
        // 2020, and a year that a wrong unit would be beyond.
        assert!((1.577e9..1e10).contains(&value(&START_TIME)), "{}", value(&START_TIME));
        let served: Vec<_> =
            ProcessCollector::new().unwrap().collect().iter().map(|it| it.name().to_owned()).collect();
        assert_eq!(served.len(), PROCESS_FAMILIES.len(), "{served:?}");
    }

    #[test]
    fn where_there_is_no_proc_nothing_is_served() {
        let sample = read(Path::new("/nonexistent"));
        assert!(sample.cpu.is_none() && sample.gauges.iter().all(|(_, value)| value.is_none()));
    }

    #[test]
    fn a_name_with_a_bracket_in_it_moves_no_field() {
        assert_eq!(named("Threads:\t7\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12.0));
        assert_eq!(
            named("Max open files            1024                 4096 files\n", "Max open files"),
            Some(1024.0)
        );
        assert_eq!(named("", "btime"), None);
    }
}
