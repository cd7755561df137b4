//! Link sessions: a provider of bank data has no authorization endpoint. The operator opens a session there with the app
//! registration, the person links an account on the provider's page, and the operator fetches what came of it.
//!
//! Everything goes to one address. What is sent there, and what is taken from the answers, is data: [`SessionCall`].

use std::collections::{BTreeMap, BTreeSet};

use bowline_api::duration::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::calls::Verb;
use super::errors::Class;
use super::pointer::{Pointer, Pointers};
use super::template::{PlaceholderError, Template};

/// How an account is linked, checked, repaired and unlinked, for the method `LinkSession`.
///
/// Texts have placeholders: parameters of the entry, what earlier calls took, and what the calls begin with.
/// `{client_id}` and `{client_secret}` are always there. `begin` has `{state}`, `{redirect_uri}`, `{return_to}` (the redirect
/// URI with the state), `{scopes}`, `{connection}` (an id of the connection) and `{attempt}` (one of this attempt); `repair` has these and what a grant has;
/// `finish` and `finishRepair` have what `begin` or `repair` had and took. A grant has `{access_token}`, `{account_id}` and, if
/// something was taken as such, `{refresh_token}`; `refresh` has `{scopes}` besides.
///
/// The values at the end of `finish`, `finishRepair` and `refresh` are the token answer: `tokenResponse`, `identity` and
/// `publish` read it like the JSON of a token endpoint, with the names as fields.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schemars(bound = "U: Default + JsonSchema")]
pub struct LinkSession<U> {
    /// Address of the API: all calls go to paths below it.
    pub(crate) url: U,
    /// The page to which the person is sent. Absent means that `begin` and `repair` take the `page` from an answer.
    pub(crate) page: U,
    /// What follows the address of the page.
    pub(crate) page_path: String,
    /// The same for a repair.
    pub(crate) repair_path: String,
    /// Parameters of that page. One whose placeholder has no value is left out.
    pub(crate) page_params: BTreeMap<String, String>,
    /// Headers of all calls besides Accept and User-Agent.
    pub(crate) headers: BTreeMap<String, String>,
    /// How calls are signed, if the app Secret has a private key. Absent means that they are not.
    pub(crate) signature: Option<RequestSignature>,
    /// Opens a session.
    pub(crate) begin: Vec<SessionCall>,
    /// Fetches what came of it, when the person is back.
    pub(crate) finish: Vec<SessionCall>,
    /// Parameters of the callback that have to be there, name → the value at the end that each has to equal. Only the browser
    /// in which somebody linked the account knows them, so that nobody else ends the session.
    pub(crate) callback: BTreeMap<String, String>,
    /// Opens a session that repairs the grant in use: the account stays the same one. Empty means that `begin` does that.
    pub(crate) repair: Vec<SessionCall>,
    /// Fetches what came of a repair. Empty means that `finish` does that.
    pub(crate) finish_repair: Vec<SessionCall>,
    /// Gets another access token, with `{refresh_token}`. Empty means that the access token lasts as long as the grant.
    pub(crate) refresh: Vec<SessionCall>,
    /// Checks the access token in use, and what it stands for.
    pub(crate) check: Vec<SessionCall>,
    /// Withdraws the grant, for `revoke.style` `LinkSession`.
    pub(crate) revoke: Vec<SessionCall>,
}

/// A signature of the whole request: RSA PKCS #1 v1.5 with SHA-256, in base64, with the key `private_key` of the app Secret.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RequestSignature {
    /// Name of the header that carries it.
    pub(crate) header: String,
    /// Name of the header that says until when it counts, in seconds since 1970.
    pub(crate) expires_header: String,
    /// How long it counts. Absent means one minute.
    pub(crate) lifetime: Option<Duration>,
    /// The text that is signed: `{expires}` is that time, `{method}` the HTTP method, `{url}` the address with its query, and
    /// `{body}` the body.
    pub(crate) signs: String,
}

