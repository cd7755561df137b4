//! OAuth 2.0 and API keys as providers really implement them. The protocol only: no Kubernetes, no clock. What is known
//! about each third party is data: [`catalog`].
//!
//! A call goes [`request`] → [`http`] → [`answer`] → [`classify`]. There is no OAuth library in between: their parsers are
//! strict where providers are not, and drop the status and `Retry-After`; without those, only a form and a hash remain.

#![cfg_attr(not(test), warn(unreachable_pub))]

pub mod answer;
pub mod app;
pub mod assertion;
pub mod authorize;
pub mod callback;
pub mod catalog;
pub mod certificate;
pub mod claims;
pub mod classify;
pub mod device;
pub mod discovery;
mod endpoint;
pub mod exchange;
pub mod guard;
mod headers;
pub mod http;
pub mod identity;
mod issuer;
pub mod key;
pub mod limits;
pub mod link_session;
pub mod mint;
pub mod network;
pub mod pem;
pub mod probe;
pub mod refresh;
pub mod registration;
pub mod rehearsal;
pub mod request;
pub mod resource;
pub mod revoke;
mod tokens;
mod unanswered;
pub mod webhook;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod certificate_tests;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod connect_tests;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod fixtures;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod proof_tests;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod wire_tests;
