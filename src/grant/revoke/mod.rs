//! Revoking grants at their provider: which ones may be revoked, how, and what came of it.

mod after;
mod ending;
mod request;
mod rule;
mod unused;

pub(crate) use ending::standing;
pub(super) use ending::{end, is_given_up, pause, postpone};
pub(super) use rule::ends_token_alone;
pub(super) use unused::{discard, give_back, make_way, replace};
