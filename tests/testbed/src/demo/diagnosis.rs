//! What is shown if a step was not seen in time.

use std::error::Error as _;

use super::{TEAM, WORKSPACE};
use crate::{error::Error, stage::Stage};

/// How many lines of each log are shown.
const LINES: usize = 40;

/// Prints the error, the objects with their status, events, and the end of both logs. No Secrets.
pub async fn explain(error: &Error, stage: Option<&Stage>) {
    if let Some(stage) = stage {
        // Providers and workspaces are in both answers: `kubectl get bowline` names all kinds.
        for namespace in [TEAM, WORKSPACE] {
            stage.cluster().dump(namespace).await;
        }
        let portal = stage.portal().map(|portal| ("portal", portal.process()));
        for (who, process) in [("operator", stage.operator())].into_iter().chain(portal) {
            let log = process.logs().unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("# the {who}'s last lines\n{}", lines[lines.len().saturating_sub(LINES)..].join("\n"));
        }
    }
    eprintln!("\nnot seen: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
}
