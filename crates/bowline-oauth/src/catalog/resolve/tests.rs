//! Entries, provider objects and connections together.

use std::borrow::Cow;

use bowline_api::provider::Rotation;
use proptest::prelude::*;
use url::Url;

use super::*;
use crate::catalog::entry::ProviderEndpoints;
use crate::catalog::parameter::Rule;
use crate::catalog::protocol::{ClientAuth, Encoding, Proofs};
use crate::catalog::{DiscoveredEndpoints, SetBy, entries, get, load};

fn spec(of: &Value) -> IntegrationProviderSpec {
    serde_json::from_value(of.clone()).unwrap()
}

fn parameters(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Resolves the entry that the spec names.
fn resolved(of: &Value, connection: &[(&str, &str)]) -> Result<Description, ResolveError> {
    let spec = spec(of);
    resolve(get(&spec.type_).unwrap(), &spec, "example", &parameters(connection))
}

fn token_url(description: &Description) -> &str {
    description.endpoints.token.as_ref().map(Url::as_str).unwrap_or_default()
}

/// An entry with one label and one segment for connections to choose.
fn two_places() -> CatalogEntry {
    let text = "displayName: Two\nmethods: [RefreshToken]\nparameters:\n\
        \x20 site: {description: d, kind: DNSLabel, settableBy: Connection, required: true}\n\
        \x20 team: {description: d, kind: PathSegment, settableBy: Connection, default: all}\n\
        endpoints: {token: 'https://{site}.id.example.com:8443/t/{team}/token'}\n";
    load::load("{}", &[("two", text)]).unwrap().remove("two").unwrap()
}

#[test]
fn every_entry_resolves_with_sample_parameters() {
    for (name, entry) in entries() {
        let required =
            entry.parameters.iter().filter(|(_, it)| it.required && it.settable_by == SetBy::Provider);
        let required: BTreeMap<_, _> = required.map(|(name, it)| (name, it.example.as_ref())).collect();
        let mut of = json!({"type": name, "parameters": required});
        if entry.endpoints.token.is_none() && entry.key.is_none() && entry.link_session.is_none() {
            of["endpoints"] = json!({"issuer": "https://id.example.com"});
        }
        let description = resolved(&of, &[]).unwrap();
        assert_eq!((description.provider.as_str(), &description.entry), ("example", name));
        assert_eq!(description.needs_discovery(), of.get("endpoints").is_some(), "{name}");
        let samples =
            entry.parameters.iter().filter_map(|(name, found)| Some((name, found.example.as_ref()?)));
        of["parameters"] = samples.map(|(name, value)| (name.clone(), json!(value))).collect();
        resolved(&of, &[]).unwrap();
    }
}

#[test]
fn the_sandbox_entries_differ_in_rotation_alone() {
    let rows = [
        ("sandbox", Rotation::SingleUse, None),
        ("sandbox-grace", Rotation::SingleUse, Some(30)),
        ("sandbox-none", Rotation::None, None),
        ("sandbox-optional", Rotation::Optional, None),
        ("sandbox-sliding", Rotation::Sliding, None),
    ];
    for (name, rotation, grace) in rows {
        let entry = get(name).unwrap();
        let window = entry.grant.grace_window().map(|window| window.as_secs());
        assert_eq!((entry.grant.rotation, window), (rotation, grace), "{name}");
        assert_eq!(entry.methods, get("sandbox").unwrap().methods, "{name}");
    }
}

#[test]
fn the_provider_object_replaces_what_the_entry_says() {
    let of = json!({
        "type": "google",
        "displayName": "Our Google",
        "endpoints": {"token": "https://proxy.example.com/token"},
        "scopes": {"default": ["openid"], "allowed": ["openid", "email"]},
    });
    let description = resolved(&of, &[]).unwrap();
    assert_eq!(description.display_name, "Our Google");
    assert_eq!(token_url(&description), "https://proxy.example.com/token");
    assert_eq!(
        description.endpoints.revocation.as_ref().unwrap().as_str(),
        "https://oauth2.googleapis.com/revoke"
    );
    assert_eq!(description.scopes.default, ["openid"]);
    assert_eq!(description.scopes.required, ["openid", "email"], "not named, so the entry's stays");
    assert_eq!(description.scopes.allowed, ["openid", "email"]);
}

/// A stated field has to fit as an entry's own must: the message names it.
#[test]
fn what_does_not_fit_the_schema_is_named() {
    let mut entry = get("google").unwrap().clone();
    let over = json!({"grant": {"rotatoin": "None"}});
    merge(&mut entry.json, over.as_object().unwrap());
    let error = resolve(&entry, &spec(&json!({"type": "google"})), "p", &BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains("unknown field `rotatoin`"), "{error}");
    assert_eq!(error.concerns(), SetBy::Provider);
    let mut entry = get("google").unwrap().clone();
    let over = json!({"authorize": {"params": {"audience": "{nothing}"}}});
    merge(&mut entry.json, over.as_object().unwrap());
    let error = resolve(&entry, &spec(&json!({"type": "google"})), "p", &BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains("/authorize/params: {nothing}"), "{error}");
}

#[test]
fn with_another_issuer_no_address_of_the_entry_stays() {
    let description =
        resolved(&json!({"type": "gmail", "endpoints": {"issuer": "https://id.example.com"}}), &[]).unwrap();
    let only_issuer = ProviderEndpoints {
        issuer: Url::parse("https://id.example.com").ok(),
        ..ProviderEndpoints::default()
    };
    assert_eq!(description.endpoints, only_issuer);
    assert_eq!(description.core.identity.as_ref().and_then(|identity| identity.call.url.clone()), None);
    assert!(description.needs_discovery());
    let of = json!({"type": "atlassian", "endpoints": {"issuer": "https://id.example.com"}});
    let addresses: Vec<_> = resolved(&of, &[]).unwrap().addresses().map(Url::to_string).collect();
    assert_eq!(addresses, ["https://id.example.com/"], "a call for values to publish gets the token, too");
}

#[test]
fn where_tools_sign_in_follows_the_server_and_is_trusted_like_every_address() {
    let of = json!({"type": "gitlab", "parameters": {"base_url": "https://code.acme.example/gitlab"}});
    let own = resolved(&of, &[]).unwrap();
    let git = |description: &Description| description.logins.git.clone();
    assert_eq!(git(&own).url.unwrap().as_str(), "https://code.acme.example/gitlab");
    assert!(own.receiving_addresses().any(|(place, _)| place == "/logins/git/url"), "grants are bound to it");
    let of = json!({"type": "github", "parameters": {"base_url": "https://code.acme.example"}});
    let own = resolved(&of, &[]).unwrap();
    assert_eq!(git(&own).url.unwrap().path(), "/");
    assert!(own.addresses().all(|address| address.path() != "/"), "we send nothing there");
    let of = json!({"type": "gitlab", "endpoints": {"issuer": "https://id.example.com"}});
    let elsewhere = git(&resolved(&of, &[]).unwrap());
    assert_eq!((elsewhere.url, elsewhere.username.as_deref()), (None, Some("oauth2")));
}

#[test]
fn a_user_name_may_have_placeholders_and_is_one_that_basic_carries() {
    let spec = |username: &str| {
        let user = json!({"description": "d", "kind": "PathSegment", "settableBy": "Connection"});
        let login = json!({"url": "https://code.example.com", "username": username});
        spec(&json!({"type": "generic-api-key",
            "overlay": {"parameters": {"user": user}, "logins": {"git": login, "http": login}}}))
    };
    let placed = spec("{user}");
    let entry = entry_of(&placed).unwrap();
    let username = |connection: &[(&str, &str)]| {
        let description = resolve(&entry, &placed, "example", &parameters(connection)).unwrap();
        description.logins.git.username.clone()
    };
    assert_eq!((username(&[("user", "alice")]).as_deref(), username(&[])), (Some("alice"), None));
    for (bad, words) in
        [("", "logins.git.username"), ("a:{user}", "logins.git.username"), ("{nobody}", "{nobody}")]
    {
        let error = entry_of(&spec(bad)).unwrap_err().to_string();
        assert!(error.contains(words), "{bad}: {error}");
    }
}

#[test]
fn a_server_of_ones_own_has_all_addresses_of_its_provider() {
    let of = json!({"type": "gitlab", "parameters": {"base_url": "https://code.acme.example/gitlab"}});
    let own = resolved(&of, &[]).unwrap();
    assert!(own.addresses().all(|address| address.as_str().starts_with("https://code.acme.example/gitlab")));
    assert_eq!(token_url(&own), "https://code.acme.example/gitlab/oauth/token");
    assert!(matches!(
        resolved(&json!({"type": "zoho", "parameters": {"accounts_server": "evil.example"}}), &[]),
        Err(ResolveError::BadValue { .. })
    ));
}

#[test]
fn a_connection_chooses_its_tenant() {
    let of = json!({"type": "microsoft"});
    let usual = resolved(&of, &[]).unwrap();
    assert_eq!(token_url(&usual), "https://login.microsoftonline.com/common/oauth2/v2.0/token");
    let chosen = resolved(&of, &[("tenant", "contoso.onmicrosoft.com")]).unwrap();
    assert_eq!(
        token_url(&chosen),
        "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token"
    );
    let other_cloud =
        json!({"type": "microsoft", "endpoints": {"token": "https://login.microsoftonline.us/{tenant}/t"}});
    let chosen = resolved(&other_cloud, &[("tenant", "contoso")]).unwrap();
    assert_eq!(token_url(&chosen), "https://login.microsoftonline.us/contoso/t");
}

#[test]
fn a_provider_object_may_name_another_host() {
    let of = json!({"type": "github", "parameters": {
        "base_url": "https://github.example.com/", "api_base": "https://github.example.com/api/v3",
    }});
    let description = resolved(&of, &[]).unwrap();
    assert_eq!(token_url(&description), "https://github.example.com/login/oauth/access_token");
    let revocation = description.revocation_url("Iv1.a/b").unwrap();
    assert_eq!(revocation.as_str(), "https://github.example.com/api/v3/applications/Iv1.a%2Fb/token");
}

#[test]
fn what_is_missing_is_named() {
    let nowhere = resolved(&json!({"type": "generic-oauth2"}), &[]).unwrap_err();
    assert_eq!(
        nowhere.to_string(),
        "the provider needs endpoints.issuer or endpoints.token; set it on the IntegrationProvider"
    );
    assert_eq!(nowhere.concerns(), SetBy::Provider);
    let entry = two_places();
    let unset = resolve(&entry, &spec(&json!({"type": "two"})), "two", &BTreeMap::new()).unwrap_err();
    assert_eq!(unset.to_string(), "the connection needs parameters.site; set it in spec.parameters");
    assert_eq!(unset.concerns(), SetBy::Connection);
    let alone = sketch(&entry, &spec(&json!({"type": "two"})), "two");
    assert_eq!(alone.err(), None, "the provider object itself is whole");
}

#[test]
fn bad_values_of_connections_are_refused_before_they_reach_an_address() {
    let bad = [
        "a/b",
        "a@b",
        "..",
        ".",
        "a..b",
        ".a",
        "a:b",
        "a%2fb",
        "%2e%2e",
        "a b",
        " a",
        "a\t",
        "a\nb",
        "",
        "a?b",
        "a#b",
        "a\\b",
        "{tenant}",
        "ä",
        "https://evil.example",
    ];
    for value in bad {
        let error = resolved(&json!({"type": "microsoft"}), &[("tenant", value)]).unwrap_err();
        let expected = ResolveError::BadValue {
            by: SetBy::Connection,
            parameter: "tenant".to_owned(),
            rule: Rule::PathSegment,
        };
        assert_eq!(error, expected, "{value:?}");
        let unquoted = value.len() < 3 || !error.to_string().contains(value);
        assert!(unquoted, "the message repeats {value:?}");
        let label =
            resolve(&two_places(), &spec(&json!({"type": "two"})), "two", &parameters(&[("site", value)]));
        assert!(
            matches!(label, Err(ResolveError::BadValue { rule: Rule::DnsLabel, .. })),
            "{value:?}: {label:?}"
        );
    }
    let pattern = resolved(&json!({"type": "microsoft"}), &[("tenant", "-a")]).unwrap_err();
    assert!(matches!(pattern, ResolveError::BadValue { rule: Rule::Pattern, .. }), "{pattern}");
}

#[test]
fn a_connection_sets_only_what_is_left_to_it() {
    let rows = [
        (
            json!({"type": "microsoft"}),
            "colour",
            "the connection sets parameters.colour, which this provider does not have; it has tenant",
        ),
        (
            json!({"type": "slack"}),
            "team",
            "the connection sets parameters.team, which this provider does not have; it has none",
        ),
        (
            json!({"type": "microsoft", "parameters": {"tenant": "contoso"}}),
            "tenant",
            "parameters.tenant is set by the IntegrationProvider already; remove it from the connection",
        ),
        (
            json!({"type": "github"}),
            "base_url",
            "parameters.base_url can be set on the IntegrationProvider only; remove it from the connection",
        ),
    ];
    for (of, name, message) in rows {
        let error = resolved(&of, &[(name, "value")]).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.concerns()), (message, SetBy::Connection));
    }
}

