//! Issuing and spending tokens: the rules of each rotation class.

use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::config::Rotation;
use super::ledger::{Entry, Event, GrantType, Reason, TokenKind};
use super::state::{AccessToken, Grant, RefreshToken, State, after};
use super::token_text::{fresh, signed};

/// What a fault changes in the work itself.
#[derive(Default)]
pub(super) struct Bend {
    pub no_refresh_token: bool,
    pub scope: Option<Vec<String>>,
}

/// Tokens as they go to the client.
pub(super) struct Issued {
    pub grant: String,
    pub access_token: String,
    pub refresh_token: Option<String>,
    pub expires_in: u64,
    pub scope: Vec<String>,
}

/// Reads a scope parameter: values separated by spaces, each once.
pub(super) fn scope_values(text: &str) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for value in text.split_ascii_whitespace() {
        if !values.iter().any(|known| known == value) {
            values.push(value.to_owned());
        }
    }
    values
}

impl State {
    /// The requested scope, or all of the realm's scopes if none is named.
    pub fn requested_scope(&self, asked: Option<&str>) -> Result<Vec<String>, Refusal> {
        let Some(asked) = asked else { return Ok(self.config.scopes.clone()) };
        let values = scope_values(asked);
        if values.iter().all(|value| self.config.scopes.contains(value)) {
            return Ok(values);
        }
        Err(Refusal::of("invalid_scope", "the realm does not know one of the scopes"))
    }

    pub fn open_grant(
        &mut self,
        client: &str,
        account: Option<&str>,
        scope: Vec<String>,
        origin: GrantType,
    ) -> String {
        let id = self.number("grant");
        let grant = Grant {
            client: client.to_owned(),
            account: account.map(str::to_owned),
            scope,
            origin,
            revoked: false,
            refreshes: 0,
            live_refresh: Vec::new(),
            live_access: Vec::new(),
        };
        self.grants.insert(id.clone(), grant);
        id
    }

    /// The first tokens of a grant: also a refresh token, unless the client acts for itself.
    pub fn first_tokens(&mut self, grant: &str, bend: &Bend, now: u64) -> Issued {
        self.narrow(grant, bend);
        let (origin, scope) = self
            .grants
            .get(grant)
            .map_or_else(|| (GrantType::Minted, Vec::new()), |found| (found.origin, found.scope.clone()));
        let refreshable =
            !matches!(origin, GrantType::ClientCredentials | GrantType::JwtBearer | GrantType::TokenExchange)
                && !bend.no_refresh_token
                && !self.config.omit_refresh_token;
        let refresh_token = refreshable.then(|| self.issue_refresh(grant, origin, now));
        self.issued(grant, scope, refresh_token, origin, now)
    }

    /// Spends a refresh token. Everything is checked before anything changes.
    pub fn spend_refresh(
        &mut self,
        token: &str,
        client: &str,
        scope: Option<&str>,
        bend: &Bend,
        now: u64,
    ) -> Result<Issued, Refusal> {
        let grant = self.check_refresh(token, client, scope, now)?;
        let in_grace = self.refresh.get(token).is_some_and(|found| found.replaced_at_ms.is_some());
        let event = if in_grace { Event::SpentInGrace } else { Event::Spent };
        self.write_refresh(event, token, scope, now);
        self.narrow(&grant, bend);
        if self.config.refresh_ends_access {
            self.end_access(&grant, now);
        }
        let replacement = self.rotate(&grant, token, bend, now);
        let granted = self.grants.get(&grant).map(|found| found.scope.clone()).unwrap_or_default();
        let narrowed = match scope {
            Some(asked) => scope_values(asked).into_iter().filter(|value| granted.contains(value)).collect(),
            None => granted,
        };
        Ok(self.issued(&grant, narrowed, replacement, GrantType::RefreshToken, now))
    }

    /// The grant of a token that may be spent. Records a refusal, and ends the grant of a token that was spent before.
    fn check_refresh(
        &mut self,
        token: &str,
        client: &str,
        scope: Option<&str>,
        now: u64,
    ) -> Result<String, Refusal> {
        let (event, refusal) = match self.judge_refresh(token, client, scope, now) {
            Ok(grant) => return Ok(grant),
            Err(judged) => judged,
        };
        self.write_refresh(event, token, scope, now);
        let spent = self.refresh.get(token).map(|found| found.grant.clone());
        if let (Event::DoubleSpent, true, Some(grant)) = (event, self.config.reuse_ends_grant, spent) {
            self.revoke_grant(&grant, Reason::Reuse, now);
        }
        Err(refusal)
    }

    /// Whether this client may spend the token for this scope; returns its grant.
    fn judge_refresh(
        &self,
        token: &str,
        client: &str,
        scope: Option<&str>,
        now: u64,
    ) -> Result<String, (Event, Refusal)> {
        let refused = |text| (Event::Refused, Refusal::grant(text));
        let found = self.refresh.get(token).ok_or(refused("no such refresh token"))?;
        let grant = self.grants.get(&found.grant).ok_or(refused("no such grant"))?;
        if grant.client != client {
            return Err(refused("the refresh token is another client's"));
        }
        if self.is_spent(found, now) {
            return Err((Event::DoubleSpent, Refusal::grant("the refresh token was used before")));
        }
        if grant.revoked || found.is_expired_at(now) {
            return Err(refused("the grant has ended"));
        }
        let asked = scope.map(scope_values).unwrap_or_default();
        if !asked.iter().all(|value| grant.scope.contains(value)) {
            return Err((
                Event::Refused,
                Refusal::of("invalid_scope", "a refresh may only narrow the scope"),
            ));
        }
        Ok(found.grant.clone())
    }

