//! The figures as a page, and the verdict.
#![expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]

use std::{fmt::Write as _, fs, num::NonZero, path::PathBuf, thread, time::Duration};

use super::{
    cost::{self, Costs, For},
    idle, machine,
    machine::Usage,
    raw::{self, Raw},
    reader::Samples,
    schedule::{Calls, EARLY_TOLERANCE_MS, LATE_TOLERANCE_MS, percentile},
};
use crate::{assets::target_directory, error::Error, stage::Profile};

/// Refreshes of each kind that may have been in progress when the measured time began: their later writes are counted, their
/// calls are not. `maxConcurrent` of a provider; the lenient kind has two.
const UNDER_WAY: [usize; 2] = [8, 16];

/// The machine.
pub(super) struct Machine {
    cores: usize,
    load_before: Option<f64>,
}

impl Machine {
    /// This one.
    pub fn here(load_before: Option<f64>) -> Self {
        Self { cores: thread::available_parallelism().map_or(1, NonZero::get), load_before }
    }
}

/// Everything that was measured.
pub(super) struct Measured {
    pub connections: usize,
    pub profile: Profile,
    pub seconds: f64,
    pub strict: Calls,
    pub lenient: Calls,
    pub lateness_ms: Vec<i64>,
    pub spent_twice: usize,
    pub samples: Samples,
    pub broken_watches: u64,
    pub costs: Costs,
    /// Besides those of the Lease.
    pub idle_writes: usize,
    pub lease_writes: usize,
    pub idle_reads: usize,
    pub operator: Usage,
    pub others: Vec<(&'static str, Duration)>,
    pub raw: Option<Raw>,
    pub machine: Machine,
}

/// The page, and whether every guarantee held.
pub struct Report {
    page: String,
    broken: usize,
}

impl Report {
    pub(super) fn new(mut measured: Measured) -> Self {
        let mut report = Self { page: String::from("# Benchmark\n\n"), broken: 0 };
        report.setting(&measured);
        report.guarantees(&measured);
        report.figures(&mut measured);
        report.costs(&measured);
        report
    }

    /// The page, in Markdown.
    pub fn page(&self) -> &str {
        &self.page
    }

    /// Whether every guarantee held.
    pub fn is_good(&self) -> bool {
        self.broken == 0
    }

    /// Writes the page to `target/bench/latest.md` and says where that is.
    pub fn write(&self) -> Result<PathBuf, Error> {
        let path = target_directory().join("bench").join("latest.md");
        let directory = path.with_file_name("");
        fs::create_dir_all(&directory).map_err(Error::io("create", directory))?;
        fs::write(&path, &self.page).map_err(Error::io("write", &path))?;
        Ok(path)
    }

    fn line(&mut self, text: &str) {
        self.page.push_str(text);
        self.page.push('\n');
    }

    fn setting(&mut self, measured: &Measured) {
        let Measured { connections, seconds, machine, profile, .. } = measured;
        let build = match profile {
            Profile::Release => "release build",
            Profile::Dev => "**unoptimized build: figures of the operator mean little**",
        };
        let load =
            machine.load_before.map_or(String::new(), |load| format!(", load {load:.2} before it began"));
        self.line(&format!(
            "{connections} connections with 60 s tokens, half of them strict (single use), measured for {seconds:.0} s \
             after each was refreshed once; {build}; {} cores shared by operator, API server, etcd (without fsync), \
             controllers, sandbox and reader{load}.\n\nThe reader keeps one watch on the published Secrets and samples \
             its cache every second; a watch that lags errs against the operator. Calls are judged by the sandbox's \
             ledger: due 27 to 30 s after a token was obtained, tolerance {:.1} s before and {:.1} s after. Requests \
             are those of the operator's account in the audit log, refused ones included, watches left out.\n",
            machine.cores,
            in_seconds(EARLY_TOLERANCE_MS),
            in_seconds(LATE_TOLERANCE_MS),
        ));
    }

    fn guarantees(&mut self, measured: &Measured) {
        let Measured { strict, lenient, samples, costs, .. } = measured;
        self.line("| guarantee | measured | bound | held |\n|---|---|---|---|");
        let of = |what: &str| format!("{what}, of {} samples", samples.taken);
        self.at_most(&of("samples with `expires_at` in the past"), samples.expired, 0);
        self.at_most(&of("samples without a readable Secret"), samples.missing, 0);
        let calls = strict.count() + lenient.count();
        let outside = strict.outside() + lenient.outside();
        self.at_most(&format!("provider calls outside the window, of {calls}"), outside as u64, 0);
        self.at_most("refresh tokens spent twice", measured.spent_twice as u64, 0);
        for (name, whom, calls, bound, under_way) in [
            ("strict", For::Strict, strict, 4, UNDER_WAY[0]),
            ("others", For::Lenient, lenient, 3, UNDER_WAY[1]),
        ] {
            let requests = cost::total(costs, whom);
            let held = calls.count() > 0 && requests <= bound * (calls.count() + under_way);
            let text = format!("{:.2} ({requests} / {})", ratio(requests, calls.count()), calls.count());
            self.guarantee(&format!("API requests per refresh, {name}"), &text, &format!("≤ {bound}"), held);
        }
        let idle =
            format!("API writes in {} s with all suspended, besides the Lease", idle::WATCHED.as_secs());
        self.at_most(&idle, measured.idle_writes as u64, 0);
    }