#[test]
fn addresses_of_a_provider_object_are_judged() {
    let with = |token: &str, allow_http: bool| {
        resolved(
            &json!({"type": "generic-oauth2", "endpoints": {"token": token}, "network": {"allowHTTP": allow_http}}),
            &[],
        )
    };
    let bad = [
        "https://user@id.example.com/t",
        "https://user:word@id.example.com/t",
        "https://id.example.com/t#part",
        "https://id.example.com/a/../t",
        "https://id.example.com/a/%2E%2e/t",
        "https://id.example.com\\t",
        "https://id.example.com/ t",
        "ftp://id.example.com/t",
        "https:///",
        "https://id.example.com/{",
        "text",
    ];
    for address in bad {
        let error = with(address, true).unwrap_err();
        assert!(matches!(error, ResolveError::BadAddress { what: "token", .. }), "{address}: {error}");
    }
    let open = with("https://id.example.com/{tenant}", false).unwrap_err();
    assert!(matches!(open, ResolveError::UnknownPlaceholder { .. }), "{open}");
    assert_eq!(with("http://127.0.0.1:8080/t", false), Err(ResolveError::Insecure { what: "token" }));
    assert_eq!(token_url(&with("http://127.0.0.1:8080/t", true).unwrap()), "http://127.0.0.1:8080/t");
}

