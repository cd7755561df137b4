//! What each column of the table claims.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bowline_api::provider::Rotation;
use bowline_testbed::emulator::{Operation, Refusal, Renewal, Spoil};
use secrecy::{ExposeSecret, SecretString};

use super::bench::{Bench, Cell, Connected, NOW, claim};
use super::meaning::{Meaning, named};
use crate::answer::Lifetime;
use crate::app::WhichSecret;
use crate::callback::declined;
use crate::catalog::calls::RevokeScope;
use crate::catalog::errors::Class;
use crate::catalog::protocol::ProviderAccount;
use crate::classify::Failure;
use crate::http::Sent;
use crate::identity;
use crate::probe::{self, TokenProbe, token_probes};
use crate::refresh::refresh;
use crate::revoke::{Revocation, Tokens};

/// The lifetime that an answer says.
fn told(lifetime: Lifetime) -> Option<Duration> {
    match lifetime {
        Lifetime::Told(lifetime) => Some(lifetime),
        Lifetime::Zero(_) | Lifetime::Untold(_) => None,
    }
}

/// The columns.
impl Bench {
    async fn prove_connect(&self) -> Result<(), String> {
        let app = &self.family.data().apps[&self.run.app];
        let Connected { answer, .. } = self.connect(self.accounts()[0]).await?;
        claim(answer.flaws.is_empty(), || format!("{:?}", answer.flaws))?;
        claim(self.is_alive(answer.access_token.as_ref().unwrap()), || "a dead access token".to_owned())?;
        let lifetime = told(answer.lifetime).map(|lifetime| lifetime.as_secs());
        let wanted = app.access_lifetime().map(u64::from);
        claim(lifetime == wanted, || format!("it lives {lifetime:?} and not {wanted:?}"))?;
        let lifetime = answer.refresh_expires_in.map(|lifetime| lifetime.as_secs());
        // Whether the entry reads it is the entry's business.
        let wanted = app
            .refresh_lifetime()
            .map(u64::from)
            .filter(|_| self.description.token_response.refresh_expires_in.is_some());
        claim(lifetime == wanted, || format!("its refresh token lives {lifetime:?} and not {wanted:?}"))?;
        let has_refresh = answer.refresh_token.as_ref().is_some_and(|token| self.is_alive(token));
        claim(has_refresh == app.renewal().is_some(), || "refresh token and app do not fit".to_owned())?;
        let scopes = self.scopes();
        let granted = answer.scopes.unwrap_or_else(|| scopes.clone());
        let missing = self.description.scopes.missing(&scopes, &granted);
        claim(missing.is_empty(), || format!("{missing:?} are missed among {granted:?}"))?;
        if self.description.link_session.is_some() {
            self.prove_repair().await?;
        }
        self.prove_partial_consent(&scopes).await
    }

    /// A session for a grant that is there gives the same account, and a token that works.
    async fn prove_repair(&self) -> Result<(), String> {
        let before = self.connect(self.accounts()[0]).await?;
        self.check(before.access()).await.map_err(|failure| self.explained("check", &failure))?;
        let held = Tokens {
            refresh: before.answer.refresh_token.as_ref(),
            access: before.answer.access_token.as_ref(),
            account: Some(&before.account.id),
        };
        let (came, kept) = self.consent_to(Some(held)).await?;
        let fetched = self.fetch(&kept, &came).await;
        let after = fetched.map_err(|failure| self.explained("repair", &failure))?;
        let id = after.account.map(|account| account.id);
        claim(id.as_ref() == Some(&before.account.id), || format!("{id:?} and not {}", before.account.id))?;
        claim(self.is_alive(after.access_token.as_ref().unwrap()), || "a dead access token".to_owned())
    }

