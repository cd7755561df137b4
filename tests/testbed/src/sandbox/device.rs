//! The device flow (RFC 8628): a request from the device, polls from the device, a decision by a person elsewhere.

use axum::http::StatusCode;
use serde_json::json;

use super::answer::{Answer, Refusal};
use super::call::{Call, Visit};
use super::client_auth::authenticate;
use super::form::Form;
use super::grants::Issued;
use super::ledger::{Entry, Event, GrantType, TokenKind};
use super::pages;
use super::state::{Decision, Device, State, after};
use super::token_text::{fresh, typeable};

/// Answers `POST /device_authorization`.
pub(super) fn answer(call: &Call, state: &mut State, visit: &mut Visit) -> Result<Answer, Refusal> {
    let form = call.form()?;
    let client = authenticate(call, &form, &state.config, visit)?;
    visit.scope_asked = form.get("scope").map(str::to_owned);
    let scope = state.requested_scope(form.get("scope"))?;
    let (text, user_code, id) = (fresh("sbx_dc_"), typeable(), state.number("device"));
    let lifetime = state.config.device_lifetime_seconds;
    let interval = state.config.device_interval_seconds;
    let entry = Entry {
        client: Some(client.id.clone()),
        scope: Some(scope.join(" ")),
        ..state.entry(visit.now, Event::Issued, TokenKind::DeviceCode, &text, Some(&id))
    };
    state.write(entry, None);
    let device = Device {
        id,
        user_code: user_code.clone(),
        client: client.id,
        scope,
        expires_at_ms: after(visit.now, lifetime),
        interval_ms: after(0, interval),
        last_poll_ms: None,
        decision: Decision::Open,
    };
    state.devices.insert(text.clone(), device);
    let page = format!("{}/device", state.issuer);
    Ok(Answer::json(json!({
        "device_code": text, "user_code": user_code, "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={user_code}"),
        "expires_in": lifetime, "interval": interval,
    })))
}

/// Answers `GET /device`: the page on which a person enters the code and decides.
pub(super) fn page(call: &Call, state: &mut State, _: &mut Visit) -> Result<Answer, Refusal> {
    let form = Form::parse(&call.query)?;
    let page = pages::device(&state.issuer, form.get("user_code"), &state.config.accounts);
    Ok(Answer::html(StatusCode::OK, page))
}

/// Answers `POST /device/decision`.
pub(super) fn decide(call: &Call, state: &mut State, visit: &mut Visit) -> Result<Answer, Refusal> {
    let form = call.form()?;
    let account = form.get("account").filter(|_| form.get("deny").is_none());
    let decided = state.decide_device(form.required("user_code")?, account, visit.now);
    let (status, text) = if decided {
        (StatusCode::OK, "Done. You can go back to your device.")
    } else {
        (StatusCode::BAD_REQUEST, "This code is not waiting for a decision.")
    };
    Ok(Answer::html(status, pages::message(text)))
}

impl State {
    /// Allows or denies a device request for an account; `false` if no such request waits, or there is no such account.
    pub fn decide_device(&mut self, user_code: &str, account: Option<&str>, now: u64) -> bool {
        if account.is_some_and(|sub| self.config.account(sub).is_none()) {
            return false;
        }
        let waiting = self.devices.values_mut().find(|device| {
            device.user_code == user_code
                && now < device.expires_at_ms
                && matches!(device.decision, Decision::Open)
        });
        let Some(device) = waiting else { return false };
        device.decision = match account {
            Some(sub) => Decision::Allowed { account: sub.to_owned() },
            None => Decision::Denied,
        };
        true
    }

    /// One poll of the token endpoint (RFC 8628 §3.4, §3.5).
    pub fn poll(&mut self, text: &str, client: &str, visit: &Visit) -> Result<Issued, Refusal> {
        let now = visit.now;
        let Some(device) = self.devices.get_mut(text).filter(|device| device.client == client) else {
            let entry = self.entry(now, Event::Refused, TokenKind::DeviceCode, text, None);
            self.write(entry, None);
            return Err(Refusal::grant("no such device code"));
        };
        if now >= device.expires_at_ms {
            return Err(Refusal::of("expired_token", "the device code is too old"));
        }
        let early = device.last_poll_ms.is_some_and(|last| now < last + device.interval_ms);
        device.last_poll_ms = Some(now);
        let id = device.id.clone();
        let (account, scope) = match &device.decision {
            // Five more seconds for this and every later poll (§3.5).
            Decision::Open if early => {
                device.interval_ms += 5000;
                return Err(Refusal::of("slow_down", "polled sooner than the interval allows"));
            }
            Decision::Open => return Err(Refusal::of("authorization_pending", "nobody has decided yet")),
            Decision::Denied => return Err(Refusal::of("access_denied", "the person said no")),
            Decision::Spent { grant } => {
                let grant = grant.clone();
                let entry = self.entry(now, Event::DoubleSpent, TokenKind::DeviceCode, text, Some(&id));
                self.write(entry, Some(&grant));
                return Err(Refusal::grant("the device code was used before"));
            }
            Decision::Allowed { account } => (account.clone(), device.scope.clone()),
        };
        let grant = self.open_grant(client, Some(&account), scope, GrantType::DeviceCode);
        let entry = self.entry(now, Event::Spent, TokenKind::DeviceCode, text, Some(&id));
        self.write(entry, Some(&grant));
        if let Some(device) = self.devices.get_mut(text) {
            device.decision = Decision::Spent { grant: grant.clone() };
        }
        Ok(self.first_tokens(&grant, &visit.bend, now))
    }
}
