//! Every entry of the catalogue against the emulator of its provider: the entry unchanged, the provider's own names, TLS.
//!
//! `tests/testbed/emulator` holds what a provider documents, and which entries that proves. The test prints one table. A
//! cell is proved, or declared impossible in the family's file, or one of [`FAULTS`]; everything else fails.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use bowline_testbed::emulator::{Emulator, Family, FamilyHandle, Operation, Renewal, Run, Spoil};
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::answer::TokenAnswer;
use super::app::{App, AppPurpose, WhichSecret};
use super::authorize::{AuthorizationRequest, begin};
use super::callback::{callback_issuer, declined};
use super::classify::Failure;
use super::exchange::{Code, exchange};
use super::guard::system_lookup;
use super::http::{HttpClient, RequestLimits, Sent};
use super::identity;
use super::network::Network;
use super::refresh::refresh;
use super::revoke::{self, Revocation, Tokens};
use crate::catalog::calls::RevokeScope;
use crate::catalog::errors::Class;
use crate::catalog::protocol::ProviderAccount;
use crate::catalog::{Description, entries, get, resolve};
use bowline_api::provider::Rotation;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
const BACK: &str = "https://bowline.example.com/callback/provider";
const COLUMNS: [&str; 7] =
    ["connect", "account", "extras", "refresh", "refusals", "spoiled answers", "revocation"];

/// Entries that no family proves, and why.
const UNPROVED: &[(&str, &str)] = &[
    ("generic-api-key", "no provider"),
    ("generic-basic-auth", "no provider"),
    ("generic-oauth2", "no provider"),
    ("generic-oauth2-client-credentials", "no provider"),
    ("generic-oauth2-refresh", "no provider"),
    ("sandbox", "has a server of its own"),
    ("sandbox-grace", "has a server of its own"),
    ("sandbox-none", "has a server of its own"),
    ("sandbox-optional", "has a server of its own"),
    ("sandbox-sliding", "has a server of its own"),
    ("sandbox-token", "has a server of its own"),
];

/// What is wrong with the catalogue or the protocol, and not fixed yet. What no longer fails has to be removed.
const FAULTS: &[&str] = &[
    // errors.api compares codes as a whole, and this message contains the organization's name.
    "github (oauth-app), refusals: app_restrictions on Account is alive and not consent",
    "github-app-user (github-app), refusals: app_restrictions on Account is alive and not consent",
    "github-app-user (github-app-without-expiry), refusals: app_restrictions on Account is alive and not consent",
    // A single access token is revoked; what was issued with it stays, as far as the documents say.
    "github-app-user (github-app), revocation: the refresh token still works",
    // The refresh token is sent; the documents show the access token.
    "notion (public), revocation: the access token still works",
    // With rotation auth.revoke ends one token, and the refresh token is not sent there.
    "slack (rotating), revocation: the refresh token still works",
    "slack (rotating scope_parameter=user_scope), revocation: the refresh token still works",
];

/// What came of one column for one run.
enum Cell {
    Proved(String),
    /// It cannot be proved, for the reason in the family's file.
    Impossible(String),
    Failed(Vec<String>),
}

impl Cell {
    fn of(flaws: Vec<String>, count: usize) -> Self {
        if flaws.is_empty() { Self::Proved(format!("{count}/{count}")) } else { Self::Failed(flaws) }
    }

    fn yes(outcome: Result<(), String>) -> Self {
        outcome.map_or_else(|flaw| Self::Failed(vec![flaw]), |()| Self::Proved("yes".to_owned()))
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proved(what) => f.pad(what),
            Self::Impossible(_) => f.pad("n/a"),
            Self::Failed(_) => f.pad("FAILED"),
        }
    }
}

/// `Err` with what is wrong, unless the claim holds.
fn claim(holds: bool, flaw: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(flaw()) }
}

/// One thing to prove: an entry with an app and parameters, and the emulator that plays its provider.
struct Bench {
    emulator: Emulator,
    family: FamilyHandle,
    run: Run,
    http: HttpClient,
    browser: reqwest::Client,
    description: Description,
    app: App,
}

/// A connection as it stands.
struct Connected {
    answer: TokenAnswer,
    account: ProviderAccount,
}

impl Connected {
    fn access(&self) -> &SecretString {
        self.answer.access_token.as_ref().unwrap()
    }
}

