//! One family at work: which address a request is for, whether it is as documented, and what the book makes of it.

use std::collections::BTreeMap;
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::SeenRequest;
use super::answer::{Answer, Spoil};
use super::asked::{Asked, Wrong};
use super::book::{Book, Consent, Issued};
use super::consent::PkceHabit;
use super::data::{EmulatedApp, Extent, Family, Operation, Reply, Values, Violation};
use super::session::{Session, SessionStep};
use super::template::{as_text, bindings, fill};
use super::turn::Turn;

/// What changes while a family is played.
pub(super) struct Play {
    pub book: Book,
    /// Who consents.
    pub account: String,
    /// The most that is granted.
    pub narrowed: Option<Vec<String>>,
    pub refusals: Vec<(Operation, String)>,
    pub spoils: Vec<(Operation, Spoil)>,
    pub seen: Vec<SeenRequest>,
    /// Link sessions, by name.
    pub sessions: BTreeMap<String, Session>,
    /// Tokens of apps alone, with the app's client id.
    pub client_tokens: BTreeMap<String, String>,
}

/// A family and its state.
pub(super) struct Stage {
    pub data: Family,
    play: Mutex<Play>,
}

/// Removes the first of a list that is for this operation.
fn take<T>(list: &mut Vec<(Operation, T)>, operation: Operation) -> Option<T> {
    let found = list.iter().position(|(on, _)| *on == operation)?;
    Some(list.remove(found).1)
}

impl Stage {
    pub fn new(data: Family, now: i64) -> Self {
        let play = Play {
            book: Book::new(now),
            account: data.accounts.keys().next().cloned().unwrap_or_default(),
            narrowed: None,
            refusals: Vec::new(),
            spoils: Vec::new(),
            seen: Vec::new(),
            sessions: BTreeMap::new(),
            client_tokens: BTreeMap::new(),
        };
        Self { data, play: Mutex::new(play) }
    }

    pub fn lock(&self) -> MutexGuard<'_, Play> {
        self.play.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn answer(&self, asked: &Asked) -> Answer {
        let mut play = self.lock();
        let turn = self.turn(asked);
        let operation = turn.as_ref().map(|turn| turn.operation);
        let is_page = turn.as_ref().is_some_and(Turn::is_page);
        let spoil = operation.and_then(|operation| take(&mut play.spoils, operation));
        let turn = turn.map(|turn| Turn { as_other: spoil == Some(Spoil::OtherAccount), ..turn });
        let turn = turn.ok_or_else(|| Violation::Request.because("there is nothing at this address"));
        let outcome = turn.and_then(|turn| self.act(&turn, &mut play));
        play.seen.push(SeenRequest {
            operation,
            method: asked.method.to_string(),
            url: asked.url.clone(),
            headers: asked.headers.keys().map(ToString::to_string).collect(),
            fields: asked.texts().collect(),
            flaw: outcome.as_ref().err().map(ToString::to_string),
        });
        // What is wrong with the request of a browser is told on a page.
        let told = operation.filter(|_| !is_page);
        let answer = outcome.unwrap_or_else(|wrong| self.wrong(told, &wrong));
        match spoil {
            Some(spoil) => answer.spoiled(spoil),
            None => answer,
        }
    }

    /// What a request is for; `None`: there is nothing at its address.
    fn turn<'a>(&'a self, asked: &'a Asked) -> Option<Turn<'a>> {
        let address = &asked.url[url::Position::BeforeScheme..url::Position::AfterPath];
        let line = format!("{} {address}", asked.method);
        let Family { authorize, token, account, revoke, .. } = &self.data;
        let mut session = self.data.session.iter().filter(|call| call.fits(asked));
        if let Some(turn) = session.find_map(|call| Turn::of_session(call, asked, &line)) {
            return Some(turn);
        }
        let is_refresh = asked.text("grant_type") == Some("refresh_token");
        let page = authorize.iter();
        let page = page.map(|it| (&it.at, Operation::Authorize, &it.takes, [].as_slice(), None));
        let tokens = token.iter().map(|it| {
            let at = it.refresh_at.as_ref().filter(|_| is_refresh).unwrap_or(&it.at);
            let (operation, replies) = if is_refresh {
                (Operation::Refresh, &it.refresh)
            } else {
                (Operation::Exchange, &it.exchange)
            };
            (at, operation, &it.takes, replies.as_slice(), None)
        });
        let calls = account.iter();
        let calls =
            calls.map(|call| (&call.at, Operation::Account, &call.takes, call.replies.as_slice(), None));
        let revoke = revoke.iter();
        let revoke =
            revoke.map(|it| (&it.at, Operation::Revoke, &it.takes, slice::from_ref(&it.reply), Some(it)));
        let mut all = page.chain(tokens).chain(calls).chain(revoke);
        let turn = |(at, operation, takes, replies, revoke): (&String, _, _, _, _)| {
            let (bound, as_other) = (bindings(at, &line)?, false);
            Some(Turn {
                asked,
                operation,
                takes,
                replies,
                revoke,
                mint: None,
                session: None,
                bound,
                as_other,
            })
        };
        self.minting(asked, &line).or_else(|| all.find_map(turn))
    }

