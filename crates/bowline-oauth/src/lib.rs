//! OAuth 2.0 and API keys as providers really speak them. The protocol only: no Kubernetes, no clock. What is known of each
//! third party is data: [`catalog`].
//!
//! A call goes [`request`] → [`http`] → [`answer`] → [`classify`]. No OAuth library stands between: their readers are strict
//! where providers are not, and drop the status and `Retry-After`; what is left of one is a form and a hash.

#![cfg_attr(not(test), warn(unreachable_pub))]

pub mod answer;
pub mod app;
pub mod authorize;
pub mod callback;
pub mod catalog;
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
pub mod network;
pub mod refresh;
pub mod request;
pub mod revoke;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod connect_tests;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod fixtures;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod wire_tests;
