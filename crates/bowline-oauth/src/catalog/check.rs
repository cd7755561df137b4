//! What becomes of a provider object, for people who write one: `bowline catalog check`. Pure.

use std::fmt::Write as _;

use bowline_api::IntegrationProvider;
use bowline_api::connection::Method;
use bowline_api::provider::Rotation;

use super::calls::RevokeStyle;
use super::description::Description;
use super::entry::Pkce;
use super::refusal::ResolveError;
use super::resolve::{entry_of, sketch};

/// What a provider object describes, and what is risky about that.
#[derive(Debug)]
pub struct Checked {
    description: Description,
    /// What works and may surprise later: one sentence each.
    pub risks: Vec<String>,
}

/// Resolves a provider object as the operator does. The error names what does not fit.
pub fn check(provider: &IntegrationProvider) -> Result<Checked, ResolveError> {
    let spec = &provider.spec;
    let description =
        sketch(entry_of(spec)?.as_ref(), spec, provider.metadata.name.as_deref().unwrap_or_default())?;
    let risks = risks(provider, &description);
    Ok(Checked { description, risks })
}

impl Checked {
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The description as text: how it is connected, where tokens go, and what is published. Ends with a line break.
    pub fn render(&self) -> String {
        let it = &self.description;
        let methods: Vec<String> = it.methods.iter().map(|method| format!("{method:?}")).collect();
        let mut text = format!("{}: {} ({})\n", it.provider, it.display_name, it.entry);
        _ = writeln!(text, "\nMethods: {}", methods.join(", "));
        _ = writeln!(text, "Rotation: {:?}", it.grant.rotation);
        text.push_str("\nTokens, codes, keys and the client secret go to\n");
        for (place, address) in it.receiving_addresses() {
            _ = writeln!(text, "  {:<40} {address}", place.trim_start_matches('/').replace('/', "."));
        }
        if it.needs_certificate() {
            text.push_str("  where each request presents the TLS client certificate of the app Secret\n");
        }
        if it.needs_discovery() {
            text.push_str("  and to the addresses in the issuer's metadata\n");
        }
        if !it.publish.is_empty() {
            let keys: Vec<&str> = it.publish.keys().map(String::as_str).collect();
            _ = writeln!(text, "\nPublished beside the token: {}", keys.join(", "));
        }
        text
    }
}

// long: one table, a row for each risk.
fn risks(provider: &IntegrationProvider, it: &Description) -> Vec<String> {
    let spec = &provider.spec;
    let consents = it.methods.contains(&Method::AuthorizationCode);
    let mints = it.methods.iter().any(|method| !method.is_a_persons());
    let lasts = it.link_session.as_ref().is_some_and(|session| !session.refreshes());
    let refreshes = it.uses_tokens() && it.grant.rotation != Rotation::PerMint && !lasts;
    let cannot_revoke =
        it.revoke.style == RevokeStyle::None || it.revocation_url("id").is_none() && !it.needs_discovery();
    let asks_nobody =
        it.identity.is_none() || it.identity.as_ref().is_some_and(|identity| identity.from.is_empty());
    let allow_http = spec.network.as_ref().and_then(|network| network.allow_http).unwrap_or_default();
    let says_whom =
        spec.allow.as_ref().is_some_and(|allow| allow.namespaces.is_some() || allow.workspaces.is_some());
    let rows = [
        (
            refreshes && it.grant.rotation == Rotation::Optional,
            "grant.rotation is Optional, which says that it is not known what a refresh does to the refresh token: it is treated like SingleUse, with a write before each refresh.",
        ),
        (
            it.uses_tokens() && cannot_revoke,
            "revoke.style is None, or has no address: whoever disconnects has to remove the app's access at the provider by hand.",
        ),
        (
            it.uses_tokens() && asks_nobody,
            "identity is absent: nobody notices that a new consent is of another account.",
        ),
        (
            consents && it.authorize.pkce == Pkce::None,
            "authorize.pkce is None: codes are not bound to the request (RFC 7636).",
        ),
        (
            refreshes && it.grant.access_lifetime.is_none(),
            "grant.accessLifetime is absent: if the provider's answers have no expires_in, tokens are never refreshed.",
        ),
        (
            it.needs_certificate(),
            "a TLS client certificate is needed: keep tls.crt and tls.key of the app Secret valid. If the provider binds access tokens to it (RFC 8705 §3), only pods that have the certificate and its key as well can use the tokens.",
        ),
        (allow_http, "network.allowHTTP is true: tokens and the client secret may travel unencrypted."),
        (
            mints && !says_whom,
            "allow names neither namespaces nor workspaces: without a person's consent no connection may use this provider.",
        ),
        (
            mints && it.scopes.allowed.is_empty(),
            "scopes.allowed is empty: without a person's consent no scope may be requested.",
        ),
    ];
    rows.into_iter().filter(|(applies, _)| *applies).map(|(_, words)| words.to_owned()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn provider(spec: serde_json::Value) -> IntegrationProvider {
        IntegrationProvider::new("fern", serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn a_provider_that_works_is_shown_with_its_risks() {
        let checked = check(&provider(json!({"type": "generic-oauth2", "overlay": {
            "displayName": "Fern",
            "endpoints": {"token": "https://fern.example.com/token", "authorization": "https://fern.example.com/a"},
            "authorize": {"pkce": "None"},
            "publish": {"site": "/answer/site"},
        }})))
        .unwrap();
        let text = checked.render();
        for part in
            ["fern: Fern (generic-oauth2)", "endpoints.token", "https://fern.example.com/token", "site"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        let begins: Vec<&str> =
            checked.risks.iter().map(|risk| risk.split([' ', ':']).next().unwrap()).collect();
        assert_eq!(begins, ["grant.rotation", "revoke.style", "authorize.pkce", "grant.accessLifetime"]);
    }

    #[test]
    fn an_entry_that_is_known_well_has_few_risks() {
        let checked = check(&provider(json!({"type": "google"}))).unwrap();
        assert!(checked.risks.iter().all(|risk| risk.starts_with("grant.")), "{:?}", checked.risks);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = check(&provider(json!({"type": "google", "overlay": {"grant": {"grace": "soon"}}})));
        assert!(refused.unwrap_err().to_string().contains("grant.grace"));
    }
}
