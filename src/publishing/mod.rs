//! The Secret that workloads read: its content, publishing it, withdrawing it.
//!
//! A Secret is ours if its controller is the connection, share or binding; a label does not make it ours.

mod chosen;
mod config;
pub(crate) mod content;
mod error;
pub(crate) mod material;
pub(crate) mod metadata;
mod nudge;
pub(crate) mod publish;
pub(crate) mod secret;
mod syntax;
pub(crate) mod template;
mod tool_files;
pub(crate) mod withdraw;
mod withdrawals;

pub(crate) use chosen::{ChosenSecretError, chosen};
pub(crate) use config::config_fault;
pub use content::Published;
pub use error::PublishError;
pub(crate) use material::ContentError;
pub use material::{Material, PublishedCredential};
pub(crate) use nudge::Nudges;
pub use publish::publish;
pub use secret::Desired;
pub(crate) use secret::PublishedVersion;
pub(crate) use withdraw::delete_share;
pub use withdraw::{Withdrawn, withdraw};
pub(crate) use withdrawals::{PAUSE, Withdrawals};
