//! Provider descriptions: the schema of a catalogue file, the compiled-in files, and how a provider object changes them.
//!
//! Pure: nothing here sends a request or reads the clock.

pub(crate) mod assertion;
mod authorization;
pub mod calls;
mod check;
mod config;
pub(crate) mod description;
pub(crate) mod entry;
pub mod errors;
mod files;
pub mod issued_key;
pub mod key_usage;
pub(crate) mod link_session;
pub(crate) mod load;
pub mod login;
pub mod look;
mod merge;
mod pages;
pub mod parameter;
pub mod percentage;
pub(crate) mod pointer;
pub(crate) mod proof;
pub mod protocol;
pub(crate) mod publish;
pub(crate) mod refusal;
mod render;
pub mod resolve;
mod schema;
pub(crate) mod scope_part;
mod settings;
pub(crate) mod template;
mod values;
pub(crate) mod webhook;

pub use check::{Checked, check};
pub use description::{Description, DiscoveredEndpoints, MetadataSource, RegistrationEndpoint};
pub use entry::CatalogEntry;
pub use load::{entries, get, is_never_published};
pub use merge::merge;
pub use pages::render_page;
pub use parameter::SetBy;
pub use refusal::ResolveError;
pub use render::{render_entry, render_list, render_yaml};
pub use resolve::{entry_of, resolve, sketch};
pub use schema::{overlay_schema, schema};
pub use webhook::Webhook;
