//! Link sessions: the app opens one, the person visits its page, and the app fetches what came of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::answer::Answer;
use super::asked::{Asked, Wrong};
use super::book::Consent;
use super::consent::PkceHabit;
use super::data::{EmulatedApp, Family, Operation, Reply, Takes, Values, Violation};
use super::stage::{Play, Stage, reply};
use super::template::{as_text, fill};
use super::turn::Turn;

/// A call of a link session.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionCall {
    /// Method and address, with placeholders for segments.
    pub at: String,
    /// Fields with these values, without which it is another call.
    #[serde(default)]
    pub only_with: BTreeMap<String, String>,
    /// What a test calls it, to have it refused or spoiled.
    pub on: Operation,
    #[serde(default)]
    pub takes: Takes,
    /// Where the session, the code or the token is: a field, a pointer into the body, `bearer`, or a placeholder of the address.
    pub key: Option<String>,
    /// What is kept for the session: name → where it is, as for `key`.
    #[serde(default)]
    pub keeps: BTreeMap<String, String>,
    pub does: SessionStep,
    pub replies: Vec<Reply>,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SessionStep {
    /// Gives the app a token of its own.
    Client,
    /// Opens a session, with the name that the key is, or else with a new one: `session`.
    Open,
    /// Goes on with a session that is open.
    Prepare,
    /// The person visits the page and consents. The first reply's body has the parameters to come back with.
    Visit,
    /// Says what came of a session: with `code` if somebody consented.
    Result,
    /// The same, where the consent gives the token at once.
    Fetch,
    /// Gives another code for a session to which somebody consented.
    Again,
    /// Exchanges a code.
    Exchange,
    /// Says what an access token stands for.
    Read,
}

/// A session as it stands.
#[derive(Clone, Default)]
pub(super) struct Session {
    client: String,
    /// What was kept, and later the code and the token.
    values: Values,
    /// Who consented.
    consent: Option<Consent>,
}

impl Asked {
    /// A value, by its place.
    fn at(&self, place: &str, bound: &Values) -> Option<String> {
        if place == "bearer" {
            return self.bearer().map(ToOwned::to_owned);
        }
        if place.starts_with('/') {
            return Value::Object(self.fields.clone()).pointer(place).map(as_text);
        }
        self.fields.get(place).or_else(|| bound.get(place)).map(as_text).filter(|text| !text.is_empty())
    }
}

impl SessionCall {
    pub fn fits(&self, asked: &Asked) -> bool {
        self.only_with.iter().all(|(name, value)| asked.text(name) == Some(value))
    }

    fn key(&self, turn: &Turn<'_>) -> Option<String> {
        turn.asked.at(self.key.as_ref()?, &turn.bound)
    }

    fn kept(&self, turn: &Turn<'_>) -> Values {
        let kept = self
            .keeps
            .iter()
            .filter_map(|(name, place)| Some((name.clone(), turn.asked.at(place, &turn.bound)?.into())));
        kept.collect()
    }
}

impl Stage {
    pub(super) fn session(
        &self,
        turn: &Turn<'_>,
        call: &SessionCall,
        play: &mut Play,
    ) -> Result<Answer, Wrong> {
        match call.does {
            SessionStep::Client => self.client_token(turn, play),
            SessionStep::Open => self.open_session(turn, call, play),
            SessionStep::Prepare => {
                self.proven(turn, play)?;
                let name = found(call, turn, play)?;
                let session = play.sessions.entry(name.clone()).or_default();
                session.values.extend(call.kept(turn));
                reply(turn.replies, &session.values)
            }
            SessionStep::Visit => self.visit(turn, call, play, None),
            SessionStep::Result => {
                self.proven(turn, play)?;
                let name = found(call, turn, play)?;
                reply(turn.replies, &play.sessions[&name].values)
            }
            SessionStep::Fetch => self.fetched(turn, call, play),
            SessionStep::Again => self.again(turn, call, play),
            SessionStep::Exchange => self.redeemed(turn, call, play),
            SessionStep::Read => self.what_it_stands_for(turn, call, play),
        }
    }

