//! Spending a refresh token, with one care for the grant in use and for a candidate: the intent is on record before anything
//! is sent, and the answer before anything in it is judged.
//!
//! | module | holds |
//! |---|---|
//! | [`mark`] | the intent: when one is needed, and whose is respected |
//! | [`spend`] | intent → request → answer on record |
//! | [`answer`] | the grant that an answer makes; pure |

mod answer;
mod mark;
mod spend;

pub(super) use answer::{is_same, renewed};
pub(crate) use spend::may_be_sent_again;
pub(super) use spend::{NotSpent, send, spend};
