//! What the Helm chart makes of values, and which ones it refuses. Real Helm, and no cluster.

use bowline_testbed::helm::Helm;
use serde_json::{Value, json};

/// Values, an object that they make, a place in it, and what is there.
type Row = (&'static str, &'static str, &'static str, fn() -> Value);

const MATRIX: &[Row] = &[
    ("{}", "Deployment NS/bowline", "/spec/template/spec/containers/0/args", || {
        json!([
            "operator",
            "--journal-dir=/var/lib/bowline/answers",
            "--namespace=NS",
            "--secret-namespaces=NS"
        ])
    }),
    (
        "operator: {flags: {provider-networks: [10.0.0.0/8, 'fd12::/48'], min-refresh-interval: 30s, log-format: json}}",
        "Deployment NS/bowline",
        "/spec/template/spec/containers/0/args",
        || {
            json!([
                "operator",
                "--journal-dir=/var/lib/bowline/answers",
                "--log-format=json",
                "--min-refresh-interval=30s",
                "--namespace=NS",
                "--provider-networks=10.0.0.0/8,fd12::/48",
                "--secret-namespaces=NS"
            ])
        },
    ),
    ("image: {repository: registry.example.com/b, tag: '9'}", "Deployment NS/bowline", IMAGE, || {
        json!("registry.example.com/b:9")
    }),
    (
        "image: {digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000000'}",
        "Deployment NS/bowline",
        IMAGE,
        || {
            json!(format!(
                "ghcr.io/bowline-dev/bowline:{}@sha256:{}",
                env!("CARGO_PKG_VERSION"),
                "0".repeat(64)
            ))
        },
    ),
    (
        "secrets: {namespaces: [team-a]}",
        "RoleBinding team-a/bowline-secrets",
        "/subjects/0/namespace",
        || json!("NS"),
    ),
    ("operator: {replicas: 1}", "Deployment NS/bowline", "/spec/replicas", || json!(1)),
    (
        "operator: {tolerations: [{key: a}]}",
        "Deployment NS/bowline",
        "/spec/template/spec/tolerations/0/key",
        || json!("a"),
    ),
    (
        "operator: {serviceAccount: {annotations: {a: b}}}",
        "ServiceAccount NS/bowline",
        "/metadata/annotations",
        || json!({"a": "b"}),
    ),
    (
        "operator: {networkPolicy: {enabled: true, egress: [{ports: [{port: 8443}]}]}}",
        "NetworkPolicy NS/bowline",
        "/spec/egress/2/ports/0/port",
        || json!(8443),
    ),
    ("commonLabels: {team: platform}", "CustomResourceDefinition /workspaces.bowline.dev", LABELS, || {
        json!({
            "app.kubernetes.io/component": "definitions",
            "app.kubernetes.io/instance": "connections",
            "app.kubernetes.io/managed-by": "Helm",
            "app.kubernetes.io/name": "bowline",
            "app.kubernetes.io/part-of": "bowline",
            "app.kubernetes.io/version": env!("CARGO_PKG_VERSION"),
            "team": "platform",
        })
    }),
    ("{}", "ValidatingAdmissionPolicy /bowline-operator-status", "/spec/validations/0/expression", || {
        json!("request.userInfo.username == 'system:serviceaccount:NS:bowline'")
    }),
    (OIDC, "Deployment bowline-portal/bowline-portal", "/spec/template/spec/containers/0/args", || {
        json!([
            "portal",
            "--url=https://connect.example.com:8443",
            "--trusted-proxies=10.0.0.0/8,192.0.2.1/32",
            "--metrics-listen=0.0.0.0:9090",
            "--oidc-ca-file=/etc/bowline/oidc-ca/ca.crt",
            "--oidc-client-id=bowline",
            "--oidc-client-secret-file=/etc/bowline/oidc/secret",
            "--oidc-groups-claim=groups",
            "--oidc-issuer=https://login.example.com",
            "--oidc-scopes=profile,email",
            "--oidc-username-claim=email",
            "--oidc-username-prefix=corp:",
            "--webhook-secrets=/etc/bowline/webhooks",
        ])
    }),
    (OIDC, "Deployment bowline-portal/bowline-portal", "/spec/template/spec/volumes", || {
        json!([
            {"name": "oidc", "secret": {"secretName": "portal-oidc"}},
            {"name": "oidc-ca", "configMap": {"name": "company-ca"}},
            {"name": "webhooks", "secret": {"secretName": "portal-webhooks"}},
        ])
    }),
    (
        OIDC,
        "Ingress bowline-portal/bowline-portal",
        "/spec/tls",
        || json!([{"hosts": ["connect.example.com"], "secretName": "bowline-portal-tls"}]),
    ),
];

const IMAGE: &str = "/spec/template/spec/containers/0/image";
const LABELS: &str = "/metadata/labels";

/// A portal with an `OpenID` provider in a private network, and webhooks.
pub const OIDC: &str = "
portal:
  enabled: true
  url: https://connect.example.com:8443
  trustedProxies: [10.0.0.0/8, 192.0.2.1/32]
  signIn:
    oidc:
      issuer: https://login.example.com
      clientID: bowline
      clientSecret: {name: portal-oidc, key: secret}
      ca: {configMap: company-ca}
      usernameClaim: email
      usernamePrefix: 'corp:'
  webhooks: {secretName: portal-webhooks}
  flags: {oidc-scopes: [profile, email]}
  ingress: {enabled: true}
";

#[tokio::test]
#[ignore = "needs helm: make test"]
async fn values_do_what_they_say_in_every_namespace() {
    let helm = Helm::offline().expect("helm");
    for (values, object, place, expected) in MATRIX {
        let namespace = "platform-connections";
        let rendered = helm.template("connections", namespace, values).await.expect("helm renders it");
        let object = object.replace("NS", namespace);
        let there = rendered.get(&object).unwrap_or_else(|| panic!("{values}: no {object}"));
        let expected: Value = serde_json::from_str(&expected().to_string().replace("NS", namespace)).unwrap();
        assert_eq!(there.pointer(place), Some(&expected), "{values}: {object} {place}");
        assert!(
            !json!(rendered).to_string().contains("bowline-system"),
            "{values}: another namespace is named"
        );
    }
}

/// Values that nobody can mean, and words of the refusal.
const REFUSED: &[(&str, &str)] = &[
    ("secrets: {mode: ClusterWide, namespaces: [team-a]}", "contradict each other"),
    ("secrets: {namespaces: [bowline-portal]}", "nothing is ever published in the namespace bowline-portal"),
    ("secrets: {namespaces: [kube-system]}", "nothing is ever published in the namespace kube-system"),
    ("secrets: {mode: Narrow}", "secrets/mode"),
    ("operator: {flags: {min-refresh-intervall: 30s}}", "min-refresh-intervall"),
    ("operator: {flags: {secret-namespaces: team-a}}", "secret-namespaces"),
    ("operator: {replica: 3}", "replica"),
    ("operator: {replicas: -1}", "operator/replicas"),
    ("portal: {enabled: true}", "portal.url is missing"),
    ("portal: {enabled: true, url: 'https://a.example.com/path'}", "portal/url"),
    ("portal: {enabled: true, url: 'https://a.example.com'}", "portal.trustedProxies is missing"),
    ("portal: {enabled: true, url: 'http://a.example.com'}", "must begin with https://"),
    (
        "portal: {enabled: true, url: 'https://a.example.com', trustedProxies: [none]}",
        "Nobody could sign in to the portal",
    ),
    (
        "portal: {enabled: true, url: 'https://a.example.com', trustedProxies: [none, 10.0.0.0/8]}",
        "names networks and none",
    ),
    (
        "portal: {enabled: true, url: 'https://a.example.com', trustedProxies: [none], signIn: {oidc: {issuer: 'https://i.example.com'}}}",
        "needs portal.signIn.oidc.clientID",
    ),
    (
        "portal: {enabled: true, url: 'https://a.example.com', trustedProxies: [none], signIn: {token: {enabled: true}, oidc: {clientSecret: {name: s}}}}",
        "set portal.signIn.oidc.issuer",
    ),
    (
        "portal: {enabled: true, url: 'https://a.example.com', trustedProxies: [none], signIn: {token: {audience: a}, proxy: {secret: {name: s}}}}",
        "needs portal.signIn.token.enabled",
    ),
    (
        "portal: {enabled: true, url: 'https://a.example.com', trustedProxies: [none], signIn: {token: {enabled: true}}, httpRoute: {enabled: true}}",
        "portal.httpRoute.parentRefs is missing",
    ),
    (
        "portal: {enabled: true, url: 'https://a.example.com', trustedProxies: [none], signIn: {token: {enabled: true}}, autoscaling: {enabled: true, minReplicas: 9}}",
        "greater than portal.autoscaling.maxReplicas",
    ),
    ("portal: {url: 'https://a.example.com'}", "portal.enabled is not"),
    ("portal: {ingress: {enabled: true}}", "portal.ingress.enabled needs portal.enabled=true"),
    ("portal: {autoscaling: {enabled: true}}", "portal.autoscaling.enabled needs portal.enabled=true"),
];

#[tokio::test]
#[ignore = "needs helm: make test"]
async fn values_that_contradict_each_other_are_refused_in_words() {
    let helm = Helm::offline().expect("helm");
    for (values, words) in REFUSED {
        let refusal = helm.template("bowline", "bowline-system", values).await.expect_err(values).to_string();
        assert!(refusal.contains(words), "{values}: {refusal}");
    }
    let refusal = helm.template("bowline", "bowline-attempts", "{}").await.expect_err("refused").to_string();
    assert!(refusal.contains("cannot be the operator's"), "{refusal}");
    let chart = Helm::chart();
    let old = ["template", "bowline", &chart.to_string_lossy(), "--kube-version", "1.35.0"];
    let refusal = helm.run(&old, "termsStamp: {enabled: true}").await.expect_err("refused").to_string();
    assert!(refusal.contains("needs Kubernetes 1.36 or later"), "{refusal}");
}
