//! What others write is never taken for the operator's word, and no letter of it acts on the terminal or page that shows it.
//!
//! Unit tests clean single texts. Here every text of every object that a reader gets is hostile, and every command and page
//! shows them: a text that is added later is among them by itself.

use std::collections::BTreeSet;

use bowline_api::{ConnectionBinding, IntegrationConnection, definitions, shown};
use bowline_testbed::access::{self, ADMIN};
use bowline_testbed::sandbox::Rotation;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client, ResourceExt};
use serde_json::{Map, Value, json};

use crate::plugin::{bowline, bowline_as_is};
use crate::plugin_sharing::pod;
use crate::portal::house::Portal;
use crate::portal::routes::ROUTES;
use crate::scene::{Scene, parsed, scene};
use crate::stage::{HOME, Stage};

/// Escape sequences, a line of its own, direction and zero-width marks, the marks that the plug-in itself uses, a tag, and
/// markup.
const HOSTILE: &str = "a\u{1b}[31m\u{9b}2J\u{1b}]8;;x\u{7}\r\nFORGED\u{202e}\u{2066}\u{200b}\u{feff}\u{fdd0}\u{fdd4}\u{e0041}<script>alert(1)</script>'\"$(id)`;";

/// What somebody sees of it, whatever the rest is.
const SHOWN: &str = "FORGED";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    /// Every text is hostile.
    Hostile,
    /// Where this version knows values, one of them: such an object is shown at most length.
    Known,
}

/// Values that this version knows, by the name of their field.
fn known(field: &str) -> Option<&'static str> {
    Some(match field {
        "phase" => "Error",
        "reason" => "AwaitingConfirmation",
        "status" => "False",
        "result" => "Failed",
        "method" | "methods" => "DeviceCode",
        _ => return None,
    })
}

/// A value that fits a schema and has each of its fields.
fn filled(schema: &Value, field: &str, words: Words) -> Value {
    let fill = |schema, field: &str| filled(schema, field, words);
    match schema["type"].as_str() {
        Some("object") => {
            let mut all = Map::new();
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                all.insert(name.clone(), fill(property, name));
            }
            if schema["additionalProperties"].is_object() {
                all.insert("key".to_owned(), fill(&schema["additionalProperties"], field));
            }
            Value::Object(all)
        }
        Some("array") if field == "conditions" => {
            let types =
                ["Ready", "Authorized", "TokenFresh", "SecretPublished", "Shared", "Stalled", HOSTILE];
            let of = |type_: &str| {
                let mut condition = fill(&schema["items"], field);
                condition["type"] = type_.into();
                condition
            };
            types.map(of).to_vec().into()
        }
        Some("array") => json!([fill(&schema["items"], field)]),
        Some("string") if schema["format"] == "date-time" => json!("2026-01-01T00:00:00Z"),
        Some("string") => {
            let text = known(field).filter(|_| words == Words::Known).unwrap_or(HOSTILE);
            let most = schema["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok());
            text.chars().take(most.unwrap_or(usize::MAX)).collect::<String>().into()
        }
        Some("boolean") => json!(true),
        Some("integer" | "number") => {
            let least = schema["minimum"].to_string();
            json!(least.trim_end_matches(".0").parse().unwrap_or(1_u64).max(1))
        }
        // Any value.
        None => HOSTILE.into(),
        other => panic!("{field}: {other:?}"),
    }
}

/// Every text below a schema, as the merge patch that makes it hostile.
fn changes(schema: &Value) -> Vec<Value> {
    match schema["type"].as_str() {
        Some("object") if schema["additionalProperties"].is_object() => {
            changes(&schema["additionalProperties"])
                .into_iter()
                .map(|change| json!({"key": change}))
                .collect()
        }
        Some("object") => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let of = |(name, property): (&String, &Value)| {
                changes(property).into_iter().map(|change| json!({name: change})).collect::<Vec<_>>()
            };
            properties.flat_map(of).collect()
        }
        Some("array") => changes(&schema["items"]).into_iter().map(|change| json!([change])).collect(),
        Some("string") if schema["enum"].is_null() => vec![json!(HOSTILE)],
        None => vec![json!(HOSTILE)],
        _ => Vec::new(),
    }
}

/// The objects of a scene, by kind.
struct Objects<'a> {
    it: &'a Scene,
    operator: Client,
    shared_in: String,
}

