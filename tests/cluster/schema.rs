//! The rules in the schemas, applied by the API server: what passes, what does not, and with which message.
//!
//! Unit tests show that the rules are correct. Only a server shows that it accepts their cost, their types and their
//! messages.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::asking::{ADMIN, Ask, merged};
use crate::fixture::{Team, binding, connection, provider, random_name, workspace};

/// A rule, by its message, with objects that pass and objects that fail.
struct Rule {
    words: &'static str,
    object: fn() -> Value,
    /// The object before the change; absent for rules about one state alone.
    before: Option<Value>,
    accepted: Vec<Value>,
    rejected: Vec<Value>,
}

fn rule(words: &'static str, object: fn() -> Value, accepted: Vec<Value>, rejected: Vec<Value>) -> Rule {
    Rule { words, object, before: None, accepted, rejected }
}

fn transition(
    words: &'static str,
    object: fn() -> Value,
    before: Value,
    accepted: Value,
    rejected: Vec<Value>,
) -> Rule {
    Rule { words, object, before: Some(before), accepted: vec![accepted], rejected }
}

/// By an administrator for alice, so it says who sets its terms.
fn a_connection() -> Value {
    let by = json!({"metadata": {"annotations": {"bowline.dev/terms-by": ADMIN}}});
    merged(connection(&random_name("c"), "alice"), &by)
}

fn a_provider() -> Value {
    provider(&random_name("p"))
}

fn a_workspace() -> Value {
    workspace(&random_name("w"))
}

fn a_binding() -> Value {
    binding(&random_name("b"), "team-a.mail")
}

fn spec(spec: Value) -> Value {
    Value::Object([("spec".to_owned(), spec)].into_iter().collect())
}

