//! Provider objects and the decisions about them, a row each.

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::*;

fn provider(spec: &Value) -> IntegrationProvider {
    IntegrationProvider::new("p", serde_json::from_value(spec.clone()).unwrap())
}

fn observed(keys: &[(&str, &str)]) -> ObservedProvider {
    let data = keys.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
    let type_ = Some("bowline.dev/app".to_owned());
    let secret = Secret { type_, data: Some(data.collect()), ..Secret::default() };
    let namespace = "bowline-system".to_owned();
    ObservedProvider { namespace, app_secret: Some(Arc::new(secret)), ..ObservedProvider::default() }
}

fn of_type(type_: &str, observed: ObservedProvider) -> ObservedProvider {
    let secret = observed.app_secret.as_deref().cloned().unwrap();
    let secret = Secret { type_: Some(type_.to_owned()), ..secret };
    ObservedProvider { app_secret: Some(Arc::new(secret)), ..observed }
}

const APP: &[(&str, &str)] = &[("client_id", "id"), ("client_secret", "canary"), ("providers", "p")];

fn generic(endpoints: &Value) -> Value {
    json!({"type": "generic-oauth2", "app": {"secretName": "app"}, "endpoints": endpoints})
}

/// Certificate and key in PEM, of their own issuer, valid until the given year.
fn pair(last: i32) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["bowline".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(last, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn a_certificate_is_needed_where_described_and_judged_by_its_dates() {
    let (certificate, key) = pair(2030);
    let app = [("client_id", "id"), ("providers", "p"), ("tls.crt", &certificate), ("tls.key", &key)];
    let mutual = json!({"type": "generic-oauth2", "app": {"secretName": "app"},
        "endpoints": {"token": "https://id.example.com/t"}, "overlay": {"clientAuth": ["TLSClientAuth"]}});
    let judged = |keys: &[(&str, &str)], now: &str| {
        let observed = ObservedProvider { now: now.parse().unwrap(), ..observed(keys) };
        decide(&provider(&mutual), &observed).map(drop).map_err(|refusal| (refusal.reason, refusal.message))
    };
    assert_eq!(judged(&app, "2029-12-31T00:00:00Z"), Ok(()));
    let (reason, message) = judged(&app, "2030-01-01T00:00:01Z").unwrap_err();
    assert_eq!(reason, Reason::CertificateInvalid);
    assert!(
        message.contains("expired at 2030-01-01T00:00:00Z") && message.contains("Secret app"),
        "{message}"
    );
    let (reason, message) = judged(APP, "2029-01-01T00:00:00Z").unwrap_err();
    assert_eq!(reason, Reason::AppSecretIncomplete);
    assert!(message.contains("the keys tls.crt and tls.key are missing"), "{message}");
    let (_, other_key) = pair(2030);
    let mismatched = [app[0], app[1], app[2], ("tls.key", &other_key)];
    let (reason, message) = judged(&mismatched, "2029-01-01T00:00:00Z").unwrap_err();
    assert_eq!(reason, Reason::AppSecretIncomplete);
    assert!(message.contains("tls.key is not the key of the certificate"), "{message}");
}

#[test]
fn the_first_question_that_fails_is_what_status_says() {
    let github = json!({"type": "github", "app": {"secretName": "app"}});
    let rows = [
        ("unknown type", json!({"type": "nothing"}), observed(APP), Reason::UnknownType, "bowline catalog"),
        ("no endpoint", generic(&json!({})), observed(APP), Reason::ParametersMissing, "endpoints.issuer"),
        (
            "http",
            generic(&json!({"token": "http://id.example.com/t"})),
            observed(APP),
            Reason::EndpointRefused,
            "spec.network.allowHTTP",
        ),
        (
            "private",
            generic(&json!({"token": "https://10.0.0.1/t"})),
            observed(APP),
            Reason::EndpointRefused,
            "the address is private. Such addresses need spec.network.allowedCIDRs, within the operator's --provider-networks.",
        ),
        (
            "localhost",
            generic(&json!({"issuer": "https://localhost"})),
            observed(APP),
            Reason::EndpointRefused,
            "local",
        ),
        (
            "no app named",
            json!({"type": "github"}),
            ObservedProvider::default(),
            Reason::AppSecretNotFound,
            "spec.app",
        ),
        ("no Secret", github.clone(), ObservedProvider::default(), Reason::AppSecretNotFound, "Secret app"),
        ("no client id", github.clone(), observed(&APP[1..]), Reason::AppSecretIncomplete, "client_id"),
        (
            "any Secret",
            github.clone(),
            of_type("Opaque", observed(APP)),
            Reason::AppSecretIncomplete,
            "Opaque",
        ),
        (
            "no purpose",
            github.clone(),
            observed(&APP[..2]),
            Reason::AppSecretIncomplete,
            "providers and hosts",
        ),
        (
            "no secret",
            github,
            observed(&[("client_id", "id"), ("providers", "p")]),
            Reason::AppSecretIncomplete,
            "client_secret",
        ),
    ];
    for (what, spec, observed, reason, says) in rows {
        let refusal = decide(&provider(&spec), &observed).unwrap_err();
        assert_eq!(refusal.reason, reason, "{what}: {}", refusal.message);
        assert!(refusal.message.contains(says), "{what}: {}", refusal.message);
        assert!(refusal.message.contains("Ask your platform team to fix"), "{what}: {}", refusal.message);
        assert!(!refusal.message.contains("canary"), "{what}");
    }
}

#[test]
fn an_app_is_asked_for_only_where_a_method_needs_one() {
    let rows = [
        (json!({"type": "github", "app": {"secretName": "app"}}), true),
        (json!({"type": "github", "allow": {"ownApp": true}}), false),
        (json!({"type": "generic-api-key"}), false),
        (json!({"type": "generic-basic-auth"}), false),
    ];
    for (spec, has_app) in rows {
        let usable = decide(&provider(&spec), &observed(APP)).unwrap();
        assert_eq!(usable.app.is_some(), has_app, "{spec}");
    }
}

#[test]
fn an_issuer_is_asked_where_an_address_is_open() {
    let rows = [
        (json!({"issuer": "https://id.example.com"}), true),
        (json!({"token": "https://id.example.com/token"}), false),
    ];
    for (endpoints, asks) in rows {
        let usable = decide(&provider(&generic(&endpoints)), &observed(APP)).unwrap();
        assert_eq!(usable.question.is_some(), asks, "{endpoints}");
    }
}

/// A provider at a private address that asks for this network.
fn private(network: &Value) -> Value {
    let mut spec = generic(&json!({"token": "http://10.1.2.3:8080/token"}));
    spec["network"] = network.clone();
    spec
}

fn bounds() -> NetworkBounds {
    NetworkBounds {
        allow_http: true,
        cidrs: vec!["10.0.0.0/8".parse().unwrap()],
        proxies: vec!["http://proxy.example.com:3128".parse().unwrap()],
    }
}

#[test]
fn a_network_is_what_the_object_asks_for_within_what_the_operator_allows() {
    let data = [("ca.crt".to_owned(), ByteString(b"PEM".to_vec()))].into();
    let ca = Secret { data: Some(data), ..Secret::default() };
    let asked = json!({"allowHTTP": true, "allowedCIDRs": ["10.1.0.0/16"], "caSecretName": "corp-ca",
        "proxy": "http://proxy.example.com:3128"});
    let observed = ObservedProvider { bounds: bounds(), ca_secret: Some(Arc::new(ca)), ..observed(APP) };
    let usable = decide(&provider(&private(&asked)), &observed).unwrap();
    assert!(usable.network.allow_http);
    assert_eq!(usable.network.allowed_cidrs, ["10.1.0.0/16".parse().unwrap()]);
    assert_eq!(usable.network.ca_certificates.as_deref(), Some(&b"PEM"[..]));
    assert_eq!(usable.network.proxy, Some("http://proxy.example.com:3128/".parse().unwrap()));
}

#[test]
fn what_the_operator_does_not_allow_is_refused_by_field_and_flag() {
    let rows = [
        (json!({"allowHTTP": true}), ["spec.network.allowHTTP", "--allow-http-providers"]),
        (
            json!({"allowedCIDRs": ["10.1.0.0/16", "192.168.0.0/16"]}),
            ["192.168.0.0/16", "--provider-networks"],
        ),
        (json!({"allowedCIDRs": ["company"]}), ["spec.network.allowedCIDRs", "company is not a CIDR"]),
        (json!({"proxy": "http://other.example.com"}), ["spec.network.proxy", "--provider-proxy"]),
        (json!({"caSecretName": "corp-ca"}), ["spec.network.caSecretName", "no Secret corp-ca"]),
    ];
    let narrow =
        ObservedProvider { bounds: NetworkBounds { allow_http: false, ..bounds() }, ..observed(APP) };
    for (network, says) in rows {
        let refusal = decide(&provider(&private(&network)), &narrow).unwrap_err();
        assert_eq!(refusal.reason, Reason::EndpointRefused, "{network}: {}", refusal.message);
        assert!(says.iter().all(|words| refusal.message.contains(words)), "{network}: {}", refusal.message);
    }
    let empty = ObservedProvider { ca_secret: Some(Arc::default()), ..narrow };
    let refusal = decide(&provider(&private(&json!({"caSecretName": "corp-ca"}))), &empty).unwrap_err();
    assert!(refusal.message.contains("Secret corp-ca in the operator's namespace has no key ca.crt"));
}

#[test]
fn what_the_operator_allows_counts_only_where_the_object_asks_for_it() {
    let open = ObservedProvider { bounds: bounds(), ..observed(APP) };
    let rows = [
        (json!({}), "spec.network.allowHTTP"),
        (json!({"allowHTTP": true}), "spec.network.allowedCIDRs"),
        (json!({"allowHTTP": true, "allowedCIDRs": ["10.9.0.0/16"]}), "spec.network.allowedCIDRs"),
        (json!({"allowedCIDRs": ["10.1.0.0/16"]}), "spec.network.allowHTTP"),
    ];
    for (network, says) in rows {
        let refusal = decide(&provider(&private(&network)), &open).unwrap_err();
        assert_eq!(refusal.reason, Reason::EndpointRefused, "{network}");
        assert!(refusal.message.contains(says), "{network}: {}", refusal.message);
    }
    let metadata = json!({"type": "generic-oauth2", "app": {"secretName": "app"},
        "endpoints": {"token": "https://169.254.169.254/token"}, "network": {"allowedCIDRs": ["0.0.0.0/0"]}});
    let everything = NetworkBounds { cidrs: vec!["0.0.0.0/0".parse().unwrap()], ..bounds() };
    let refusal =
        decide(&provider(&metadata), &ObservedProvider { bounds: everything, ..observed(APP) }).unwrap_err();
    assert!(refusal.message.contains("no setting allows this one"), "{}", refusal.message);
}