impl Bench {
    async fn of(family: &str, run: &Run) -> Self {
        // Another test of this process may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let emulator = Emulator::start(NOW).await.unwrap();
        let family = emulator.family(family).unwrap();
        let authority = emulator.authority().as_bytes().to_vec();
        let browser = reqwest::Client::builder()
            .proxy(reqwest::Proxy::all(emulator.proxy()).unwrap())
            .tls_certs_merge([reqwest::Certificate::from_pem(&authority).unwrap()])
            .redirect(reqwest::redirect::Policy::none());
        let proxy = Some(emulator.proxy().parse().unwrap());
        let network = Network { proxy, ca_certificates: Some(authority), ..Network::default() };
        let spec = json!({"type": run.entry, "parameters": run.parameters});
        let spec = serde_json::from_value(spec).unwrap();
        let description = resolve(get(&run.entry).unwrap(), &spec, &run.entry, &[].into()).unwrap();
        let app = &family.data().apps[&run.app];
        let app = App {
            client_id: app.client_id.clone(),
            client_secret: app.client_secret.clone().map(SecretString::from),
            client_secret_previous: None,
            purpose: AppPurpose::default(),
            version: None,
        };
        // No test depends on the speed of this machine.
        let patient = Duration::from_mins(5);
        let limits = RequestLimits { total: patient, connect: patient, ..RequestLimits::default() };
        let http = HttpClient::with(network, system_lookup(), limits).unwrap();
        let browser = browser.build().unwrap();
        Self { emulator, family, run: run.clone(), http, browser, description, app }
    }

    /// Entry, app and parameters.
    fn row(&self) -> String {
        let settings = self.run.parameters.iter().map(|(name, value)| format!(" {name}={value}"));
        format!("{} ({}{})", self.run.entry, self.run.app, settings.collect::<String>())
    }

    fn lacks(&self, what: &str) -> Option<&String> {
        self.run.lacks.get(what).or_else(|| self.family.data().lacks.get(what))
    }

    fn renewal(&self) -> Option<Renewal> {
        self.family.data().apps[&self.run.app].renewal()
    }

    fn is_alive(&self, token: &SecretString) -> bool {
        self.family.is_alive(token.expose_secret())
    }

    /// What a connection requests that names no scopes.
    fn scopes(&self) -> Vec<String> {
        let rules = &self.description.scopes;
        let more = rules.required.iter().filter(|scope| !rules.default.contains(scope));
        rules.default.iter().chain(more).cloned().collect()
    }

    /// From the request to what the browser returns with, and the verifier.
    async fn consent(&self) -> Result<(HashMap<String, String>, SecretString), String> {
        let (state, scopes) = (SecretString::from("the-state"), self.scopes());
        let request =
            AuthorizationRequest { redirect_uri: BACK, state: &state, scopes: &scopes, expected: None };
        let begun = begin(&self.http, &self.description, &self.app, &request, NOW).await;
        let begun = begun.map_err(|failure| format!("no authorization request: {failure}"))?;
        let page = self.browser.get(begun.address).send().await.map_err(|error| format!("{error:?}"))?;
        let location = page.headers().get("location").and_then(|location| location.to_str().ok());
        let location = location.filter(|location| location.starts_with(BACK));
        let location = location.ok_or_else(|| format!("no way back: {}", self.last_flaw()))?;
        let came: HashMap<_, _> = url::Url::parse(location)
            .map_err(|error| error.to_string())?
            .query_pairs()
            .into_owned()
            .collect();
        claim(came.get("state").is_some_and(|state| state == "the-state"), || "another state".to_owned())?;
        callback_issuer(&self.description, came.get("iss").map(String::as_str))
            .map_err(|error| error.to_string())?;
        Ok((came, begun.verifier))
    }

    /// The answer to a new code.
    async fn exchange(&self) -> Result<Result<TokenAnswer, Failure>, String> {
        let (came, verifier) = self.consent().await?;
        let code = came.get("code").ok_or("no code")?;
        let (code, scopes) = (SecretString::from(code.clone()), self.scopes());
        let sent = Code { code: &code, verifier: &verifier, redirect_uri: BACK, scopes: &scopes };
        let granted = exchange(&self.http, &self.description, &self.app, sent, NOW).await;
        Ok(granted.map(|granted| granted.answer))
    }

