//! The Secret that workloads read: what is in it, publishing it, withdrawing it.
//!
//! Ours is a Secret whose controller is the connection or share; a label does not make it ours.

pub mod content;
mod grant;
pub mod metadata;
pub mod publish;
pub mod secret;
mod share;
mod syntax;
pub mod template;
pub mod withdraw;

pub use content::{Account, ContentError, Credential, Material, Published};
pub use grant::{Unpublishable, material};
pub use publish::{PublishError, Written, publish};
pub use secret::{Desired, Known, PublishedVersion};
pub use share::withdraw_share;
pub use withdraw::{Withdrawn, withdraw};
