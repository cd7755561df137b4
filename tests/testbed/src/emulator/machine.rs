//! Tokens for machines: minted with an app's secret, or with an assertion that its key signs. Nobody consents.

use serde::Deserialize;
use serde_json::Value;

use super::answer::Answer;
use super::asked::{Asked, Wrong};
use super::book::Consent;
use super::data::{EmulatedApp, Operation, Reply, Takes, Values, Violation};
use super::stage::{Play, Stage};
use super::template::{as_text, bindings, fill};
use super::turn::Turn;
use crate::jws::{VerifiedJwt, VerifyingKey};

/// The key of all apps that sign. It is published here, and opens nothing.
pub const TEST_KEY: &str = include_str!("test-key.pem");

/// Seconds that a client's clock may be ahead.
const CLOCKS_MAY_DIFFER: i64 = 5;

/// Where tokens are minted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MintEndpoint {
    /// Address, with placeholders for segments.
    pub at: String,
    /// What `grant_type` is. Absent: there must be none.
    pub grant_type: Option<String>,
    #[serde(default)]
    pub takes: Takes,
    /// The assertion that must be there, if one is. Without it the app proves itself as `takes` says.
    pub assertion: Option<AssertionHabit>,
    /// What becomes of each item of a list in the request, field → data with `{item}`: the value `FIELD_given`.
    #[serde(default)]
    pub items: Values,
    /// The first that fits is given.
    pub replies: Vec<Reply>,
}

/// What an assertion must be like.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AssertionHabit {
    /// The field that holds it, or `bearer`.
    pub place: String,
    /// Whom it is for, with placeholders of the address. Absent: it need not say.
    pub audience: Option<String>,
    /// How it is signed.
    pub algorithm: String,
    /// Seconds from `iat` to `exp` at most.
    pub lives: i64,
    /// Claims that must be there.
    #[serde(default)]
    pub claims: Vec<String>,
    /// Parameters of the header that must be there.
    #[serde(default)]
    pub header: Vec<String>,
    /// Whether the app may prove itself without one.
    #[serde(default)]
    pub optional: bool,
}

impl MintEndpoint {
    /// What becomes of the lists in a request.
    fn given(&self, fields: &Values) -> Values {
        let given = self.items.iter().filter_map(|(field, template)| {
            let items = fields.get(field)?.as_array()?;
            let item = |item: &Value| fill(template, &Values::from_iter([("item".to_owned(), item.clone())]));
            Some((format!("{field}_given"), items.iter().filter_map(item).collect()))
        });
        given.collect()
    }

    /// Whether a request to its address is for it.
    pub fn is_asked(&self, asked: &Asked) -> bool {
        asked.text("grant_type") == self.grant_type.as_deref()
    }
}

impl AssertionHabit {
    fn of<'a>(&self, asked: &'a Asked) -> Option<&'a str> {
        if self.place == "bearer" { asked.bearer() } else { asked.text(&self.place) }
    }

    /// The assertion, if it is as it must be at this time.
    fn checked(&self, jwt: &str, bound: &Values, now: i64) -> Result<VerifiedJwt, Wrong> {
        let wrong = |why: &str| Violation::Assertion.because(format!("the assertion {why}"));
        let key = VerifyingKey::of_rsa_pem(TEST_KEY).ok_or_else(|| wrong("has no key"))?;
        let jwt = key.verified(jwt).ok_or_else(|| wrong("is not signed with the app's key"))?;
        if jwt.header.get("alg").is_none_or(|algorithm| *algorithm != self.algorithm) {
            return Err(wrong("is signed in another way"));
        }
        let audience = self.audience.as_ref().and_then(|text| fill(&text.as_str().into(), bound));
        if audience.is_some_and(|audience| !jwt.is_for(&as_text(&audience))) {
            return Err(wrong("is for somebody else"));
        }
        let (issued, expires) =
            jwt.number("iat").zip(jwt.number("exp")).ok_or_else(|| wrong("has no times"))?;
        if issued > now + CLOCKS_MAY_DIFFER || expires <= now || expires - issued > self.lives {
            return Err(wrong("is not of this time, or valid for too long"));
        }
        if let Some(claim) = self.claims.iter().find(|claim| !jwt.claims.contains_key(*claim)) {
            return Err(wrong(&format!("has no claim {claim}")));
        }
        match self.header.iter().find(|name| !jwt.header.contains_key(*name)) {
            Some(name) => Err(wrong(&format!("has no header {name}"))),
            None => Ok(jwt),
        }
    }
}

impl Stage {
    /// A request to mint a token, if this is one.
    pub(super) fn minting<'a>(&'a self, asked: &'a Asked, line: &str) -> Option<Turn<'a>> {
        let mut minting = self.data.mints.iter().filter(|mint| mint.is_asked(asked));
        minting.find_map(|mint| {
            Some(Turn {
                asked,
                operation: Operation::Mint,
                takes: &mint.takes,
                replies: &mint.replies,
                revoke: None,
                mint: Some(mint),
                session: None,
                bound: bindings(&mint.at, line)?,
                as_other: false,
            })
        })
    }

    pub(super) fn mint(&self, turn: &Turn<'_>, play: &mut Play) -> Result<Answer, Wrong> {
        let (asked, endpoint) = (turn.asked, turn.mint);
        let endpoint = endpoint.ok_or_else(|| Violation::Request.because("nothing is minted"))?;
        let habit = endpoint.assertion.as_ref();
        let given = habit.and_then(|habit| Some((habit, habit.of(asked)?)));
        let (app, scope) = match given {
            Some((habit, text)) => {
                let jwt = habit.checked(text, &turn.bound, play.book.now)?;
                (self.signer(&jwt)?, jwt.text("scope").map(ToOwned::to_owned))
            }
            None if habit.is_some_and(|habit| !habit.optional) => {
                return Err(Violation::Assertion.because("there is none"));
            }
            None => (asked.client(&self.data, &turn.takes.client)?, None),
        };
        let mut values = turn.bound.clone();
        values.extend(asked.fields.clone());
        let defaults = app.values.iter().filter(|(name, _)| !asked.fields.contains_key(*name));
        values.extend(defaults.map(|(name, value)| (name.clone(), value.clone())));
        values.extend(endpoint.given(&asked.fields));
        let fields = scope.map(|scope| Values::from_iter([("scope".to_owned(), Value::from(scope))]));
        let scopes = self.scopes(fields.as_ref().unwrap_or(&asked.fields), play.narrowed.as_deref());
        let (client, account) = (app.client_id.clone(), play.account.clone());
        let (grant, issued) = play.book.minted(Consent { client, account, scopes, values }, app);
        self.tokens(turn, play, grant, &issued)
    }

    fn signer(&self, jwt: &VerifiedJwt) -> Result<&EmulatedApp, Wrong> {
        let app = jwt.text("iss").and_then(|client| self.data.app_of(client));
        app.filter(|app| app.signs()).ok_or_else(|| Violation::Assertion.because("nobody of that name signs"))
    }
}
