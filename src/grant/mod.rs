//! The life of one grant, whoever asks: taking it in, refreshing it, ending it.
//!
//! A reconcile never waits for a provider. It hands the grant's actor a [`work::Job`] and returns; the actor owns the
//! request and its commit, one piece of work per grant at a time, and wakes the connection when it is done.
//!
//! | module | holds |
//! |---|---|
//! | [`schedule`] | when; pure |
//! | [`pace`] | how many at once, and who goes first |
//! | [`registration`] | whether a provider accepts our app |
//! | [`target`] | where a grant is sent, and under which terms |
//! | [`actor`] | one piece of work per grant at a time |
//! | [`work`] | what a piece of work is made of |
//! | [`refresh`] | intent → request → commit |
//! | [`consent`] | a person consents: request, code, device flow |
//! | [`intake`] | what a Secret brings; pure |
//! | [`candidate`] | taking it in: candidate → judged → promoted |
//! | `judge` | what the provider says of a candidate |
//! | [`former`] | a grant that another took the place of, revoked later |
//! | `discard` | what becomes of a refused candidate at the provider |
//! | [`proof`] | proving a candidate by using it once, under a mark |
//! | `mint` | tokens from the app registration itself |
//! | `orphans` | records whose connection is gone |
//! | [`end`] | revoking and erasing |
//! | [`outcome`] | what came of it |

pub mod actor;
pub mod candidate;
pub mod commit;
pub mod consent;
mod discard;
pub mod end;
#[cfg(test)]
mod fixtures;
pub mod former;
pub mod intake;
mod judge;
mod mint;
mod orphans;
pub mod outcome;
pub mod pace;
pub mod proof;
pub mod refresh;
pub mod registration;
pub mod schedule;
pub mod secrets;
pub mod target;
pub mod work;
