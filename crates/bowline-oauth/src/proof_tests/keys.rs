//! The same columns for keys that people create at a provider and import.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bowline_api::connection::Method;
use bowline_testbed::emulator::{Operation, Refusal, Spoil};
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

use super::bench::{Bench, Cell, NOW, claim};
use super::meaning::{Meaning, named};
use crate::catalog::errors::Class;
use crate::catalog::key_usage::API_KEY;
use crate::catalog::protocol::ProviderAccount;
use crate::classify::Failure;
use crate::key::{KeyFacts, KeyFlaw, KeyOrPassword, KeyVerdict, verify};

impl Bench {
    pub(super) fn is_about_keys(&self) -> bool {
        self.description.methods.first() == Some(&Method::ApiKey)
    }

    /// What a person imports who has created a key.
    fn created(&self, account: &str) -> Result<(BTreeMap<String, String>, KeyOrPassword), String> {
        let given = self.family.create_key(&self.run.app, account).ok_or("there are no such keys")?;
        let key = self.key(&given).map_err(|flaw| flaw.to_string())?;
        Ok((given, key))
    }

    fn key(&self, given: &BTreeMap<String, String>) -> Result<KeyOrPassword, KeyFlaw> {
        let usage = self.description.key.as_ref();
        let secret = |(name, value): (&String, &String)| (name.clone(), SecretString::from(value.clone()));
        let text = given.get(API_KEY).map(String::as_str).unwrap_or_default();
        KeyOrPassword::key(text, &given.iter().map(secret).collect(), usage)
    }

    async fn verdict(&self, key: &KeyOrPassword) -> Result<KeyVerdict, Failure> {
        verify(&self.http, &self.description, key, NOW).await
    }

    /// What is known of a new key of this person, which works. Its extras are all that is published beside it, with `{token}` for
    /// the part that nobody can foresee.
    async fn import(&self, account: &str) -> Result<KeyFacts, String> {
        let (mut given, key) = self.created(account)?;
        match self.verdict(&key).await {
            Ok(KeyVerdict::Good(mut facts)) => {
                let usage = self.description.key.as_ref();
                let key = given.remove(API_KEY).unwrap_or_default();
                facts.extras.extend(usage.map(|usage| usage.published_beside(&key)).unwrap_or_default());
                let foreseen = |(name, text): (String, String)| {
                    let text = if self.is_alive(&text.clone().into()) { "{token}".to_owned() } else { text };
                    (name, text)
                };
                facts.extras.extend(given.into_iter().map(foreseen));
                Ok(facts)
            }
            Ok(other) => Err(format!("a new key is {other:?}: {}", self.last_flaw())),
            Err(failure) => Err(self.explained("check", &failure)),
        }
    }

    async fn prove_import(&self) -> Result<(), String> {
        let mine = self.accounts()[0];
        let facts = self.import(mine).await?;
        let lifetime = self.family.data().apps[&self.run.app].access_lifetime();
        let wanted = lifetime.and_then(|seconds| NOW.checked_add(Duration::from_secs(seconds.into())).ok());
        let found: Option<Timestamp> = facts.expires_at;
        claim(found == wanted, || format!("it expires at {found:?} and not {wanted:?}"))?;
        let (given, key) = self.created(mine)?;
        self.family.end_key(&given);
        let verdict = self.verdict(&key).await.map_err(|failure| self.explained("a dead key", &failure))?;
        claim(verdict == KeyVerdict::Bad, || format!("a dead key is {verdict:?}"))?;
        self.prove_parts(&given)
    }

    /// That each part of what is imported has to be there, and has to look like one.
    fn prove_parts(&self, given: &BTreeMap<String, String>) -> Result<(), String> {
        let usage = self.description.key.as_ref().ok_or("the entry does not describe its keys")?;
        for name in given.keys() {
            let value = usage.values.get(name);
            let with = |text: Option<&str>| {
                let text = text.map(|text| (name.clone(), text.to_owned()));
                self.key(&given.clone().into_iter().filter(|(it, _)| it != name).chain(text).collect()).err()
            };
            let without = with(None);
            let is_free = value.is_some_and(|value| value.optional);
            claim(without.is_none() == is_free, || format!("without {name} it is {without:?}"))?;
            let flaw = with(Some("no key of anybody"));
            let is_refused = matches!(flaw, Some(KeyFlaw::Pattern { .. } | KeyFlaw::ValuePattern { .. }));
            claim(is_refused, || format!("any text is taken for {name}: {flaw:?}"))?;
        }
        Ok(())
    }

    async fn prove_account_of_keys(&self) -> Result<(), String> {
        let mut ids = BTreeSet::new();
        for name in self.accounts() {
            let account = self.import(name).await?.account.ok_or("no account")?;
            let ProviderAccount { id, name: label, email } = account;
            let wanted = |part: &str| self.family.data().expected(self.run.account.get(part)?, name);
            let wanted =
                [wanted("id"), wanted("name"), wanted("email")].map(|part| part.filter(|it| !it.is_empty()));
            let found = [Some(id.clone()), label, email];
            claim(found == wanted, || format!("{found:?} and not {wanted:?}"))?;
            ids.insert(id);
        }
        claim(ids.len() == self.accounts().len(), || "two accounts have one id".to_owned())
    }