    fn act(&self, turn: &Turn<'_>, play: &mut Play) -> Result<Answer, Wrong> {
        turn.asked.check(turn.takes)?;
        let refusal = take(&mut play.refusals, turn.operation);
        match (turn.session, &refusal) {
            (Some(call), _) if call.does == SessionStep::Visit => {
                return self.visit(turn, call, play, refusal.as_deref());
            }
            (Some(call), None) => return self.session(turn, call, play),
            (None, Some(_)) if turn.operation == Operation::Authorize => {}
            (_, Some(name)) => return Ok(self.refusal(turn.operation, name)),
            (None, None) => {}
        }
        match turn.operation {
            Operation::Authorize => self.authorize(turn, refusal.as_deref(), play),
            Operation::Exchange => self.exchange(turn, play),
            Operation::Refresh => self.refresh(turn, play),
            Operation::Mint => self.mint(turn, play),
            Operation::Account => self.account(turn, play),
            Operation::Revoke => self.revoke(turn, play),
            Operation::Visit => Err(Violation::Request.because("there is no such page")),
        }
    }

    /// RFC 6749 §4.1.2. What is wrong with the request itself is told on a page, never by a redirect.
    fn authorize(&self, turn: &Turn<'_>, refusal: Option<&str>, play: &mut Play) -> Result<Answer, Wrong> {
        let asked = turn.asked;
        let page =
            self.data.authorize.as_ref().ok_or_else(|| Violation::Request.because("there is no page"))?;
        let app = asked.text("client_id").and_then(|id| self.data.app_of(id));
        let app = app.ok_or_else(|| Violation::Client.because("it is unknown"))?;
        if asked.text("response_type") != Some("code") {
            return Err(Violation::Request.because("response_type is not code"));
        }
        if page.pkce == PkceHabit::Refused && asked.text("code_challenge").is_some() {
            return Err(Violation::Request.because("code_challenge must not be there"));
        }
        let back = asked.text("redirect_uri").and_then(|back| Url::parse(back).ok());
        let mut back = back.ok_or_else(|| Violation::Request.because("redirect_uri is no address"))?;
        let mut values = asked.fields.clone();
        values.extend(turn.bound.clone());
        values.extend(app.values.clone());
        let further = page.values.iter().filter(|(parameter, _)| asked.text(parameter).is_some());
        values.extend(further.flat_map(|(_, more)| more.clone()).collect::<Values>());
        let callback = if let Some(name) = refusal {
            self.refusal_parameters(Operation::Authorize, name, &values)
        } else {
            let (account, scopes) =
                (play.account.clone(), self.scopes(&asked.fields, play.narrowed.as_deref()));
            let client = app.client_id.clone();
            let of_account = self.data.accounts.get(&account).cloned().unwrap_or_default();
            let code = play.book.code(Consent { client, account, scopes, values: values.clone() });
            values.extend(of_account);
            values.insert("code".to_owned(), code.into());
            fill(&page.callback.clone().into(), &values)
        };
        let callback = callback.as_ref().and_then(Value::as_object).into_iter().flatten();
        back.query_pairs_mut().extend_pairs(callback.map(|(name, value)| (name, as_text(value))));
        Ok(Answer::redirect(back.as_str()))
    }

    /// A refusal as the browser returns with it.
    pub(super) fn refusal_parameters(&self, on: Operation, name: &str, values: &Values) -> Option<Value> {
        let (refusal, shape) = (self.data.refusals.get(name)?, self.data.shapes.get(&on)?);
        let mut values = values.clone();
        values.insert("error".to_owned(), name.into());
        values.extend(refusal.values.clone());
        fill(refusal.body.as_ref().or(shape.body.as_ref())?, &values)
    }

    pub(super) fn scopes(&self, fields: &Values, narrowed: Option<&[String]>) -> Vec<String> {
        let habits = &self.data.scopes;
        let texts = habits.parameters.iter().filter_map(|name| fields.get(name)?.as_str());
        let texts = texts.filter(|text| !text.is_empty());
        let scopes = texts.flat_map(|text| text.split(habits.separator.as_str())).map(ToOwned::to_owned);
        scopes.filter(|scope| narrowed.is_none_or(|most| most.contains(scope))).collect()
    }

