//! The ways to sign in.

pub(crate) mod before;
pub(crate) mod oidc;
pub(crate) mod proxy;
pub(crate) mod recheck;
pub(crate) mod token;

/// Redirect URI at the `OpenID` provider.
pub const OIDC_CALLBACK: &str = "/sign-in/oidc/callback";
