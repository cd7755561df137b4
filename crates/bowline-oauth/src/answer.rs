//! Reads what token endpoints really return.
//!
//! An answer with tokens is never dropped because of another flaw: the refresh token in it may be the only one that still
//! works. The flaw is noted as an [`AnswerFlaw`] and that part is left out.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::claims::{self, ClaimsFlaw};
use super::http::Received;
use super::limits::{Allowance, AnswerPart, Oversized};
use crate::catalog::Description;
use crate::catalog::calls::IdentitySource;
use crate::catalog::pointer::Pointer;
use crate::catalog::protocol::{ProviderAccount, TokenResponse};
use crate::catalog::publish::PublishedFrom;
use crate::catalog::scope_part;

/// The longest lifetime that is accepted: ten years.
pub(crate) const MAX_LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);

/// The type of an access token that we cannot present ([`AnswerFlaw::TokenType`]): such a token is kept and never used.
pub const UNKNOWN_TYPE: &str = "unknown";

/// The answer of a token endpoint. Its `Debug` shows neither tokens nor claims.
#[derive(Clone)]
pub struct TokenAnswer {
    /// `None` if it is too long to be kept: [`AnswerFlaw::Oversized`] says so.
    pub access_token: Option<SecretString>,
    /// A new refresh token. Without one, the old one stays (RFC 6749 §6), unless it is too long to be kept.
    pub refresh_token: Option<SecretString>,
    /// How to present the access token: `Bearer` unless the provider said otherwise.
    pub token_type: String,
    /// The lifetime of the access token, counted from before the request.
    pub lifetime: Lifetime,
    pub refresh_expires_in: Option<Duration>,
    /// When the consent ends, if the answer says so.
    pub consent_ends_at: Option<Timestamp>,
    /// What was granted. `None`: what was requested (RFC 6749 §5.1).
    pub scopes: Option<Vec<String>>,
    /// Claims of the id token that we keep, as text.
    pub claims: BTreeMap<String, String>,
    /// The account, if the answer itself names it.
    pub account: Option<ProviderAccount>,
    /// Further parts to publish.
    pub extras: BTreeMap<String, String>,
    pub flaws: Vec<AnswerFlaw>,
}

impl fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenAnswer")
            .field("refresh_token", &self.refresh_token.is_some())
            .field("lifetime", &self.lifetime)
            .field("refresh_expires_in", &self.refresh_expires_in)
            .field("consent_ends_at", &self.consent_ends_at)
            .field("flaws", &self.flaws)
            .finish_non_exhaustive()
    }
}

/// How long an access token lives, as an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// So long.
    Told(Duration),
    /// `expires_in` is 0, which some servers write for a token that never expires, and others for a lifetime that they do not
    /// know. The description's lifetime, if it has one.
    Zero(Option<Duration>),
    /// The answer does not say. The description's lifetime, if it has one.
    Untold(Option<Duration>),
}

impl Lifetime {
    fn of(expires_in: Option<Duration>, assumed: Option<Duration>) -> Self {
        match expires_in {
            Some(Duration::ZERO) => Self::Zero(assumed),
            Some(told) => Self::Told(told),
            None => Self::Untold(assumed),
        }
    }

    /// The lifetime that counts. `before` is that of the access token before it; `refreshable` says whether there is a refresh
    /// token. `None` is unknown, and never follows a lifetime that was known: a token that nobody refreshes is worse than one
    /// that is refreshed too often.
    pub fn counted(self, refreshable: bool, before: Option<Duration>) -> Option<Duration> {
        match self {
            Self::Told(lifetime) => Some(lifetime),
            Self::Zero(_) if !refreshable => None,
            Self::Zero(assumed) | Self::Untold(assumed) => assumed.or(before),
        }
    }
}