#[test]
fn settings_of_the_generic_entries_take_effect() {
    let of = json!({"type": "generic-oauth2", "endpoints": {"token": "https://id.example.com/t"}, "parameters": {
        "client_auth": "post", "encoding": "json", "scope_separator": "comma", "audience": "https://api.example.com",
        "prompt": "consent", "account_id": "/user/id",
    }});
    let description = resolved(&of, &[]).unwrap();
    assert_eq!(description.client_auth, [ClientAuth::Post]);
    assert_eq!(description.token_request.encoding, Encoding::Json);
    let audience = ("audience", "https://api.example.com");
    assert_eq!(description.authorize.params, parameters(&[audience, ("prompt", "consent")]));
    assert_eq!(description.token_request.params, parameters(&[audience]));
    assert_eq!(description.scopes.separator.as_deref(), Some(","));
    let account = &description.identity.as_ref().unwrap().account;
    assert_eq!(account.read(&json!({"user": {"id": 7}, "name": "o"})).unwrap().unwrap().id, "7");

    let of = json!({"type": "generic-api-key", "parameters": {
        "header": "x-api-key", "scheme": "none", "validate_url": "https://api.example.com/me",
    }});
    let key = resolved(&of, &[]).unwrap().core.key.unwrap();
    assert_eq!((key.header.as_str(), key.scheme), ("x-api-key", None));
    assert_eq!(key.validate.unwrap().url.unwrap().as_str(), "https://api.example.com/me");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let rows = [
        ("generic-oauth2", "client_auth", "mtls", Rule::Choice),
        ("generic-oauth2", "account_id", "sub", Rule::Pointer),
        ("generic-api-key", "header", "x-key\r\nhost: evil", Rule::Text),
        ("generic-api-key", "header", "x key", Rule::Pattern),
        ("generic-api-key", "validate_url", "https://user@api.example.com", Rule::Url),
        ("github", "base_url", "github.example.com", Rule::Url),
    ];
    for (entry, name, value, rule) in rows {
        let of = json!({"type": entry, "parameters": {name: value}, "endpoints": {"issuer": "https://id.example.com"}});
        let expected = ResolveError::BadValue { by: SetBy::Provider, parameter: name.to_owned(), rule };
        assert_eq!(resolved(&of, &[]), Err(expected), "{entry} {name}");
    }
    let plain = json!({"type": "generic-api-key", "parameters": {"validate_url": "http://api.example.com"}});
    assert_eq!(resolved(&plain, &[]), Err(ResolveError::Insecure { what: "the key's check" }));
}

