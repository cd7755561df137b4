//! One thing to prove, and a whole connection of it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use bowline_testbed::emulator::{Emulator, FamilyHandle, Renewal, Run};
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::machines::test_key;
use crate::answer::{TokenAnswer, extras_of_callback};
use crate::app::{App, AppPurpose};
use crate::authorize::{AuthorizationRequest, begin};
use crate::callback::callback_issuer;
use crate::catalog::entry::Pkce;
use crate::catalog::protocol::ProviderAccount;
use crate::catalog::{Description, get, resolve};
use crate::certificate::ClientCertificate;
use crate::classify::Failure;
use crate::exchange::{Code, exchange};
use crate::guard::system_lookup;
use crate::http::{HttpClient, RequestLimits};
use crate::link_session::{self, LinkRequest};
use crate::network::Network;
use crate::refresh;
use crate::revoke::{self, Revocation, Tokens};

pub(super) const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
const BACK: &str = "https://bowline.example.com/callback/provider";
pub(super) const COLUMNS: [&str; 8] =
    ["connect", "account", "extras", "refresh", "refusals", "spoiled answers", "probe", "revocation"];

/// What came of one column for one run.
pub(super) enum Cell {
    Proved(String),
    /// It cannot be proved, for the reason in the family's file.
    Impossible(String),
    /// How much is proved, and what is wrong.
    Failed(String, Vec<String>),
}

impl Cell {
    pub(super) fn of(flaws: Vec<String>, count: usize) -> Self {
        let proved = format!("{}/{count}", count.saturating_sub(flaws.len()));
        if flaws.is_empty() { Self::Proved(proved) } else { Self::Failed(proved, flaws) }
    }

    pub(super) fn yes(outcome: Result<(), String>) -> Self {
        outcome.map_or_else(
            |flaw| Self::Failed("no".to_owned(), vec![flaw]),
            |()| Self::Proved("yes".to_owned()),
        )
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proved(what) => f.pad(what),
            Self::Impossible(_) => f.pad("n/a"),
            Self::Failed(proved, _) => f.pad(&format!("{proved} FAILED")),
        }
    }
}

/// `Err` with what is wrong, unless the claim holds.
pub(super) fn claim(holds: bool, flaw: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(flaw()) }
}

/// One thing to prove: an entry with an app and parameters, and the emulator that plays its provider.
pub(super) struct Bench {
    pub(super) emulator: Emulator,
    pub(super) family: FamilyHandle,
    pub(super) run: Run,
    pub(super) http: HttpClient,
    pub(super) browser: reqwest::Client,
    pub(super) description: Description,
    pub(super) app: App,
}

/// A connection as it stands.
pub(super) struct Connected {
    pub(super) answer: TokenAnswer,
    pub(super) account: ProviderAccount,
    /// What is published beside the token.
    pub(super) extras: BTreeMap<String, String>,
}

impl Connected {
    pub(super) fn access(&self) -> &SecretString {
        self.answer.access_token.as_ref().unwrap()
    }
}

