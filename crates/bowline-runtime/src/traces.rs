//! Traces: what a request or a piece of work consisted of, and how long each part took. They are sent by OTLP over gRPC to an
//! OpenTelemetry collector.
//!
//! The SDK reads the variables of OpenTelemetry's specification, such as `OTEL_TRACES_SAMPLER` and `OTEL_RESOURCE_ATTRIBUTES`. No
//! propagator is installed: no provider learns the id of a trace.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::Layer;

use crate::telemetry::{self, Collector, LogSetupError, Logs, Spans};

/// How long an ending process waits for the collector to take the last spans.
const FLUSH: Duration = Duration::from_secs(3);

/// Sets logs up, and sends spans to their collector for as long as the result lives. Needs a Tokio runtime.
pub fn init(logs: &Logs) -> Result<Option<Exporting>, LogSetupError> {
    let exporting = logs.collector.as_ref().map(Exporting::to).transpose()?;
    telemetry::init(logs, exporting.as_ref().map(Exporting::layer))?;
    Ok(exporting)
}

/// Sends spans until it is dropped; then the rest of them leaves.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct Exporting(SdkTracerProvider);

impl Exporting {
    /// Connects when there is something to send. Needs a Tokio runtime.
    pub(crate) fn to(collector: &Collector) -> Result<Self, LogSetupError> {
        let failed = |error: ExporterBuildError| LogSetupError::Collector {
            endpoint: collector.endpoint.clone(),
            source: error.into(),
        };
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(&collector.endpoint).build();
        let resource = Resource::builder()
            .with_service_name(collector.service)
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let provider = SdkTracerProvider::builder().with_resource(resource.build());
        Ok(Self(provider.with_batch_exporter(exporter.map_err(failed)?).build()))
    }

    /// What hands spans over.
    pub(crate) fn layer(&self) -> Spans {
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("bowline")).boxed()
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        // A collector that does not answer was told in the log by the SDK, at each attempt.
        let _ = self.0.shutdown_with_timeout(FLUSH);
    }
}