fn named(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

fn rules() -> Vec<Rule> {
    [
        owner_rules(),
        connection_rules(),
        published_secret_rules(),
        secret_type_rules(),
        cluster_wide_rules(),
        provider_rules(),
        scope_rules(),
        network_rules(),
        binding_rules(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The spec of a connection that a `ServiceAccount` owns.
fn robots(more: Value) -> Value {
    merged(spec(json!({"owner": "system:serviceaccount:team-a:billing"})), &spec(more))
}

fn owner_rules() -> Vec<Rule> {
    let owner = |owner: &str| spec(json!({"owner": owner, "method": "ClientCredentials"}));
    let credentials = || json!({"secretName": "key"});
    vec![
        rule(
            "no system: user owns a connection, except a ServiceAccount",
            a_connection,
            vec![spec(json!({"owner": "alice@example.com"})), owner("system:serviceaccount:a:b.c")],
            [
                "system:admin",
                "system:",
                "system:node:a",
                "system:serviceaccounts:a",
                "system:serviceaccount:a",
                "system:serviceaccount:a:b:c",
                "system:serviceaccount:a.b:c",
            ]
            .map(owner)
            .to_vec(),
        ),
        rule(
            "a ServiceAccount owns only connections that no person consents to",
            a_connection,
            vec![
                robots(json!({"method": "ClientCredentials"})),
                robots(json!({"method": "JwtBearer"})),
                robots(json!({"method": "ApiKey", "credentials": credentials()})),
                robots(json!({"method": "BasicAuth", "credentials": credentials()})),
                robots(json!({"method": "RefreshToken", "credentials": credentials()})),
                robots(json!({"credentials": credentials()})),
            ],
            vec![
                robots(json!({})),
                robots(json!({"method": "AuthorizationCode"})),
                robots(json!({"method": "DeviceCode"})),
                robots(json!({"method": "ApiKey"})),
                robots(json!({"method": "RefreshToken", "credentials": null})),
            ],
        ),
        // Of which namespace the account is, admission decides.
        rule(
            "with method TokenExchange the token of a ServiceAccount is exchanged",
            a_connection,
            vec![spec(json!({"method": "AuthorizationCode"})), spec(json!({}))],
            vec![spec(json!({"method": "TokenExchange"}))],
        ),
        rule(
            "credentials hold a refresh token, a key or a password",
            a_connection,
            vec![spec(json!({"credentials": credentials(), "method": "ApiKey"}))],
            ["AuthorizationCode", "DeviceCode", "ClientCredentials"]
                .map(|method| spec(json!({"credentials": credentials(), "method": method})))
                .to_vec(),
        ),
        rule(
            "suspend and disconnect exclude each other",
            a_connection,
            vec![
                spec(json!({"suspend": true, "disconnect": false})),
                spec(json!({"suspend": false, "disconnect": true})),
            ],
            vec![spec(json!({"suspend": true, "disconnect": true}))],
        ),
    ]
}

fn connection_rules() -> Vec<Rule> {
    let parameters = |value: &str| spec(json!({"parameters": {"tenant": value}}));
    let app = |name: &str| spec(json!({"app": {"secretName": name}}));
    vec![
        rule(
            "metadata.name may have at most 63 characters",
            a_connection,
            vec![named(&"c".repeat(63))],
            vec![named(&"c".repeat(64))],
        ),
        rule("metadata.name may not contain a dot", a_connection, vec![named("a-b")], vec![named("a.b")]),
        rule(
            "shared needs a workspace: name one in spec.workspace",
            a_connection,
            vec![
                spec(json!({"shared": true, "workspace": "w"})),
                spec(json!({"shared": false})),
                spec(json!({"shared": null})),
            ],
            vec![spec(json!({"shared": true})), spec(json!({"shared": true, "workspace": null}))],
        ),
        transition(
            "provider is immutable: make a new connection",
            a_connection,
            json!({}),
            spec(json!({"provider": "sandbox"})),
            vec![spec(json!({"provider": "other"}))],
        ),
        transition(
            "app is immutable: a grant belongs to one app registration",
            a_connection,
            app("ours"),
            app("ours"),
            vec![app("theirs"), spec(json!({"app": null}))],
        ),
        transition(
            "app is immutable: a grant belongs to one app registration",
            a_connection,
            json!({}),
            spec(json!({"app": null})),
            vec![app("ours")],
        ),
        transition(
            "parameters are immutable: they decide where the grant is sent",
            a_connection,
            parameters("contoso"),
            parameters("contoso"),
            vec![parameters("fabrikam"), spec(json!({"parameters": null}))],
        ),
        rule(
            "a scope has no spaces: write one list entry per scope",
            a_connection,
            vec![spec(json!({"scopes": ["repo", "read:user"]}))],
            vec![spec(json!({"scopes": ["repo read:user"]}))],
        ),
        rule(
            "a parameter name may have 63 characters",
            a_connection,
            vec![spec(json!({"parameters": {"p".repeat(63): "v"}}))],
            vec![spec(json!({"parameters": {"p".repeat(64): "v"}}))],
        ),
        rule(
            "a parameter value holds letters, digits, '.', '_' and '-'",
            a_connection,
            ["contoso", "contoso.onmicrosoft.com", "72f988bf-86f1_1", "a"].map(parameters).to_vec(),
            [
                "",
                "a/b",
                "a@evil.example",
                "..",
                "a..b",
                ".a",
                "a.",
                "https://evil.example",
                "a b",
                "a%2fb",
                "a\nb",
                "é",
            ]
            .map(parameters)
            .to_vec(),
        ),
    ]
}

/// One template of each of these lengths, in characters.
fn templates(lengths: &[usize]) -> Value {
    let named = lengths.iter().enumerate();
    named.map(|(number, length)| (format!("t{number}"), json!("x".repeat(*length)))).collect()
}

#[allow(clippy::needless_pass_by_value, reason = "a literal reads better without a borrow")]
fn secret(secret: Value) -> Value {
    spec(json!({"secret": secret}))
}

fn secret_type_rules() -> Vec<Rule> {
    let typed = |type_: &str, data: Value| secret(json!({"template": {"type": type_, "data": data}}));
    let needs = |words: &'static str, type_: &str, fits: &[Value]| {
        let accepted = fits.iter().map(|data| typed(type_, data.clone())).collect();
        rule(words, a_connection, accepted, vec![typed(type_, json!({"other": "x"}))])
    };
    let with_token = |type_: &str| typed(type_, json!({"token": "x"}));
    vec![
        rule(
            "template.type needs template.data: without it, format decides the type",
            a_connection,
            vec![with_token("Opaque")],
            vec![secret(json!({"template": {"type": "Opaque"}})), typed("Opaque", json!({}))],
        ),
        rule(
            "supported values: \"Opaque\"",
            a_connection,
            vec![],
            vec![
                with_token("kubernetes.io/service-account-token"),
                with_token("bootstrap.kubernetes.io/token"),
                with_token("helm.sh/release.v1"),
                with_token("bowline.dev/record"),
            ],
        ),
        needs(
            "type kubernetes.io/basic-auth needs the key username or password",
            "kubernetes.io/basic-auth",
            &[json!({"username": "x"}), json!({"password": "x"})],
        ),
        needs(
            "type kubernetes.io/dockerconfigjson needs the key .dockerconfigjson",
            "kubernetes.io/dockerconfigjson",
            &[json!({".dockerconfigjson": "{}"})],
        ),
        needs(
            "type kubernetes.io/ssh-auth needs the key ssh-privatekey",
            "kubernetes.io/ssh-auth",
            &[json!({"ssh-privatekey": "x"})],
        ),
    ]
}

fn published_secret_rules() -> Vec<Rule> {
    let data = |data: Value| secret(json!({"template": {"data": data}}));
    let metadata = |metadata: Value| secret(json!({"template": {"metadata": metadata}}));
    let labels = |labels: Value| metadata(json!({"labels": labels}));
    let annotations = |annotations: Value| metadata(json!({"annotations": annotations}));
    vec![
        rule(
            "template.data replaces format: set one of them",
            a_connection,
            vec![
                secret(json!({"format": "Env"})),
                data(json!({"a": "{{ token }}"})),
                secret(json!({"format": "Env", "template": {"metadata": {"labels": {"team": "a"}}}})),
                secret(json!({"format": "Env", "template": {"data": {}}})),
            ],
            vec![secret(json!({"format": "Env", "template": {"data": {"a": "{{ token }}"}}}))],
        ),
        rule(
            "what is published of keys that Bowline issues signs in nowhere",
            a_connection,
            vec![
                json!({"spec": {"method": "IssuedKey", "secret": {"format": "Env"}}}),
                json!({"spec": {"method": "IssuedKey", "secret": {"name": "keys"}}}),
                json!({"spec": {"method": "ApiKey", "secret": {"format": "EnvoySds"}}}),
                secret(json!({"format": "GitCredentials"})),
            ],
            vec![
                json!({"spec": {"method": "IssuedKey", "secret": {"format": "Netrc"}}}),
                json!({"spec": {"method": "IssuedKey", "secret": {"format": "EnvoySds"}}}),
            ],
        ),
        rule(
            "a template key has at most 253 characters: letters, digits, '-', '_' and '.'",
            a_connection,
            vec![data(json!({"config.json": "x", "k".repeat(253): "x"}))],
            vec![data(json!({"a/b": "x"})), data(json!({"": "x"})), data(json!({"k".repeat(254): "x"}))],
        ),
        rule(
            "may not be more than 8192",
            a_connection,
            vec![data(json!({"a": "x".repeat(8192)}))],
            vec![data(json!({"a": "x".repeat(8193)}))],
        ),
        rule(
            "the templates of a connection may have 32768 characters together",
            a_connection,
            vec![data(templates(&[8192; 4])), data(json!({}))],
            vec![data(templates(&[8192, 8192, 8192, 8192, 1])), data(templates(&[1025; 32]))],
        ),
        rule(
            "a label name may have 317 characters",
            a_connection,
            vec![labels(json!({"example.com/team": "a", "a".repeat(317): "a".repeat(63)}))],
            vec![labels(json!({"a".repeat(318): "a"}))],
        ),
        rule("may not be more than 63", a_connection, vec![], vec![labels(json!({"team": "a".repeat(64)}))]),
        rule(
            "an annotation name may have 317 characters",
            a_connection,
            vec![annotations(
                json!({"reloader.stakater.com/match": "true", "a".repeat(317): "a".repeat(4096)}),
            )],
            vec![annotations(json!({"a".repeat(318): "a"}))],
        ),
        rule(
            "may not be more than 4096",
            a_connection,
            vec![],
            vec![annotations(json!({"a": "a".repeat(4097)}))],
        ),
    ]
}

fn cluster_wide_rules() -> Vec<Rule> {
    let members = |members: Value| spec(json!({"members": members}));
    let accepted = |id: &str| spec(json!({"acceptedOwners": {id: "bob"}}));
    let member = |kind: &str, name: &str| members(json!([{"kind": kind, "name": name}]));
    let robot = "system:serviceaccount:a:b";
    let name = "metadata.name may have at most 63 characters";
    vec![
        rule(name, a_provider, vec![named(&random_name(&"p".repeat(50)))], vec![named(&"p".repeat(64))]),
        rule(name, a_workspace, vec![named(&random_name(&"w".repeat(50)))], vec![named(&"w".repeat(64))]),
        transition(
            "type is immutable: make a new provider",
            a_provider,
            json!({}),
            spec(json!({"type": "sandbox"})),
            vec![spec(json!({"type": "github"}))],
        ),
        rule(
            "a member of kind User is a person or a pipeline, not a system: user",
            a_workspace,
            vec![members(json!([{"name": "alice@example.com"}])), member("User", "alice")],
            vec![members(json!([{"name": robot}])), member("User", "system:admin")],
        ),
        rule(
            "a member of kind ServiceAccount is named system:serviceaccount:NAMESPACE:NAME",
            a_workspace,
            vec![member("ServiceAccount", robot)],
            ["alice", "b", "a/b", "system:admin", "system:serviceaccount:a"]
                .map(|name| member("ServiceAccount", name))
                .to_vec(),
        ),
        rule(
            "Duplicate value",
            a_workspace,
            vec![members(json!([{"name": "alice"}, {"name": "bob"}]))],
            vec![members(json!([{"name": "alice"}, {"kind": "User", "name": "alice"}]))],
        ),
        rule(
            "a member is a person, a pipeline or a group",
            a_connection,
            vec![members(json!([{"name": "bob"}])), member("Group", "staff")],
            vec![member("User", "system:admin"), member("Group", "system:masters"), member("User", robot)],
        ),
        rule("supported values: \"User\"", a_workspace, vec![], vec![member("Group", "staff")]),
        rule(
            "the id of a connection is <namespace>.<name>",
            a_workspace,
            vec![accepted("team-a.mail"), accepted("a.b")],
            ["mail", "team-a.", ".mail", "team-a.mail.x", "Team.mail", "team-a/mail"].map(accepted).to_vec(),
        ),
    ]
}

fn provider_rules() -> Vec<Rule> {
    let allow = |workspaces: Value| spec(json!({"allow": {"workspaces": workspaces}}));
    let refresh = |before: &str| spec(json!({"refresh": {"before": before}}));
    vec![
        rule(
            "a parameter name may have 63 characters",
            a_provider,
            vec![spec(json!({"parameters": {"host": "https://gitlab.example.com/x", "p".repeat(63): "v"}}))],
            vec![spec(json!({"parameters": {"p".repeat(64): "v"}}))],
        ),
        rule(
            "may not be more than 253",
            a_provider,
            vec![spec(json!({"parameters": {"host": "h".repeat(253)}}))],
            vec![spec(json!({"parameters": {"host": "h".repeat(254)}}))],
        ),
        rule(
            "should have at least 1 items",
            a_provider,
            vec![allow(json!(["marketing"]))],
            vec![allow(json!([]))],
        ),
        rule("Duplicate value", a_provider, vec![allow(json!(["a", "b"]))], vec![allow(json!(["a", "a"]))]),
        rule(
            "spec.refresh.before",
            a_provider,
            ["0s", "10m", "1h30m", "90s", "500ms"].map(refresh).to_vec(),
            ["", "1d", "10", "soon", "-1s", "1.5h", "30m1h", "1h 30m"].map(refresh).to_vec(),
        ),
    ]
}

fn scope_rules() -> Vec<Rule> {
    let scopes = |scopes: Value| spec(json!({"scopes": scopes}));
    vec![
        rule(
            "each required scope must be among the allowed ones",
            a_provider,
            vec![
                scopes(json!({"required": ["a"], "allowed": ["a", "b"]})),
                scopes(json!({"required": ["a"], "allowed": []})),
                scopes(json!({"required": ["a"]})),
            ],
            vec![scopes(json!({"required": ["a", "c"], "allowed": ["a", "b"]}))],
        ),
        rule(
            "each default scope must be among the allowed ones",
            a_provider,
            vec![
                scopes(json!({"default": ["a"], "allowed": ["a"]})),
                scopes(json!({"default": ["a"], "allowed": []})),
            ],
            vec![scopes(json!({"default": ["c"], "allowed": ["a"]}))],
        ),
        rule(
            "Duplicate value",
            a_provider,
            vec![],
            ["default", "required", "allowed"].map(|list| scopes(json!({list: ["a", "a"]}))).to_vec(),
        ),
        rule("should match '^[^ ]+$'", a_provider, vec![], vec![scopes(json!({"default": ["a b"]}))]),
    ]
}

fn binding_rules() -> Vec<Rule> {
    let id = |id: &str| spec(json!({"connection": id}));
    let config = |config: Value| spec(json!({"config": config}));
    let many = |count: usize| (0..count).map(|number| (format!("k{number}"), json!(1))).collect::<Value>();
    let workload = |workload: Value| spec(json!({"workload": workload}));
    let accept = |accept: Value| spec(json!({"accept": accept}));
    let long = format!("{}.{}", "a".repeat(63), "b".repeat(63));
    vec![
        rule(
            "metadata.name may have at most 63 characters",
            a_binding,
            vec![named(&random_name(&"b".repeat(50)))],
            vec![named(&"b".repeat(64))],
        ),
        rule(
            "spec.connection in body should match",
            a_binding,
            vec![id("a.b"), id(&long)],
            [
                "mail",
                "team-a.",
                ".mail",
                "team-a.mail.x",
                "Team.mail",
                "team-a/mail",
                "*.*",
                "team-a.*",
                "..mail",
                "../team-a.mail",
                "team-a.mail/",
                "team-a .mail",
                "team-а.mail",
                "team-a.mаil",
                "team-a.mail\n",
                "-.a",
                "a-.b",
            ]
            .map(id)
            .to_vec(),
        ),
        rule("should be at least 3 chars long", a_binding, vec![], vec![id(""), id("."), id("a.")]),
        rule("may not be more than 127", a_binding, vec![], vec![id(&format!("{long}b"))]),
        rule(
            "spec.connection",
            a_binding,
            vec![],
            vec![
                spec(json!({"connection": null})),
                spec(json!({"connection": ["team-a.mail"]})),
                spec(json!({"connection": {"name": "mail"}})),
                spec(json!({"connection": 1})),
            ],
        ),
        rule(
            "must have at most 64 items",
            a_binding,
            vec![
                config(many(64)),
                config(json!({"channel": "#launch", "labels": ["a", 1, true, null], "map": {"a": "b"}})),
            ],
            vec![config(many(65))],
        ),
        rule(
            "must have at most 64 items",
            a_connection,
            vec![config(many(64)), config(json!({"repository": "acme/app", "labels": ["bug"]}))],
            vec![config(many(65))],
        ),
        rule(
            "spec.config in body must be of type object",
            a_binding,
            vec![],
            vec![config(json!("text")), config(json!(["a"]))],
        ),
        rule(
            "spec.workload",
            a_binding,
            vec![workload(json!({"apiVersion": "batch/v1", "kind": "CronJob", "name": "post"}))],
            vec![
                workload(json!({"kind": "CronJob", "name": "post"})),
                workload(json!({"apiVersion": "batch/v1", "kind": "", "name": "post"})),
            ],
        ),
        rule(
            "spec.accept",
            a_binding,
            vec![
                accept(json!({"uid": "1", "owner": "bob"})),
                accept(json!({"uid": "1", "owner": "bob", "accountId": "7"})),
            ],
            vec![accept(json!({"uid": "1"})), accept(json!({"uid": "1", "owner": "", "accountId": "7"}))],
        ),
        rule(
            "template.data replaces format: set one of them",
            a_binding,
            vec![secret(json!({"format": "Env"}))],
            vec![secret(json!({"format": "Env", "template": {"data": {"a": "{{ token }}"}}}))],
        ),
    ]
}

fn network_rules() -> Vec<Rule> {
    let network = |network: Value| spec(json!({"network": network}));
    let cidrs = |cidrs: &[&str]| network(json!({"allowedCIDRs": cidrs}));
    let proxy = |proxy: &str| network(json!({"proxy": proxy}));
    let endpoint = |name: &str| spec(json!({"endpoints": {name: "http://127.0.0.1:8090/x"}}));
    let endpoints = ["issuer", "authorization", "deviceAuthorization", "token", "revocation", "userinfo"];
    let allowed = network(json!({"allowHTTP": true}));
    vec![
        rule(
            "endpoints begin with https:// unless network.allowHTTP is true",
            a_provider,
            endpoints.map(|name| merged(endpoint(name), &allowed)).to_vec(),
            endpoints
                .map(endpoint)
                .into_iter()
                .chain([merged(endpoint("token"), &network(json!({"allowHTTP": false})))])
                .collect(),
        ),
        rule(
            "write a network as a CIDR, such as 10.20.0.0/16 or fd12::/48",
            a_provider,
            vec![cidrs(&["10.20.0.0/16", "127.0.0.0/8", "fd12::/48", "0.0.0.0/0"])],
            ["10.20.0.0", "10.20.0.0/33", "fd12::", "company", "10.0.0.0-10.0.0.9"]
                .map(|cidr| cidrs(&[cidr]))
                .to_vec(),
        ),
        rule(
            "metadata addresses (169.254.0.0/16, fd00:ec2::/32) are never reached",
            a_provider,
            vec![cidrs(&["169.0.0.0/8", "fd00::/8"])],
            ["169.254.0.0/16", "169.254.169.254/32", "fd00:ec2::/32", "fd00:ec2::254/128"]
                .map(|cidr| cidrs(&["10.0.0.0/8", cidr]))
                .to_vec(),
        ),
        rule("Duplicate value", a_provider, vec![], vec![cidrs(&["10.0.0.0/8", "10.0.0.0/8"])]),
        rule(
            "spec.network.proxy",
            a_provider,
            ["http://proxy.example.com:3128", "https://[fd12::1]:8443", "http://10.0.0.1/"]
                .map(proxy)
                .to_vec(),
            ["proxy.example.com", "socks5://proxy", "http://user:pass@proxy", "http://proxy/path", "http://"]
                .map(proxy)
                .to_vec(),
        ),
        rule(
            "spec.network.caSecretName",
            a_provider,
            vec![network(json!({"caSecretName": "corp-ca"}))],
            vec![network(json!({"caSecretName": "other/corp-ca"})), network(json!({"caSecretName": ""}))],
        ),
    ]
}

fn collection(team: &Team, object: &Value) -> String {
    match object["kind"].as_str().unwrap() {
        "IntegrationConnection" => team.connections(),
        "ConnectionBinding" => team.bindings(),
        "IntegrationProvider" => "/apis/bowline.dev/v1alpha1/integrationproviders".to_owned(),
        "Workspace" => "/apis/bowline.dev/v1alpha1/workspaces".to_owned(),
        kind => panic!("no rows for {kind}"),
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn each_rule_lets_the_good_through_and_tells_the_bad_why() {
    let team = Team::new().await;
    let admin = team.person(ADMIN);
    for rule in rules() {
        let object = (rule.object)();
        let collection = collection(&team, &object);
        let ask = |change: &Value| match &rule.before {
            None => Ask::post(&collection, &merged(object.clone(), change)).dry(),
            Some(_) => {
                Ask::merge(&format!("{collection}/{}", object["metadata"]["name"].as_str().unwrap()), change)
            }
        };
        if let Some(before) = &rule.before {
            admin.must(&Ask::post(&collection, &merged(object.clone(), before))).await;
        }
        for change in &rule.rejected {
            let answer = admin.ask(&ask(change)).await;
            assert_eq!(answer.status, 422, "{change} should be refused: {}", rule.words);
            assert!(
                answer.words().contains(rule.words),
                "{change} should say '{}': {}",
                rule.words,
                answer.words()
            );
        }
        for change in &rule.accepted {
            let answer = admin.ask(&ask(change)).await;
            assert!(answer.is_accepted(), "{change} should be accepted: {}", answer.words());
        }
        if rule.before.is_some() {
            admin
                .must(&Ask::delete(&format!("{collection}/{}", object["metadata"]["name"].as_str().unwrap())))
                .await;
        }
    }
}

#[test]
fn each_rule_of_the_schemas_has_a_row() {
    let rows = rules();
    for definition in bowline_api::definitions() {
        let messages = messages(&serde_json::to_value(&definition).unwrap());
        for message in messages {
            assert!(rows.iter().any(|row| message.starts_with(row.words)), "no row for '{message}'");
        }
    }
}

fn messages(schema: &Value) -> BTreeSet<String> {
    match schema {
        Value::Object(fields) => {
            let own = fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
            let own = own.map(|rule| rule["message"].as_str().expect("a message in our words").to_owned());
            own.chain(fields.values().flat_map(messages)).collect()
        }
        Value::Array(entries) => entries.iter().flat_map(messages).collect(),
        _ => BTreeSet::new(),
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn installing_the_definitions_causes_no_warning() {
    let team = Team::new().await;
    for definition in bowline_api::definitions() {
        let mut definition = serde_json::to_value(&definition).unwrap();
        let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
        definition["apiVersion"] = json!("apiextensions.k8s.io/v1");
        definition["kind"] = json!("CustomResourceDefinition");
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        let ask = Ask::apply(&path, &definition).with("fieldValidation=Warn").dry();
        let answer = team.person(ADMIN).ask(&ask).await;
        assert!(answer.is_accepted(), "{}", answer.words());
        assert_eq!(answer.warnings, Vec::<String>::new(), "{name}");
    }
}

/// `ip`, for example, is a short name of the built-in `IPAddress`: the server would silently prefer one of the two.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn our_names_are_not_those_of_a_built_in_kind() {
    let team = Team::new().await;
    let ours = our_names();
    assert!(ours.contains("ic") && ours.contains("workspaces"));
    for (group, names) in discovered(&team).await {
        let taken: Vec<_> = ours.intersection(&names).collect();
        assert!(group.starts_with("bowline.dev/") || taken.is_empty(), "{group} already has {taken:?}");
    }
}

fn our_names() -> BTreeSet<String> {
    let names = bowline_api::definitions().into_iter().map(|definition| definition.spec.names);
    names
        .flat_map(|names| {
            let short = names.short_names.unwrap_or_default();
            [Some(names.plural), names.singular, Some(names.kind)].into_iter().flatten().chain(short)
        })
        .collect()
}

/// All names of the kinds of each group and version that the server has.
async fn discovered(team: &Team) -> Vec<(String, BTreeSet<String>)> {
    let admin = team.person(ADMIN);
    let groups = admin.must(&Ask::get("/apis")).await;
    let versions = groups["groups"].as_array().unwrap().iter();
    let versions =
        versions.map(|group| group["preferredVersion"]["groupVersion"].as_str().unwrap().to_owned());
    let mut found = Vec::new();
    for version in versions.chain(["v1".to_owned()]) {
        let path = if version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{version}") };
        let list = admin.must(&Ask::get(&path)).await;
        let mut names = BTreeSet::new();
        for resource in list["resources"].as_array().unwrap() {
            let own = [&resource["name"], &resource["singularName"], &resource["kind"]].into_iter();
            let short = resource["shortNames"].as_array().into_iter().flatten();
            names.extend(own.chain(short).filter_map(Value::as_str).map(str::to_owned));
        }
        found.push((version, names));
    }
    assert!(found.len() > 10, "discovery found too little: {found:?}");
    found
}