/// A flaw of an answer that is kept anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFlaw {
    /// Negative, longer than [`MAX_LIFETIME`] or no number: counts as unknown.
    #[error("the lifetime of the access token makes no sense")]
    Lifetime,
    /// The same for the refresh token's lifetime.
    #[error("the lifetime of the refresh token makes no sense")]
    RefreshLifetime,
    /// The access token is of a type that we cannot present: it must not be used (RFC 6749 §7.1).
    #[error("the access token is of an unknown type")]
    TokenType,
    /// The id token is not valid; no claim is kept.
    #[error("the id token does not count: {0}")]
    IdToken(ClaimsFlaw),
    /// A part is larger than what is kept of it.
    #[error(transparent)]
    Oversized(#[from] Oversized),
}

impl TokenAnswer {
    /// What is too large to be kept, if nothing works for long without it.
    pub fn oversized_token(&self) -> Option<Oversized> {
        self.oversized().find(|oversized| oversized.part.is_token())
    }

    /// What is too large to be kept, if a new grant cannot be judged or used without it.
    pub fn oversized_for_a_grant(&self) -> Option<Oversized> {
        self.oversized_token().or_else(|| self.oversized().find(|it| it.part == AnswerPart::AccountId))
    }

    /// Leaves out what a description reads as a value or as the account, and is a token.
    fn hide_tokens(&mut self, root: &Value, paths: &TokenResponse) {
        let tokens = [Some(&paths.access_token), paths.refresh_token.as_ref(), paths.id_token.as_ref()];
        let tokens = tokens.map(|path| text(root, path));
        // A short one may stand in a text by chance.
        let holds = |text: &str, token: &str| text == token || token.len() >= 16 && text.contains(token);
        let is_token = |text: &str| tokens.iter().flatten().any(|token| holds(text, token));
        self.extras.retain(|_, value| !is_token(value));
        let shows = |account: &ProviderAccount| {
            let texts = [Some(&account.id), account.name.as_ref(), account.email.as_ref()];
            texts.into_iter().flatten().any(|text| is_token(text))
        };
        self.account = self.account.take().filter(|account| !shows(account));
    }

    fn oversized(&self) -> impl Iterator<Item = Oversized> {
        self.flaws.iter().filter_map(|flaw| match flaw {
            AnswerFlaw::Oversized(oversized) => Some(*oversized),
            _ => None,
        })
    }
}

/// A body, read as far as possible.
pub(crate) enum Document {
    /// A JSON object or array, or a form as an object of texts.
    Data(Value),
    /// A page for people: a proxy, a firewall, a sign-in.
    Html,
    /// Nothing.
    Empty,
    /// Text, binary, or JSON that breaks off.
    Unreadable,
}

impl Document {
    /// Reads a body by its content first and its content type second: providers get both wrong.
    pub(crate) fn read(received: &Received) -> Self {
        let Ok(text) = std::str::from_utf8(&received.body) else { return Self::Unreadable };
        let text = text.trim_start_matches('\u{feff}').trim();
        let labelled = |kind: &str| {
            let label =
                received.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
            label.is_some_and(|label| label.to_ascii_lowercase().starts_with(kind))
        };
        match text.as_bytes().first() {
            None => Self::Empty,
            Some(b'{' | b'[') => serde_json::from_str(text).map_or(Self::Unreadable, Self::Data),
            Some(b'<') => Self::Html,
            Some(_) if labelled("text/html") => Self::Html,
            Some(_) if text.contains('=') && !text.contains(char::is_whitespace) => Self::Data(form(text)),
            Some(_) => Self::Unreadable,
        }
    }

    pub(crate) fn data(&self) -> Option<&Value> {
        match self {
            Self::Data(value) => Some(value),
            _ => None,
        }
    }
}

fn form(text: &str) -> Value {
    let mut fields = serde_json::Map::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        fields.entry(name.into_owned()).or_insert_with(|| value.into_owned().into());
    }
    Value::Object(fields)
}

