//! Bowline keeps third-party connections as Kubernetes objects.
//!
//! The map, in the direction in which modules may use each other:
//!
//! - [`vault`]: grants at rest: sealed, one record each, one writer.
//! - [`grant`]: the life of one grant, whoever requests it.
//! - [`publishing`]: the Secret that workloads read.
//! - [`policies`]: whether the shipped admission policies are in force.
//! - [`sharers`]: who shares a connection under which id.
//! - [`sharing`]: where a connection is shared; pure.
//! - [`secret_plan`]: what controllers decide about a published Secret.
//! - [`kinds`], [`world`], [`context`]: the caches of our kinds, what is known of the cluster, and what every
//!   controller is given.
//! - [`following`]: the Secret of an object that follows a connection's grant.
//! - [`discovered`]: what issuers said of their addresses.
//! - [`connection`], [`provider`], [`workspace`], [`share`], [`binding`]: the controllers.
//! - [`operator`], [`cli`], [`catalog_command`], [`gate`]: the process and its command line.
//! - [`kube_ext`]: writing objects, conditions, Events, indexes of Secrets.
//! - [`metrics`]: counters and gauges.
//!
//! What the operator shares with other processes is in crates of its own: `bowline-api` has the kinds, `bowline-oauth` the
//! catalogue and the protocol, `bowline-runtime` clock, logs and attempts; `bowline-portal` is `bowline portal`.

#![cfg_attr(not(test), warn(unreachable_pub))]

mod binding;
pub mod catalog_command;
pub mod cli;
mod connection;
mod context;
mod discovered;
mod following;
pub mod gate;
mod grant;
mod kinds;
mod kube_ext;
mod members;
mod metrics;
mod notify;
pub mod operator;
mod policies;
mod provider;
mod publishing;
pub mod ready_command;
mod secret_plan;
mod share;
mod sharers;
mod sharing;
mod vault;
mod workspace;
mod world;

/// For the tests on a real API server, which use these parts without the operator. Not an interface.
#[doc(hidden)]
pub mod testing {
    pub use crate::kube_ext::apply::{apply, remove_annotation};
    pub use crate::kube_ext::events::Events;
    pub use crate::kube_ext::index::{SecretChange, SecretIndex};
    pub use crate::publishing::secret::controller;
    pub use crate::publishing::{
        Desired, Material, PublishError, Published, PublishedCredential, Withdrawn, publish, withdraw,
    };
    pub use crate::vault::keyring::{Keyring, SharedKeyring};
    pub use crate::vault::record::GrantVersion;
    pub use crate::vault::seal::{Place, SealPurpose, Sealer};
}