    fn exchange(&self, turn: &Turn<'_>, play: &mut Play) -> Result<Answer, Wrong> {
        let app = turn.asked.client(&self.data, &turn.takes.client)?;
        if turn.asked.text("grant_type") != Some("authorization_code") {
            return Err(Violation::Request.because("the grant type is unknown"));
        }
        let pkce = self.data.authorize.as_ref().map_or(PkceHabit::Ignored, |page| page.pkce);
        let (grant, issued) = play.book.redeem(&turn.asked.fields, app, pkce)?;
        self.tokens(turn, play, grant, &issued)
    }

    fn refresh(&self, turn: &Turn<'_>, play: &mut Play) -> Result<Answer, Wrong> {
        let app = turn.asked.client(&self.data, &turn.takes.client)?;
        let text =
            turn.asked.text("refresh_token").ok_or_else(|| Violation::Refresh.because("it is missing"))?;
        let (grant, issued) = play.book.refresh(text, app)?;
        self.tokens(turn, play, grant, &issued)
    }

    pub(super) fn tokens(
        &self,
        turn: &Turn<'_>,
        play: &Play,
        grant: usize,
        issued: &Issued,
    ) -> Result<Answer, Wrong> {
        let consent = play.book.consent(grant);
        let app = self.data.app_of(&consent.client);
        let app = app.ok_or_else(|| Violation::Client.because("it is unknown"))?;
        let mut values = self.values(consent, turn.as_other);
        values.extend(self.issued(app, consent, issued, play.book.now));
        // Some repeat the refresh token that they do not replace.
        values.extend(
            turn.asked.text("refresh_token").map(|used| ("used_refresh_token".to_owned(), used.into())),
        );
        values.insert("now".to_owned(), play.book.now.into());
        values.insert("in_an_hour".to_owned(), (play.book.now + 3600).into());
        let id_token = self.data.id_token.as_ref().filter(|it| consent.scopes.contains(&it.scope));
        if let Some(claims) = id_token.and_then(|it| fill(&it.claims, &values)) {
            values.insert("id_token".to_owned(), jwt(&claims).into());
        }
        reply(turn.replies, &values)
    }