/// Reads a token answer that is no error. `None`: there is no access token in it. With a `nonce`, an id token counts only
/// if it holds the same.
pub(crate) fn read(
    document: &Value,
    description: &Description,
    client_id: &str,
    nonce: Option<&str>,
    now: Timestamp,
) -> Option<TokenAnswer> {
    let paths = &description.token_response;
    let (root, access_token) = access_token(document, paths)?;
    let text = |path: &Option<Pointer>| text(root, path.as_ref());
    let (mut flaws, mut allowance) = (Vec::new(), Allowance::default());
    let access_token = allowance.keep(AnswerPart::AccessToken, access_token).map(SecretString::from);
    let refresh_token = text(&paths.refresh_token);
    let refresh_token = refresh_token.and_then(|token| allowance.keep(AnswerPart::RefreshToken, token));
    let claims = text(&paths.id_token).map(|token| claims::read(token, description, client_id, nonce, now));
    let claims = claims.transpose().inspect_err(|flaw| flaws.push(AnswerFlaw::IdToken(*flaw)));
    let claims = claims.ok().flatten().unwrap_or_default();
    let account = account(document, &claims, description, client_id);
    let account = account.map_err(|oversized| allowance.note(oversized)).ok().flatten();
    let (expires_in, refresh_expires_in) = lifetimes(root, paths, now, &mut flaws);
    let needs_proof = needs_proof(text(&paths.token_type));
    flaws.extend(needs_proof.then_some(AnswerFlaw::TokenType));
    let mut answer = TokenAnswer {
        refresh_token: refresh_token.map(SecretString::from),
        access_token,
        token_type: if needs_proof { UNKNOWN_TYPE } else { "Bearer" }.to_owned(),
        lifetime: Lifetime::of(expires_in, description.grant.assumed_lifetime()),
        refresh_expires_in,
        consent_ends_at: paths.consent_ends.as_ref().and_then(|path| instant(&path.text(root)?)),
        scopes: granted_scopes(root, description, &mut allowance),
        account,
        claims: kept_claims(claims, &mut allowance),
        extras: extras(description, PublishedFrom::Answer, document, &mut allowance),
        flaws,
    };
    answer.hide_tokens(root, paths);
    answer.flaws.extend(allowance.into_oversized().into_iter().map(AnswerFlaw::Oversized));
    Some(answer)
}

/// A text that is not empty.
fn text<'a>(root: &'a Value, path: Option<&Pointer>) -> Option<&'a str> {
    path?.get(root)?.as_str().filter(|text| !text.is_empty())
}

fn granted_scopes(root: &Value, description: &Description, allowance: &mut Allowance) -> Option<Vec<String>> {
    let (paths, rules) = (&description.token_response, &description.scopes);
    if !rules.parts.is_empty() {
        let named = Value::from(scope_part::granted(&rules.parts, root)?);
        return allowance.scopes(&named, "", |scope| rules.required.iter().any(|required| required == scope));
    }
    let listed = paths.scope.as_ref()?.get(root)?;
    let required: HashSet<_> = rules.required.iter().map(|scope| rules.comparable(scope)).collect();
    allowance.scopes(listed, &paths.scope_separators, |scope| required.contains(&rules.comparable(scope)))
}

fn kept_claims(claims: BTreeMap<String, String>, allowance: &mut Allowance) -> BTreeMap<String, String> {
    let mut claims = claims;
    claims.retain(|_, value| allowance.keep(AnswerPart::Claim, value).is_some());
    claims
}

/// Values to publish that a document has. One that is too long is left out.
fn extras(
    description: &Description,
    from: PublishedFrom,
    document: &Value,
    allowance: &mut Allowance,
) -> BTreeMap<String, String> {
    let found = description.published_from(from).filter_map(|(key, path)| {
        let value = path.text(document).filter(|value| allowance.keep(AnswerPart::Extra, value).is_some());
        value.map(|value| (key.to_owned(), value))
    });
    let known = description.publish_text.iter().filter(|_| from == PublishedFrom::Answer);
    found.chain(known.map(|(key, text)| (key.clone(), text.clone()))).collect()
}

/// Values to publish that a callback's parameters have.
pub fn extras_of_callback(
    description: &Description,
    parameters: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let document = claims::document(parameters);
    extras(description, PublishedFrom::Callback, &document, &mut Allowance::default())
}

/// Values to publish that the answer to a call has.
pub(crate) fn extras_of_call(
    description: &Description,
    from: PublishedFrom,
    document: &Value,
) -> BTreeMap<String, String> {
    extras(description, from, document, &mut Allowance::default())
}

