//! What a provider remembers: codes, grants and tokens.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::asked::Wrong;
use super::consent::PkceHabit;
use super::data::{AccessTokens, EmulatedApp, Extent, RefreshTokens, Renewal, Values, Violation};
use super::template::{as_text, fill};

/// How long a code works (RFC 6749 §4.1.2: ten minutes at most).
const CODE_SECONDS: i64 = 600;

/// What a person consented to.
#[derive(Clone)]
pub(super) struct Consent {
    /// Client id.
    pub client: String,
    pub account: String,
    pub scopes: Vec<String>,
    /// The parameters of the authorization request, and what the family makes of them.
    pub values: Values,
}

struct Grant {
    consent: Consent,
    refreshes: u32,
    ended: bool,
}

struct Code {
    consent: Consent,
    expires_at: i64,
    used: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TokenKind {
    Access,
    Refresh,
}

struct Token {
    kind: TokenKind,
    grant: usize,
    serial: u32,
    expires_at: Option<i64>,
    /// Until when a replaced token still works.
    replaced_until: Option<i64>,
    ended: bool,
}

/// Tokens as they go to the client.
pub(super) struct Issued {
    pub access: String,
    pub refresh: Option<String>,
}

/// All that was issued.
pub(super) struct Book {
    /// Seconds since 1970.
    pub now: i64,
    serial: u32,
    codes: BTreeMap<String, Code>,
    grants: Vec<Grant>,
    tokens: BTreeMap<String, Token>,
}

impl Book {
    pub fn new(now: i64) -> Self {
        Self { now, serial: 0, codes: BTreeMap::new(), grants: Vec::new(), tokens: BTreeMap::new() }
    }

    /// A code for what was consented to.
    pub fn code(&mut self, consent: Consent) -> String {
        self.serial += 1;
        let code = format!("code-{:04}", self.serial);
        self.codes.insert(code.clone(), Code { consent, expires_at: self.now + CODE_SECONDS, used: false });
        code
    }

    /// Uses a code, once (RFC 6749 §4.1.3, RFC 7636 §4.6). Returns its grant and the first tokens.
    pub fn redeem(
        &mut self,
        fields: &Values,
        app: &EmulatedApp,
        pkce: PkceHabit,
    ) -> Result<(usize, Issued), Wrong> {
        let text = |name: &str| fields.get(name).map(as_text).unwrap_or_default();
        let found = self.codes.get_mut(&text("code")).filter(|code| code.consent.client == app.client_id);
        let code = found.ok_or_else(|| Violation::Code.because("the app has no such code"))?;
        if code.used || self.now >= code.expires_at {
            return Err(Violation::Code.because("it was used before, or has expired"));
        }
        let asked = |name: &str| code.consent.values.get(name).map(as_text).unwrap_or_default();
        if asked("redirect_uri") != text("redirect_uri") {
            return Err(Violation::Code.because("it was sent to another address"));
        }
        let (challenge, verifier) = (asked("code_challenge"), text("code_verifier"));
        let proven = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        match pkce {
            PkceHabit::Ignored => {}
            PkceHabit::Refused if verifier.is_empty() => {}
            PkceHabit::Checked if challenge.is_empty() && verifier.is_empty() => {}
            PkceHabit::Checked if challenge == proven && asked("code_challenge_method") == "S256" => {}
            _ => return Err(Violation::Code.because("the verifier is not that of the challenge")),
        }
        code.used = true;
        let grant = self.grants.len();
        self.grants.push(Grant { consent: code.consent.clone(), refreshes: 0, ended: false });
        let refresh = app.refresh.as_ref().filter(|habits| self.is_offline(grant, habits));
        let refresh = refresh.map(|habits| self.issue_refresh(grant, habits));
        Ok((grant, self.with_access(grant, app, refresh)))
    }

    /// A token of the grant that somebody else named.
    pub fn adopt(&mut self, grant: usize, text: &str) {
        let serial = self.serial;
        let token = Token {
            kind: TokenKind::Refresh,
            grant,
            serial,
            expires_at: None,
            replaced_until: None,
            ended: false,
        };
        self.tokens.entry(text.to_owned()).or_insert(token);
    }

    /// Whether all that came of one consent was ended.
    pub fn has_ended(&self, consent: &Consent) -> bool {
        let name = |it: &Consent| it.values.get("consent").cloned();
        let is_its = |grant: &&Grant| name(&grant.consent) == name(consent);
        let mut its = self.grants.iter().filter(is_its).peekable();
        its.peek().is_some() && its.all(|grant| grant.ended)
    }

    /// A grant that nobody consented to, and its token.
    pub fn minted(&mut self, consent: Consent, app: &EmulatedApp) -> (usize, Issued) {
        let grant = self.grants.len();
        self.grants.push(Grant { consent, refreshes: 0, ended: false });
        (grant, self.with_access(grant, app, None))
    }