    /// The app behind a request: by its own proof, or by a token of its own.
    fn proven<'a>(&'a self, turn: &Turn<'_>, play: &Play) -> Result<&'a EmulatedApp, Wrong> {
        let own = turn.asked.bearer().and_then(|token| play.client_tokens.get(token));
        if let Some(client) = own {
            let app = self.data.app_of(client);
            return app.ok_or_else(|| Violation::Client.because("it is unknown"));
        }
        let app = turn.asked.client(&self.data, &turn.takes.client)?;
        let how = self.data.signature.as_ref().filter(|_| app.signs());
        how.map_or(Ok(()), |how| how.check(turn.asked, play.book.now))?;
        Ok(app)
    }

    fn client_token(&self, turn: &Turn<'_>, play: &mut Play) -> Result<Answer, Wrong> {
        let app = self.proven(turn, play)?;
        let token = format!("client-token-{:04}", play.client_tokens.len());
        play.client_tokens.insert(token.clone(), app.client_id.clone());
        reply(turn.replies, &Values::from_iter([("client_token".to_owned(), token.into())]))
    }

    fn open_session(&self, turn: &Turn<'_>, call: &SessionCall, play: &mut Play) -> Result<Answer, Wrong> {
        let app = self.proven(turn, play)?;
        let name = call.key(turn).unwrap_or_else(|| format!("session-{:08}", play.sessions.len()));
        let mut values = app.values.clone();
        values.extend(call.kept(turn));
        // A session for a grant that is there is for one that works.
        if let Some(held) = values.get("held").map(as_text)
            && play.book.holder(&held, true).is_none()
        {
            return Err(Violation::Access.because("it does not work"));
        }
        values.insert("session".to_owned(), name.clone().into());
        // Whoever has consented under that name has done so still.
        let consent = play.sessions.get(&name).and_then(|session| session.consent.clone());
        let session = Session { client: app.client_id.clone(), values: values.clone(), consent };
        play.sessions.insert(name, session);
        reply(turn.replies, &values)
    }

    /// The person consents, or with a refusal does not.
    pub(super) fn visit(
        &self,
        turn: &Turn<'_>,
        call: &SessionCall,
        play: &mut Play,
        refusal: Option<&str>,
    ) -> Result<Answer, Wrong> {
        let name = found(call, turn, play)?;
        let mut session = play.sessions[&name].clone();
        session.values.extend(call.kept(turn));
        let back = session.values.get("return_to").map(as_text).and_then(|back| Url::parse(&back).ok());
        let mut back = back.ok_or_else(|| Violation::Request.because("there is no way back"))?;
        let mut values = session.values.clone();
        values.extend(self.data.accounts.get(&play.account).cloned().unwrap_or_default());
        let callback = if let Some(name) = refusal {
            self.refusal_parameters(Operation::Visit, name, &values)
        } else {
            if !session.values.contains_key("held") {
                session = self.consented(session, &name, play)?;
            }
            let connection = ["held", "access_token"].into_iter().find_map(|it| session.values.get(it));
            values.extend(connection.map(|id| ("connection".to_owned(), id.clone())));
            turn.replies.first().and_then(|reply| fill(reply.body.as_ref()?, &values))
        };
        play.sessions.insert(name, session);
        let callback = callback.as_ref().and_then(Value::as_object).into_iter().flatten();
        back.query_pairs_mut().extend_pairs(callback.map(|(name, value)| (name, as_text(value))));
        Ok(Answer::redirect(back.as_str()))
    }