impl<'a> Objects<'a> {
    /// A connection that is shared, with everything that belongs to it. The operator has stopped.
    async fn of(it: &'a Scene) -> Self {
        let other = it.another_namespace("other").await;
        it.provider(Rotation::SingleUse).apply().await;
        it.workspace(&["alice"], &[&other]).apply().await;
        it.connection("mail").shared().apply().await;
        it.authorized("mail").await;
        it.secret_in(&other, &format!("{}.mail", it.namespace)).await;
        let binding = json!({"metadata": {"name": "mail"}, "spec": {"connection": format!("{}.mail", it.namespace),
            "secret": {"name": "bound"}}});
        it.create::<ConnectionBinding>(&it.namespace, &parsed(binding)).await;
        it.stage.stop_operator();
        let kubeconfig = it.stage.access.service_account_kubeconfig(HOME, "bowline").await.expect("a token");
        Self { it, operator: access::client(&kubeconfig).await.expect("a client"), shared_in: other }
    }

    fn api(&self, client: &Client, kind: &str, plural: &str) -> (Api<DynamicObject>, String) {
        let resource = ApiResource {
            group: "bowline.dev".to_owned(),
            version: "v1alpha1".to_owned(),
            api_version: "bowline.dev/v1alpha1".to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        let it = self.it;
        match kind {
            "IntegrationConnection" | "ConnectionBinding" => {
                (Api::namespaced_with(client.clone(), &it.namespace, &resource), "mail".to_owned())
            }
            "ConnectionShare" => {
                let api = Api::namespaced_with(client.clone(), &self.shared_in, &resource);
                (api, format!("{}.mail", it.namespace))
            }
            _ => (Api::all_with(client.clone(), &resource), it.name.clone()),
        }
    }

    /// Makes each text of the specs hostile that the API server lets in; says which.
    async fn poison_specs(&self) -> BTreeSet<String> {
        let mut taken = BTreeSet::new();
        for definition in definitions() {
            let (kind, plural) = (&definition.spec.names.kind, &definition.spec.names.plural);
            let (api, name) = self.api(&self.it.admin, kind, plural);
            let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
            let spec = &schema["openAPIV3Schema"]["properties"]["spec"];
            let annotations =
                ["suspended-by", "disconnected-by", "made-by", "acting-user", "refresh-requested-at"];
            let annotations = annotations
                .map(|name| json!({"metadata": {"annotations": {format!("bowline.dev/{name}"): HOSTILE}}}));
            for change in changes(spec).into_iter().map(|change| json!({"spec": change})).chain(annotations) {
                if api.patch(&name, &PatchParams::default(), &Patch::Merge(&change)).await.is_ok() {
                    taken.insert(format!(
                        "{kind} {}",
                        change.to_string().replace(&json!(HOSTILE).to_string(), "…")
                    ));
                }
            }
        }
        taken
    }

    async fn poison_statuses(&self, words: Words) {
        for definition in definitions() {
            let (api, name) =
                self.api(&self.operator, &definition.spec.names.kind, &definition.spec.names.plural);
            let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
            let mut status = filled(&schema["openAPIV3Schema"]["properties"]["status"], "status", words);
            // The generation decides whether a command believes it at once.
            status["observedGeneration"] = api.get(&name).await.unwrap().metadata.generation.into();
            let change = json!({"status": status});
            let changed = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&change)).await;
            changed.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

/// Nothing in it acts, and no foreign text begins a line.
fn check(what: &str, text: &str) {
    for letter in text.chars().filter(|letter| !matches!(letter, '\n' | '\t')) {
        assert!(!shown::is_hidden(letter), "{what} shows {letter:?}: {text:?}");
    }
    let forged = text.lines().find(|line| line.trim_start().starts_with(SHOWN));
    assert_eq!(forged, None, "{what} shows a line that is not its own: {text}");
}

/// Each command of the plug-in, in ways that end soon. The commands that change something come last.
const COMMANDS: &[&str] = &[
    "list",
    "list -o wide",
    "list -o json",
    "list -o yaml",
    "list -o name",
    "list --usable",
    "list --usable -o wide",
    "list --usable -o json",
    "providers",
    "providers -o wide",
    "providers -o json",
    "list --bindings",
    "list --unused 0d",
    "list --bindings -o json",
    "describe mail",
    "describe binding/mail",
    "why pod/mailer",
    "impact mail",
    "impact mail -o json",
    "impact mail -o yaml",
    "replace mail other --dry-run",
    "token mail",
    "doctor",
    "portal mail --no-browser",
    "completion bash",
    "__complete -- describe m",
    "__complete -- why pod/",
    "import mail --timeout 1s",
    "refresh mail --timeout 1s",
    "issue mail --timeout 1s",
    "revoke mail key --timeout 1s",
    "connect mail --no-browser --timeout 1s",
    "connect mail --device --timeout 1s",
    "connect mail --device --accept-account other --timeout 1s",
    "share mail --timeout 1s",
    "adopt",
    "backup --to /dev/null",
    "keys",
    "wait mail --timeout 1s",
    "adopt -A",
    "approve",
    "approve mail --dry-run",
    "approve mail --yes --timeout 1s",
    "unshare mail --timeout 1s",
    "members mail",
    "members mail --add carol",
    "transfer mail --to bob --dry-run",
    "transfer mail --to bob",
    "offboard alice",
    "offboard alice --transfer-to bob --dry-run",
    "disconnect mail",
    "disconnect mail --yes --timeout 1s",
    "undo mail --timeout 1s",
];

async fn commands_show_nothing_raw(it: &Scene) {
    let (_, help, _) = bowline_as_is(it, "alice", &["--help"], "").await;
    let listed = help.split("Commands:").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("commands");
    let named: BTreeSet<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let run: BTreeSet<&str> = COMMANDS.iter().filter_map(|command| command.split(' ').next()).collect();
    let left: Vec<_> = named.iter().filter(|name| !run.contains(*name) && **name != "help").collect();
    assert!(left.is_empty() && named.len() > 10, "no test runs {left:?}: {named:?}");
    let mut said = 0;
    for command in COMMANDS {
        for user in ["alice", ADMIN] {
            let words: Vec<&str> = command.split(' ').collect();
            let completes = words[0] == "__complete" || words[0] == "completion";
            let (_, results, progress) = if completes {
                bowline_as_is(it, user, &words, "").await
            } else {
                bowline(it, user, &words, "api_key=x").await
            };
            if words.contains(&"json") && !results.is_empty() {
                assert!(serde_json::from_str::<Value>(&results).is_ok(), "{command}: {results}");
            }
            check(&format!("{command} ({user})"), &results);
            check(&format!("{command} ({user})"), &progress);
            said += usize::from(results.contains(SHOWN)) + usize::from(progress.contains(SHOWN));
        }
    }
    assert!(said > 20, "only {said} outputs had anything foreign");
}

async fn pages_show_nothing_raw(it: &Scene, portal: &Portal) {
    let mut said = 0;
    for user in ["alice", ADMIN] {
        let browser = portal.browser_of(it, user).await;
        for route in ROUTES.iter().filter(|route| route.method == "GET" && !route.path.ends_with("/live")) {
            let name = if route.path.starts_with("/workspaces") { &it.name } else { "mail" };
            let path = route.path.replace("{namespace}", &it.namespace).replace("{name}", name);
            let path = path.replace("{provider}", &it.name);
            let path = if path == "/use" { format!("/use?namespace={}", it.namespace) } else { path };
            let page = browser.get(&path).await;
            for letter in page.text.chars().filter(|letter| !matches!(letter, '\n' | '\t')) {
                assert!(!shown::is_hidden(letter), "{path} shows {letter:?}: {:?}", page.text);
            }
            assert!(!page.says("<script>alert") && !page.says("'\"$(id)"), "{path}: {}", page.text);
            said += usize::from(page.says(SHOWN));
        }
    }
    assert!(said > 10, "only {said} pages had anything foreign");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_08_no_foreign_letter_acts_on_a_terminal_or_a_page() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("foreign").await;
    let objects = Objects::of(&it).await;
    let portal = Portal::start(&it, &[]).await;
    let taken = objects.poison_specs().await;
    for expected in
        ["IntegrationConnection {\"spec\":{\"displayName\"", "IntegrationProvider {\"spec\":{\"contact\""]
    {
        assert!(taken.iter().any(|change| change.starts_with(expected)), "{expected}: {taken:#?}");
    }
    let secret = json!({"containers": [{"name": "mailer", "image": "x",
        "envFrom": [{"secretRef": {"name": "mail"}}, {"secretRef": {"name": format!("{}.mail", it.namespace)}}]}]});
    pod(&it, &it.namespace, secret).await;
    let waits = json!({"status": {"containerStatuses": [{"name": "mailer", "image": "x", "imageID": "", "ready": false,
        "restartCount": 0, "state": {"waiting": {"reason": HOSTILE, "message": HOSTILE}}}]}});
    let pods: Api<Pod> = Api::namespaced(it.admin.clone(), &it.namespace);
    pods.patch_status("mailer", &PatchParams::default(), &Patch::Merge(&waits)).await.expect("a status");
    for words in [Words::Hostile, Words::Known] {
        objects.poison_statuses(words).await;
        crate::looking::until("the portal's caches", async || {
            let alice = portal.browser_of(&it, "alice").await;
            alice.get("/connections").await.says(SHOWN).then_some(())
        })
        .await;
        pages_show_nothing_raw(&it, &portal).await;
        commands_show_nothing_raw(&it).await;
    }
}

/// An Event about a connection, as `kubectl create` by an editor of its namespace makes it.
async fn forge(client: &Client, of: &IntegrationConnection) {
    let namespace = of.namespace().unwrap();
    let event: Event = parsed(json!({
        "metadata": {"generateName": "mail.", "namespace": namespace},
        "involvedObject": {"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
            "namespace": namespace, "name": of.name_any(), "uid": of.uid()},
        "reason": "GrantExpiringSoon", "type": "Warning", "source": {"component": "bowline"},
        "message": "The owner must run kubectl bowline import mail with the key at https://evil.example.",
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2036-01-01T00:00:00Z", "count": 1,
    }));
    let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
    events.create(&PostParams::default(), &event).await.expect("an editor may create Events");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_08_an_event_that_an_editor_writes_is_not_the_operators_word() {
    let it = scene("forged-event").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    it.authorized("mail").await;
    it.ask_for_refresh("mail", "now").await;
    let status = it
        .until_status("mail", "a history", |status| {
            status.history.first().is_some_and(|entry| entry.reason.to_string() == "Refreshed")
        })
        .await;
    assert!(
        status.history.iter().any(|entry| entry.reason.to_string() == "Authorized"),
        "{:?}",
        status.history
    );
    let bob = it.stage.access.client_for("bob").await.expect("a client");
    forge(&bob, &it.get("mail").await).await;

    let portal = Portal::start(&it, &[]).await;
    let alice = portal.browser_of(&it, "alice").await;
    let page = alice.get(&format!("/connections/{}/mail", it.namespace)).await;
    let history = page.text.split("id=\"history\"").nth(1).and_then(|rest| rest.split("</section>").next());
    let (code, told, errors) = bowline(&it, "alice", &["describe", "mail"], "").await;
    assert_eq!(code, 0, "{errors}");
    for (what, text) in [("the page", page.text.as_str()), ("describe", &told)] {
        assert!(!text.contains("evil.example") && !text.contains("xpiring"), "{what} believes bob: {text}");
    }
    let titles: Vec<_> = history.expect("a history").split("<strong>").skip(1).collect();
    assert_eq!(titles.len(), status.history.len(), "{titles:?}");
    assert!(titles[0].starts_with("Refreshed</strong>"), "the newest first: {titles:?}");
    assert!(told.contains("\nHistory\n") && told.contains("Refreshed"), "{told}");
    // Nobody but the operator writes a history.
    let forged =
        json!({"status": {"history": [{"at": "2026-01-01T00:00:00Z", "reason": "Shared", "message": "x"}]}});
    let by_bob = Api::<IntegrationConnection>::namespaced(bob, &it.namespace);
    let refused = by_bob.patch_status("mail", &PatchParams::default(), &Patch::Merge(&forged)).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.is_forbidden()));
}

/// A history is written together with a change of the conditions. An ordinary refresh changes none, so it is not in it.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_08_an_ordinary_refresh_is_no_history() {
    let it = scene("quiet-history").await;
    it.connected("mail", Rotation::SingleUse, 6).await;
    let before = it.status("mail").await;
    let grant = before.grant.clone().expect("a grant").revision;
    let after = it
        .until_status("mail", "two refreshes", |status| {
            status.grant.as_ref().is_some_and(|grant_now| grant_now.revision >= grant + 2)
        })
        .await;
    assert_eq!(after.history, before.history);
}
