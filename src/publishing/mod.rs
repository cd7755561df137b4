//! The Secret that workloads read: what is in it, publishing it, withdrawing it.
//!
//! Ours is a Secret whose controller is the connection or share; a label does not make it ours.

pub(crate) mod content;
mod grant;
pub(crate) mod metadata;
pub mod publish;
pub(crate) mod secret;
mod share;
mod syntax;
pub(crate) mod template;
pub mod withdraw;

pub(crate) use content::ContentError;
pub use content::{Credential, Material, Published};
pub(crate) use grant::{Unpublishable, material};
pub use publish::{PublishError, Written, publish};
pub(crate) use secret::PublishedVersion;
pub use secret::{Desired, Known};
pub(crate) use share::withdraw_share;
pub use withdraw::{Withdrawn, withdraw};