    /// A person who grants all but one scope.
    async fn prove_partial_consent(&self, scopes: &[String]) -> Result<(), String> {
        let required = &self.description.scopes.required;
        let Some(dropped) = scopes.iter().rfind(|scope| !required.contains(scope)) else { return Ok(()) };
        let rest: Vec<_> = scopes.iter().filter(|scope| *scope != dropped).map(String::as_str).collect();
        self.family.grant_only(Some(&rest));
        let connected = self.connect(self.accounts()[0]).await;
        self.family.grant_only(None);
        let granted = connected?.answer.scopes;
        if self.lacks("partial consent").is_some() {
            let tells = |granted: Vec<String>| !self.description.scopes.missing(scopes, &granted).is_empty();
            return claim(!granted.is_some_and(tells), || {
                "the answer tells it, and the file says that it cannot".to_owned()
            });
        }
        let granted = granted.unwrap_or_default();
        let missing = self.description.scopes.missing(scopes, &granted);
        claim(missing == [dropped.as_str()], || format!("{missing:?} are missed instead of {dropped}"))
    }

    async fn prove_account(&self) -> Result<(), String> {
        let mut ids = BTreeSet::new();
        for name in self.accounts() {
            let ProviderAccount { id, name: label, email } = self.connect(name).await?.account;
            let wanted = |part: &str| self.family.data().expected(self.run.account.get(part)?, name);
            // An account without an address has an empty one in the file.
            let wanted =
                [wanted("id"), wanted("name"), wanted("email")].map(|part| part.filter(|it| !it.is_empty()));
            let found = [Some(id.clone()), label, email];
            claim(found == wanted, || format!("{found:?} and not {wanted:?}"))?;
            ids.insert(id);
        }
        claim(ids.len() == self.accounts().len(), || "two accounts have one id".to_owned())
    }

    async fn prove_extras(&self) -> Result<(), String> {
        for name in self.accounts() {
            let data = self.family.data();
            let wanted = self.run.extras.iter();
            let wanted: BTreeMap<_, _> =
                wanted.filter_map(|(key, text)| Some((key.clone(), data.expected(text, name)?))).collect();
            let found = self.connect(name).await?.extras;
            claim(found == wanted, || format!("{found:?} and not {wanted:?}"))?;
        }
        claim(!self.run.extras.is_empty(), || "there are none, and the file does not say why".to_owned())
    }

    async fn prove_refresh(&mut self) -> Result<(), String> {
        if self.mints() {
            return self.prove_mint().await;
        }
        let renewal = self.renewal().ok_or("the app has no refresh tokens")?;
        let same = match renewal {
            Renewal::None => Rotation::None,
            Renewal::Optional => Rotation::Optional,
            Renewal::Sliding => Rotation::Sliding,
            Renewal::SingleUse => Rotation::SingleUse,
        };
        let lifecycle = &self.description.grant;
        claim(lifecycle.rotation == same, || format!("the entry says {:?}", lifecycle.rotation))?;
        let before = self.connect(self.accounts()[0]).await?;
        let first = before.answer.refresh_token.clone().ok_or("no refresh token")?;
        let second = self.prove_one_refresh(&before, &first, renewal).await?;
        let (ends, works) = (lifecycle.refresh_ends_access, self.is_alive(before.access()));
        claim(works != ends, || format!("the access token in use works: {works}"))?;
        // Some replace the refresh token only at times.
        self.prove_one_refresh(&before, &second, renewal).await?;
        if renewal == Renewal::SingleUse {
            let again = self.refresh(&first).await.err().map(|failure| failure.class);
            claim(again == Some(Class::Reauth), || format!("a used token is {again:?}"))?;
        }
        self.prove_previous_secret().await
    }

    /// Returns the refresh token to use next.
    async fn prove_one_refresh(
        &self,
        before: &Connected,
        token: &SecretString,
        renewal: Renewal,
    ) -> Result<SecretString, String> {
        let after = self.refresh(token).await.map_err(|failure| self.explained("refresh", &failure))?;
        claim(after.flaws.is_empty(), || format!("{:?}", after.flaws))?;
        claim(after.lifetime == before.answer.lifetime, || "another lifetime".to_owned())?;
        claim(after.extras == before.answer.extras, || "other values beside the token".to_owned())?;
        claim(self.is_alive(after.access_token.as_ref().unwrap()), || "a dead access token".to_owned())?;
        let next = after.refresh_token.unwrap_or_else(|| token.clone());
        // Some repeat the old one.
        let is_new = next.expose_secret() != token.expose_secret();
        let fits = renewal == Renewal::Optional || is_new == (renewal != Renewal::None);
        claim(fits, || format!("a new refresh token came: {is_new}"))?;
        Ok(next)
    }

