//! Connecting in a browser: begin a try, leave for the provider, come back.
//!
//! | module | step |
//! |---|---|
//! | [`start`] | a new try, and its page while the operator prepares the address |
//! | [`leave`] | take the address, once, and go |
//! | [`callback`] | the browser comes back: consumed once, whatever it brings |
//! | [`approval`] | back without a state: an administrator's approval, which belongs to no try |
//! | [`returned`] | what a callback brings, judged; pure |
//! | [`progress`] | how the last try stands, for the connection's page |

pub(crate) mod approval;
pub(crate) mod callback;
pub(crate) mod leave;
pub(crate) mod progress;
pub(crate) mod returned;
pub(crate) mod start;