    async fn read_account(&self, answer: &TokenAnswer) -> Result<ProviderAccount, Failure> {
        if let Some(account) = &answer.account {
            return Ok(account.clone());
        }
        let token = answer.access_token.as_ref().unwrap();
        let account = identity::account(&self.http, &self.description, token, NOW).await?;
        Ok(account.expect("the entry has a way to name the account"))
    }

    /// A whole connection of an account.
    async fn connect(&self, account: &str) -> Result<Connected, String> {
        self.family.consent_as(account);
        let answer = self.exchange().await?.map_err(|failure| self.explained("exchange", &failure))?;
        let read = self.read_account(&answer).await;
        let account = read.map_err(|failure| self.explained("account", &failure))?;
        Ok(Connected { answer, account })
    }

    async fn refresh(&self, token: &SecretString) -> Result<TokenAnswer, Failure> {
        refresh(&self.http, &self.description, &self.app, token, &[], NOW).await.map(|granted| granted.answer)
    }

    fn last_flaw(&self) -> String {
        self.family.requests().last().and_then(|seen| seen.flaw.clone()).unwrap_or_default()
    }

    fn explained(&self, what: &str, failure: &Failure) -> String {
        format!("{what}: {failure} {:?} {}", failure.code, self.last_flaw())
    }

    /// Who consents, at least two.
    fn accounts(&self) -> Vec<&str> {
        let all = || self.family.data().accounts.keys().map(String::as_str).collect();
        if self.run.accounts.is_empty() {
            all()
        } else {
            self.run.accounts.iter().map(String::as_str).collect()
        }
    }
}

/// The columns.
impl Bench {
    async fn prove_connect(&self) -> Result<(), String> {
        let app = &self.family.data().apps[&self.run.app];
        let Connected { answer, .. } = self.connect(self.accounts()[0]).await?;
        claim(answer.flaws.is_empty(), || format!("{:?}", answer.flaws))?;
        claim(self.is_alive(answer.access_token.as_ref().unwrap()), || "a dead access token".to_owned())?;
        let lifetime = answer.expires_in.map(|lifetime| lifetime.as_secs());
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
        self.prove_partial_consent(&scopes).await
    }

    /// A person who grants all but one scope.
    async fn prove_partial_consent(&self, scopes: &[String]) -> Result<(), String> {
        let required = &self.description.scopes.required;
        let Some(dropped) = scopes.iter().rfind(|scope| !required.contains(scope)) else { return Ok(()) };
        let rest: Vec<_> = scopes.iter().filter(|scope| *scope != dropped).map(String::as_str).collect();
        self.family.grant_only(Some(&rest));
        let connected = self.connect(self.accounts()[0]).await;
        self.family.grant_only(None);
        let granted = connected?.answer.scopes.unwrap_or_default();
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
            let found = self.connect(name).await?.answer.extras;
            claim(found == wanted, || format!("{found:?} and not {wanted:?}"))?;
        }
        claim(!self.run.extras.is_empty(), || "there are none, and the file does not say why".to_owned())
    }

    async fn prove_refresh(&mut self) -> Result<(), String> {
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
        claim(after.expires_in == before.answer.expires_in, || "another lifetime".to_owned())?;
        claim(after.extras == before.answer.extras, || "other values beside the token".to_owned())?;
        claim(self.is_alive(after.access_token.as_ref().unwrap()), || "a dead access token".to_owned())?;
        let came = after.refresh_token.is_some();
        let fits = renewal == Renewal::Optional || came == (renewal != Renewal::None);
        claim(fits, || format!("a new refresh token came: {came}"))?;
        Ok(after.refresh_token.unwrap_or_else(|| token.clone()))
    }

    /// A client secret that is not registered yet costs nothing.
    async fn prove_previous_secret(&mut self) -> Result<(), String> {
        let connected = self.connect(self.accounts()[0]).await?;
        let token = connected.answer.refresh_token.clone().ok_or("no refresh token")?;
        let right = self.app.client_secret.replace(SecretString::from("not-registered-yet"));
        self.app.client_secret_previous.clone_from(&right);
        let granted = refresh(&self.http, &self.description, &self.app, &token, &[], NOW).await;
        self.app.client_secret_previous = None;
        self.app.client_secret = right;
        let granted = granted.map_err(|failure| self.explained("previous secret", &failure))?;
        claim(granted.secret == WhichSecret::Previous, || "the wrong secret counted".to_owned())
    }
}