/// The first object that holds an access token, and the token.
fn access_token<'a>(document: &'a Value, paths: &TokenResponse) -> Option<(&'a Value, &'a str)> {
    let token = |root: &'a Value| paths.access_token.get(root)?.as_str().filter(|token| !token.is_empty());
    let with_token = |root: &'a Value| token(root).map(|token| (root, token));
    if paths.roots.is_empty() {
        return with_token(document);
    }
    paths.roots.iter().filter_map(|path| path.get(document)).find_map(with_token)
}

/// Whether presenting the token takes a key that we do not have (RFC 9449, and the drafts of HTTP MAC), or it is no access token
/// at all (`N_A`, RFC 8693 §2.2.1). Whatever else a server
/// writes there is a bearer token: many write their own word.
fn needs_proof(token_type: Option<&str>) -> bool {
    token_type
        .is_some_and(|given| ["dpop", "mac", "n_a"].iter().any(|known| given.eq_ignore_ascii_case(known)))
}

/// A time as text: RFC 3339, or seconds or milliseconds since 1970.
fn instant(text: &str) -> Option<Timestamp> {
    /// Beyond this it is in milliseconds.
    const MILLISECONDS: i64 = 100_000_000_000;
    match text.parse::<i64>() {
        Ok(number) if number > MILLISECONDS => Timestamp::from_second(number / 1000).ok(),
        Ok(number) => Timestamp::from_second(number).ok(),
        Err(_) => text.parse::<Timestamp>().and_then(|time| Timestamp::from_second(time.as_second())).ok(),
    }
}

/// Seconds as number or text, with or without a fraction.
pub(crate) fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// Of the access and the refresh token.
fn lifetimes(
    root: &Value,
    paths: &TokenResponse,
    now: Timestamp,
    flaws: &mut Vec<AnswerFlaw>,
) -> (Option<Duration>, Option<Duration>) {
    let mut read = |path: &Option<Pointer>, read: &dyn Fn(&Value) -> Result<Option<Duration>, ()>, flaw| {
        let found = path.as_ref()?.get(root)?;
        read(found).inspect_err(|()| flaws.push(flaw)).ok().flatten()
    };
    let told = read(&paths.expires_in, &lifetime, AnswerFlaw::Lifetime);
    let until = |found: &Value| remaining(found, now).map(Some).ok_or(());
    (
        told.or_else(|| read(&paths.expires_at, &until, AnswerFlaw::Lifetime)),
        read(&paths.refresh_expires_in, &lifetime, AnswerFlaw::RefreshLifetime),
    )
}

/// How long it is until a time that an answer states.
fn remaining(value: &Value, now: Timestamp) -> Option<Duration> {
    let until: Timestamp = value.as_str()?.parse().ok()?;
    let left = Duration::try_from(until.duration_since(now)).ok()?;
    (left <= MAX_LIFETIME).then(|| Duration::from_secs(left.as_secs()))
}

/// Whole seconds. An empty text is absent.
fn lifetime(value: &Value) -> Result<Option<Duration>, ()> {
    if value.as_str().is_some_and(|text| text.trim().is_empty()) {
        return Ok(None);
    }
    let lifetime = seconds(value).filter(|lifetime| *lifetime <= MAX_LIFETIME);
    lifetime.map(|lifetime| Some(Duration::from_secs(lifetime.as_secs()))).ok_or(())
}

