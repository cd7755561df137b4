//! Files as text. tests/operator/formats.rs has them read by the tools they are for.

use std::collections::BTreeMap;

use bowline_oauth::catalog;
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;
use crate::publishing::Published;
use crate::vault::record::IssuedKeys;

/// The provider `example` of this type, with this overlay.
fn provider(type_: &str, overlay: &Value) -> Description {
    let spec = serde_json::from_value(json!({"type": type_, "overlay": overlay})).unwrap();
    let entry = catalog::entry_of(&spec).unwrap();
    catalog::resolve(&entry, &spec, "example", &BTreeMap::new()).unwrap()
}

fn files(
    credential: PublishedCredential<'_>,
    format: Format,
    provider: &Description,
) -> Result<BTreeMap<String, String>, ContentError> {
    let material = Material {
        credential,
        expires_at: Some("2026-03-01T12:00:00Z".parse().unwrap()),
        scopes: &["repo".to_owned()],
        account_id: Some("583231"),
        account_name: Some("octocat"),
        extras: &BTreeMap::new(),
        config: None,
    };
    let published = Published::new(&material, format, provider)?;
    let text = |value: Zeroizing<Vec<u8>>| String::from_utf8(value.to_vec()).unwrap();
    Ok(published.data.into_iter().map(|(key, value)| (key, text(value))).collect())
}

/// What alice's password becomes, where the service is at `https://code.example.com:8443`.
fn of_password(username: &str, password: &str, format: Format) -> Result<String, ContentError> {
    let login = json!({"url": "https://code.example.com:8443/git"});
    let logins = json!({"git": login, "http": login, "registry": login});
    let provider = provider("generic-basic-auth", &json!({"logins": logins}));
    let password = SecretString::from(password);
    let credential = PublishedCredential::Basic { username, password: &password };
    let mut files = files(credential, format, &provider)?;
    assert_eq!(files.remove("expires_at").as_deref(), Some("2026-03-01T12:00:00Z"));
    assert_eq!(files.len(), 1);
    Ok(files.into_values().next().unwrap())
}

#[test]
fn a_token_signs_in_where_the_entry_says_and_as_whom() {
    let token = SecretString::from("fake");
    let oauth = PublishedCredential::OAuth { access_token: &token, token_type: "Bearer" };
    let github = provider("github", &json!({}));
    let netrc = "machine github.com\n  login x-access-token\n  password fake\n";
    assert_eq!(files(oauth, Format::Netrc, &github).unwrap()[".netrc"], netrc);
    let rows = [
        ("github", "https://x-access-token:fake@github.com\n"),
        ("github-app-user", "https://x-access-token:fake@github.com\n"),
        ("gitlab", "https://oauth2:fake@gitlab.com\n"),
    ];
    for (type_, line) in rows {
        let files = files(oauth, Format::GitCredentials, &provider(type_, &json!({}))).unwrap();
        assert_eq!(files[".git-credentials"], line);
    }
}

#[test]
fn user_and_password_are_quoted_or_encoded_where_they_have_to_be() {
    let netrc = |password| of_password("alice", password, Format::Netrc).unwrap();
    let host = "machine code.example.com\n  login alice\n  password ";
    for (password, word) in [
        ("plain'§%", "plain'§%"),
        ("two words", "\"two words\""),
        ("#hash", "\"#hash\""),
        ("\"\\", "\"\\\"\\\\\""),
        ("", "\"\""),
    ] {
        assert_eq!(netrc(password), format!("{host}{word}\n"), "{password}");
    }
    let line = of_password("alice@example.com", "p@/:% ü", Format::GitCredentials).unwrap();
    assert_eq!(line, "https://alice%40example.com:p%40%2F%3A%25%20%C3%BC@code.example.com:8443\n");
}

#[test]
fn netrc_names_every_host_once() {
    let logins = json!({"git": {"url": "https://code.example.com", "username": "git"},
        "http": {"url": "https://[::1]:8443", "username": "api"}});
    let key = SecretString::from("fake");
    let apart = provider("generic-api-key", &json!({"logins": logins}));
    let text =
        files(PublishedCredential::ApiKey(&key), Format::Netrc, &apart).unwrap().remove(".netrc").unwrap();
    let hosts: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("machine ")).collect();
    assert_eq!(hosts, ["::1", "code.example.com"]);
}

#[test]
fn a_registry_is_named_as_container_tools_name_it() {
    let config: Value =
        serde_json::from_str(&of_password("alice", "\"p\\ü", Format::DockerConfigJson).unwrap()).unwrap();
    let auth = BASE64_STANDARD.encode("alice:\"p\\ü");
    let login = json!({"username": "alice", "password": "\"p\\ü", "auth": auth});
    assert_eq!(config, json!({"auths": {"code.example.com:8443/git": login}}));
    for (url, name) in [
        ("https://registry.example.com/", "registry.example.com"),
        ("https://docker.io", "https://index.docker.io/v1/"),
        ("https://index.docker.io/v1/", "https://index.docker.io/v1/"),
    ] {
        assert_eq!(registry(&url.parse().unwrap()), name);
    }
}

