//! What the operator writes when there is nothing to do.

use std::time::Duration;

use serde_json::json;

use super::{fleet::Fleet, reader::Reader};
use crate::{
    audit::Requests,
    error::Error,
    stage::{OPERATOR_USER, Stage},
    wait::wait_for,
};

const SUSPENDED_WITHIN: Duration = Duration::from_mins(2);
/// The audit log's line may come a moment after the write is seen.
const AFTERMATH: Duration = Duration::from_secs(1);
/// How long we watch.
pub const WATCHED: Duration = Duration::from_mins(1);

/// Suspends every connection, waits until every status says so, and returns the operator's requests of the minute after
/// that.
pub async fn requests(stage: &Stage, fleet: &Fleet, reader: &Reader) -> Result<Requests, Error> {
    fleet.merge(stage, &json!({"spec": {"suspend": true}})).await?;
    wait_for("all connections are suspended", SUSPENDED_WITHIN, async || {
        let suspended = reader.in_phase("Suspended");
        if suspended == fleet.members.len() { Ok(()) } else { Err(format!("{:?}", reader.phases())) }
    })
    .await?;
    tokio::time::sleep(AFTERMATH).await;
    let audit = stage.cluster().audit()?;
    let mark = audit.mark()?;
    tokio::time::sleep(WATCHED).await;
    Ok(audit.requests_since(mark)?.by(OPERATOR_USER))
}