#[test]
fn an_own_issuer_is_asked_for_whatever_the_provider_object_leaves_out() {
    let issuer = "https://id.example.com";
    let rows = [
        (json!({"type": "google"}), false),
        (json!({"type": "microsoft"}), false),
        (json!({"type": "generic-oauth2", "endpoints": {"token": issuer}}), false),
        (json!({"type": "google", "endpoints": {"issuer": issuer}}), true),
        (json!({"type": "generic-oauth2", "endpoints": {"issuer": issuer, "token": issuer}}), true),
        (
            json!({"type": "sandbox", "endpoints": {
                "issuer": issuer, "token": issuer, "revocation": issuer, "userinfo": issuer,
            }}),
            true,
        ),
        (
            json!({"type": "generic-oauth2-refresh", "endpoints": {
                "issuer": issuer, "token": issuer, "revocation": issuer, "userinfo": issuer,
            }}),
            false,
        ),
        (
            json!({"type": "sandbox", "endpoints": {
                "issuer": issuer, "token": issuer, "revocation": issuer, "userinfo": issuer,
                "authorization": issuer,
            }}),
            false,
        ),
    ];
    for (of, asked) in rows {
        assert_eq!(resolved(&of, &[]).unwrap().needs_discovery(), asked, "{of}");
    }
}