    fn at_most(&mut self, what: &str, measured: u64, bound: u64) {
        self.guarantee(what, &measured.to_string(), &bound.to_string(), measured <= bound);
    }

    fn guarantee(&mut self, what: &str, measured: &str, bound: &str, held: bool) {
        self.broken += usize::from(!held);
        let held = if held { "yes" } else { "**no**" };
        self.line(&format!("| {what} | {measured} | {bound} | {held} |"));
    }

    fn figure(&mut self, what: &str, value: &str) {
        self.line(&format!("| {what} | {value} |"));
    }

    fn figures(&mut self, measured: &mut Measured) {
        self.line("\n| figure | value |\n|---|---|");
        let refreshes = measured.strict.count() + measured.lenient.count();
        let per_second = refreshes as f64 / measured.seconds;
        self.figure("refreshes/s (set by the schedule, not by a limit)", &format!("{per_second:.2}"));
        if let Some(least) = measured.samples.least_life_ms {
            self.figure("least life left in any sample", &format!("{:.1} s", least as f64 / 1000.0));
        }
        let late = &mut measured.lateness_ms;
        for percent in [50, 99, 100] {
            if let Some(ms) = percentile(late, percent) {
                let name = if percent == 100 { "max".to_owned() } else { format!("p{percent}") };
                let what = format!("arrival at the provider after `status.token.nextRefreshAt`, {name}");
                self.figure(&what, &format!("{:.2} s", ms as f64 / 1000.0));
            }
        }
        let mut after = [measured.strict.after_ms.as_slice(), &measured.lenient.after_ms].concat();
        after.sort_unstable();
        if let (Some(first), Some(last)) = (after.first(), after.last()) {
            let text = format!("{:.2} to {:.2} s", in_seconds(*first), in_seconds(*last));
            self.figure("age of a token when its successor is asked for", &text);
        }
        self.processes(measured, refreshes);
        self.raw_limit(measured, per_second);
        self.figure("API reads while all were suspended", &measured.idle_reads.to_string());
        self.figure("writes of the Lease in that time", &measured.lease_writes.to_string());
        self.figure("watches of the reader that broke", &measured.broken_watches.to_string());
        if let Some(load) = machine::load() {
            self.figure("load of the machine at the end", &format!("{load:.2}"));
        }
    }

    fn processes(&mut self, measured: &Measured, refreshes: usize) {
        let Usage { cpu, resident_kib, peak_kib } = measured.operator;
        let mib = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
        self.figure("operator, resident memory at the end of the measured time", &mib(resident_kib));
        self.figure("operator, the most it ever was until then (VmHWM)", &mib(peak_kib));
        let per_refresh = cpu.as_secs_f64() * 1000.0 / refreshes.max(1) as f64;
        self.figure(
            "operator, CPU per refresh (everything it did, over refreshes)",
            &format!("{per_refresh:.2} ms"),
        );
        let share =
            |cpu: Duration| format!("{:.1} % of a core", 100.0 * cpu.as_secs_f64() / measured.seconds);
        self.figure("operator, CPU", &share(cpu));
        for (name, cpu) in &measured.others {
            self.figure(&format!("{name}, CPU"), &share(*cpu));
        }
    }

    fn raw_limit(&mut self, measured: &Measured, refreshes_per_second: f64) {
        let Some(raw) = measured.raw else { return };
        let requests = measured.costs.values().sum::<usize>() as f64 / measured.seconds;
        let what = format!(
            "raw limit: {} writes of a strict refresh at {} in flight for {} s",
            raw::WRITES_PER_CYCLE,
            raw::IN_FLIGHT,
            raw::DURATION.as_secs()
        );
        let (limit, cycles) = (raw.requests_per_second(), raw.cycles_per_second());
        self.figure(&what, &format!("{limit:.0} requests/s, {cycles:.0} cycles/s"));
        self.figure("operator's API requests/s, and share of the raw limit", &share_of(requests, limit));
        self.figure("refreshes/s, and share of the raw cycles/s", &share_of(refreshes_per_second, cycles));
    }

    fn costs(&mut self, measured: &Measured) {
        self.line(
            "\n| requests by the operator | for | count | per refresh of that kind |\n|---|---|---|---|",
        );
        let (strict, lenient) = (measured.strict.count(), measured.lenient.count());
        for ((whom, what), count) in &measured.costs {
            let (name, of) = match whom {
                For::Strict => ("strict", strict),
                For::Lenient => ("others", lenient),
                For::Nobody => ("no single connection", strict + lenient),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(self.page, "| {what} | {name} | {count} | {:.3} |", ratio(*count, of));
        }
    }
}

fn share_of(part: f64, whole: f64) -> String {
    format!("{part:.1}, {:.1} %", 100.0 * part / whole)
}

fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn in_seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}