    /// Replaces the refresh token if the realm's rotation requires it; returns the new one.
    fn rotate(&mut self, grant: &str, token: &str, bend: &Bend, now: u64) -> Option<String> {
        let lifetime = self.config.refresh_lifetime_seconds;
        let refreshes = self.grants.get_mut(grant).map_or(0, |found| {
            found.refreshes += 1;
            found.refreshes
        });
        let replaces = match self.config.rotation {
            Rotation::None => false,
            Rotation::Optional => refreshes.is_multiple_of(2),
            Rotation::Sliding | Rotation::SingleUse => true,
        };
        if !replaces || bend.no_refresh_token {
            if let Some(found) = self.refresh.get_mut(token) {
                found.expires_at_ms = lifetime.map(|seconds| after(now, seconds));
            }
            return None;
        }
        if self.config.rotation != Rotation::Sliding {
            let old = self.grants.get_mut(grant).map(|found| std::mem::take(&mut found.live_refresh));
            // A sibling that was issued inside the grace window is replaced as well: one chain remains.
            for text in old.unwrap_or_default() {
                if let Some(found) = self.refresh.get_mut(&text) {
                    found.replaced_at_ms = Some(now);
                }
            }
        }
        Some(self.issue_refresh(grant, GrantType::RefreshToken, now))
    }

    fn narrow(&mut self, grant: &str, bend: &Bend) {
        if let (Some(scope), Some(found)) = (&bend.scope, self.grants.get_mut(grant)) {
            found.scope.retain(|value| scope.contains(value));
        }
    }

    pub fn end_access(&mut self, grant: &str, now: u64) {
        let ended = self.grants.get_mut(grant).map(|found| std::mem::take(&mut found.live_access));
        for text in ended.unwrap_or_default() {
            let Some(found) = self.access.get_mut(&text) else { continue };
            found.ended = true;
            let id = found.id.clone();
            let entry = self.entry(now, Event::Ended, TokenKind::Access, &text, Some(&id));
            self.write(entry, Some(grant));
        }
    }

    fn issue_refresh(&mut self, grant: &str, grant_type: GrantType, now: u64) -> String {
        let text = fresh("sbx_rt_");
        let id = self.number("refresh");
        let entry = Entry {
            grant_type: Some(grant_type),
            ..self.entry(now, Event::Issued, TokenKind::Refresh, &text, Some(&id))
        };
        let token = RefreshToken {
            id,
            grant: grant.to_owned(),
            replaced_at_ms: None,
            expires_at_ms: self.config.refresh_lifetime_seconds.map(|seconds| after(now, seconds)),
        };
        self.write(entry, Some(grant));
        self.refresh.insert(text.clone(), token);
        if let Some(found) = self.grants.get_mut(grant) {
            found.live_refresh.push(text.clone());
        }
        text
    }

    fn issued(
        &mut self,
        grant: &str,
        scope: Vec<String>,
        refresh_token: Option<String>,
        grant_type: GrantType,
        now: u64,
    ) -> Issued {
        let text = fresh("sbx_at_");
        let id = self.number("access");
        let expires_in = self.config.access_lifetime_seconds;
        let entry = Entry {
            grant_type: Some(grant_type),
            scope: Some(scope.join(" ")),
            ..self.entry(now, Event::Issued, TokenKind::Access, &text, Some(&id))
        };
        self.write(entry, Some(grant));
        let token = AccessToken {
            id,
            grant: grant.to_owned(),
            scope: scope.clone(),
            issued_at_ms: now,
            expires_at_ms: after(now, expires_in),
            ended: false,
        };
        self.access.insert(text.clone(), token);
        let access = &self.access;
        if let Some(found) = self.grants.get_mut(grant) {
            found
                .live_access
                .retain(|known| access.get(known).is_some_and(|token| now < token.expires_at_ms));
            found.live_access.push(text.clone());
        }
        Issued { grant: grant.to_owned(), access_token: text, refresh_token, expires_in, scope }
    }

    fn write_refresh(&mut self, event: Event, token: &str, scope: Option<&str>, now: u64) {
        let found = self.refresh.get(token).map(|found| (found.id.clone(), found.grant.clone()));
        let (id, grant) = found.unzip();
        let entry = Entry {
            grant_type: Some(GrantType::RefreshToken),
            scope: scope.map(str::to_owned),
            ..self.entry(now, event, TokenKind::Refresh, token, id.as_deref())
        };
        self.write(entry, grant.as_deref());
    }

    /// The members of a token response (RFC 6749 §5.1), with an `id_token` if `openid` was granted.
    pub fn token_answer(&self, issued: Issued, nonce: Option<&str>, now: u64) -> Map<String, Value> {
        let id_token = self.id_token(&issued, nonce, now);
        let mut answer = Map::new();
        answer.insert("access_token".into(), issued.access_token.into());
        answer.insert("token_type".into(), "Bearer".into());
        if !self.config.omit_expires_in {
            answer.insert("expires_in".into(), issued.expires_in.into());
        }
        if !self.config.omit_scope {
            answer.insert("scope".into(), issued.scope.join(" ").into());
        }
        if let Some(token) = issued.refresh_token {
            answer.insert("refresh_token".into(), token.into());
        }
        if let Some(token) = id_token {
            answer.insert("id_token".into(), token.into());
        }
        answer
    }

    fn id_token(&self, issued: &Issued, nonce: Option<&str>, now: u64) -> Option<String> {
        issued.scope.iter().find(|value| *value == "openid")?;
        let grant = self.grants.get(&issued.grant)?;
        let account = self.config.account(grant.account.as_deref()?)?;
        let mut claims = json!({
            "iss": self.issuer, "sub": account.sub, "aud": grant.client, "email": account.email,
            "iat": now / 1000, "exp": now / 1000 + 300,
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        Some(signed(&claims))
    }
}
