//! Revoking grants at their provider: which may be, and how.
//!
//! | module | holds |
//! |---|---|
//! | [`rule`] | whether a grant may be revoked; pure |
//! | [`request`] | the request, for the grants it may be sent for |
//! | [`ending`] | a grant that is to be revoked and erased: the record alone drives it |
//! | [`refused`] | a candidate that was refused, or has no place here |
//! | [`replaced`] | a grant that another one has replaced: revoked later |

mod ending;
mod refused;
mod replaced;
mod request;
mod rule;

pub(super) use ending::{end, is_given_up, mark_ending, postpone};
pub(super) use refused::{discard, give_back};
pub(crate) use replaced::Replaced;
pub(super) use replaced::{is_revoked_after, revoke_all_replaced, revoke_replaced};