    /// A key that a person creates, without an app that asks for it.
    pub fn create(&mut self, app: &EmulatedApp, account: &str) -> String {
        let (client, account) = (app.client_id.clone(), account.to_owned());
        let consent = Consent { client, account, scopes: Vec::new(), values: app.values.clone() };
        self.grants.push(Grant { consent, refreshes: 0, ended: false });
        self.with_access(self.grants.len() - 1, app, None).access
    }

    /// When a token expires.
    pub fn expires_at(&self, token: &str) -> Option<i64> {
        self.tokens.get(token)?.expires_at
    }

    /// What a grant consented to.
    pub fn consent(&self, grant: usize) -> &Consent {
        &self.grants[grant].consent
    }

    fn is_offline(&self, grant: usize, habits: &RefreshTokens) -> bool {
        let values = &self.grants[grant].consent.values;
        let given = |name: &str| values.get(name).map(as_text).unwrap_or_default();
        habits.only_with.iter().all(|(name, word)| given(name).split(' ').any(|given| given == word))
    }

    /// Uses a refresh token (RFC 6749 §6). Returns its grant and the new tokens.
    pub fn refresh(&mut self, token: &str, app: &EmulatedApp) -> Result<(usize, Issued), Wrong> {
        let habits = app.refresh.as_ref().ok_or_else(|| Violation::Refresh.because("the app has none"))?;
        let found = self.tokens.get(token).filter(|token| token.kind == TokenKind::Refresh);
        let found = found.ok_or_else(|| Violation::Refresh.because("it is unknown"))?;
        let (grant, was_replaced) = (found.grant, found.replaced_until.is_some());
        if self.grants[grant].consent.client != app.client_id {
            return Err(Violation::Refresh.because("it is another app's"));
        }
        if !self.is_alive(token) {
            if was_replaced && habits.reuse_ends_grant {
                self.end_grant(grant);
            }
            return Err(Violation::Refresh.because("it does not work any more"));
        }
        if habits.ends_access {
            self.end(|token| token.kind == TokenKind::Access && token.grant == grant);
        }
        let replacement = self.replace(token, grant, habits);
        Ok((grant, self.with_access(grant, app, replacement)))
    }

    /// The new refresh token, if there is to be one.
    fn replace(&mut self, token: &str, grant: usize, habits: &RefreshTokens) -> Option<String> {
        self.grants[grant].refreshes += 1;
        let replaces = match habits.renewal {
            Renewal::None => false,
            Renewal::Optional => self.grants[grant].refreshes.is_multiple_of(2),
            Renewal::Sliding | Renewal::SingleUse => true,
        };
        let until = self.now + i64::from(habits.grace);
        let ends = replaces && habits.renewal != Renewal::Sliding;
        if let Some(old) = self.tokens.get_mut(token).filter(|_| ends) {
            old.replaced_until.get_or_insert(until);
        }
        replaces.then(|| self.issue_refresh(grant, habits))
    }

    fn issue_refresh(&mut self, grant: usize, habits: &RefreshTokens) -> String {
        self.issue(TokenKind::Refresh, grant, (&habits.prefix, 0), habits.lifetime)
    }

    fn with_access(&mut self, grant: usize, app: &EmulatedApp, refresh: Option<String>) -> Issued {
        let AccessTokens { prefix, digits, lifetime, .. } = &app.access;
        let access = self.issue(TokenKind::Access, grant, (prefix, *digits), *lifetime);
        if let Some(most) = app.access.most {
            let mine = |token: &&mut Token| token.kind == TokenKind::Access && token.grant == grant;
            let mut tokens: Vec<_> = self.tokens.values_mut().filter(mine).collect();
            tokens.sort_unstable_by_key(|token| std::cmp::Reverse(token.serial));
            tokens.into_iter().skip(most).for_each(|token| token.ended = true);
        }
        Issued { access, refresh }
    }

    fn issue(
        &mut self,
        kind: TokenKind,
        grant: usize,
        (prefix, digits): (&str, usize),
        lifetime: Option<u32>,
    ) -> String {
        self.serial += 1;
        let prefix = fill(&prefix.into(), &self.grants[grant].consent.values).map(|prefix| as_text(&prefix));
        let text = format!("{}{:0width$}", prefix.unwrap_or_default(), self.serial, width = digits.max(6));
        let expires_at = lifetime.map(|seconds| self.now + i64::from(seconds));
        let token =
            Token { kind, grant, serial: self.serial, expires_at, replaced_until: None, ended: false };
        self.tokens.insert(text.clone(), token);
        text
    }

    /// The grant of an access token that works; of any token with `or_refresh`.
    pub fn holder(&self, token: &str, or_refresh: bool) -> Option<usize> {
        let found = self.tokens.get(token)?;
        let fits = or_refresh || found.kind == TokenKind::Access;
        (fits && self.is_alive(token)).then_some(found.grant)
    }

    pub fn revoke(&mut self, token: &str, extent: Extent) {
        let Some(grant) = self.tokens.get(token).map(|token| token.grant) else { return };
        let Consent { client, account, .. } = self.grants[grant].consent.clone();
        match extent {
            Extent::Token => drop(self.tokens.get_mut(token).map(|token| token.ended = true)),
            Extent::Refresh => self.end(|token| token.kind == TokenKind::Refresh && token.grant == grant),
            Extent::Grant => self.end_grant(grant),
            Extent::Account => drop(self.end_account(&client, &account)),
        }
    }