#[test]
fn metadata_fills_only_what_is_absent() {
    let of = json!({"type": "sandbox", "endpoints": {
        "issuer": "https://id.example.com/realm/", "revocation": "https://own.example.com/revoke",
    }});
    let description = resolved(&of, &[]).unwrap();
    assert_eq!(description.authority(), "provider:example", "not discovered yet");
    let url = |text: &str| Url::parse(text).ok();
    let metadata = DiscoveredEndpoints {
        endpoints: ProviderEndpoints {
            token: url("https://id.example.com/token"),
            revocation: url("https://id.example.com/revoke"),
            ..ProviderEndpoints::default()
        },
        client_auth: vec![ClientAuth::Post],
        client_auth_announced: vec!["client_secret_post".to_owned()],
        ..DiscoveredEndpoints::default()
    };
    let description = description.with_metadata(&metadata, Proofs::default());
    assert!(!description.needs_discovery());
    assert_eq!(token_url(&description), "https://id.example.com/token");
    assert_eq!(description.endpoints.revocation, url("https://own.example.com/revoke"));
    assert_eq!(description.authority(), "https://id.example.com/realm");
    assert_eq!(
        description.client_auth(Proofs { secret: true, private_key: true, certificate: true }),
        Some(ClientAuth::Post),
        "the server does not know basic"
    );
    assert_eq!(description.client_auth(Proofs::default()), Some(ClientAuth::None));
}

#[test]
fn without_discovery_the_authority_is_the_token_endpoints_origin() {
    assert_eq!(
        resolved(&json!({"type": "google"}), &[]).unwrap().authority(),
        "https://oauth2.googleapis.com"
    );
    assert_eq!(resolved(&json!({"type": "generic-api-key"}), &[]).unwrap().authority(), "provider:example");
}

#[test]
fn granted_scopes_are_compared_as_the_provider_writes_them() {
    let scopes = resolved(&json!({"type": "microsoft"}), &[]).unwrap().core.scopes;
    let wanted = ["User.Read", "offline_access", "Mail.Read"].map(str::to_owned);
    let granted = ["https://graph.microsoft.com/user.read".to_owned()];
    assert_eq!(scopes.missing(&wanted, &granted), ["Mail.Read"]);
}

