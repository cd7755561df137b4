//! Where grants are kept: sealed, in one Secret per connection and one per grant that is being ended, written by one writer.
//!
//! What the vault guarantees:
//! - What it holds of a grant is readable only with the keyring, and only in the place it was sealed for.
//! - Everything about one connection that must change together changes in one write, or not at all.
//! - What a record says, sealed or in clear, is believed only if whoever has the keyring wrote it.
//! - Each write replaces exactly the state it was decided on; nothing is ever overwritten unseen.
//! - A write that may have happened is reported as such, and never repeated here.
//! - Nobody gets an answer that is older than this process's own last write.
//! - A record that does not parse, open or list yet is unknown, never gone, and never repaired by overwriting.
//! - No `Debug`, error or log line of this module shows a secret.

mod call;
mod id;
pub(crate) mod journal;
pub(crate) mod keyring;
pub(crate) mod kms;
pub(crate) mod record;
pub(crate) mod seal;
mod signature;
pub(crate) mod store;

pub(crate) use call::is_too_large;
pub(crate) use id::{GrantId, IntentId, NoRandomBytes};
pub(crate) use record::{
    Account, Binding, Consent, Credential, Grant, GrantType, Intent, IntentState, Mismatch, Opened, Record,
    SiblingKey, Slot, SourceVersion, Terms, TransitionError,
};
pub(crate) use seal::{Place, Sealer};
pub(crate) use store::{CachedReadError, LiveReadError, Loaded, Store, Version, WriteError};