    /// A client secret that is not registered yet costs nothing.
    async fn prove_previous_secret(&mut self) -> Result<(), String> {
        let connected = self.connect(self.accounts()[0]).await?;
        let token = connected.answer.refresh_token.clone().ok_or("no refresh token")?;
        let right = self.app.client_secret.replace(SecretString::from("not-registered-yet"));
        self.app.client_secret_previous.clone_from(&right);
        let scopes = if self.description.link_session.is_some() { self.scopes() } else { Vec::new() };
        let granted = refresh(&self.http, &self.description, &self.app, &token, &scopes, NOW).await;
        self.app.client_secret_previous = None;
        self.app.client_secret = right;
        let granted = granted.map_err(|failure| self.explained("previous secret", &failure))?;
        claim(granted.secret == WhichSecret::Previous, || "the wrong secret counted".to_owned())
    }
}

/// Refusals and what else goes wrong.
impl Bench {
    /// Whether the entry makes such a request, so that its refusals can be seen.
    pub(super) fn asks(&self, operation: Operation) -> bool {
        if self.is_about_keys() {
            return operation == Operation::Account;
        }
        match operation {
            Operation::Refresh => self.renewal().is_some(),
            Operation::Account => self.description.identity_url().is_some() || self.session_probe().is_some(),
            Operation::Visit => self.description.link_session.is_some(),
            Operation::Revoke => self.description.revocation_url(&self.app.client_id).is_some(),
            Operation::Mint => self.mints(),
            Operation::Authorize | Operation::Exchange => !self.mints(),
        }
    }