/// Refusals and what else goes wrong.
impl Bench {
    /// Whether the entry makes such a request, so that its refusals can be seen.
    fn asks(&self, operation: Operation) -> bool {
        match operation {
            Operation::Refresh => self.renewal().is_some(),
            Operation::Account => self.description.identity_url().is_some(),
            Operation::Revoke => self.description.revocation_url(&self.app.client_id).is_some(),
            Operation::Authorize | Operation::Exchange => true,
        }
    }

    /// What the next answer means: a class, or that a revocation found nothing.
    async fn meaning_of(&self, operation: Operation, connected: &Connected) -> Result<String, String> {
        let failure = match operation {
            Operation::Authorize => {
                let (came, _) = self.consent().await?;
                let text = came.get("error_description").map(String::as_str);
                let error = came.get("error").ok_or("no error")?;
                return Ok(named(declined(&self.description, error, text).class));
            }
            Operation::Exchange => self.exchange().await?.err(),
            Operation::Refresh => {
                self.refresh(connected.answer.refresh_token.as_ref().ok_or("no refresh token")?).await.err()
            }
            Operation::Account => {
                identity::account(&self.http, &self.description, connected.access(), NOW).await.err()
            }
            Operation::Revoke => match self.revoke(connected).await {
                Ok(Revocation::AlreadyGone) => return Ok("gone".to_owned()),
                outcome => outcome.err(),
            },
        };
        failure.map(|failure| named(failure.class)).ok_or_else(|| "a success".to_owned())
    }

    async fn prove_refusals(&self) -> Cell {
        let connected = match self.connect(self.accounts()[0]).await {
            Ok(connected) => connected,
            Err(flaw) => return Cell::Failed(vec![flaw]),
        };
        let (mut count, mut flaws, mut classes) = (0, Vec::new(), BTreeSet::new());
        for (name, refusal) in &self.family.data().refusals {
            for on in refusal.on.iter().copied().filter(|on| self.asks(*on)) {
                self.family.refuse_next(on, name);
                let meaning = self.meaning_of(on, &connected).await.unwrap_or_else(|flaw| flaw);
                count += 1;
                classes.insert(refusal.class.clone());
                if meaning != refusal.class {
                    flaws.push(format!("{name} on {on:?} is {meaning} and not {}", refusal.class));
                }
            }
        }
        let works = self.is_alive(connected.access()) && self.family.is_played();
        flaws.extend((!works).then(|| "a refusal cost something".to_owned()));
        for class in self.classes() {
            let (is_tested, lacks) = (classes.contains(&class), self.lacks(&format!("class {class}")));
            if is_tested == lacks.is_some() {
                flaws.push(format!(
                    "there is a refusal of the class {class}: {is_tested}, and a reason why not: {lacks:?}"
                ));
            }
        }
        Cell::of(flaws, count)
    }

