//! Revoking grants at their provider: which ones may be revoked, and how.

mod ending;
mod request;
mod rule;
mod unused;

pub(super) use ending::{end, is_given_up, postpone};
pub(crate) use unused::Replaced;
pub(super) use unused::{discard, give_back, is_revoked_after, revoke_all_replaced, revoke_replaced};