    /// How a link session checks what it gave.
    fn session_probe(&self) -> Option<TokenProbe<'_>> {
        self.description.link_session.as_ref()?;
        token_probes(&self.description).into_iter().next()
    }

    /// Checks a token as the operator does between refreshes.
    async fn check(&self, token: &SecretString) -> Result<(), Failure> {
        let probe = self.session_probe().expect("the entry has a probe");
        probe::token(&self.http, &self.description, Some(&self.app), probe, token, NOW).await
    }

    /// What the next answer means.
    async fn meaning_of(&self, operation: Operation, connected: &Connected) -> Result<Meaning, String> {
        let failure = match operation {
            Operation::Authorize if self.description.link_session.is_some() => self.leave(None).await.err(),
            Operation::Visit => match self.consent().await? {
                (came, _) if came.contains_key("error") => {
                    let text = came.get("message").map(String::as_str);
                    return Ok(Meaning::of(named(declined(&self.description, &came["error"], text).class)));
                }
                (came, kept) => self.fetch(&kept, &came).await.err(),
            },
            Operation::Authorize => {
                let (came, _) = self.consent().await?;
                let text = came.get("error_description").map(String::as_str);
                let error = came.get("error").ok_or("no error")?;
                return Ok(Meaning::of(named(declined(&self.description, error, text).class)));
            }
            Operation::Exchange | Operation::Mint => self.begin().await?.err(),
            Operation::Refresh => {
                self.refresh(connected.answer.refresh_token.as_ref().ok_or("no refresh token")?).await.err()
            }
            Operation::Account if self.session_probe().is_some() => {
                self.check(connected.access()).await.err()
            }
            Operation::Account => {
                identity::user_info(&self.http, &self.description, Some(&self.app), connected.access(), NOW)
                    .await
                    .err()
            }
            Operation::Revoke => match self.revoke(connected).await {
                Ok(Revocation::AlreadyGone) => return Ok(Meaning::of("gone".to_owned())),
                outcome => outcome.err(),
            },
        };
        let failure = failure.ok_or("a success")?;
        let waits = failure.retry_after.map(|wait| wait.as_secs());
        Ok(Meaning { what: named(failure.class), revoked: failure.proves_revoked, waits })
    }

    async fn prove_refusals(&self) -> Cell {
        let connected = match self.connect(self.accounts()[0]).await {
            Ok(connected) => connected,
            Err(flaw) => return Cell::yes(Err(flaw)),
        };
        let (mut count, mut flaws, mut classes) = (0, Vec::new(), BTreeSet::new());
        for (name, refusal) in &self.family.data().refusals {
            for on in refusal.on.iter().copied().filter(|on| self.asks(*on)) {
                for _ in 0..self.asked_for(on, &refusal.class, &connected) {
                    self.family.refuse_next(on, name);
                }
                let meaning = self.meaning_of(on, &connected).await.unwrap_or_else(Meaning::of);
                let Refusal { class, revoked, waits, .. } = refusal;
                let wanted = Meaning { what: class.clone(), revoked: *revoked, waits: *waits };
                count += 1;
                classes.insert((on, refusal.class.clone()));
                if meaning != wanted {
                    flaws.push(format!("{name} on {on:?} is {meaning} and not {wanted}"));
                }
            }
        }
        let works = self.is_alive(connected.access()) && self.family.is_played();
        flaws.extend((!works).then(|| "a refusal cost something".to_owned()));
        flaws.extend(self.untested(&classes));
        Cell::of(flaws, count)
    }

    /// How many requests meet a refusal: where a revocation ends one token, a token that is gone does not keep the other from
    /// being sent.
    fn asked_for(&self, on: Operation, class: &str, connected: &Connected) -> usize {
        let both = on == Operation::Revoke
            && class == "gone"
            && self.description.revoke.scope == RevokeScope::Token
            && connected.answer.refresh_token.is_some();
        if both { 2 } else { 1 }
    }

    /// Classes of the entry's error table that no refusal shows, without a reason, or in spite of one.
    pub(super) fn untested(&self, seen: &BTreeSet<(Operation, String)>) -> Vec<String> {
        let errors = &self.description.errors;
        let tokens = self.token_classes().into_iter().map(|class| ("token", class));
        let api = errors.api.iter().map(|rule| ("api", rule.class));
        let mut flaws = BTreeSet::new();
        for (table, class) in tokens.chain(api.filter(|_| self.asks(Operation::Account))) {
            // What it is about is our doubt, not a provider's word.
            if class == Class::Ambiguous {
                continue;
            }
            let places: &[_] = match table {
                "api" => &[Operation::Account],
                _ => &[Operation::Refresh, Operation::Exchange, Operation::Mint],
            };
            let is_seen = places.iter().any(|on| seen.contains(&(*on, named(class))));
            let key = format!("{table} class {}", named(class));
            match self.lacks(&key) {
                None if !is_seen => flaws.insert(format!("no refusal has the {key}")),
                Some(_) if is_seen => {
                    flaws.insert(format!("a refusal has the {key}, and the file says that none can"))
                }
                _ => false,
            };
        }
        flaws.into_iter().collect()
    }

    async fn prove_spoiled_answers(&self) -> Cell {
        let mut flaws = Vec::new();
        for spoil in Spoil::ALL {
            let outcome = match spoil {
                Spoil::OtherAccount => self.prove_other_account().await,
                _ => self.prove_spoiled(spoil).await,
            };
            flaws.extend(outcome.err().map(|flaw| format!("{spoil:?}: {flaw}")));
        }
        Cell::of(flaws, Spoil::ALL.len())
    }

    async fn prove_spoiled(&self, spoil: Spoil) -> Result<(), String> {
        let answer = if self.asks(Operation::Refresh) {
            let connected = self.connect(self.accounts()[0]).await?;
            self.family.spoil_next(Operation::Refresh, spoil);
            self.refresh(connected.answer.refresh_token.as_ref().ok_or("no refresh token")?).await
        } else {
            self.family.spoil_next(self.begins(), spoil);
            self.begin().await?
        };
        let wanted = match spoil {
            Spoil::ByteOrderMark | Spoil::OtherAccount => None,
            Spoil::Truncated | Spoil::Page => Some((Class::Transient, Sent::MaybeSent)),
            Spoil::Latin1 | Spoil::Mebibyte => Some((Class::Bug, Sent::MaybeSent)),
        };
        let found = answer.err().map(|failure| (failure.class, failure.sent));
        claim(found == wanted, || format!("{found:?} and not {wanted:?}"))
    }

    /// Whether what the browser carries is compared with what the provider says.
    fn compares_callback(&self) -> bool {
        self.description.link_session.as_ref().is_some_and(|session| !session.callback.is_empty())
    }

    /// An answer that names another account than the person who consented is not taken for that person's.
    async fn prove_other_account(&self) -> Result<(), String> {
        let mine = self.accounts()[0];
        let before = self.connect(mine).await?;
        let is_asked = before.answer.account.is_none() && self.asks(Operation::Account);
        let on = if is_asked { Operation::Account } else { self.begins() };
        self.family.spoil_next(on, Spoil::OtherAccount);
        if self.description.link_session.is_some() {
            // Which of its calls names the account is the provider's business.
            self.family.spoil_next(Operation::Account, Spoil::OtherAccount);
        }
        let after = match self.connect(mine).await {
            // The browser carried the id of the right one.
            Err(why) if self.compares_callback() && why.contains("another attempt to connect") => {
                return Ok(());
            }
            connected => connected?.account,
        };
        claim((before.account.id == after.id) == self.is_its_own_account(), || {
            "another account has the same id".to_owned()
        })
    }

    async fn prove_revocation(&self) -> Result<(), String> {
        let mine = self.accounts()[0];
        let (first, second) = (self.connect(mine).await?, self.connect(mine).await?);
        let outcome = self.revoke(&first).await.map_err(|failure| self.explained("revocation", &failure))?;
        claim(outcome == Revocation::Revoked, || format!("{outcome:?}"))?;
        let outlives = self.lacks("revoked access token").is_some();
        claim(self.is_alive(first.access()) == outlives, || {
            format!("the access token works: {}", !outlives)
        })?;
        if self.description.revoke.scope == RevokeScope::Token {
            claim(self.is_alive(second.access()), || "more than one token is gone".to_owned())?;
        }
        let gone =
            self.revoke(&first).await.map_err(|failure| self.explained("second revocation", &failure))?;
        let wanted =
            if self.family.data().tells_gone() { Revocation::AlreadyGone } else { Revocation::Revoked };
        claim(gone == wanted, || format!("a second revocation is {gone:?} and not {wanted:?}"))?;
        let refresh = first.answer.refresh_token.as_ref();
        claim(refresh.is_none_or(|token| !self.is_alive(token)), || {
            "the refresh token still works".to_owned()
        })
    }

    /// That a column is impossible, as the file says.
    async fn prove_impossible(&self, column: &str) -> Result<(), String> {
        let connected = self.connect(self.accounts()[0]).await?;
        let is_possible = match column {
            "extras" => !connected.extras.is_empty(),
            "refresh" => connected.answer.refresh_token.is_some(),
            "probe" => !token_probes(&self.description).is_empty(),
            "revocation" => {
                !matches!(self.revoke(&connected).await, Ok(Revocation::Unsupported { by_hand: Some(_) }))
            }
            _ => true,
        };
        claim(!is_possible, || "it is possible, and the file says that it is not".to_owned())
    }

    pub(super) async fn prove(&mut self, column: &str) -> Cell {
        if self.is_about_keys() {
            return self.prove_of_keys(column).await;
        }
        if let Some(reason) = self.lacks(column) {
            let reason = reason.clone();
            return match self.prove_impossible(column).await {
                Ok(()) => Cell::Impossible(reason),
                flaw => Cell::yes(flaw),
            };
        }
        match column {
            "connect" => Cell::yes(self.prove_connect().await),
            "account" => Cell::yes(self.prove_account().await),
            "extras" => Cell::yes(self.prove_extras().await),
            "refresh" => Cell::yes(self.prove_refresh().await),
            "refusals" => self.prove_refusals().await,
            "spoiled answers" => self.prove_spoiled_answers().await,
            "probe" => self.prove_probe().await,
            _ => Cell::yes(self.prove_revocation().await),
        }
    }
}