/// One call of a session.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SessionCall {
    /// HTTP method. Absent means GET.
    pub(crate) method: Verb,
    /// Path and query below the session's address. A value that fills a placeholder is one segment or one value. Absent means
    /// that the description is refused.
    pub(crate) path: String,
    /// Further headers. Absent means none.
    pub(crate) headers: BTreeMap<String, String>,
    /// Name of the value that goes along as bearer token (RFC 6750 §2.1). Absent means none.
    pub(crate) bearer: Option<String>,
    /// JSON to send. A field whose placeholder has no value is left out, and so is what is empty for that; a placeholder that
    /// stands alone in a list is replaced by each word of its value. Absent means none.
    pub(crate) json: Option<Value>,
    /// Form to send. A field whose placeholder has no value is left out. Absent means none.
    pub(crate) form: BTreeMap<String, String>,
    /// The list in the answer that has what is taken; `*` stands for every item of a list on the way. Everything is taken from
    /// one item: the first that is not refused and has all that is to be taken. Absent means that the answer is no list.
    pub(crate) items: Option<Pointer>,
    /// What is taken from the answer or item, name → where it is. If it is not there, the call has failed. Absent means nothing.
    pub(crate) take: BTreeMap<String, Pointers>,
    /// What is taken if it is there. Absent means nothing.
    pub(crate) take_if_there: BTreeMap<String, Pointers>,
    /// What it means if a value to take, or any item, is not there. Absent means that the answer is not understood.
    pub(crate) without: Option<Class>,
    /// Values in a successful answer that say that it is none. Absent means none.
    pub(crate) refusals: Vec<SessionRefusal>,
    /// Whether it may fail, because the values that count are there already. Absent means no.
    pub(crate) may_fail: bool,
    /// Whether it is about the app registration alone, so that a refusal says nothing about a grant. Absent means no.
    pub(crate) client: bool,
}

/// A value in an answer or item that says that something is wrong.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionRefusal {
    /// Where.
    pub(crate) at: Pointers,
    /// The value, as text.
    pub(crate) is: String,
    /// What it means.
    pub(crate) class: Class,
}

