//! Connecting in a browser: begin an attempt, go to the provider, come back.

pub(crate) mod approval;
pub(crate) mod callback;
pub(crate) mod keys;
pub(crate) mod leave;
pub(crate) mod progress;
pub(crate) mod returned;
pub(crate) mod start;
