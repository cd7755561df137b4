//! What processes cost: read from /proc, so on Linux only.

use std::{fs, process::Command, time::Duration};

use crate::error::Error;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in user and kernel mode.
    pub cpu: Duration,
    /// Resident memory now, in KiB.
    pub resident_kib: u64,
    /// The largest size so far, in KiB.
    pub peak_kib: u64,
}

/// Reads it from the kernel.
pub fn usage(pid: u32) -> Result<Usage, Error> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        fs::read_to_string(&path).map_err(Error::io("read", path))
    };
    let strange = || Error::Unexpected {
        what: format!("/proc/{pid}"),
        seen: "not in the kernel's usual form".to_owned(),
    };
    let status = read("status")?;
    Ok(Usage {
        cpu: ticks(&read("stat")?).ok_or_else(strange)? / ticks_per_second(),
        resident_kib: kib(&status, "VmRSS:").ok_or_else(strange)?,
        peak_kib: kib(&status, "VmHWM:").ok_or_else(strange)?,
    })
}

/// The average number of runnable processes over the last minute: how busy others keep the machine.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// utime and stime, in ticks, as if a tick were a second.
fn ticks(stat: &str) -> Option<Duration> {
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<_> = rest.split(' ').collect();
    let field = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Duration::from_secs(field(11)? + field(12)?))
}

fn ticks_per_second() -> u32 {
    let answer = Command::new("getconf").arg("CLK_TCK").output().ok();
    let text = answer.and_then(|output| String::from_utf8(output.stdout).ok());
    // 100 on every Linux that Rust runs on.
    text.and_then(|text| text.trim().parse().ok()).filter(|ticks| *ticks > 0).unwrap_or(100)
}

fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_past_a_strange_name() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 1000 0 0 0 250 50 0 0 20 0 4 0 100 0 0";
        assert_eq!(ticks(stat).unwrap().as_secs(), 300);
    }

    #[test]
    fn our_own_process_uses_memory() {
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.resident_kib > 0 && usage.peak_kib >= usage.resident_kib, "{usage:?}");
    }
}
