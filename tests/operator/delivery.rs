//! Workloads report what they did with a binding's token: the scripts of the examples, run as their pods would run them.
//!
//! Unit tests read marks. Only here do we see which rights a report needs, and how often it is told.

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use bowline_api::ConnectionBinding;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_testbed::sandbox::Rotation;
use bowline_testbed::scratch::Scratch;
use bowline_testbed::stage::OPERATOR_USER;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::binding::{Bound, id, shared};
use crate::formats::mounted;
use crate::looking::{Keys, until, until_within};
use crate::plugin::{bowline, bowline_as_is};
use crate::scene::{Scene, scene};

/// What changed is told a minute later at the latest; the rest is for a machine with other work.
const TOLD_WITHIN: Duration = Duration::from_mins(4);
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// An example, applied in a namespace of the scene.
struct Example<'a> {
    it: &'a Scene,
    namespace: String,
    /// Name of its binding and of its account.
    name: &'static str,
    objects: Vec<Value>,
}

impl<'a> Example<'a> {
    /// Applies those objects of the folder that this cluster knows, for the connection `mail`, which is shared.
    async fn apply(it: &'a Scene, folder: &str, name: &'static str) -> Self {
        let namespace = it.another_namespace("work").await;
        it.workspace(&["alice"], &[&namespace]).apply().await;
        it.provider(Rotation::SingleUse).lifetime(3600).apply().await;
        it.connection("mail").shared().apply().await;
        it.authorized("mail").await;
        let path = format!("{}/examples/{folder}/all.yaml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.replace("namespace: marketing", &format!("namespace: {namespace}"));
        let text = text.replace("/namespaces/marketing/", &format!("/namespaces/{namespace}/"));
        let text = text.replace("team-a.slack", &id(it, "mail"));
        let documents = serde_yaml::Deserializer::from_str(&text);
        let objects: Vec<_> = documents.map(|document| Value::deserialize(document).unwrap()).collect();
        let known = |object: &&Value| object["kind"] != "WorkflowTemplate";
        let known: Vec<_> = objects.iter().filter(known).map(Value::to_string).collect();
        let scratch = Scratch::create().unwrap();
        let file = scratch.path().join("all.yaml");
        std::fs::write(&file, known.join("\n---\n")).unwrap();
        let applied = it.stage.access.kubectl(&["apply", "-f", file.to_str().unwrap()]).await.unwrap();
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
        Self { it, namespace, name, objects }
    }

    fn object(&self, kind: &str) -> &Value {
        self.objects.iter().find(|object| object["kind"] == kind).expect("it is in the example")
    }

    /// What kubelet would mount for the volume that the pod's spec, at this pointer, has.
    async fn secret(&self, kind: &str, spec: &str) -> Keys {
        let volumes = self.object(kind).pointer(spec).unwrap()["volumes"].clone();
        let secret = volumes[0]["secret"]["secretName"].as_str().expect("a Secret");
        self.it.secret_in(&self.namespace, secret).await
    }

    /// Runs a container's command as its pod would: with its files, its account and its variables. Returns whether it succeeded.
    async fn runs(&self, container: &Value, keys: &Keys, slack: &str, variables: &[(&str, &str)]) -> bool {
        let access = &self.it.stage.access;
        let kubeconfig = access.service_account_kubeconfig(&self.namespace, self.name).await.unwrap();
        let kubeconfig: Value = serde_yaml::from_slice(&std::fs::read(kubeconfig).unwrap()).unwrap();
        let cluster = &kubeconfig["clusters"][0]["cluster"];
        let (account, files) = (Scratch::create().unwrap(), mounted(keys));
        let token = kubeconfig["users"][0]["user"]["token"].as_str().unwrap();
        std::fs::write(account.path().join("token"), token).unwrap();
        let authority = cluster["certificate-authority"].as_str().expect("a file");
        std::fs::copy(authority, account.path().join("ca.crt")).unwrap();
        let mut script = container["command"][2].as_str().expect("a script").to_owned();
        for (there, here) in [
            ("/connection/", format!("{}/", files.path().display())),
            (ACCOUNT, account.path().display().to_string()),
            ("https://kubernetes.default.svc", cluster["server"].as_str().unwrap().to_owned()),
            ("https://slack.com/api/chat.postMessage", slack.to_owned()),
        ] {
            script = script.replace(there, &here);
        }
        let mut command = Command::new("sh");
        command.args(["-c", &script]).envs(variables.iter().copied());
        let output = command.output().await.expect("sh");
        eprintln!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        output.status.success()
    }

    fn bindings(&self) -> Api<ConnectionBinding> {
        Api::namespaced(self.it.admin.clone(), &self.namespace)
    }

    /// Waits until Delivered has this reason.
    async fn until_told(&self, reason: &str) -> ConnectionBinding {
        until_within(TOLD_WITHIN, reason, async || {
            let binding = self.bindings().get(self.name).await.map_err(|error| error.to_string())?;
            let told = binding.condition(ConditionType::Delivered).map(|told| told.reason.clone());
            if told.as_deref() == Some(reason) { Ok(binding) } else { Err(format!("{told:?}")) }
        })
        .await
    }
}

/// A service that takes this token alone. Returns its address.
async fn service(token: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let expected = format!("Bearer {token}");
    let answer = move |headers: HeaderMap| {
        let told = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let code = if told == Some(&expected) { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        async move { code }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    format!("http://{address}")
}

/// R9, R10, R30.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_workflow_reports_its_failure_and_then_its_success_and_the_connection_stays_well() {
    const POD: &str = "/spec/jobTemplate/spec/template/spec";
    let it = scene("delivery").await;
    let example = Example::apply(&it, "workflow", "post-to-slack").await;
    let keys = example.secret("CronJob", POD).await;
    assert_eq!(keys["config.json"], r##"{"channel":"#launch"}"##);
    let container = example.object("CronJob").pointer(POD).unwrap()["containers"][0].clone();
    let (refusing, taking) = (service("another").await, service(&keys["access_token"]).await);

    assert!(!example.runs(&container, &keys, &refusing, &[]).await, "the post failed, and so does the Job");
    let failing = example.until_told("DeliveryFailing").await;
    let last = failing.last_delivery().unwrap().clone();
    assert_eq!((last.code, last.item.as_deref()), (401, Some("monday post")));
    assert_eq!(last.at.0.as_second() % 60, 0, "to the minute");
    assert!(failing.is(ConditionType::Ready), "what it publishes is well");
    let message = &failing.condition(ConditionType::Delivered).unwrap().message;
    assert!(
        message.contains("monday post") && message.contains("Whoever maintains this object"),
        "{message}"
    );
    it.until_event(&example.namespace, "DeliveryFailing").await;
    let status = it
        .until_status_within(TOLD_WITHIN, "mail", "the delivery", |status| status.last_used_at.is_some())
        .await;
    let told = status.last_delivery.unwrap();
    assert_eq!((told.code, told.binding), (401, Some(format!("{}/post-to-slack", example.namespace))));
    assert!(it.get("mail").await.is_ready(), "a workflow's failure is not the connection's");
    let (_, described, _) = bowline(&it, "alice", &["describe", "mail"], "").await;
    assert!(
        described.contains("Last used:") && described.contains("code 401, item \"monday post\""),
        "{described}"
    );

    assert!(example.runs(&container, &keys, &taking, &[]).await, "with the token in the Secret");
    let well = example.until_told("Delivered").await;
    assert_eq!(well.last_delivery().unwrap().code, 200);
    it.until_status_within(TOLD_WITHIN, "mail", "the success", |status| {
        status.last_delivery.as_ref().is_some_and(|last| last.code == 200)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_argo_workflow_reports_how_it_ended() {
    let it = scene("delivery-argo").await;
    let example = Example::apply(&it, "argo-workflows", "announce").await;
    let keys = example.secret("WorkflowTemplate", "/spec").await;
    let spec = &example.object("WorkflowTemplate")["spec"];
    let container = |name: &Value| {
        let templates = spec["templates"].as_array().unwrap();
        templates.iter().find(|template| template["name"] == *name).unwrap()["container"].clone()
    };
    let slack = service(&keys["access_token"]).await;
    let post = container(&spec["entrypoint"]);
    assert!(example.runs(&post, &keys, &slack, &[("TEXT", "$(exit 1)\"; exit 1")]).await, "text is no code");
    let report = container(&spec["onExit"]);
    let ended = [("STATUS", "Failed"), ("WORKFLOW", "announce-x7k2p")];
    assert!(example.runs(&report, &keys, "", &ended).await);
    let told = example.until_told("DeliveryFailing").await;
    let last = told.last_delivery().unwrap();
    assert_eq!((last.code, last.item.as_deref()), (500, Some("announce-x7k2p")));
}

/// Writes a mark as somebody who edits the namespace.
async fn mark(bound: &Bound<'_>, name: &str, mark: &str) {
    let bindings: Api<ConnectionBinding> = Api::namespaced(bound.it.alice.clone(), &bound.namespace);
    let change = json!({"metadata": {"annotations": {"bowline.dev/delivery": mark}}});
    bindings.patch(name, &PatchParams::default(), &Patch::Merge(change)).await.expect("marked");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_workload_that_reports_all_the_time_causes_one_write_a_minute() {
    let it = scene("delivery-often").await;
    let bound = shared(&it, 3600).await;
    let bindings: Api<ConnectionBinding> = Api::namespaced(it.alice.clone(), &bound.namespace);
    let audit = it.stage.access.audit().ok();
    let began = audit.as_ref().map(|audit| audit.mark().unwrap());
    mark(&bound, "post", r#"{"code":200,"item":"first"}"#).await;
    let item = async || {
        let binding = bindings.get("post").await.expect("the binding");
        binding.last_delivery().and_then(|last| last.item.clone())
    };
    until("the first is told", async || (item().await.as_deref() == Some("first")).then_some(())).await;
    let first = Timestamp::now();
    let mut marks = 0;
    until_within(TOLD_WITHIN, "a later one is told", async || {
        marks += 1;
        mark(&bound, "post", &format!(r#"{{"code":200,"item":"post-{marks}"}}"#)).await;
        (item().await.as_deref() != Some("first")).then_some(())
    })
    .await;
    // Besides the first mark and a minute that has begun, dependents and shares may be told late.
    let minutes = Timestamp::now().duration_since(first).as_secs() / 60 + 4;
    assert!(marks > 20, "it was marked {marks} times");
    let (Some(audit), Some(began)) = (audit, began) else { return };
    let writes = audit.requests_since(began).unwrap().by(OPERATOR_USER).writes().subresource("status");
    for (resource, namespace, name) in [
        ("connectionbindings", bound.namespace.as_str(), "post"),
        ("integrationconnections", it.namespace.as_str(), "mail"),
    ] {
        let count = writes.clone().on(resource).in_namespace(namespace).named(name).count();
        assert!(
            i64::try_from(count).unwrap() <= minutes,
            "{count} writes of {resource} for {marks} marks in {minutes}"
        );
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_hostile_mark_breaks_nothing_and_is_shown_as_text() {
    let it = scene("delivery-hostile").await;
    let bound = shared(&it, 3600).await;
    let bindings: Api<ConnectionBinding> = Api::namespaced(it.alice.clone(), &bound.namespace);
    let long = format!(r#"{{"code":200,"item":"{}"}}"#, "x".repeat(300));
    let acting = r#"{"code":404,"item":"\u001b]0;owned\u0007\u202e$(reboot)`reboot`; rm -rf ~\"}"}"#;
    for (number, (text, reason)) in [
        ("", "DeliveryUnreadable"),
        ("{", "DeliveryUnreadable"),
        (r#"{"code":200,"code":404}"#, "DeliveryUnreadable"),
        (r#"{"code":1e99}"#, "DeliveryUnreadable"),
        (r#"{"code":200,"status":{"phase":"Bound"}}"#, "DeliveryUnreadable"),
        (&long, "DeliveryUnreadable"),
        ("\u{1b}[2J; rm -rf ~", "DeliveryUnreadable"),
        (acting, "DeliveryFailing"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("hostile-{number}");
        let binding = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "ConnectionBinding", "metadata": {"name": name,
            "annotations": {"bowline.dev/delivery": text}}, "spec": {"connection": id(&it, "mail")}});
        let binding: ConnectionBinding = serde_json::from_value(binding).unwrap();
        it.create(&bound.namespace, &binding).await;
        let told = until(&format!("{reason} for {text}"), async || {
            let binding = bindings.get(&name).await.map_err(|error| error.to_string())?;
            let told = binding.condition(ConditionType::Delivered).map(|told| told.reason.clone());
            let is_told = told.as_deref() == Some(reason) && binding.is(ConditionType::Ready);
            if is_told { Ok(binding) } else { Err(format!("{told:?}")) }
        })
        .await;
        it.secret_in(&bound.namespace, &name).await;
        let status = serde_json::to_string(&told.status).unwrap();
        assert!(!status.contains("\\u001b") && !status.contains('\u{202e}'), "{status}");
        let (_, shown, _) = bowline_as_is(
            &it,
            "alice",
            &["describe", &format!("binding/{name}"), "-n", &bound.namespace],
            "",
        )
        .await;
        assert!(shown.contains(reason), "{shown}");
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown}");
    }
    let unused = ["list", "--unused", "0d", "-n", &bound.namespace, "-o", "name"];
    let (code, listed, _) = bowline_as_is(&it, "alice", &unused, "").await;
    assert_eq!(code, 0);
    assert!(listed.contains("connectionbinding.bowline.dev/post"), "never used, so unused: {listed}");
    let (_, listed, _) =
        bowline_as_is(&it, "alice", &["list", "--unused", "1d", "-n", &bound.namespace], "").await;
    assert!(!listed.contains("post"), "it is new: {listed}");
}
