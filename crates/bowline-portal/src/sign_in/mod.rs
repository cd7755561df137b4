//! The ways to sign in.
//!
//! | module | holds |
//! |---|---|
//! | [`before`] | what is remembered of somebody who is not signed in yet |
//! | [`token`] | a token that the API server knows |
//! | [`oidc`] | an `OpenID` provider |
//! | [`proxy`] | a proxy that names the user |

pub(crate) mod before;
pub(crate) mod oidc;
pub(crate) mod proxy;
pub(crate) mod token;

/// Redirect URI at the `OpenID` provider.
pub const OIDC_CALLBACK: &str = "/sign-in/oidc/callback";
