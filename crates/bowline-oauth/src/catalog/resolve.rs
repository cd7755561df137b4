//! An entry, a provider object and a connection's parameters become a [`Description`].

use std::collections::BTreeMap;

use bowline_api::connection::Method;
use bowline_api::provider::{Endpoints as SpecEndpoints, IntegrationProviderSpec, ScopePolicy};
use url::Url;

use super::calls::{Call, Identity, IdentitySource, Key, Revoke, Validate};
use super::description::Description;
use super::entry::{Authorize, DeviceFlow, Endpoints, Entry};
use super::parameter::Rule;
use super::protocol::{Scopes, TokenRequest};
use super::refusal::ResolveError;
use super::settings;
use super::template::Template;
use super::values::Values;

/// Resolves an entry for one connection.
///
/// Every address in the result has the origin and the number of path segments that the entry and the provider object
/// give it, whatever the connection's parameters are; a connection may choose one label under a fixed suffix where the
/// entry says so.
pub fn resolve(
    entry: &Entry,
    spec: &IntegrationProviderSpec,
    provider: &str,
    connection: &BTreeMap<String, String>,
) -> Result<Description, ResolveError> {
    let values = Values::judge(entry, spec, connection)?;
    values.complete()?;
    describe(entry, spec, provider, &values)
}

/// Judges a provider object alone, as a connection would meet it that sets what is left to connections.
pub fn check(entry: &Entry, spec: &IntegrationProviderSpec, provider: &str) -> Result<(), ResolveError> {
    sketch(entry, spec, provider).map(drop)
}

/// What [`check`] judges: the description with made-up values where connections set theirs. For what does not depend
/// on them (methods, rotation, client authentication, origins); no request may be built from it.
pub fn sketch(
    entry: &Entry,
    spec: &IntegrationProviderSpec,
    provider: &str,
) -> Result<Description, ResolveError> {
    let mut values = Values::judge(entry, spec, &BTreeMap::new())?;
    values.imagine_connection();
    values.complete()?;
    describe(entry, spec, provider, &values)
}

fn describe(
    entry: &Entry,
    spec: &IntegrationProviderSpec,
    provider: &str,
    values: &Values<'_>,
) -> Result<Description, ResolveError> {
    let own = spec.endpoints.clone().unwrap_or_default();
    // With another issuer, no address of the entry is trusted with its tokens.
    let foreign = own.issuer.is_some();
    let mut description = Description {
        provider: provider.to_owned(),
        entry: spec.type_.clone(),
        display_name: spec.display_name.clone().unwrap_or_else(|| entry.display_name.clone()),
        methods: entry.methods.clone(),
        endpoints: endpoints(entry, &own, values)?,
        own_issuer: foreign,
        discovered: false,
        client_auth: entry.client_auth.clone(),
        authorize: authorize(&entry.authorize, values),
        device: device(&entry.device, values),
        token_request: token_request(&entry.token_request, values),
        token_response: entry.token_response.clone(),
        scopes: scopes(&entry.scopes, spec.scopes.as_ref()),
        grant: entry.grant.clone(),
        identity: identity(entry.identity.as_ref(), foreign, values)?,
        probe: probe(entry.probe.as_ref().filter(|_| !foreign), values)?,
        revoke: revoke(&entry.revoke, foreign, values)?,
        key: entry.key.as_ref().map(|key| resolved_key(key, values)).transpose()?,
        errors: entry.errors.clone(),
        notes: entry.notes.clone(),
        sources: entry.sources.clone(),
        confidence: entry.confidence,
        parameters: values.actual.clone(),
    };
    settings::apply(entry, &mut description, |name| values.actual.get(name).map(String::as_str));
    secure_check(&description, values)?;
    reachable(description)
}

/// A validation address that a parameter set is judged like the others.
fn secure_check(description: &Description, values: &Values<'_>) -> Result<(), ResolveError> {
    let check = description.key.as_ref().and_then(|key| key.validate.as_ref()?.url.as_ref());
    match check {
        Some(url) if url.scheme() != "https" && !values.allow_http => {
            Err(ResolveError::Insecure { what: "the key's check" })
        }
        _ => Ok(()),
    }
}

/// Refuses a description that needs a token endpoint and has no way to one.
fn reachable(description: Description) -> Result<Description, ResolveError> {
    let asks = |method: &Method| {
        matches!(
            method,
            Method::AuthorizationCode | Method::DeviceCode | Method::RefreshToken | Method::ClientCredentials
        )
    };
    let nowhere = description.endpoints.token.is_none() && description.endpoints.issuer.is_none();
    if nowhere && description.methods.iter().any(asks) {
        let missing = vec!["endpoints.issuer or endpoints.token".to_owned()];
        return Err(ResolveError::ProviderIncomplete { missing });
    }
    Ok(description)
}

