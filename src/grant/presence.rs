//! Whether the connection that a first record was written for is still there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bowline_api::IntegrationConnection;
use bowline_runtime::telemetry::chain;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, CustomResourceExt};
use tokio::time::{sleep, timeout};

use super::Engine;
use super::records::{NotWritten, Patience};
use super::work::Job;
use crate::vault::record::Withdrawal;
use crate::vault::{Loaded, Place, Record, TransitionError};

/// How long we wait for the API server's answer.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// How soon an ending is written again that the API server did not take.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Writes a change that may be the first record of a connection, unless the connection is leaving: then the change is refused
/// as [`TransitionError::Unwanted`]. One that is deleted or disconnected while its first record is being created finds nothing
/// to end: then what was written is ended here ([`NotWritten::Ended`]).
pub(super) async fn write_wanted(
    engine: &Engine,
    job: &Job,
    patience: Patience<'_>,
    change: impl Fn(Record) -> Result<Record, TransitionError>,
) -> Result<Option<Loaded>, NotWritten> {
    let (records, place) = (&engine.records, &job.place);
    let is_first = AtomicBool::new(false);
    let wanted = |record: Record| {
        // A first write whose answer was lost may have happened: what it wrote is ended below.
        if job.leaving.is_cancelled() && !is_first.load(Ordering::Relaxed) {
            return Err(TransitionError::Unwanted);
        }
        is_first.fetch_or(record.revision() == 0, Ordering::Relaxed);
        change(record)
    };
    let written = records.write(&place.uid, Some(place), patience, wanted).await?;
    if !is_first.into_inner() || is_wanted(engine, job).await {
        return Ok(written);
    }
    tracing::info!("the connection is leaving: its first grant is ended at once");
    while !records.end(&place.uid, &job.end_terms(), &Withdrawal::default()).await {
        if engine.gate.draining.is_cancelled() {
            return Ok(written);
        }
        sleep(AGAIN_AFTER).await;
    }
    Err(NotWritten::Ended)
}

/// Asks after the write. Whoever deletes or disconnects the connection cancels `leaving` first and then looks for a record, so
/// one of the two sees what the other did; another process's deletion is seen by the API server alone.
async fn is_wanted(engine: &Engine, job: &Job) -> bool {
    let client = &engine.secrets.kube;
    (!job.leaving.is_cancelled() && !is_gone(client, &job.place).await) || is_uninstalling(client).await
}

/// Whether the API server says that the connection is deleted, or about to be. What it does not answer says nothing.
async fn is_gone(client: &Client, place: &Place) -> bool {
    let api: Api<IntegrationConnection> = Api::namespaced(client.clone(), &place.namespace);
    match timeout(CALL_LIMIT, api.get_metadata_opt(&place.name)).await {
        Ok(Ok(Some(found))) => {
            found.metadata.uid.as_deref() != Some(&place.uid) || found.metadata.deletion_timestamp.is_some()
        }
        Ok(Ok(None)) => true,
        Ok(Err(error)) => {
            tracing::warn!(error = %chain(&error), "whether the connection is still there is not known");
            false
        }
        Err(_) => false,
    }
}

/// Whether the definition of our kind is being deleted: an uninstall must not end everybody's consent. If that cannot be
/// read, this is an ordinary deletion.
pub(crate) async fn is_uninstalling(client: &Client) -> bool {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    match timeout(CALL_LIMIT, api.get_metadata_opt(IntegrationConnection::crd_name())).await {
        Ok(Ok(Some(definition))) => definition.metadata.deletion_timestamp.is_some(),
        Ok(Ok(None)) => true,
        Ok(Err(_)) | Err(_) => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::grant::fixtures::{Bench, Fault, grant, job};
    use crate::grant::work::Task;
    use crate::vault::Credential;

    const ENTRY: &str = "generic-api-key";

    /// A first record is written while the connection goes; whether it is left, and how many endings of it are.
    async fn written_while_it_goes(by_us: bool, by_others: bool, answered: bool) -> (bool, usize) {
        let bench = Bench::start().await;
        if !answered {
            bench.api.next(Fault::AnswerLost);
        }
        let job = job(ENTRY, Task::Judge);
        if by_others {
            bench.api.without_connection();
        }
        let key = grant(ENTRY, Credential::ApiKey { api_key: "k".into() });
        let change = |record: Record| {
            if by_us {
                // As a deletion does before it looks for a record; there was none yet.
                job.leaving.cancel();
            }
            if record.candidate().is_some() {
                return Ok(record);
            }
            record.with_candidate(&bench.engine().records.sealer, &key)
        };
        let written = write_wanted(bench.engine(), &job, Patience::Brief, change).await;
        let is_ended = matches!(written, Err(NotWritten::Ended));
        assert_eq!(is_ended, by_us || by_others);
        let endings = bench.engine().records.endings.of("u1");
        assert!(
            endings.iter().all(|ending| ending.record.has_grant() && ending.record.withdrawal().is_settled())
        );
        (bench.api.has("record-u1"), endings.len())
    }

    #[tokio::test(start_paused = true)]
    async fn class_20_a_first_record_of_a_connection_that_is_deleted_meanwhile_is_ended() {
        for answered in [true, false] {
            let went = async |by_us, by_others| written_while_it_goes(by_us, by_others, answered).await;
            assert_eq!(went(true, false).await, (false, 1), "this process deletes it");
            assert_eq!(went(false, true).await, (false, 1), "another process has deleted it");
            assert_eq!(went(false, false).await, (true, 0), "it is still there");
        }
    }

    /// The earlier grant is being revoked, which a grant that is taken in now would hold back.
    #[tokio::test]
    async fn class_20_nothing_is_put_on_record_for_a_connection_that_was_disconnected_before() {
        let bench = Bench::start().await;
        let job = job(ENTRY, Task::Judge);
        job.leaving.cancel();
        let unwanted = write_wanted(bench.engine(), &job, Patience::Brief, Ok).await;
        assert!(matches!(unwanted, Err(NotWritten::Refused(TransitionError::Unwanted))));
        assert!(!bench.api.has("record-u1"));
    }
}
