//! Exit codes, a part of the plug-in's contract.

use std::io;
use std::process::ExitCode;

use bowline_api::duration::Duration;

use crate::age::length;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Not done.
    Failed = 1,
    /// A usage error.
    Usage = 2,
    /// Started, but not ready within the time given.
    NotInTime = 3,
}

impl Exit {
    /// The exit that an error stands for.
    pub fn of(error: &anyhow::Error) -> Self {
        if error.is::<NotInTime>() {
            Self::NotInTime
        } else if error.is::<Usage>() {
            Self::Usage
        } else if is_closed_pipe(error) {
            // `kubectl bowline list | head -1` has what it wanted.
            Self::Ok
        } else {
            Self::Failed
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Something was started and did not end in time.
#[derive(Debug, thiserror::Error)]
#[error("not ready within {}: {what}", length(*limit))]
pub(crate) struct NotInTime {
    pub(crate) limit: Duration,
    /// What was waited for, and what remains.
    pub(crate) what: String,
}

/// The arguments are well formed, but cannot be carried out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) &'static str);

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

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
            assert_eq!(Exit::of(&error) as u8, exit, "{error:#}");
        }
    }
}
