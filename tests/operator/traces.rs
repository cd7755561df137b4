//! Traces at a real collector: a refresh is followed down to the provider's answer, and a page to its route. A collector that is
//! gone holds nobody up. portal/canary.rs shows that spans hold no secret.

use bowline_testbed::collector::Collector;
use bowline_testbed::sandbox::Rotation;
use serde_json::Value;

use crate::looking::until;
use crate::portal::house::Portal;
use crate::stage::Stage;

/// A collector, and where it listens.
pub async fn collector() -> (Collector, String) {
    let mut collector = Collector::start().expect("a collector");
    let endpoint = until("the collector listens", async || collector.endpoint().expect("it runs")).await;
    (collector, endpoint)
}

/// An attribute of a span or resource, whatever its type.
fn attribute<'a>(of: &'a Value, name: &str) -> Option<&'a str> {
    let found = of["attributes"].as_array()?.iter().find(|it| it["key"] == *name)?;
    found["value"].as_object()?.values().next()?.as_str()
}

/// The first span of this name and with this attribute, with its resource.
fn span(collector: &Collector, name: &str, key: &str, value: &str) -> Option<(Value, Value)> {
    let spans = collector.spans().expect("spans").into_iter();
    let mut each = spans.map(|it| (it["scopeSpans"][0]["spans"][0].clone(), it["resource"].clone()));
    each.find(|(span, _)| span["name"] == name && attribute(span, key) == Some(value))
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_refresh_and_a_page_are_traced_and_a_collector_that_is_gone_holds_nobody_up() {
    let (collector, endpoint) = collector().await;
    let stage = Stage::fresh(&["--otlp-endpoint", &endpoint]).await;
    let it = stage.scene("traces").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    it.ask_for_refresh("mail", "first").await;
    let find = async |what: &str, name: &str, key: &str, value: &str| {
        until(what, async || span(&collector, name, key, value)).await
    };
    let (grant, resource) = find("the work of a refresh", "grant", "task", "refresh").await;
    assert_eq!(attribute(&grant, "name"), Some("mail"));
    assert_eq!(attribute(&resource, "service.name"), Some("bowline-operator"));
    let request = until("the request to the provider", async || {
        let spans = collector.spans().expect("spans").into_iter();
        let mut spans = spans.map(|it| it["scopeSpans"][0]["spans"][0].clone());
        spans.find(|it| it["parentSpanId"] == grant["spanId"] && it["kind"] == "SPAN_KIND_CLIENT")
    })
    .await;
    assert_eq!((request["name"].as_str(), &request["traceId"]), (Some("POST"), &grant["traceId"]));
    assert_eq!(attribute(&request, "http.response.status_code"), Some("200"));
    assert_eq!(attribute(&request, "server.address"), Some("127.0.0.1"));

    let portal = Portal::start(&it, &["--otlp-endpoint", &endpoint]).await;
    assert_eq!(portal.browser().get("/sign-in?canary").await.status, 200);
    let (page, resource) = find("a page", "GET /sign-in", "http.route", "/sign-in").await;
    assert_eq!(page["kind"], "SPAN_KIND_SERVER");
    assert_eq!(attribute(&resource, "service.name"), Some("bowline-portal"));
    assert!(!page.to_string().contains("canary"), "{page}");

    drop(collector);
    it.ask_for_refresh("mail", "second").await;
    it.until_status("mail", "the second refresh", |status| {
        status.last_handled_refresh.as_deref() == Some("second")
    })
    .await;
    until("the log says that spans are lost", async || stage.logs().contains("opentelemetry").then_some(()))
        .await;
    stage.stop_operator();
}