    /// Ends all grants between an app and an account. Returns whether there were any.
    pub fn end_account(&mut self, client: &str, account: &str) -> bool {
        let is_theirs = |grant: &Grant| {
            !grant.ended && grant.consent.client == client && grant.consent.account == account
        };
        let theirs: Vec<_> = (0..self.grants.len()).filter(|grant| is_theirs(&self.grants[*grant])).collect();
        for grant in &theirs {
            self.end_grant(*grant);
        }
        !theirs.is_empty()
    }

    fn end_grant(&mut self, grant: usize) {
        self.grants[grant].ended = true;
        self.end(|token| token.grant == grant);
    }

    fn end(&mut self, which: impl Fn(&Token) -> bool) {
        self.tokens.values_mut().filter(|token| which(token)).for_each(|token| token.ended = true);
    }

    pub fn is_alive(&self, token: &str) -> bool {
        let later = |until: i64| self.now < until;
        self.tokens.get(token).is_some_and(|token| {
            !token.ended && token.expires_at.is_none_or(later) && token.replaced_until.is_none_or(later)
        })
    }

    pub fn grants_alive(&self) -> usize {
        self.grants.iter().filter(|grant| !grant.ended).count()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn app(text: &str) -> EmulatedApp {
        let usual =
            "client_id: app\nclient_secret: x\nsource: none\naccess: {prefix: a-, lifetime: 60, most: 2}\n";
        serde_yaml::from_str(&format!("{usual}{text}")).unwrap()
    }

    fn grant(book: &mut Book, app: &EmulatedApp) -> Issued {
        let (client, account) = (app.client_id.clone(), "ana".to_owned());
        let code = book.code(Consent { client, account, scopes: Vec::new(), values: Values::new() });
        let fields = Values::from_iter([("code".to_owned(), code.into())]);
        book.redeem(&fields, app, PkceHabit::Checked).unwrap().1
    }

    /// Whether the old refresh token works after one refresh and after two, and whether each gave a new one.
    fn renewed(habits: &str) -> [bool; 4] {
        let app = app(&format!("refresh: {{prefix: r-, {habits}}}"));
        let mut book = Book::new(0);
        let old = grant(&mut book, &app).refresh.unwrap();
        let refresh = |book: &mut Book, token: &str| book.refresh(token, &app).unwrap().1.refresh;
        let one = refresh(&mut book, &old);
        let after_one = book.is_alive(&old);
        let two = refresh(&mut book, one.as_ref().unwrap_or(&old));
        [after_one, book.is_alive(&old), one.is_some(), two.is_some()]
    }

    #[test]
    fn refresh_tokens_are_renewed_in_four_ways() {
        assert_eq!(renewed("renewal: none"), [true, true, false, false]);
        assert_eq!(renewed("renewal: optional"), [true, false, false, true]);
        assert_eq!(renewed("renewal: sliding"), [true, true, true, true]);
        assert_eq!(renewed("renewal: single_use"), [false, false, true, true]);
        assert_eq!(renewed("renewal: single_use, grace: 10"), [true, true, true, true]);
    }

    #[test]
    fn grace_passes_and_reuse_after_it_ends_the_grant() {
        let app = app("refresh: {prefix: r-, renewal: single_use, grace: 10, reuse_ends_grant: true}");
        let mut book = Book::new(0);
        let first = grant(&mut book, &app);
        let old = first.refresh.unwrap();
        book.refresh(&old, &app).unwrap();
        book.now = 9;
        assert!(book.refresh(&old, &app).is_ok());
        book.now = 10;
        assert!(book.refresh(&old, &app).is_err());
        assert_eq!((book.grants_alive(), book.is_alive(&first.access)), (0, false));
    }

    #[test]
    fn the_oldest_access_token_goes_when_there_are_too_many() {
        let app = app("refresh: {prefix: r-, renewal: none}");
        let mut book = Book::new(0);
        let Issued { access, refresh } = grant(&mut book, &app);
        let mut access = vec![access];
        for _ in 0..2 {
            access.push(book.refresh(refresh.as_ref().unwrap(), &app).unwrap().1.access);
        }
        let alive: Vec<_> = access.iter().map(|token| book.is_alive(token)).collect();
        assert_eq!(alive, [false, true, true]);
    }

    #[test]
    fn a_revocation_ends_as_much_as_the_provider_says() {
        let alive = |extent| {
            let (app, mut book) = (app("refresh: {prefix: r-, renewal: none}"), Book::new(0));
            let (first, second) = (grant(&mut book, &app), grant(&mut book, &app));
            book.revoke(&first.access, extent);
            [&first.access, &first.refresh.unwrap(), &second.access].map(|token| book.is_alive(token))
        };
        assert_eq!(alive(Extent::Token), [false, true, true]);
        assert_eq!(alive(Extent::Grant), [false, false, true]);
        assert_eq!(alive(Extent::Account), [false, false, false]);
    }
}
