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

pub use content::{Account, ContentError, Credential, Material, Published};
pub(crate) use grant::{Unpublishable, material};
pub use publish::{PublishError, Written, publish};
pub use secret::{Desired, Known, PublishedVersion};
pub(crate) use share::withdraw_share;
pub use withdraw::{Withdrawn, withdraw};
