//! Secrets in the formats of tools: what the operator published, mounted read-only as kubelet does, and read by the real tool,
//! which signs in with it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bowline_testbed::random;
use bowline_testbed::sandbox::Rotation;
use bowline_testbed::scratch::Scratch;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::looking::{Keys, words};
use crate::scene::{Scene, scene};

/// Who may sign in.
type Admits = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// Starts a server that asks for HTTP Basic (RFC 7617). It has an API at `/` and a repository at `/repo.git`. Returns its address.
async fn gate(admits: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let admits: Admits = Arc::new(admits);
    let router = Router::new().fallback(answer).with_state(admits);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn answer(State(admits): State<Admits>, request: Request) -> Response {
    let basic = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let decoded = basic.and_then(|value| BASE64_STANDARD.decode(value.strip_prefix("Basic ")?).ok());
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let (username, password) = decoded.split_once(':').unwrap_or_default();
    if !admits(username, password) {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"gate\"")])
            .into_response();
    }
    match request.uri().path() {
        "/repo.git/info/refs" => format!("{}\trefs/heads/main\n", "1".repeat(40)).into_response(),
        "/repo.git/HEAD" => "ref: refs/heads/main\n".into_response(),
        _ => format!("welcome {username}").into_response(),
    }
}

/// Runs the program in tests/testbed/formats, which reads files with the libraries of their tools. Returns what it prints.
async fn formats(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("go");
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed/formats"));
    command.args(["run", "."]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("go");
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Pushes and pulls an image at a registry that admits this user alone.
async fn pulls_an_image(keys: &Keys, registry: &str, username: &str, password: &str) {
    // As a pod that names the file in its volume.
    let renamed = BTreeMap::from([("config.json".to_owned(), keys[".dockerconfigjson"].clone())]);
    let folder = mounted(&renamed);
    let login = json!({"username": username, "password": password}).to_string();
    let digest = formats(&["registry", registry, folder.path().to_str().unwrap()], &login).await;
    assert!(digest.starts_with("sha256:"), "{digest}");
}

/// Name and value of the secret in one of Envoy's files.
async fn envoys_secret(keys: &Keys, key: &str) -> (String, String) {
    let folder = mounted(keys);
    let printed = formats(&["sds", folder.path().join(key).to_str().unwrap()], "").await;
    let secret: Value = serde_json::from_str(&printed).unwrap();
    let part = |name: &str| secret[name].as_str().unwrap().to_owned();
    (part("name"), part("value"))
}

/// Files of a Secret as kubelet lays them: each a link into a folder that is exchanged as a whole.
pub fn mounted(keys: &Keys) -> Scratch {
    let scratch = Scratch::create().unwrap();
    let data = scratch.path().join("..2026");
    std::fs::create_dir(&data).unwrap();
    symlink("..2026", scratch.path().join("..data")).unwrap();
    for (key, value) in keys {
        std::fs::write(data.join(key), value).unwrap();
        symlink(format!("..data/{key}"), scratch.path().join(key)).unwrap();
    }
    scratch
}

/// Runs a program where nothing in the folder can be written.
async fn read_only(folder: &Path, program: &[&str]) -> Output {
    const SCRIPT: &str = r#"mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && ! touch "$0/x" 2>/dev/null && exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", SCRIPT]).arg(folder).args(program).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", folder);
    command.envs([("GIT_TERMINAL_PROMPT", "0"), ("GIT_CONFIG_NOSYSTEM", "1"), ("LC_ALL", "C.UTF-8")]);
    command.output().await.expect("unshare, from Debian's package util-linux")
}

/// Whether git lists the branches of the repository, with these options.
async fn git(folder: &Path, options: &[&str], server: &str) -> bool {
    let repository = format!("{server}/repo.git");
    let output = read_only(folder, &[&["git"], options, &["ls-remote", &repository]].concat()).await;
    let said = String::from_utf8(output.stderr).unwrap();
    let listed = String::from_utf8(output.stdout).unwrap().contains("refs/heads/main");
    assert_eq!(listed, output.status.success(), "{said}");
    assert!(listed || said.contains("Authentication failed") || said.contains("could not read"), "{said}");
    listed
}

/// Whether git signs in with the file of format `GitCredentials`.
async fn git_signs_in(keys: &Keys, server: &str) -> bool {
    let folder = mounted(keys);
    let store = format!("credential.helper=store --file={}/.git-credentials", folder.path().display());
    git(folder.path(), &["-c", &store], server).await
}

/// Whether git and curl sign in with the file of format `Netrc`.
async fn netrc_signs_in(keys: &Keys, server: &str) -> bool {
    let folder = mounted(keys);
    let file = folder.path().join(".netrc");
    let program = ["curl", "-sS", "--fail", "--netrc-file", file.to_str().unwrap(), server];
    let output = read_only(folder.path(), &program).await;
    let welcomed = output.stdout.starts_with(b"welcome ");
    assert_eq!(welcomed, output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(git(folder.path(), &[], server).await, welcomed, "git reads the same file");
    welcomed
}

impl Scene {
    async fn set_format(&self, name: &str, format: &str) {
        let change = json!({"spec": {"secret": {"format": format}}});
        self.connections()
            .patch(name, &PatchParams::default(), &Patch::Merge(&change))
            .await
            .expect("a format");
    }
}

/// Where git and HTTP tools sign in, and container tools.
fn logins(server: &str, registry: &str, username: Option<&str>) -> Value {
    let login = |url: &str| json!({"url": url, "username": username});
    let registry = login(&format!("http://{registry}"));
    json!({"overlay": {"logins": {"git": login(server), "http": login(server), "registry": registry}}})
}

/// An address of this machine for a registry.
fn free() -> String {
    format!("127.0.0.1:{}", random::free_port().unwrap())
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn format_of_a_password_is_read_whatever_it_consists_of() {
    const PASSWORDS: [&str; 5] = ["plain", "two \"words\" \\ and", "#hash", "p@ss:w/rd%20+ü", ""];
    let it = scene("format-password").await;
    let server = gate(|username, password| username == "alice@home" && PASSWORDS.contains(&password)).await;
    let registry = free();
    it.provider_of_type("generic-basic-auth").spec(logins(&server, &registry, None)).apply().await;
    for (number, password) in PASSWORDS.into_iter().enumerate() {
        let name = format!("code-{number}");
        it.connection(&name).spec(json!({"secret": {"format": "GitCredentials"}})).apply().await;
        it.import_keys(&name, &[("username", "alice@home"), ("password", password)]).await;
        let keys = it.secret(&name).await;
        assert_eq!(keys.keys().collect::<Vec<_>>(), [".git-credentials"]);
        assert!(git_signs_in(&keys, &server).await, "{password}");
        it.set_format(&name, "Netrc").await;
        let keys = it.until_secret(&name, "a .netrc alone", |keys| keys.keys().eq([".netrc"])).await;
        assert!(netrc_signs_in(&keys, &server).await, "{password}");
        it.set_format(&name, "EnvoySds").await;
        let keys = it.until_secret(&name, "Envoy's", |keys| keys.keys().eq(["sds-authorization.json"])).await;
        let basic = BASE64_STANDARD.encode(format!("alice@home:{password}"));
        let header = envoys_secret(&keys, "sds-authorization.json").await;
        assert_eq!(header.1, format!("Basic {basic}"));
        it.set_format(&name, "DockerConfigJson").await;
        let keys = it.until_secret(&name, "a registry's", |keys| keys.keys().eq([".dockerconfigjson"])).await;
        // Container tools take an empty password for none.
        if !password.is_empty() {
            pulls_an_image(&keys, &registry, "alice@home", password).await;
        }
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn format_of_a_token_follows_every_refresh() {
    let it = scene("format-token").await;
    let realm = it.realm.clone();
    let server = gate(move |username, token| username == "oauth2" && realm.is_alive(token)).await;
    it.provider(Rotation::SingleUse)
        .lifetime(3600)
        .spec(logins(&server, &free(), Some("oauth2")))
        .apply()
        .await;
    for (name, format) in [("git", "GitCredentials"), ("curl", "Netrc")] {
        it.connection(name).spec(json!({"secret": {"format": format}})).apply().await;
        it.authorized(name).await;
    }
    let (git, curl) = (it.secret("git").await, it.secret("curl").await);
    assert_eq!(git.keys().collect::<Vec<_>>(), [".git-credentials", "expires_at"]);
    assert!(git_signs_in(&git, &server).await && netrc_signs_in(&curl, &server).await);
    let wrong = BTreeMap::from([(".netrc".to_owned(), curl[".netrc"].replace("oauth2", "alice"))]);
    assert!(!netrc_signs_in(&wrong, &server).await, "the server asks");
    it.ask_for_refresh("git", "now").await;
    let next = it.until_secret("git", "another token", |keys| *keys != git).await;
    assert!(git_signs_in(&next, &server).await);
    // What the description says is followed as well. An address that the grant is bound to needs its owner.
    let of_git = |change: Value| json!({"spec": {"overlay": {"logins": {"git": change}}}});
    it.change_provider(of_git(json!({"username": "renamed"}))).await;
    let renamed = it
        .until_secret("git", "another user name", |keys| keys[".git-credentials"].contains("renamed"))
        .await;
    assert!(!git_signs_in(&renamed, &server).await);
    it.change_provider(of_git(json!({"url": "https://elsewhere.example"}))).await;
    let status = it.until_reason("git", "Authorized", "ConsentOutdated").await;
    assert!(words(&status, "Authorized").contains("logins.git.url"), "{}", words(&status, "Authorized"));
    assert_eq!(it.secret("git").await, renamed);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn format_without_a_login_in_the_description_writes_nothing_and_says_who_states_it() {
    let it = scene("format-unknown").await;
    it.provider(Rotation::SingleUse).lifetime(3600).apply().await;
    it.connection("git").spec(json!({"secret": {"format": "GitCredentials"}})).apply().await;
    it.import("git", &it.mint()).await;
    let status = it.until_reason("git", "SecretPublished", "LoginUnknown").await;
    let said = words(&status, "SecretPublished");
    assert!(said.contains("spec.overlay.logins.git.url") && said.contains("administrator"), "{said}");
    assert!(it.secret_now(&it.namespace, "git").await.is_none());
    let realm = it.realm.clone();
    let server = gate(move |_, token| realm.is_alive(token)).await;
    it.change_provider(json!({"spec": logins(&server, &free(), Some("oauth2"))})).await;
    let keys = it.secret("git").await;
    assert!(git_signs_in(&keys, &server).await, "the grant is the same, and nobody consented again");
}

/// One connection in all four formats, one after the other: keys and type of the Secret change with it.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn format_changes_with_the_spec_and_each_tool_reads_its_own() {
    let it = scene("format-all").await;
    let realm = it.realm.clone();
    let server = gate(move |username, token| username == "oauth2" && realm.is_alive(token)).await;
    let registry = free();
    let logins = logins(&server, &registry, Some("oauth2"));
    it.provider(Rotation::SingleUse).lifetime(3600).spec(logins).apply().await;
    it.connection("mail").apply().await;
    it.authorized("mail").await;
    let token = it.secret("mail").await["access_token"].clone();
    let revision = it.status("mail").await.grant.unwrap().revision;
    let is_of = async |format: &str, files: &[&str], type_: &str| {
        it.set_format("mail", format).await;
        let keys = files.iter().copied().chain(["expires_at"]).map(str::to_owned);
        let wanted: BTreeSet<String> = keys.collect();
        let keys = it.until_secret("mail", format, |keys| keys.keys().eq(&wanted)).await;
        let secret = it.secret_now(&it.namespace, "mail").await.unwrap();
        assert_eq!(secret.type_.as_deref(), Some(type_), "{format}");
        keys
    };
    let git = is_of("GitCredentials", &[".git-credentials"], "Opaque").await;
    assert!(git_signs_in(&git, &server).await);
    let pull = is_of("DockerConfigJson", &[".dockerconfigjson"], "kubernetes.io/dockerconfigjson").await;
    pulls_an_image(&pull, &registry, "oauth2", &token).await;
    let envoy = is_of("EnvoySds", &["sds-authorization.json", "sds-token.json"], "Opaque").await;
    let header = envoys_secret(&envoy, "sds-authorization.json").await;
    assert_eq!(header, ("authorization".to_owned(), format!("Bearer {token}")));
    assert_eq!(envoys_secret(&envoy, "sds-token.json").await, ("token".to_owned(), token));
    let netrc = is_of("Netrc", &[".netrc"], "Opaque").await;
    assert!(netrc_signs_in(&netrc, &server).await);
    let after = it.status("mail").await.grant.unwrap().revision;
    assert_eq!(after, revision, "nothing was asked of the provider");
}
