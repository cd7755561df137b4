//! When the three processes are ready.

use std::time::{Duration, Instant};

use axum::http::Request;
use k8s_openapi::api::{admissionregistration::v1::ValidatingAdmissionPolicy, core::v1::ServiceAccount};
use kube::{Api, Client, api::ListParams};
use tokio::net::UnixStream;

use super::Layout;
use crate::{
    access::{ADMIN, Access},
    error::Error,
    process::Process,
};

/// On two busy cores the first start takes up to 20 s.
const DEADLINE: Duration = Duration::from_mins(5);
const PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn etcd(process: &mut Process, layout: &Layout) -> Result<(), Error> {
    let socket = layout.path("etcd.sock");
    until(process, async || UnixStream::connect(&socket).await.map(drop).map_err(|error| error.to_string()))
        .await
}

/// `/readyz` is ok, and the API that the admission rules need is served.
pub(super) async fn api_server(process: &mut Process, access: &Access, layout: &Layout) -> Result<(), Error> {
    let authority = layout.authority();
    until(process, async || {
        if !authority.is_file() {
            return Err("no certificate yet".to_owned());
        }
        look(access, async |client| {
            // A body of this type cannot fail to build from these constants.
            let request = Request::get("/readyz").body(Vec::new()).unwrap_or_default();
            client.request_text(request).await?;
            Api::<ValidatingAdmissionPolicy>::all(client).list(&ListParams::default()).await.map(drop)
        })
        .await
    })
    .await
}

/// The namespace `default` has its `ServiceAccount`, so controllers run.
pub(super) async fn controllers(process: &mut Process, access: &Access) -> Result<(), Error> {
    until(process, async || {
        look(access, async |client| {
            Api::<ServiceAccount>::namespaced(client, "default").get("default").await.map(drop)
        })
        .await
    })
    .await
}

async fn look(
    access: &Access,
    question: impl AsyncFnOnce(Client) -> Result<(), kube::Error>,
) -> Result<(), String> {
    let client = access.client_for(ADMIN).await.map_err(|error| error.to_string())?;
    question(client).await.map_err(|error| error.to_string())
}

/// Repeats the check until it succeeds, the process ends, or the deadline has passed.
async fn until(
    process: &mut Process,
    mut question: impl AsyncFnMut() -> Result<(), String>,
) -> Result<(), Error> {
    let start = Instant::now();
    loop {
        process.check_running()?;
        let answer = tokio::time::timeout(DEADLINE, question()).await;
        match answer.unwrap_or_else(|_| Err("no answer".to_owned())) {
            Ok(()) => return Ok(()),
            Err(last_seen) if start.elapsed() > DEADLINE => {
                return Err(process.not_ready(DEADLINE, last_seen));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
