//! The rules in the schemas, judged by the API server: what passes, what does not, and in which words.
//!
//! That the rules hold by themselves is shown without a cluster; only a server shows that it takes their cost, their
//! types and their messages.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::asking::{ADMIN, Ask, merged};
use crate::fixture::{Team, connection, provider, random_name, workspace};

/// A rule, by its message, and what it lets through and what it does not.
struct Rule {
    words: &'static str,
    object: fn() -> Value,
    /// What the object is before the change; absent for rules on one state alone.
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

fn a_connection() -> Value {
    connection(&random_name("c"), "alice")
}

fn a_provider() -> Value {
    provider(&random_name("p"))
}

fn a_workspace() -> Value {
    workspace(&random_name("w"))
}

fn spec(spec: Value) -> Value {
    Value::Object([("spec".to_owned(), spec)].into_iter().collect())
}

fn named(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

fn rules() -> Vec<Rule> {
    [connection_rules(), published_secret_rules(), cluster_wide_rules()].into_iter().flatten().collect()
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
        rule(
            "owner must be a person or a pipeline, not a system: user",
            a_connection,
            vec![spec(json!({"owner": "alice@example.com"}))],
            vec![spec(json!({"owner": "system:serviceaccount:a:b"})), spec(json!({"owner": "system:admin"}))],
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

/// One template of each length, in characters.
fn templates(lengths: &[usize]) -> Value {
    let named = lengths.iter().enumerate();
    named.map(|(number, length)| (format!("t{number}"), json!("x".repeat(*length)))).collect()
}

fn published_secret_rules() -> Vec<Rule> {
    let secret = |secret: Value| spec(json!({"secret": secret}));
    vec![
        rule(
            "template replaces format: set one of them",
            a_connection,
            vec![secret(json!({"format": "Env"})), secret(json!({"template": {"a": "{{ token }}"}}))],
            vec![secret(json!({"format": "Env", "template": {"a": "{{ token }}"}}))],
        ),
        rule(
            "a template key holds letters, digits, '-', '_' and '.'; a template may have 8192 characters",
            a_connection,
            vec![secret(json!({"template": {"config.json": "x".repeat(8192)}}))],
            vec![
                secret(json!({"template": {"a/b": "x"}})),
                secret(json!({"template": {"": "x"}})),
                secret(json!({"template": {"a": "x".repeat(8193)}})),
            ],
        ),
        rule(
            "the templates of a connection may have 32768 characters together",
            a_connection,
            vec![secret(json!({"template": templates(&[8192; 4])})), secret(json!({"template": {}}))],
            vec![
                secret(json!({"template": templates(&[8192, 8192, 8192, 8192, 1])})),
                secret(json!({"template": templates(&[1025; 32])})),
            ],
        ),
        rule(
            "a label name may have 317 characters, a label value 63",
            a_connection,
            vec![secret(json!({"labels": {"example.com/team": "a"}}))],
            vec![
                secret(json!({"labels": {"team": "a".repeat(64)}})),
                secret(json!({"labels": {"a".repeat(318): "a"}})),
            ],
        ),
    ]
}

fn cluster_wide_rules() -> Vec<Rule> {
    let member = |user: &str| spec(json!({"members": [{"user": user}]}));
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
            "a parameter name may have 63 characters, a value 253",
            a_provider,
            vec![spec(json!({"parameters": {"host": "https://gitlab.example.com/x"}}))],
            vec![
                spec(json!({"parameters": {"host": "h".repeat(254)}})),
                spec(json!({"parameters": {"h".repeat(64): "h"}})),
            ],
        ),
        rule(
            "a member is a person or a pipeline, not a system: user",
            a_workspace,
            vec![member("alice@example.com")],
            vec![member("system:serviceaccount:a:b")],
        ),
    ]
}

fn collection(team: &Team, object: &Value) -> String {
    match object["kind"].as_str().unwrap() {
        "IntegrationConnection" => team.connections(),
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

/// `ip`, for one, is a short name of the built-in `IPAddress`: the server would silently prefer one of the two.
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