fn endpoints(
    entry: &Entry,
    own: &SpecEndpoints,
    values: &Values<'_>,
) -> Result<Endpoints<Url>, ResolveError> {
    let given = if own.issuer.is_some() { &Endpoints::default() } else { &entry.endpoints };
    let one = |what: &'static str, own: Option<&String>, entrys: Option<&Template>| {
        let Some(text) = own else { return values.optional(what, entrys) };
        let template =
            Template::parse(text).map_err(|_| ResolveError::BadAddress { what, rule: Rule::Url })?;
        let unknown =
            |name: &&str| entry.parameters.get(*name).is_none_or(|parameter| parameter.sets.is_some());
        if let Some(placeholder) = template.placeholders().find(unknown) {
            return Err(ResolveError::UnknownPlaceholder { what, placeholder: placeholder.to_owned() });
        }
        values.url(what, &template).map(Some)
    };
    Ok(Endpoints {
        issuer: one("issuer", own.issuer.as_ref(), given.issuer.as_ref())?,
        authorization: one("authorization", own.authorization.as_ref(), given.authorization.as_ref())?,
        pushed_authorization_request: one(
            "pushed authorization request",
            None,
            given.pushed_authorization_request.as_ref(),
        )?,
        token: one("token", own.token.as_ref(), given.token.as_ref())?,
        device_authorization: one(
            "device authorization",
            own.device_authorization.as_ref(),
            given.device_authorization.as_ref(),
        )?,
        revocation: one("revocation", own.revocation.as_ref(), given.revocation.as_ref())?,
        userinfo: one("userinfo", own.userinfo.as_ref(), given.userinfo.as_ref())?,
        admin_consent: one("admin consent", None, given.admin_consent.as_ref())?,
    })
}

fn scopes(entrys: &Scopes, own: Option<&ScopePolicy>) -> Scopes {
    let mut scopes = entrys.clone();
    let Some(ScopePolicy { default, required, allowed }) = own else { return scopes };
    let replace = |list: &mut Vec<String>, own: &Option<Vec<String>>| {
        if let Some(own) = own {
            list.clone_from(own);
        }
    };
    replace(&mut scopes.default, default);
    replace(&mut scopes.required, required);
    replace(&mut scopes.allowed, allowed);
    scopes
}

fn token_request(request: &TokenRequest<Template>, values: &Values<'_>) -> TokenRequest<String> {
    let TokenRequest { encoding, headers, params } = request;
    TokenRequest { encoding: *encoding, headers: headers.clone(), params: filled(params, values) }
}

fn authorize(request: &Authorize<Template>, values: &Values<'_>) -> Authorize<String> {
    let Authorize { pkce, scope_parameter, params, optional_params, issuer_in_callback } = request;
    Authorize {
        pkce: *pkce,
        scope_parameter: *scope_parameter,
        params: filled(params, values),
        optional_params: optional_params.clone(),
        issuer_in_callback: *issuer_in_callback,
    }
}

fn device(request: &DeviceFlow<Template>, values: &Values<'_>) -> DeviceFlow<String> {
    let DeviceFlow { authenticated, params } = request;
    DeviceFlow { authenticated: *authenticated, params: filled(params, values) }
}

/// Parameters of a request, without those whose placeholder has no value.
fn filled(params: &BTreeMap<String, Template>, values: &Values<'_>) -> BTreeMap<String, String> {
    let one = |(name, template): (&String, &Template)| {
        let text = template.fill(|name| values.actual.get(name).cloned()).ok()?;
        Some((name.clone(), text))
    };
    params.iter().filter_map(one).collect()
}

fn call(
    what: &'static str,
    call: &Call<Template>,
    url: Option<&Template>,
    values: &Values<'_>,
) -> Result<Call<Url>, ResolveError> {
    let Call { method, url: _, headers, json } = call;
    let url = values.optional(what, url)?;
    Ok(Call { method: *method, url, headers: headers.clone(), json: json.clone() })
}

fn probe(probe: Option<&Call<Template>>, values: &Values<'_>) -> Result<Option<Call<Url>>, ResolveError> {
    probe.map(|probe| call("the probe", probe, probe.url.as_ref(), values)).transpose()
}

fn identity(
    identity: Option<&Identity<Template>>,
    foreign: bool,
    values: &Values<'_>,
) -> Result<Option<Identity<Url>>, ResolveError> {
    let Some(Identity { from, call: asked, account }) = identity else { return Ok(None) };
    // Of a call that nothing more is said about, its absence says the same: a GET of the user-info endpoint.
    let plain = (*from == IdentitySource::Call).then(Call::user_info);
    let filled = asked.as_ref().or(plain.as_ref()).map(|asked| {
        let url = asked.url.as_ref().filter(|_| !foreign);
        call("the account", asked, url, values)
    });
    Ok(Some(Identity { from: *from, call: filled.transpose()?, account: account.clone() }))
}

fn revoke(
    revoke: &Revoke<Template>,
    foreign: bool,
    values: &Values<'_>,
) -> Result<Revoke<Url>, ResolveError> {
    let Revoke { style, url, scope, headers, success, success_path, gone_status, gone_codes, by_hand } =
        revoke;
    Ok(Revoke {
        style: *style,
        url: values.optional("revocation", url.as_ref().filter(|_| !foreign))?,
        scope: *scope,
        headers: headers.clone(),
        success: success.clone(),
        success_path: success_path.clone(),
        gone_status: gone_status.clone(),
        gone_codes: gone_codes.clone(),
        by_hand: by_hand.clone(),
    })
}

fn resolved_key(key: &Key<Template>, values: &Values<'_>) -> Result<Key<Url>, ResolveError> {
    let Key { header, scheme, pattern, password, validate } = key;
    let validate = match validate {
        Some(Validate { method, url, headers, ok, ok_path, invalid, alive, transient, account }) => {
            Some(Validate {
                method: *method,
                url: values.optional("the key's check", url.as_ref())?,
                headers: headers.clone(),
                ok: ok.clone(),
                ok_path: ok_path.clone(),
                invalid: invalid.clone(),
                alive: alive.clone(),
                transient: transient.clone(),
                account: account.clone(),
            })
        }
        None => None,
    };
    Ok(Key {
        header: header.clone(),
        scheme: scheme.clone(),
        pattern: pattern.clone(),
        password: *password,
        validate,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