#[test]
fn envoy_gets_one_secret_a_file() {
    let value = |text: &str| {
        let response: Value = serde_json::from_str(text).unwrap();
        assert_eq!(response["resources"].as_array().unwrap().len(), 1);
        let resource = &response["resources"][0];
        let value = &resource["generic_secret"]["secret"]["inline_string"];
        [&resource["name"], value].map(|value| value.as_str().unwrap().to_owned())
    };
    let key = SecretString::from("fa\"ke");
    let of = |credential, provider: &Description| {
        let files = files(credential, Format::EnvoySds, provider).unwrap();
        let header = value(&files["sds-authorization.json"]);
        assert_eq!(header[0], "authorization");
        (header[1].clone(), files.get("sds-token.json").map(|text| value(text)))
    };
    let alone = Some(["token", "fa\"ke"].map(str::to_owned));
    let oauth = PublishedCredential::OAuth { access_token: &key, token_type: "Bearer" };
    assert_eq!(of(oauth, &provider("github", &json!({}))), ("Bearer fa\"ke".to_owned(), alone.clone()));
    let own = provider("generic-api-key", &json!({"key": {"header": "x-api-key", "scheme": null}}));
    assert_eq!(of(PublishedCredential::ApiKey(&key), &own), ("fa\"ke".to_owned(), alone));
    let basic = PublishedCredential::Basic { username: "alice", password: &key };
    let header = format!("Basic {}", BASE64_STANDARD.encode("alice:fa\"ke"));
    assert_eq!(of(basic, &provider("generic-basic-auth", &json!({}))), (header, None));
}

const FILES: [Format; 4] =
    [Format::Netrc, Format::GitCredentials, Format::DockerConfigJson, Format::EnvoySds];

#[test]
fn what_a_file_cannot_carry_is_refused_by_name() {
    let refused = |username: &str, password: &str| {
        FILES.map(|format| {
            let message = of_password(username, password, format).unwrap_err().to_string();
            assert!(message.contains(&format!("{format:?}")) && !message.contains("canary"), "{message}");
            message
        })
    };
    for message in refused("alice", "canary\n") {
        assert!(message.starts_with("the value of password has control characters"), "{message}");
    }
    for message in refused("canary:alice", "x") {
        assert!(message.starts_with("the value of username has a colon"), "{message}");
    }
    let long = of_password("alice", &"x".repeat(NETRC_BYTES + 1), Format::Netrc).unwrap_err();
    assert!(matches!(long, ContentError::TooLong { key: "password", most: NETRC_BYTES, .. }), "{long}");
    let keys = IssuedKeys::default();
    for format in FILES {
        let refused = files(PublishedCredential::IssuedKeys(&keys), format, &provider("github", &json!({})));
        assert_eq!(refused, Err(ContentError::SignsInNowhere { format }));
    }
}

#[test]
fn what_a_description_lacks_is_named_with_who_states_it() {
    let key = SecretString::from("fake");
    let lacks = |overlay: &Value, format| {
        let provider = provider("generic-api-key", overlay);
        files(PublishedCredential::ApiKey(&key), format, &provider).unwrap_err().to_string()
    };
    let only = |name: &str| json!({"logins": {name: {"url": "https://code.example.com"}}});
    for (overlay, format, field) in [
        (json!({}), Format::Netrc, "logins.http.url"),
        (only("git"), Format::Netrc, "logins.git.username"),
        (only("http"), Format::GitCredentials, "logins.git.url"),
        (only("http"), Format::DockerConfigJson, "logins.registry.url"),
        (only("git"), Format::GitCredentials, "logins.git.username"),
    ] {
        let message = lacks(&overlay, format);
        assert!(message.contains(&format!("needs {field}, which")), "{message}");
        assert!(
            message.contains(&format!("administrator of the cluster sets spec.overlay.{field}")),
            "{message}"
        );
    }
}

proptest! {
    #[test]
    fn every_value_comes_out_of_the_url_as_it_went_in(password in "\\PC{0,40}") {
        let line = of_password("alice", &password, Format::GitCredentials).unwrap();
        let (user, rest) = line.strip_prefix("https://").unwrap().split_once(':').unwrap();
        let (encoded, host) = rest.split_once('@').unwrap();
        prop_assert_eq!((user, host), ("alice", "code.example.com:8443\n"));
        prop_assert!(encoded.chars().all(|char| char.is_ascii_alphanumeric() || "%-._~".contains(char)));
        let form = encoded.replace('+', "%2B");
        let decoded: String = url::form_urlencoded::parse(form.as_bytes()).map(|(name, _)| name).collect();
        prop_assert_eq!(decoded, password);
    }
}