/// What a session cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SessionFlaw {
    #[error("the method LinkSession needs linkSession.url, begin and finish")]
    Absent,
    #[error("linkSession.{0}: {{{1}}} has no value there")]
    UnknownPlaceholder(&'static str, String),
    #[error("linkSession.{0}: {1}")]
    BadTemplate(&'static str, PlaceholderError),
    #[error("linkSession.{0}: a path begins with / and stays below the address")]
    BadPath(&'static str),
    #[error("linkSession.{0}: json and form exclude each other, and go with POST")]
    BadBody(&'static str),
    #[error("linkSession.{0} is of use with linkSession.{1} alone")]
    Useless(&'static str, &'static str),
    #[error("linkSession.{0} takes no page, and linkSession.page is absent")]
    NoPage(&'static str),
    #[error(
        "linkSession.signature.signs needs {{expires}}, {{method}}, {{url}} and {{body}}, and nothing else"
    )]
    BadSigned,
    #[error("revoke.style LinkSession needs linkSession.revoke")]
    NoRevocation,
}

/// What is there from the beginning of calls.
const APP: [&str; 2] = ["client_id", "client_secret"];
const REQUEST: [&str; 6] = ["state", "redirect_uri", "return_to", "scopes", "connection", "attempt"];
const GRANT: [&str; 3] = ["access_token", "refresh_token", "account_id"];
/// What no browser is told.
const SECRETS: [&str; 3] = ["client_secret", "access_token", "refresh_token"];

impl<U> LinkSession<U> {
    /// Calls that follow each other, with a name for people.
    fn courses(&self) -> [(&'static str, &[SessionCall], &[&str]); 5] {
        [
            ("begin", &self.begin, &REQUEST),
            ("repair", &self.repair, &REQUEST),
            ("refresh", &self.refresh, &["scopes"]),
            ("check", &self.check, &[]),
            ("revoke", &self.revoke, &[]),
        ]
    }

    /// All calls, by the field that has them.
    pub(crate) fn named_calls(&self) -> [(&'static str, &[SessionCall]); 7] {
        [
            ("begin", &self.begin),
            ("finish", &self.finish),
            ("repair", &self.repair),
            ("finishRepair", &self.finish_repair),
            ("refresh", &self.refresh),
            ("check", &self.check),
            ("revoke", &self.revoke),
        ]
    }

    /// All calls.
    pub(super) fn calls(&self) -> impl Iterator<Item = &SessionCall> {
        self.named_calls().into_iter().flat_map(|(_, calls)| calls)
    }

    /// Names of the placeholders in all texts.
    pub(super) fn placeholders(&self) -> BTreeSet<String> {
        let calls = self.calls().flat_map(SessionCall::texts);
        let own = self.headers.values().chain(self.page_params.values()).cloned();
        calls.chain(own).flat_map(|text| names(&text)).collect()
    }

    /// Refuses what could not be carried out, whatever the provider answers. `fills` says which parameters there are.
    pub(super) fn check(&self, has_page: bool, fills: impl Fn(&str) -> bool) -> Result<(), SessionFlaw> {
        if self.begin.is_empty() || self.finish.is_empty() {
            return Err(SessionFlaw::Absent);
        }
        if self.signature.as_ref().is_some_and(|signature| !signature.is_sound()) {
            return Err(SessionFlaw::BadSigned);
        }
        self.check_use(has_page)?;
        for (name, calls, given) in self.courses() {
            let mut known: BTreeSet<&str> = APP.into_iter().chain(given.iter().copied()).collect();
            if name != "begin" {
                known.extend(GRANT);
            }
            for text in self.headers.values() {
                check_text(name, text, &|placeholder| fills(placeholder) || known.contains(placeholder))?;
            }
            follow(name, calls, &mut known, &fills)?;
            if ["begin", "repair"].contains(&name) && !calls.is_empty() {
                if !has_page && !known.contains("page") {
                    return Err(SessionFlaw::NoPage(name));
                }
                self.check_opened(name == "repair", known, &fills)?;
            }
        }
        Ok(())
    }

    /// Refuses what nothing would read.
    fn check_use(&self, has_page: bool) -> Result<(), SessionFlaw> {
        let useless = [
            ("pagePath", "page", !has_page && !self.page_path.is_empty()),
            ("repairPath", "page", !has_page && !self.repair_path.is_empty()),
            ("pageParams", "page", !has_page && !self.page_params.is_empty()),
            ("repairPath", "repair", self.repair.is_empty() && !self.repair_path.is_empty()),
            ("finishRepair", "repair", self.repair.is_empty() && !self.finish_repair.is_empty()),
        ];
        let found = useless.into_iter().find(|(.., is_useless)| *is_useless);
        found.map_or(Ok(()), |(name, with, _)| Err(SessionFlaw::Useless(name, with)))
    }

    /// Checks what follows when a session is open, with the values that are known then.
    fn check_opened<'a>(
        &'a self,
        repairs: bool,
        mut known: BTreeSet<&'a str>,
        fills: &impl Fn(&str) -> bool,
    ) -> Result<(), SessionFlaw> {
        for text in self.page_params.values() {
            // One that has no value here is left out.
            let has = |name: &str| fills(name) || known.contains(name) || self.opens_with(name);
            check_text("pageParams", text, &|name| has(name) && !SECRETS.contains(&name))?;
        }
        let (name, finish) = self.following(repairs);
        follow(name, finish, &mut known, fills)?;
        let unknown = self.callback.values().find(|value| !known.contains(value.as_str()));
        unknown.map_or(Ok(()), |value| Err(SessionFlaw::UnknownPlaceholder("callback", value.clone())))
    }

    /// Whether a call that opens a session takes this value.
    fn opens_with(&self, name: &str) -> bool {
        let takes =
            |call: &SessionCall| call.take.contains_key(name) || call.take_if_there.contains_key(name);
        self.begin.iter().chain(&self.repair).any(takes)
    }

    /// Whether there are calls that get another access token.
    pub(crate) fn refreshes(&self) -> bool {
        !self.refresh.is_empty()
    }

    /// The calls that open a session.
    pub(crate) fn opening(&self, repairs: bool) -> &[SessionCall] {
        if repairs { &self.repair } else { &self.begin }
    }

    /// The calls after the person is back.
    pub(crate) fn following(&self, repairs: bool) -> (&'static str, &[SessionCall]) {
        if repairs && !self.finish_repair.is_empty() {
            ("finishRepair", &self.finish_repair)
        } else {
            ("finish", &self.finish)
        }
    }
}

impl RequestSignature {
    /// What a signature leaves out could be changed.
    fn is_sound(&self) -> bool {
        let mut found = names(&self.signs);
        found.sort();
        found == ["body", "expires", "method", "url"]
    }
}

/// Checks calls in their order: what one takes the next ones have.
fn follow<'a>(
    name: &'static str,
    calls: &'a [SessionCall],
    known: &mut BTreeSet<&'a str>,
    fills: &impl Fn(&str) -> bool,
) -> Result<(), SessionFlaw> {
    for call in calls {
        if !call.path.starts_with('/') || call.path.contains("..") || call.path.contains('#') {
            return Err(SessionFlaw::BadPath(name));
        }
        let has_body = call.json.is_some() || !call.form.is_empty();
        if call.json.is_some() && !call.form.is_empty() || has_body && call.method != Verb::Post {
            return Err(SessionFlaw::BadBody(name));
        }
        let has = |placeholder: &str| fills(placeholder) || known.contains(placeholder);
        check_text(name, &call.path, &|placeholder| has(placeholder) && placeholder != "client_secret")?;
        for text in call.texts() {
            check_text(name, &text, &has)?;
        }
        if let Some(bearer) =
            call.bearer.as_ref().filter(|it| APP.contains(&it.as_str()) || !known.contains(it.as_str()))
        {
            return Err(SessionFlaw::UnknownPlaceholder(name, bearer.clone()));
        }
        known.extend(call.take.keys().chain(call.take_if_there.keys()).map(String::as_str));
    }
    Ok(())
}

fn check_text(name: &'static str, text: &str, has: &impl Fn(&str) -> bool) -> Result<(), SessionFlaw> {
    let template =
        Template::try_from(text.to_owned()).map_err(|error| SessionFlaw::BadTemplate(name, error))?;
    let unknown = template.placeholders().find(|placeholder| !has(placeholder));
    unknown.map_or(Ok(()), |unknown| Err(SessionFlaw::UnknownPlaceholder(name, unknown.to_owned())))
}

/// The placeholders of a text, none if it is no template.
fn names(text: &str) -> Vec<String> {
    let template = Template::try_from(text.to_owned());
    template.map(|it| it.placeholders().map(str::to_owned).collect()).unwrap_or_default()
}

impl SessionCall {
    /// All texts with placeholders.
    fn texts(&self) -> Vec<String> {
        let mut texts = vec![self.path.clone()];
        texts.extend(self.headers.values().chain(self.form.values()).cloned());
        if let Some(json) = &self.json {
            collect(json, &mut texts);
        }
        texts
    }
}

fn collect(json: &Value, texts: &mut Vec<String>) {
    match json {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, texts)),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::resolve::entry_of;
    use super::*;

    /// What an overlay on `plaid` is refused with.
    fn refused(session: &Value) -> String {
        let spec =
            json!({"type": "plaid", "parameters": {"client_name": "A"}, "overlay": {"linkSession": session}});
        entry_of(&serde_json::from_value(spec).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn what_could_never_be_carried_out_is_refused_by_name() {
        for (session, part) in [
            (json!({"begin": []}), "begin and finish"),
            (json!({"finish": null}), "begin and finish"),
            (json!({"begin": [{"path": "/a", "take": {"token": "/t"}}]}), "begin takes no page"),
            (json!({"begin": [{"path": "/{nothing}", "take": {"page": "/p"}}]}), "begin: {nothing}"),
            (
                json!({"finish": [{"path": "/a", "json": {"x": ["{later}"]}, "method": "POST"}, {"path": "/b", "take": {"later": "/l"}}]}),
                "finish: {later}",
            ),
            (json!({"check": [{"path": "/{public_token}"}]}), "check: {public_token}"),
            (json!({"check": [{"path": "/a", "bearer": "nobody"}]}), "check: {nobody}"),
            (json!({"revoke": []}), "needs linkSession.revoke"),
            (json!({"check": [{"path": "a"}]}), "path begins with /"),
            (json!({"check": [{"path": "/a/../b"}]}), "path begins with /"),
            (json!({"check": [{"path": "/a", "json": {}}]}), "go with POST"),
            (
                json!({"check": [{"path": "/a", "method": "POST", "json": {}, "form": {"a": "b"}}]}),
                "exclude each other",
            ),
            (json!({"headers": {"Authorization": "x"}}), "the header Authorization"),
            (json!({"headers": {"X-Key": "{state}"}}), "{state}"),
            (json!({"check": [{"path": "/a?secret={client_secret}"}]}), "check: {client_secret}"),
            (json!({"check": [{"path": "/a", "bearer": "client_secret"}]}), "check: {client_secret}"),
            (
                json!({"page": "https://a.example.com", "pageParams": {"token": "{access_token}"}}),
                "pageParams: {access_token}",
            ),
            (
                json!({"page": "https://a.example.com", "pageParams": {"key": "{client_secret}"}}),
                "pageParams: {client_secret}",
            ),
            (json!({"pageParams": {"key": "value"}}), "pageParams is of use with linkSession.page alone"),
            (json!({"repair": []}), "finishRepair is of use with linkSession.repair alone"),
            (json!({"callback": {"item": "nothing"}}), "callback: {nothing}"),
        ] {
            let text = refused(&session);
            assert!(text.contains(part), "{session}: {text}");
        }
    }
}
