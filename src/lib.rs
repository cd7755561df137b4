//! Bowline keeps third-party connections as Kubernetes objects.
//!
//! The map, in the direction in which modules may use each other:
//!
//! - [`api`]: the kinds, their fields, rules and reasons.
//! - [`catalog`]: what is known of each third party, as data.
//! - [`oauth`]: the protocol, spoken carefully.
//! - [`vault`]: grants at rest: sealed, one record each, one writer.
//! - [`grant`]: the life of one grant, whoever asks.
//! - [`sharing`]: where a connection is shared; pure.
//! - [`connection`]: the controller of connections.

pub mod api;
pub mod catalog;
pub mod connection;
pub mod grant;
pub mod oauth;
pub mod sharing;
pub mod vault;