fn account(
    document: &Value,
    claims: &BTreeMap<String, String>,
    description: &Description,
    client_id: &str,
) -> Result<Option<ProviderAccount>, Oversized> {
    let Some(identity) = description.identity.as_ref() else { return Ok(None) };
    // What stands behind a call counts only if that names nobody.
    let at_once = identity.from.iter().take_while(|source| **source != IdentitySource::Call);
    for source in at_once {
        let found = match source {
            IdentitySource::TokenResponse => identity.account.read(document)?,
            IdentitySource::IdToken => identity.account.read(&claims::document(claims))?,
            IdentitySource::App => identity.account.read(&json!({ "client_id": client_id }))?,
            IdentitySource::Call => None,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;
    use crate::fixtures::{description, pointer};
    use crate::limits;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn token(document: &Value) -> TokenAnswer {
        read(document, &description(), "client", None, NOW).unwrap()
    }

    fn received(kind: &str, body: &[u8]) -> Received {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_str(kind).unwrap());
        Received { status: StatusCode::OK, headers, body: body.to_vec() }
    }

    #[test]
    fn a_body_is_read_by_its_look_whatever_its_label() {
        let rows: [(&str, &[u8], &str); 14] = [
            ("application/json", b"{\"a\":1}", "Data"),
            ("text/html", b"{\"a\":1}", "Data"),
            ("text/plain", b"\xef\xbb\xbf {\"a\":1}", "Data"),
            ("application/json", b"[{\"a\":1}]", "Data"),
            ("application/json", b"access_token=x&scope=a%2Cb", "Data"),
            ("application/x-www-form-urlencoded", b"access_token=x", "Data"),
            ("application/json", b"<!doctype html><p>Blocked", "Html"),
            ("text/html; charset=utf-8", b"Access denied", "Html"),
            ("text/html", b"", "Empty"),
            ("application/json", b" \n", "Empty"),
            ("application/json", b"{\"access_token\":\"ab", "Unreadable"),
            ("text/plain", b"invalid token", "Unreadable"),
            ("application/json", b"\"text\"", "Unreadable"),
            ("application/json", b"\xff\xfe\x00", "Unreadable"),
        ];
        for (kind, body, want) in rows {
            let read = match Document::read(&received(kind, body)) {
                Document::Data(_) => "Data",
                Document::Html => "Html",
                Document::Empty => "Empty",
                Document::Unreadable => "Unreadable",
            };
            assert_eq!(read, want, "{kind} {body:?}");
        }
    }

    #[test]
    fn a_token_is_no_value_to_publish_and_no_account() {
        let (refresh, access) = ("refresh-token-0123456789", "access-token-0123456789");
        let document = json!({
            "access_token": access, "refresh_token": refresh, "copy": format!("t={refresh}"), "site": "eu7",
            "user": access,
        });
        let mut description = description();
        description.core.publish = [
            ("again".to_owned(), pointer("/answer/refresh_token")),
            ("copy".to_owned(), pointer("/answer/copy")),
            ("site".to_owned(), pointer("/answer/site")),
        ]
        .into();
        let answer = read(&document, &description, "client", None, NOW).unwrap();
        assert_eq!(answer.extras, [("site".to_owned(), "eu7".to_owned())].into());
        let identity = json!({"from": ["TokenResponse"], "account": {"id": ["/user"]}});
        description.core.identity = Some(serde_json::from_value(identity).unwrap());
        assert_eq!(read(&document, &description, "client", None, NOW).unwrap().account, None);
    }

    #[test]
    fn a_form_answer_is_read_like_json() {
        let body =
            b"access_token=at%2B1&expires_in=28800&scope=repo%2Cuser&refresh_token=rt&token_type=bearer";
        let document = Document::read(&received("application/x-www-form-urlencoded", body));
        let answer = token(document.data().unwrap());
        assert_eq!(answer.access_token.unwrap().expose_secret(), "at+1");
        assert_eq!(answer.refresh_token.unwrap().expose_secret(), "rt");
        assert_eq!(answer.lifetime, Lifetime::Told(Duration::from_hours(8)));
        assert_eq!(answer.scopes.unwrap(), ["repo", "user"]);
        assert_eq!(answer.token_type, "Bearer");
    }

    #[test]
    fn a_lifetime_is_a_number_however_it_is_written() {
        let (hour, none) = (Lifetime::Told(Duration::from_hours(1)), Lifetime::Untold(None));
        let rows = [
            (json!(3600), hour, false),
            (json!("3600"), hour, false),
            (json!(" 3600 "), hour, false),
            (json!(3600.0), hour, false),
            (json!("3600.9"), hour, false),
            (json!(0), Lifetime::Zero(None), false),
            (json!(null), none, false),
            (json!(""), none, false),
            (json!(-1), none, true),
            (json!("-1"), none, true),
            (json!(1e300), none, true),
            (json!("NaN"), none, true),
            (json!("inf"), none, true),
            (json!(1_795_233_870), none, true),
            (json!("2026-11-21T04:00:00Z"), none, true),
            (json!(true), none, true),
            (json!({}), none, true),
        ];
        for (value, want, flawed) in rows {
            let answer = token(&json!({"access_token": "at", "expires_in": value}));
            assert_eq!(answer.lifetime, want, "{value}");
            assert_eq!(answer.flaws.contains(&AnswerFlaw::Lifetime), flawed, "{value}");
        }
        assert_eq!(token(&json!({"access_token": "at"})).lifetime, none);
    }

    #[test]
    fn a_lifetime_that_the_answer_does_not_say_is_the_descriptions_or_the_one_before() {
        let (assumed, before) = (Some(Duration::from_mins(15)), Some(Duration::from_hours(1)));
        let rows = [
            (Lifetime::Told(Duration::from_secs(9)), true, Some(Duration::from_secs(9))),
            (Lifetime::Untold(assumed), true, assumed),
            (Lifetime::Untold(assumed), false, assumed),
            (Lifetime::Untold(None), true, before),
            (Lifetime::Zero(assumed), true, assumed),
            (Lifetime::Zero(None), true, before),
            (Lifetime::Zero(assumed), false, None),
        ];
        for (lifetime, refreshable, counted) in rows {
            assert_eq!(lifetime.counted(refreshable, before), counted, "{lifetime:?} {refreshable}");
        }
        let mut sessions = description();
        sessions.core.grant.access_lifetime = Some("15m".parse().unwrap());
        let answer = read(&json!({"access_token": "at"}), &sessions, "client", None, NOW).unwrap();
        assert_eq!(answer.lifetime, Lifetime::Untold(assumed));
    }

    #[test]
    fn a_rotated_refresh_token_survives_every_flaw() {
        let answer = token(&json!({
            "access_token": "at", "refresh_token": "rt", "expires_in": -5, "refresh_token_expires_in": "x",
            "token_type": "DPoP", "id_token": "garbage",
        }));
        assert_eq!(answer.refresh_token.unwrap().expose_secret(), "rt");
        assert_eq!(answer.flaws.len(), 4, "{:?}", answer.flaws);
    }

    #[test]
    fn class_12_an_answer_with_very_many_scopes_is_cut_at_once_and_keeps_its_tokens() {
        let listed: Vec<String> = (0..255_000).map(|number| format!("{number:x}")).collect();
        let answer = token(&json!({"access_token": "at", "refresh_token": "rt", "scope": listed.join(" ")}));
        assert_eq!(answer.scopes.unwrap().len(), limits::MAX_SCOPES);
        assert_eq!(answer.refresh_token.unwrap().expose_secret(), "rt");
        let [AnswerFlaw::Oversized(flaw)] = answer.flaws[..] else { unreachable!("{:?}", answer.flaws) };
        assert_eq!((flaw.part, flaw.size), (AnswerPart::Scopes, 255_000));
    }

    #[test]
    fn class_12_a_token_that_is_too_long_is_left_out_and_the_other_is_kept() {
        let long = "t".repeat(480 * 1024);
        let answer = token(&json!({"access_token": long, "refresh_token": "rt"}));
        assert!(answer.access_token.is_none());
        assert_eq!(answer.oversized_token().unwrap().size, 480 * 1024);
        assert_eq!(answer.refresh_token.unwrap().expose_secret(), "rt");
        let answer = token(&json!({"access_token": "at", "refresh_token": long}));
        assert!(answer.access_token.is_some() && answer.refresh_token.is_none());
        assert_eq!(answer.oversized_token().unwrap().part, AnswerPart::RefreshToken);
    }

    #[test]
    fn class_12_what_is_published_beside_the_token_is_bounded_too() {
        let mut talkative = description();
        let paths =
            (0..50).map(|number| (format!("key{number:02}"), pointer(&format!("/answer/extra{number}"))));
        talkative.core.publish = paths.collect();
        let extras = (0..50).map(|number| (format!("extra{number}"), json!("x".repeat(10_000))));
        let mut document = json!({"access_token": "at", "refresh_token": "rt"});
        document.as_object_mut().unwrap().extend(extras);
        let answer = read(&document, &talkative, "client", None, NOW).unwrap();
        let kept: usize = answer.extras.values().map(String::len).sum();
        assert!((50_000..=65_536).contains(&kept) && answer.oversized_token().is_none(), "{kept}");
    }

    #[test]
    fn no_or_empty_refresh_token_is_none() {
        for value in [json!(null), json!(""), json!(7)] {
            assert!(token(&json!({"access_token": "at", "refresh_token": value})).refresh_token.is_none());
        }
    }

    #[test]
    fn every_token_is_a_bearer_token_but_those_that_need_a_proof() {
        for given in
            [json!(null), json!("bearer"), json!("BEARER"), json!(""), json!("bot"), json!("access_token")]
        {
            let answer = token(&json!({"access_token": "at", "token_type": given}));
            assert_eq!((answer.token_type.as_str(), answer.flaws.len()), ("Bearer", 0), "{given}");
        }
        for given in ["DPoP", "dpop", "MAC"] {
            let answer = token(&json!({"access_token": "at", "token_type": given}));
            assert_eq!(
                (answer.token_type.as_str(), &answer.flaws[..]),
                (UNKNOWN_TYPE, &[AnswerFlaw::TokenType][..])
            );
        }
    }

    #[test]
    fn scopes_come_as_text_with_either_separator_or_as_list() {
        let rows = [
            (json!("a b"), vec!["a", "b"]),
            (json!("a,b"), vec!["a", "b"]),
            (json!("a, b  a"), vec!["a", "b"]),
            (json!(["a", "b", 3]), vec!["a", "b"]),
            (json!(""), vec![]),
        ];
        for (value, want) in rows {
            assert_eq!(token(&json!({"access_token": "at", "scope": value})).scopes.unwrap(), want);
        }
        assert_eq!(token(&json!({"access_token": "at"})).scopes, None);
    }

    #[test]
    fn a_token_is_found_at_the_first_root_that_has_one() {
        let mut slack = description();
        slack.core.token_response.roots = vec![pointer("/authed_user"), pointer("")];
        slack.core.publish = [("team".to_owned(), pointer("/answer/team/id"))].into();
        let nested = json!({"ok": true, "access_token": "bot", "team": {"id": "T1"},
            "authed_user": {"access_token": "user", "expires_in": 60}});
        let answer = read(&nested, &slack, "client", None, NOW).unwrap();
        assert_eq!(answer.access_token.unwrap().expose_secret(), "user");
        assert_eq!(answer.lifetime, Lifetime::Told(Duration::from_mins(1)));
        assert_eq!(answer.extras["team"], "T1");
        let top = read(&json!({"access_token": "top"}), &slack, "client", None, NOW).unwrap();
        assert_eq!(top.access_token.unwrap().expose_secret(), "top");
    }

    #[test]
    fn an_answer_without_a_usable_access_token_is_none() {
        for document in [json!({}), json!([]), json!({"access_token": ""}), json!({"access_token": 7})] {
            assert!(read(&document, &description(), "client", None, NOW).is_none(), "{document}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_the_reader_panic_or_show_it(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let document = Document::read(&received("application/json", &body));
            if let Some(data) = document.data() {
                let _ = read(data, &description(), "client", None, NOW);
            }
        }

        #[test]
        fn no_lifetime_makes_the_reader_panic_or_exceeds_the_limit(number in any::<f64>(), text in "\\PC{0,20}") {
            for value in [json!(number), json!(text), json!(number.to_string())] {
                let answer = token(&json!({"access_token": "at", "expires_in": value}));
                prop_assert!(answer.lifetime.counted(true, None).is_none_or(|lifetime| lifetime <= MAX_LIFETIME));
            }
        }

        #[test]
        fn a_debug_form_never_shows_a_token(secret in "[A-Za-z0-9]{12,40}") {
            let answer = token(&json!({"access_token": secret, "refresh_token": secret, "token_type": secret,
                "scope": secret, "id_token": secret}));
            let shown = format!("{answer:?}{answer:#?}");
            prop_assert!(!shown.contains(&secret));
        }
    }
}
