//! Exit codes, which are part of the plug-in's contract.

use std::io;

use bowline_api::duration::Duration;

use crate::age::length;

pub(crate) const EXITS: &str = "Exit codes: 0 ok, 1 failed, 2 usage error, 3 not ready in time.";

/// The exit code of a command that ended with this error.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<io::Error>() {
        // `kubectl bowline list | head -1` has got what it wanted.
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        _ if error.is::<NotInTime>() => 3,
        _ if error.is::<Usage>() => 2,
        _ => 1,
    }
}

/// Something was started and did not end in time.
#[derive(Debug, thiserror::Error)]
#[error("not ready within {}: {what}", length(*limit))]
pub(crate) struct NotInTime {
    pub(crate) limit: Duration,
    /// What was waited for, and what is missing.
    pub(crate) what: String,
}

/// The arguments are well formed, but the command is not possible.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) &'static str);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        let late = NotInTime { limit: "1s".parse().unwrap(), what: "x".into() };
        for (error, exit) in [
            (anyhow!("no such connection"), 1),
            (Usage("pipe it").into(), 2),
            (anyhow::Error::new(late).context("while waiting"), 3),
            (io::Error::from(io::ErrorKind::BrokenPipe).into(), 0),
            (io::Error::from(io::ErrorKind::PermissionDenied).into(), 1),
        ] {
            assert_eq!(exit_code(&error), exit, "{error:#}");
        }
    }
}
