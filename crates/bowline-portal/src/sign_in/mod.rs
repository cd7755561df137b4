//! How people prove who they are, by one of the ways that the administrator chose.
//!
//! | module | holds |
//! |---|---|
//! | [`before`] | what is remembered of somebody who is not signed in yet |
//! | [`token`] | a token that the API server knows |
//! | [`oidc`] | an `OpenID` provider |
//! | [`proxy`] | a proxy that names the user |

pub mod before;
pub(crate) mod oidc;
pub mod proxy;
pub(crate) mod token;

/// Where the `OpenID` provider sends browsers back to.
pub const OIDC_CALLBACK: &str = "/sign-in/oidc/callback";
