//! One request, and what it is for.

use super::asked::Asked;
use super::data::{Operation, Reply, RevokeEndpoint, Takes, Values};
use super::machine::MintEndpoint;
use super::session::{SessionCall, SessionStep};
use super::template::bindings;

/// A request on its way through the stage.
pub(super) struct Turn<'a> {
    pub asked: &'a Asked,
    pub operation: Operation,
    pub takes: &'a Takes,
    /// What is answered when all is well.
    pub replies: &'a [Reply],
    /// For a revocation.
    pub revoke: Option<&'a RevokeEndpoint>,
    /// For a token that is minted.
    pub mint: Option<&'a MintEndpoint>,
    /// For a call of a link session.
    pub session: Option<&'a SessionCall>,
    /// The values of placeholders in the address.
    pub bound: Values,
    /// Answer with the values of another account.
    pub as_other: bool,
}

impl<'a> Turn<'a> {
    /// Whether a browser asks.
    pub fn is_page(&self) -> bool {
        match self.session {
            Some(call) => call.does == SessionStep::Visit,
            None => self.operation == Operation::Authorize,
        }
    }

    pub fn of_session(call: &'a SessionCall, asked: &'a Asked, line: &str) -> Option<Self> {
        Some(Self {
            asked,
            operation: call.on,
            takes: &call.takes,
            replies: &call.replies,
            revoke: None,
            mint: None,
            session: Some(call),
            bound: bindings(&call.at, line)?,
            as_other: false,
        })
    }
}