    /// The classes that the entry's error table has.
    fn classes(&self) -> BTreeSet<String> {
        let errors = &self.description.errors;
        let api = errors.api.iter().map(|rule| rule.class).filter(|_| self.asks(Operation::Account));
        errors
            .token
            .values()
            .copied()
            .chain(errors.callback.values().copied())
            .chain(api)
            .map(named)
            .collect()
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
            self.family.spoil_next(Operation::Exchange, spoil);
            self.exchange().await?
        };
        let wanted = match spoil {
            Spoil::ByteOrderMark | Spoil::OtherAccount => None,
            Spoil::Truncated | Spoil::Page => Some((Class::Transient, Sent::MaybeSent)),
            Spoil::Latin1 | Spoil::Mebibyte => Some((Class::Bug, Sent::MaybeSent)),
        };
        let found = answer.err().map(|failure| (failure.class, failure.sent));
        claim(found == wanted, || format!("{found:?} and not {wanted:?}"))
    }

    /// An answer that names another account than the person who consented is not taken for that person's.
    async fn prove_other_account(&self) -> Result<(), String> {
        let mine = self.accounts()[0];
        let before = self.connect(mine).await?.account;
        let on = if self.asks(Operation::Account) { Operation::Account } else { Operation::Exchange };
        self.family.spoil_next(on, Spoil::OtherAccount);
        let after = self.connect(mine).await?.account;
        claim(before.id != after.id, || "another account has the same id".to_owned())
    }

    async fn revoke(&self, connected: &Connected) -> Result<Revocation, Failure> {
        let Connected { answer: TokenAnswer { refresh_token, access_token, .. }, .. } = connected;
        let tokens = Tokens { refresh: refresh_token.as_ref(), access: access_token.as_ref() };
        revoke::revoke(&self.http, &self.description, &self.app, tokens, NOW).await
    }

    async fn prove_revocation(&self) -> Result<(), String> {
        let mine = self.accounts()[0];
        let (first, second) = (self.connect(mine).await?, self.connect(mine).await?);
        let outcome = self.revoke(&first).await.map_err(|failure| self.explained("revocation", &failure))?;
        claim(outcome == Revocation::Revoked, || format!("{outcome:?}"))?;
        claim(!self.is_alive(first.access()), || "the access token still works".to_owned())?;
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
            "extras" => !connected.answer.extras.is_empty(),
            "refresh" => connected.answer.refresh_token.is_some(),
            "revocation" => {
                !matches!(self.revoke(&connected).await, Ok(Revocation::Unsupported { by_hand: Some(_) }))
            }
            _ => true,
        };
        claim(!is_possible, || "it is possible, and the file says that it is not".to_owned())
    }

    async fn prove(&mut self, column: &str) -> Cell {
        if let Some(reason) = self.lacks(column) {
            let outcome = self.prove_impossible(column).await;
            return outcome
                .map_or_else(|flaw| Cell::Failed(vec![flaw]), |()| Cell::Impossible(reason.clone()));
        }
        match column {
            "connect" => Cell::yes(self.prove_connect().await),
            "account" => Cell::yes(self.prove_account().await),
            "extras" => Cell::yes(self.prove_extras().await),
            "refresh" => Cell::yes(self.prove_refresh().await),
            "refusals" => self.prove_refusals().await,
            "spoiled answers" => self.prove_spoiled_answers().await,
            _ => Cell::yes(self.prove_revocation().await),
        }
    }
}

/// A class in the words of the catalogue.
fn named(class: Class) -> String {
    serde_json::to_value(class).unwrap().as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_entry_does_with_its_provider_what_the_provider_documents() {
    let heads: String = COLUMNS.iter().map(|column| format!(" {column:<15}")).collect();
    let (mut table, mut notes, mut flaws) =
        (format!("{:<64}{heads}\n", "entry"), BTreeSet::new(), Vec::new());
    for (name, family) in Family::all().unwrap() {
        for run in &family.proves {
            let mut bench = Bench::of(&name, run).await;
            let row = bench.row();
            table += &format!("{row:<64}");
            for column in COLUMNS {
                let cell = bench.prove(column).await;
                table += &format!(" {cell:<15}");
                match cell {
                    Cell::Proved(_) => {}
                    Cell::Impossible(reason) => notes.extend([format!("{}, {column}: {reason}", run.entry)]),
                    Cell::Failed(all) => {
                        flaws.extend(all.iter().map(|flaw| format!("{row}, {column}: {flaw}")))
                    }
                }
            }
            table += "\n";
            assert!(bench.emulator.strangers().is_empty(), "{row}: {:?}", bench.emulator.strangers());
        }
    }
    let notes: Vec<_> = notes.into_iter().collect();
    println!("{table}\nn/a:\n{}\n\nFAILED:\n{}", notes.join("\n"), flaws.join("\n"));
    let (found, known): (BTreeSet<_>, BTreeSet<_>) =
        (flaws.iter().map(String::as_str).collect(), FAULTS.iter().copied().collect());
    assert_eq!(found, known, "what fails, and what is known to fail");
}

#[test]
fn every_entry_has_a_family_or_is_known_to_have_none() {
    let families = Family::all().unwrap();
    let runs = families.values().flat_map(|family| &family.proves);
    let mut proved: BTreeSet<_> = runs.map(|run| run.entry.as_str()).collect();
    for (entry, reason) in UNPROVED {
        assert!(proved.insert(entry), "{entry} has a family, and here is said: {reason}");
    }
    let all: BTreeSet<_> = entries().keys().map(String::as_str).collect();
    assert_eq!(all, proved);
}