    fn consented(&self, mut session: Session, name: &str, play: &mut Play) -> Result<Session, Wrong> {
        let (client, account) = (session.client.clone(), play.account.clone());
        let mut values = session.values.clone();
        values.insert("session".to_owned(), name.into());
        // No other request has this number.
        values.insert("consent".to_owned(), play.seen.len().into());
        let consent = Consent { client, account, scopes: Vec::new(), values };
        let code = Value::from(play.book.code(consent.clone()));
        session.values.insert("code".to_owned(), code.clone());
        session.consent = Some(consent);
        if self.data.session.iter().any(|call| call.does == SessionStep::Fetch) {
            let app = self.data.app_of(&session.client);
            let app = app.ok_or_else(|| Violation::Client.because("it is unknown"))?;
            let fields = Values::from_iter([("code".to_owned(), code)]);
            let (_, issued) = play.book.redeem(&fields, app, PkceHabit::Ignored)?;
            session.values.insert("access_token".to_owned(), issued.access.into());
        }
        Ok(session)
    }

    /// What came of a session: the token, if somebody consented.
    fn fetched(&self, turn: &Turn<'_>, call: &SessionCall, play: &Play) -> Result<Answer, Wrong> {
        self.proven(turn, play)?;
        let session = &play.sessions[&found(call, turn, play)?];
        let mut values = session.values.clone();
        if let Some(consent) = &session.consent {
            values.extend(self.values(consent, turn.as_other));
        }
        reply(turn.replies, &values)
    }

    fn again(&self, turn: &Turn<'_>, call: &SessionCall, play: &mut Play) -> Result<Answer, Wrong> {
        self.proven(turn, play)?;
        let name = found(call, turn, play)?;
        let consent = play.sessions[&name].consent.clone();
        let consent = consent.filter(|consent| !play.book.has_ended(consent));
        let mut consent = consent.ok_or_else(|| Violation::Refresh.because("nobody consented"))?;
        consent.scopes = self.scopes(&turn.asked.fields, play.narrowed.as_deref());
        let mut values = play.sessions[&name].values.clone();
        values.insert("code".to_owned(), play.book.code(consent).into());
        reply(turn.replies, &values)
    }

    fn redeemed(&self, turn: &Turn<'_>, call: &SessionCall, play: &mut Play) -> Result<Answer, Wrong> {
        let app = self.proven(turn, play)?;
        let code = call.key(turn).unwrap_or_default();
        let fields = Values::from_iter([("code".to_owned(), code.into())]);
        let (grant, issued) = play.book.redeem(&fields, app, PkceHabit::Ignored)?;
        let consent = play.book.consent(grant).clone();
        if let Some(session) = consent.values.get("session").map(as_text)
            && app.renewal().is_some()
        {
            play.book.adopt(grant, &session);
        }
        self.tokens(turn, play, grant, &issued)
    }

    /// A token in the body needs the app's proof beside it; one that is shown as bearer, or that is a part of the address, too
    /// if the call takes one.
    fn what_it_stands_for(&self, turn: &Turn<'_>, call: &SessionCall, play: &Play) -> Result<Answer, Wrong> {
        if !turn.takes.client.is_empty() {
            self.proven(turn, play)?;
        }
        let token = call.key(turn).ok_or_else(|| Violation::Access.because("it is missing"))?;
        let grant =
            play.book.holder(&token, false).ok_or_else(|| Violation::Access.because("it does not work"))?;
        let mut values = self.values(play.book.consent(grant), turn.as_other);
        values.insert("access_token".to_owned(), token.into());
        reply(turn.replies, &values)
    }
}

/// The name of the session that a call is about.
fn found(call: &SessionCall, turn: &Turn<'_>, play: &Play) -> Result<String, Wrong> {
    let name = call.key(turn).filter(|name| play.sessions.contains_key(name));
    name.ok_or_else(|| Violation::Code.because("there is no such session"))
}

impl Family {
    /// Replies of all calls of sessions.
    pub(super) fn session_replies(&self) -> impl Iterator<Item = &Reply> {
        self.session.iter().flat_map(|call| &call.replies)
    }
}