impl Bench {
    pub(super) async fn of(family: &str, run: &Run) -> Self {
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
        let certificate = description.needs_certificate().then(|| {
            let (certificate, key) = emulator.client_certificate(2020..=2090).unwrap();
            ClientCertificate::read(&certificate, &key).unwrap()
        });
        let app = App {
            client_id: app.client_id.clone(),
            client_secret: app.client_secret.clone().map(SecretString::from),
            client_secret_previous: None,
            private_key: app.signs().then(test_key),
            certificate,
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
    pub(super) fn row(&self) -> String {
        let settings = self.run.parameters.iter().map(|(name, value)| format!(" {name}={value}"));
        format!("{} ({}{})", self.run.entry, self.run.app, settings.collect::<String>())
    }

    pub(super) fn lacks(&self, what: &str) -> Option<&String> {
        self.run.lacks.get(what).or_else(|| self.family.data().lacks.get(what))
    }

    pub(super) fn renewal(&self) -> Option<Renewal> {
        self.family.data().apps[&self.run.app].renewal()
    }

    pub(super) fn is_alive(&self, token: &SecretString) -> bool {
        self.family.is_alive(token.expose_secret())
    }

    /// What a connection of this run requests.
    pub(super) fn scopes(&self) -> Vec<String> {
        if !self.run.scopes.is_empty() {
            return self.run.scopes.clone();
        }
        let rules = &self.description.scopes;
        let more = rules.required.iter().filter(|scope| !rules.default.contains(scope));
        rules.default.iter().chain(more).cloned().collect()
    }

    /// From the request to what the browser returns with, and the verifier.
    pub(super) async fn consent(&self) -> Result<(HashMap<String, String>, SecretString), String> {
        self.consent_to(None).await
    }

    /// The same, for a grant that is there.
    pub(super) async fn consent_to(
        &self,
        held: Option<Tokens<'_>>,
    ) -> Result<(HashMap<String, String>, SecretString), String> {
        let begun = self.leave(held).await;
        let (address, kept) = begun.map_err(|failure| self.explained("no way there", &failure))?;
        let page = self.browser.get(address).send().await.map_err(|error| format!("{error:?}"))?;
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
        Ok((came, kept))
    }

    /// Where the person goes, and what is kept for their return.
    pub(super) async fn leave(&self, held: Option<Tokens<'_>>) -> Result<(url::Url, SecretString), Failure> {
        let (state, scopes) = (SecretString::from("the-state"), self.scopes());
        let (state, scopes) = (&state, &scopes[..]);
        if self.description.link_session.is_some() {
            let request = LinkRequest { redirect_uri: BACK, state, scopes, connection: "uid-1", held };
            let opened = link_session::open(&self.http, &self.description, &self.app, request, NOW).await?;
            return Ok((opened.page, opened.kept));
        }
        let request = AuthorizationRequest { redirect_uri: BACK, state, scopes, expected: None };
        let begun = begin(&self.http, &self.description, &self.app, &request, NOW).await?;
        Ok((begun.address, begun.verifier))
    }

    /// The answer to a new code.
    pub(super) async fn exchange(&self) -> Result<Result<TokenAnswer, Failure>, String> {
        let (came, verifier) = self.consent().await?;
        self.exchange_of(&came, verifier).await
    }

    async fn exchange_of(
        &self,
        came: &HashMap<String, String>,
        verifier: SecretString,
    ) -> Result<Result<TokenAnswer, Failure>, String> {
        if self.description.link_session.is_some() {
            return Ok(self.fetch(&verifier, came).await);
        }
        let code = came.get("code").ok_or("no code")?;
        let (code, scopes) = (SecretString::from(code.clone()), self.scopes());
        let sent_challenge = self.description.authorize.pkce != Pkce::None;
        let sent =
            Code { code: &code, verifier: &verifier, sent_challenge, redirect_uri: BACK, scopes: &scopes };
        let granted = exchange(&self.http, &self.description, &self.app, sent, NOW).await;
        Ok(granted.map(|granted| granted.answer))
    }

    /// What came of a link session from which the browser came back so.
    pub(super) async fn fetch(
        &self,
        kept: &SecretString,
        came: &HashMap<String, String>,
    ) -> Result<TokenAnswer, Failure> {
        let came = self.passed_on(came);
        let fetched = link_session::fetch(&self.http, &self.description, &self.app, kept, &came, NOW);
        fetched.await.map(|granted| granted.answer)
    }

    /// The parameters of a callback that the portal passes on.
    fn passed_on(&self, came: &HashMap<String, String>) -> BTreeMap<String, String> {
        let read = self.description.callback_parameters();
        came.clone().into_iter().filter(|(name, _)| read.contains(name.as_str())).collect()
    }

    /// A whole connection of an account.
    pub(super) async fn connect(&self, account: &str) -> Result<Connected, String> {
        self.family.consent_as(account);
        if self.mints() {
            let answer = self.mint().await.map_err(|failure| self.explained("mint", &failure))?;
            return self.connected(answer).await;
        }
        let (came, verifier) = self.consent().await?;
        let returned = self.passed_on(&came);
        let answer = self.exchange_of(&came, verifier).await?;
        let answer = answer.map_err(|failure| self.explained("exchange", &failure))?;
        let mut connected = self.connected(answer).await?;
        connected.extras.extend(extras_of_callback(&self.description, &returned));
        Ok(connected)
    }

    pub(super) async fn refresh(&self, token: &SecretString) -> Result<TokenAnswer, Failure> {
        let scopes = if self.description.link_session.is_some() { self.scopes() } else { Vec::new() };
        refresh::refresh(&self.http, &self.description, &self.app, token, &scopes, NOW)
            .await
            .map(|granted| granted.answer)
    }

    pub(super) async fn revoke(&self, connected: &Connected) -> Result<Revocation, Failure> {
        let Connected { answer: TokenAnswer { refresh_token, access_token, .. }, account, .. } = connected;
        let account = Some(account.id.as_str());
        let tokens = Tokens { refresh: refresh_token.as_ref(), access: access_token.as_ref(), account };
        revoke::revoke(&self.http, &self.description, &self.app, tokens, NOW).await
    }

    pub(super) fn last_flaw(&self) -> String {
        self.family.requests().last().and_then(|seen| seen.flaw.clone()).unwrap_or_default()
    }

    pub(super) fn explained(&self, what: &str, failure: &Failure) -> String {
        format!("{what}: {failure} {:?} {}", failure.code, self.last_flaw())
    }

    /// Who consents, at least two.
    pub(super) fn accounts(&self) -> Vec<&str> {
        let all = || self.family.data().accounts.keys().map(String::as_str).collect();
        if self.run.accounts.is_empty() {
            all()
        } else {
            self.run.accounts.iter().map(String::as_str).collect()
        }
    }
}