    async fn prove_extras_of_keys(&self) -> Result<(), String> {
        for name in self.accounts() {
            let data = self.family.data();
            let wanted = |text: &String| match text.as_str() {
                "{token}" => Some(text.clone()),
                text => data.expected(text, name),
            };
            let wanted = self.run.extras.iter().filter_map(|(key, text)| Some((key.clone(), wanted(text)?)));
            let wanted: BTreeMap<_, _> = wanted.collect();
            let found = self.import(name).await?.extras;
            claim(found == wanted, || format!("{found:?} and not {wanted:?}"))?;
        }
        claim(!self.run.extras.is_empty(), || "there are none, and the file does not say why".to_owned())
    }

    /// What the next answer to a check means.
    async fn meaning_of_check(&self, key: &KeyOrPassword) -> Meaning {
        match self.verdict(key).await {
            Ok(KeyVerdict::Bad) => Meaning::of(named(Class::Reauth)),
            Ok(KeyVerdict::Alive(_)) => Meaning::of(named(Class::Alive)),
            Ok(KeyVerdict::Good(_) | KeyVerdict::Unverified) => Meaning::of("a success".to_owned()),
            Err(failure) => {
                let waits = failure.retry_after.map(|wait| wait.as_secs());
                Meaning { waits, ..Meaning::of(named(failure.class)) }
            }
        }
    }

    async fn prove_refusals_of_keys(&self) -> Cell {
        let on = Operation::Account;
        let key = match self.created(self.accounts()[0]) {
            Ok((_, key)) => key,
            Err(flaw) => return Cell::yes(Err(flaw)),
        };
        let (mut count, mut flaws, mut classes) = (0, Vec::new(), BTreeSet::new());
        for (name, refusal) in self.family.data().refusals.iter().filter(|(_, it)| it.on.contains(&on)) {
            self.family.refuse_next(on, name);
            let meaning = self.meaning_of_check(&key).await;
            let Refusal { class, revoked, waits, .. } = refusal;
            let wanted = Meaning { what: class.clone(), revoked: *revoked, waits: *waits };
            count += 1;
            classes.insert((on, class.clone()));
            if meaning != wanted {
                flaws.push(format!("{name} is {meaning} and not {wanted}"));
            }
        }
        let works = matches!(self.verdict(&key).await, Ok(KeyVerdict::Good(_))) && self.family.is_played();
        flaws.extend((!works).then(|| "a refusal cost something".to_owned()));
        flaws.extend(self.untested(&classes));
        Cell::of(flaws, count)
    }

    async fn prove_spoiled_check(&self, spoil: Spoil) -> Result<(), String> {
        let (_, key) = self.created(self.accounts()[0])?;
        let before = self.verdict(&key).await;
        self.family.spoil_next(Operation::Account, spoil);
        let after = self.verdict(&key).await;
        let class = after.as_ref().err().map(|failure| failure.class);
        match spoil {
            // The provider's word counts, so a wrong one is seen.
            Spoil::OtherAccount => claim(after.is_ok(), || format!("{after:?}")).and_then(|()| {
                let differs = before.ok() != after.ok() || self.lacks("account").is_some();
                claim(differs, || "another account is not seen".to_owned())
            }),
            Spoil::ByteOrderMark => claim(before == after, || format!("{after:?}")),
            Spoil::Truncated | Spoil::Page => claim(class == Some(Class::Transient), || format!("{after:?}")),
            Spoil::Latin1 | Spoil::Mebibyte => claim(class == Some(Class::Bug), || format!("{after:?}")),
        }
    }

    async fn prove_spoiled_checks(&self) -> Cell {
        let mut flaws = Vec::new();
        for spoil in Spoil::ALL {
            let outcome = self.prove_spoiled_check(spoil).await;
            flaws.extend(outcome.err().map(|flaw| format!("{spoil:?}: {flaw}")));
        }
        Cell::of(flaws, Spoil::ALL.len())
    }

    /// That a column is impossible, as the file says.
    async fn prove_impossible_of_keys(&self, column: &str) -> Result<(), String> {
        let facts = self.import(self.accounts()[0]).await?;
        let is_possible = match column {
            "account" => facts.account.is_some(),
            "extras" => !facts.extras.is_empty(),
            "refresh" => self.description.methods.iter().any(|method| method.needs_app()),
            "revocation" => {
                self.description.revocation_url("").is_some() || self.description.revoke.by_hand.is_none()
            }
            _ => true,
        };
        claim(!is_possible, || "it is possible, and the file says that it is not".to_owned())
    }

    pub(super) async fn prove_of_keys(&self, column: &str) -> Cell {
        if let Some(reason) = self.lacks(column) {
            return match self.prove_impossible_of_keys(column).await {
                Ok(()) => Cell::Impossible(reason.clone()),
                flaw => Cell::yes(flaw),
            };
        }
        match column {
            "connect" => Cell::yes(self.prove_import().await),
            "account" => Cell::yes(self.prove_account_of_keys().await),
            "extras" => Cell::yes(self.prove_extras_of_keys().await),
            "refusals" => self.prove_refusals_of_keys().await,
            "spoiled answers" => self.prove_spoiled_checks().await,
            "probe" => match self.created(self.accounts()[0]) {
                Ok((given, key)) => {
                    let works = given.values().find(|text| self.is_alive(&text.as_str().into()));
                    self.prove_probe_of_key(&key, works.map(String::as_str).unwrap_or_default()).await
                }
                Err(flaw) => Cell::yes(Err(flaw)),
            },
            _ => Cell::yes(Err("the file does not say why there is none".to_owned())),
        }
    }
}
