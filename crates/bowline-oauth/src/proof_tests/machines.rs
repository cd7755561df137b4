//! Entries without a person: their tokens are minted.

use bowline_api::connection::Method;
use bowline_testbed::emulator::{Operation, TEST_KEY};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use super::bench::{Bench, Connected, NOW, claim};
use crate::answer::TokenAnswer;
use crate::app::WhichSecret;
use crate::assertion::SigningKey;
use crate::catalog::calls::IdentitySource;
use crate::catalog::errors::Class;
use crate::classify::Failure;
use crate::endpoint::Granted;
use crate::mint::{MintedWith, mint};

/// The key of emulated apps that sign, with a certificate.
pub(super) fn test_key() -> SigningKey {
    let key = rcgen::KeyPair::from_pem(TEST_KEY).unwrap();
    let certificate = rcgen::CertificateParams::new(["app".to_owned()]).unwrap().self_signed(&key).unwrap();
    let key = SigningKey::read(TEST_KEY, Some("key-1".to_owned())).unwrap();
    key.certified(&certificate.pem()).unwrap()
}

impl Bench {
    /// Whether nobody consents to tokens of this entry.
    pub(super) fn mints(&self) -> bool {
        self.description.methods.first().is_some_and(|method| !method.is_a_persons())
    }

    /// Whether the account is the app itself, whatever the provider answers.
    pub(super) fn is_its_own_account(&self) -> bool {
        let identity = self.description.identity.as_ref();
        identity.is_some_and(|identity| identity.from.first() == Some(&IdentitySource::App))
    }

    async fn minted_at(&self, now: Timestamp) -> Result<Granted, Failure> {
        let signs = self.description.methods[0] == Method::JwtBearer;
        let with = if signs { MintedWith::Assertion } else { MintedWith::App };
        mint(&self.http, &self.description, &self.app, with, &self.scopes(), now).await
    }

    pub(super) async fn mint(&self) -> Result<TokenAnswer, Failure> {
        self.minted_at(NOW).await.map(|granted| granted.answer)
    }

    /// Tokens one after the other; and what is refused: another key, another time.
    pub(super) async fn prove_mint(&mut self) -> Result<(), String> {
        let account = self.accounts()[0].to_owned();
        let (one, other) = (self.connect(&account).await?, self.connect(&account).await?);
        claim(one.access().expose_secret() != other.access().expose_secret(), || "one token".to_owned())?;
        claim(self.is_alive(one.access()) && self.is_alive(other.access()), || "a dead token".to_owned())?;
        claim(one.answer.lifetime == other.answer.lifetime, || "another lifetime".to_owned())?;
        claim(one.extras == other.extras, || "other values beside the token".to_owned())?;
        if self.app.private_key.is_some() {
            self.prove_signature().await?;
        }
        if self.app.client_secret.is_some() { self.prove_previous_client_secret().await } else { Ok(()) }
    }

    async fn prove_signature(&mut self) -> Result<(), String> {
        let right = self.app.private_key.replace(SigningKey::generate().unwrap());
        let forged = self.mint().await.err().map(|failure| failure.class);
        self.app.private_key = right;
        claim(forged == Some(Class::Config), || format!("another key is {forged:?}"))?;
        for hours in [-2, 2] {
            let late = NOW + SignedDuration::from_hours(hours);
            let class = self.minted_at(late).await.err().map(|failure| failure.class);
            claim(class == Some(Class::Config), || format!("{hours} hours later it is {class:?}"))?;
        }
        self.mint().await.map(drop).map_err(|failure| self.explained("mint", &failure))
    }

    /// A client secret that is not registered yet costs nothing.
    async fn prove_previous_client_secret(&mut self) -> Result<(), String> {
        let right = self.app.client_secret.replace(SecretString::from("not-registered-yet"));
        self.app.client_secret_previous.clone_from(&right);
        let granted = self.minted_at(NOW).await;
        self.app.client_secret_previous = None;
        self.app.client_secret = right;
        let granted = granted.map_err(|failure| self.explained("previous secret", &failure))?;
        claim(granted.secret == WhichSecret::Previous, || "the wrong secret counted".to_owned())
    }

    /// What gives the first token.
    pub(super) fn begins(&self) -> Operation {
        if self.mints() { Operation::Mint } else { Operation::Exchange }
    }

    /// The answer to a new request for the first token.
    pub(super) async fn begin(&self) -> Result<Result<TokenAnswer, Failure>, String> {
        if self.mints() { Ok(self.mint().await) } else { self.exchange().await }
    }

    /// The classes of the table for token answers that a refusal can show.
    pub(super) fn token_classes(&self) -> Vec<Class> {
        let errors = &self.description.errors;
        if self.is_about_keys() {
            return Vec::new();
        }
        if !self.mints() {
            return errors.token.values().copied().collect();
        }
        let rules = errors.refusals.iter().map(|rule| rule.class);
        // Without a grant, none can be gone.
        let possible = |class: &Class| !matches!(class, Class::Reauth | Class::Ambiguous);
        errors.mint.values().copied().chain(rules).filter(possible).collect()
    }

    /// What an account has beside the token.
    pub(super) async fn connected(&self, answer: TokenAnswer) -> Result<Connected, String> {
        let (named, mut extras) = (answer.account.clone(), answer.extras.clone());
        if let Some(account) = named.clone().filter(|_| !self.description.publishes_from_calls()) {
            return Ok(Connected { answer, account, extras });
        }
        let token = answer.access_token.as_ref().unwrap();
        let info =
            crate::identity::user_info(&self.http, &self.description, Some(&self.app), token, NOW).await;
        let info = info.map_err(|failure| self.explained("account", &failure))?;
        extras.extend(info.extras);
        let account = named.or(info.account).expect("the entry has a way to name the account");
        Ok(Connected { answer, account, extras })
    }
}