    fn issued(&self, app: &EmulatedApp, consent: &Consent, issued: &Issued, now: i64) -> Values {
        let habits = &self.data.scopes;
        let named = consent.scopes.iter().filter(|scope| !habits.unnamed.contains(scope));
        let named: Vec<_> = named.map(|scope| habits.renamed.get(scope).unwrap_or(scope).as_str()).collect();
        let refresh_lifetime = app.refresh.as_ref().and_then(|refresh| refresh.lifetime);
        let values = [
            ("access_token", json!(issued.access)),
            ("refresh_token", json!(issued.refresh)),
            ("expires_in", json!(app.access.lifetime)),
            ("expires_in_text", json!(app.access.lifetime.map(|lifetime| lifetime.to_string()))),
            ("refresh_expires_in", json!(refresh_lifetime.filter(|_| issued.refresh.is_some()))),
            ("scope", json!(named.join(&habits.answered))),
            ("scopes", json!(named)),
            ("ends_at", json!(app.access.lifetime.and_then(|seconds| ends_at(now, seconds)))),
        ];
        let there = values.into_iter().filter(|(_, value)| !value.is_null());
        there.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The values of a grant and its account.
    pub(super) fn values(&self, consent: &Consent, as_other: bool) -> Values {
        let mut values = consent.values.clone();
        let other = || self.data.accounts.iter().find(|(name, _)| **name != consent.account);
        let account = self.data.accounts.get_key_value(&consent.account).filter(|_| !as_other).or_else(other);
        values.extend(account.map(|(_, account)| account.clone()).unwrap_or_default());
        values
    }

    fn account(&self, turn: &Turn<'_>, play: &Play) -> Result<Answer, Wrong> {
        let (token, grant) = self.bearer(turn, play)?;
        let consent = play.book.consent(grant);
        let mut values = self.values(consent, turn.as_other);
        values.insert("scope".to_owned(), consent.scopes.join(&self.data.scopes.answered).into());
        if let Some(ends) = play.book.expires_at(&token).and_then(|at| Timestamp::from_second(at).ok()) {
            values.insert("expires_at".to_owned(), ends.to_string().into());
            let spaced = ends.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
            values.insert("expires_at_spaced".to_owned(), spaced.into());
        }
        reply(turn.replies, &values)
    }

    /// The live token or key that a request shows in the way of its app, and its grant.
    fn bearer(&self, turn: &Turn<'_>, play: &Play) -> Result<(String, usize), Wrong> {
        let shown = |app: &EmulatedApp| {
            let shown = app.bearing.read(turn.asked)?;
            let token = as_text(shown.get("token")?);
            let grant = play.book.holder(&token, false)?;
            let is_beside =
                |(name, value): (&String, &Value)| name == "token" || app.values.get(name) == Some(value);
            let in_path = turn.bound.get("token").is_none_or(|named| *named == token);
            let fits =
                play.book.consent(grant).client == app.client_id && shown.iter().all(is_beside) && in_path;
            fits.then_some((token, grant))
        };
        let found = self.data.apps.values().find_map(shown);
        found.ok_or_else(|| Violation::Access.because("it is missing, or does not work"))
    }

    fn revoke(&self, turn: &Turn<'_>, play: &mut Play) -> Result<Answer, Wrong> {
        let revoke = turn.revoke.ok_or_else(|| Violation::Request.because("nothing can be revoked"))?;
        if !turn.takes.client.is_empty() {
            let app = turn.asked.client(&self.data, &turn.takes.client)?;
            if turn.bound.get("client_id").is_some_and(|id| *id != app.client_id) {
                return Err(Violation::Client.because("the address names another"));
            }
        }
        if let Some(field) = &revoke.account {
            return self.revoke_account(turn, play, field);
        }
        let given = |place: &String| match place.as_str() {
            "bearer" => turn.asked.bearer(),
            name => turn.asked.text(name).or_else(|| turn.bound.get(name)?.as_str()),
        };
        let text =
            revoke.token.iter().find_map(given).ok_or_else(|| Violation::Access.because("it is missing"))?;
        let Some(grant) = play.book.holder(text, revoke.refresh_tokens) else {
            let gone = Err(Violation::Gone.because("it does not work any more"));
            return if self.data.tells_gone() { gone } else { reply(turn.replies, &Values::new()) };
        };
        let extent = self.data.app_of(&play.book.consent(grant).client).and_then(|app| app.revocation);
        play.book.revoke(text, revoke.ends.or(extent).unwrap_or(Extent::Token));
        reply(turn.replies, &Values::new())
    }

    /// Ends all grants of the account that a field names, through the app that asks.
    fn revoke_account(&self, turn: &Turn<'_>, play: &mut Play, field: &str) -> Result<Answer, Wrong> {
        let (client, named) =
            (turn.asked.text("client_id").unwrap_or_default(), turn.asked.fields.get(field));
        let mut accounts = self.data.accounts.iter();
        let found = accounts.find(|(_, values)| named.is_some() && values.get(field) == named);
        let found = found.filter(|(account, _)| play.book.end_account(client, account));
        let (_, values) = found.ok_or_else(|| Violation::Gone.because("the account is not connected"))?;
        reply(turn.replies, values)
    }

    fn wrong(&self, operation: Option<Operation>, wrong: &Wrong) -> Answer {
        match (operation, self.data.says.get(&wrong.what)) {
            (Some(operation), Some(name)) => self.refusal(operation, name),
            _ => Answer::page(404, &wrong.to_string()),
        }
    }

    fn refusal(&self, operation: Operation, name: &str) -> Answer {
        let Some(refusal) = self.data.refusals.get(name) else {
            return Answer::page(500, "no such refusal");
        };
        let shape = self.data.shapes.get(&operation);
        let mut values = Values::from_iter([("error".to_owned(), name.into())]);
        values.extend(refusal.values.clone());
        let status = refusal.status.or(shape.map(|shape| shape.status)).unwrap_or(400);
        let mut headers = shape.map(|shape| shape.headers.clone()).unwrap_or_default();
        headers.extend(refusal.headers.clone());
        let body = refusal.body.as_ref().or_else(|| shape?.body.as_ref());
        Answer::filled(status, &headers, body, &values)
    }
}

/// The end of a token in words (RFC 3339).
fn ends_at(now: i64, seconds: u32) -> Option<String> {
    let end = Timestamp::from_second(now + i64::from(seconds)).ok()?;
    Some(end.to_string())
}

/// The first answer that fits.
pub(super) fn reply(replies: &[Reply], values: &Values) -> Result<Answer, Wrong> {
    let fits = |reply: &&Reply| reply.when.as_ref().is_none_or(|when| values.contains_key(when));
    let found = replies.iter().find(fits).ok_or_else(|| Violation::Request.because("no answer fits"))?;
    Ok(Answer::filled(found.status, &found.headers, found.body.as_ref(), values))
}

/// A compact JWS; nobody checks its signature, because it comes over TLS (`OpenID` Connect Core §3.1.3.7).
fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.{}",
        part(&json!({"alg": "RS256", "kid": "1"})),
        part(claims),
        URL_SAFE_NO_PAD.encode("signature")
    )
}