proptest! {
    #[test]
    fn no_value_of_a_connection_changes_where_an_address_leads(site in "\\PC{0,12}|[a-z0-9.-]{1,70}", team in "\\PC{0,12}|[a-z./%@:-]{1,12}") {
        let entry = two_places();
        let of = spec(&json!({"type": "two"}));
        let chosen = parameters(&[("site", &site), ("team", &team)]);
        if let Ok(description) = resolve(&entry, &of, "two", &chosen) {
            let url = description.core.endpoints.token.unwrap();
            let label = url.host_str().unwrap().strip_suffix(".id.example.com").unwrap();
            prop_assert!(!label.is_empty() && !label.contains('.'));
            prop_assert_eq!((url.scheme(), url.port(), url.query()), ("https", Some(8443), None));
            prop_assert!(url.username().is_empty() && url.fragment().is_none());
            let segments: Vec<&str> = url.path_segments().unwrap().collect();
            prop_assert_eq!(segments, ["t", team.as_str(), "token"]);
        }
    }

    #[test]
    fn a_plain_tenant_is_always_taken(tenant in "[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?") {
        let description = resolved(&json!({"type": "microsoft"}), &[("tenant", &tenant)]).unwrap();
        prop_assert_eq!(token_url(&description), format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"));
    }
}

#[test]
fn an_administrators_approval_is_asked_of_a_tenant_that_has_one() {
    let back = "https://portal.example.com/callback/microsoft";
    let scopes = ["Mail.Read".to_owned(), "Mail.Send".to_owned()];
    let asked = |tenant: &str| {
        let of = json!({"type": "outlook", "parameters": {"tenant": tenant}});
        resolved(&of, &[]).unwrap().admin_consent_url("app id", back, &scopes, Some("s"))
    };
    assert_eq!(
        asked("contoso.example").unwrap().as_str(),
        "https://login.microsoftonline.com/contoso.example/v2.0/adminconsent?client_id=app+id\
         &redirect_uri=https%3A%2F%2Fportal.example.com%2Fcallback%2Fmicrosoft&scope=Mail.Read+Mail.Send&state=s"
    );
    assert_eq!(asked("common").unwrap().path(), "/organizations/v2.0/adminconsent");
    assert_eq!(asked("consumers"), None);
    let google = resolved(&json!({"type": "google"}), &[]).unwrap();
    assert_eq!(google.admin_consent_url("c", back, &scopes, None), None);
}

#[test]
fn a_provider_object_names_where_people_and_devices_are_sent() {
    let of = json!({"type": "generic-oauth2", "endpoints": {
        "authorization": "https://id.example.com/authorize", "deviceAuthorization": "https://id.example.com/device",
        "token": "https://id.example.com/token",
    }});
    let description = resolved(&of, &[]).unwrap();
    let url = |text: &str| Url::parse(text).ok();
    assert_eq!(description.endpoints.authorization, url("https://id.example.com/authorize"));
    assert_eq!(description.endpoints.device_authorization, url("https://id.example.com/device"));
    let plain = json!({"type": "generic-oauth2", "endpoints": {
        "authorization": "http://id.example.com/authorize", "token": "https://id.example.com/token",
    }});
    assert_eq!(resolved(&plain, &[]), Err(ResolveError::Insecure { what: "authorization" }));
}

#[test]
fn what_metadata_says_of_pushes_and_callbacks_is_kept() {
    let of = json!({"type": "sandbox", "endpoints": {"issuer": "https://id.example.com"}});
    let description = resolved(&of, &[]).unwrap();
    assert!(!description.authorize.issuer_in_callback);
    let push = Url::parse("https://id.example.com/par").ok();
    let metadata = DiscoveredEndpoints {
        endpoints: ProviderEndpoints {
            pushed_authorization_request: push.clone(),
            ..ProviderEndpoints::default()
        },
        issuer_in_callback: true,
        ..DiscoveredEndpoints::default()
    };
    let description = description.with_metadata(&metadata, Proofs::default());
    assert_eq!(description.endpoints.pushed_authorization_request, push);
    assert!(description.authorize.issuer_in_callback);
}

/// What the entry of a spec with this overlay is, or the words of its refusal.
fn overlaid(type_: &str, overlay: &Value) -> Result<CatalogEntry, String> {
    let entry = entry_of(&spec(&json!({"type": type_, "overlay": overlay})));
    entry.map(Cow::into_owned).map_err(|error| error.to_string())
}

#[test]
fn an_overlay_states_what_an_entry_can() {
    let entry = overlaid(
        "google",
        &json!({
            "displayName": "Our Google",
            "notes": ["Ask IT."],
            "parameters": {"region": {"description": "Data region.", "kind": "DNSLabel", "default": "eu"}},
            "endpoints": {"token": "https://{region}.id.example.com/token"},
            "clientAuth": ["Basic"],
            "grant": {"accessLifetime": "15m", "idleLifetime": null},
            "errors": {"token": {"session_expired": "Reauth"}},
            "publish": {"api": "/answer/api_domain"},
        }),
    )
    .unwrap();
    assert_eq!((entry.display_name.as_str(), &entry.notes[..]), ("Our Google", &["Ask IT.".to_owned()][..]));
    assert_eq!(entry.grant.idle_lifetime, None);
    assert!(get("google").unwrap().grant.idle_lifetime.is_some(), "the catalogue's entry is as it was");
    let spec = spec(&json!({"type": "google", "overlay": {}}));
    let description = resolve(&entry, &spec, "p", &BTreeMap::new()).unwrap();
    assert_eq!(token_url(&description), "https://eu.id.example.com/token");
    let usual = resolved(&json!({"type": "google"}), &[]).unwrap();
    assert_eq!(description.endpoints.revocation, usual.endpoints.revocation);
    assert_eq!(description.core.client_auth, [ClientAuth::Basic]);
}

#[test]
fn an_overlay_counts_before_a_parameters_default_and_after_what_somebody_set() {
    let account =
        json!({"identity": {"account": {"id": ["/user/id"], "name": "/user/name"}}, "clientAuth": ["Post"]});
    let of = |parameters: Value| {
        let of = json!({"type": "generic-oauth2", "overlay": account, "parameters": parameters,
            "endpoints": {"token": "https://id.example.com/t"}});
        let spec = spec(&of);
        resolve(&entry_of(&spec).unwrap(), &spec, "p", &BTreeMap::new()).unwrap()
    };
    let document = json!({"sub": "1", "user": {"id": "7", "name": "Ann"}, "login": "ann"});
    let named = |description: &Description| {
        let account = description.identity.as_ref().unwrap().account.read(&document).unwrap().unwrap();
        (account.id, account.name)
    };
    assert_eq!(named(&of(json!({}))), ("7".to_owned(), Some("Ann".to_owned())));
    let chosen = of(json!({"account_name": "/login", "client_auth": "basic"}));
    assert_eq!(named(&chosen), ("7".to_owned(), Some("ann".to_owned())));
    assert_eq!(chosen.core.client_auth, [ClientAuth::Basic]);
}

#[test]
fn an_overlay_of_another_issuer_keeps_its_own_addresses_and_none_of_the_entrys() {
    let of = json!({"type": "gmail", "overlay": {"endpoints": {
        "issuer": "https://id.example.com", "token": "https://id.example.com/token"}}});
    let spec = spec(&of);
    let description = resolve(&entry_of(&spec).unwrap(), &spec, "p", &BTreeMap::new()).unwrap();
    let addresses: Vec<&str> = description.addresses().map(Url::as_str).collect();
    assert_eq!(addresses, ["https://id.example.com/", "https://id.example.com/token"]);
}

#[test]
fn an_overlay_that_removes_the_issuer_keeps_the_entrys_addresses() {
    let of = json!({"type": "gmail", "overlay": {"endpoints": {"issuer": null}}});
    let spec = spec(&of);
    let description = resolve(&entry_of(&spec).unwrap(), &spec, "p", &BTreeMap::new()).unwrap();
    assert_eq!(description.endpoints.issuer, None);
    assert!(description.endpoints.token.is_some());
}

#[test]
fn an_overlay_that_does_not_fit_is_refused_with_its_field() {
    let rows = [
        (json!({"colour": "red"}), "colour: unknown field `colour`"),
        (json!({"extends": "google"}), "extends: spec.type names the entry"),
        (json!({"grant": {"rotatoin": "None"}}), "grant.rotatoin: unknown field"),
        (json!({"grant": {"rotation": "often"}}), "grant.rotation: unknown variant `often`"),
        (json!({"grant": {"accessLifetime": "soon"}}), "grant.accessLifetime: "),
        (
            json!({"grant": {"refreshNotBefore": "100%"}}),
            "grant.refreshNotBefore: a share is written 1% to 99%",
        ),
        (json!({"scopes": {"default": "read"}}), "scopes.default: invalid type"),
        (json!({"publish": {"site": "/instance_url"}}), "publish.site: a path begins with /answer/"),
        (json!({"publish": {"site": "instance_url"}}), "publish.site: a JSON pointer is written"),
        (json!({"identity": {"from": ["Call", "TokenResponse"]}}), "identity.from: TokenResponse stands"),
        (
            json!({"identity": {"from": ["IDToken"]}, "publish": {"site": "/userInfo/site"}}),
            "publish.site is read in the user info",
        ),
        (json!({"publish": {"site": "/call/0/id"}}), "publish.site is read in the answer to a call"),
        (
            json!({"publishCall": {"method": "POST"}, "publish": {"site": "/call/0/id"}}),
            "publish.site is read in the answer to a call",
        ),
        (json!({"publishCall": {"headers": {"Authorization": "x"}}}), "the header Authorization"),
        (json!({"publish": {"refresh_token": "/answer/site"}}), "publish.refresh_token: the key must have"),
        (json!({"publish": {"Private_Key": "/answer/site"}}), "publish.Private_Key: the key must have"),
        (json!({"publish": {"a key": "/answer/site"}}), "publish.a key: the key must have"),
        (json!({"publish": {"site": "/callback/code"}}), "publish.site is a part of the callback"),
        (json!({"publish": {"site": "/callback"}}), "publish.site is a part of the callback"),
        (json!({"tokenRequest": {"headers": {"Host": "other.example.com"}}}), "the header Host is not"),
        (json!({"revoke": {"headers": {"transfer-encoding": "chunked"}}}), "the header transfer-encoding"),
        (json!({"identity": {"call": {"headers": {"Authorization": "x"}}}}), "the header Authorization"),
        (json!({"methods": []}), "methods is empty"),
        (
            json!({"parameters": {"site": {"description": "d", "kind": "Text"}}}),
            "parameters.site is used nowhere",
        ),
        (json!({"key": {"pattern": "(a{1000}){1000}"}}), "key.pattern: "),
        (json!({"key": {"pattern": "("}}), "key.pattern: "),
        (json!({"key": {"pattern": "a)|(?:.*"}}), "key.pattern: "),
        (json!({"endpoints": {"token": "https://{nobody}.example.com"}}), "{nobody} is no parameter"),
    ];
    for (overlay, words) in rows {
        let refused = overlaid("google", &overlay).unwrap_err();
        assert!(
            refused.starts_with("spec.overlay does not fit: ") && refused.contains(words),
            "{overlay}: {refused}"
        );
    }
}

#[test]
fn a_field_that_spec_and_overlay_state_differently_is_refused() {
    let entry = |of: Value| entry_of(&spec(&of)).map(|_| ()).map_err(|error| error.to_string());
    let token = |address: &str| json!({"token": address});
    let (one, other) = (token("https://a.example.com/t"), token("https://b.example.com/t"));
    assert_eq!(entry(json!({"type": "google", "endpoints": one, "overlay": {"endpoints": one}})), Ok(()));
    let refused =
        entry(json!({"type": "google", "endpoints": one, "overlay": {"endpoints": other}})).unwrap_err();
    assert_eq!(
        refused,
        "spec.endpoints.token and spec.overlay.endpoints.token are both set and differ: keep one of them"
    );
    let refused =
        entry(json!({"type": "google", "displayName": "A", "overlay": {"displayName": "B"}})).unwrap_err();
    assert!(refused.starts_with("spec.displayName and spec.overlay.displayName"), "{refused}");
    let unknown = entry(json!({"type": "nowhere"})).unwrap_err();
    assert!(unknown.contains("no type nowhere"), "{unknown}");
}

#[test]
fn a_whole_service_is_an_overlay_over_the_generic_entry() {
    let of = json!({"type": "generic-oauth2", "overlay": {
        "displayName": "Fern", "about": "Use your ferns.", "group": "Documents", "color": "#2d6a4f",
        "endpoints": {"authorization": "https://fern.example.com/authorize", "token": "https://fern.example.com/token",
            "refresh": "https://fern.example.com/refresh"},
        "authorize": {"pkce": "None"},
        "scopes": {"default": ["leaves"], "describe": {"leaves": {"says": "See your leaves", "kind": "Read"}}},
        "identity": {"from": ["TokenResponse"], "account": {"id": ["/user/id"], "name": "/user/name | /user/mail"}},
        "grant": {"rotation": "SingleUse", "accessLifetime": "15m", "refreshNotBefore": "90%"},
        "refresh": {"perMinute": 20},
        "publish": {"site": "/answer/site", "realm": "/callback/realmId"},
    }});
    let spec = spec(&of);
    let entry = entry_of(&spec).unwrap();
    let description = resolve(&entry, &spec, "fern", &BTreeMap::new()).unwrap();
    assert_eq!(description.callback_parameters().into_iter().collect::<Vec<_>>(), ["realmId"]);
    assert!(description.receiving_addresses().any(|(place, _)| place == "/endpoints/refresh"));
    assert_eq!(description.refresh.per_minute, Some(20));
}

#[test]
fn a_probe_is_neither_so_frequent_that_it_harms_nor_so_rare_that_it_is_of_no_use() {
    let entry = |every: &str| {
        let overlay = json!({"type": "generic-oauth2", "overlay": {"probe": {"every": every}}});
        entry_of(&serde_json::from_value(overlay).unwrap()).map(drop)
    };
    assert!(entry("10s").is_ok() && entry("168h").is_ok());
    for every in ["9s", "169h"] {
        let refused = entry(every).unwrap_err().to_string();
        assert!(refused.contains("probe.every"), "{refused}");
    }
}

#[test]
fn a_grant_of_an_app_in_testing_ends_after_seven_days() {
    let lives = |parameters: serde_json::Value| {
        let spec = serde_json::from_value(json!({"type": "google", "parameters": parameters})).unwrap();
        let description = resolve(get("google").unwrap(), &spec, "p", &BTreeMap::new()).unwrap();
        description.grant.consent_lives()
    };
    assert_eq!(lives(json!({})), None);
    let week = std::time::Duration::from_hours(7 * 24);
    assert_eq!(lives(json!({"publishing_status": "testing"})), Some(week));
}
