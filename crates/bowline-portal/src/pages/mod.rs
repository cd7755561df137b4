//! The pages: handlers gather what a template under `templates/` shows, in the words of [`crate::view`].
//!
//! | module | page |
//! |---|---|
//! | [`sign_in`] | sign in, and out |
//! | [`list`] | connections |
//! | [`choose`] | choose a provider |
//! | [`make`] | new connection |
//! | [`parameters`] | what a provider leaves to each connection |
//! | [`connection`] | one connection |
//! | [`review`] | before you go |
//! | [`sharing`] | with whom a connection is shared |
//! | [`actions`], [`ending`], [`extra`] | what its buttons do |
//! | [`usable`] | use in a workflow |
//! | [`workspace`] | workspaces |
//! | [`health`] | providers, for those who may see them |

pub(crate) mod actions;
pub(crate) mod choose;
pub(crate) mod connection;
pub(crate) mod ending;
pub(crate) mod extra;
pub(crate) mod health;
pub(crate) mod list;
pub(crate) mod make;
pub(crate) mod parameters;
pub(crate) mod review;
pub(crate) mod sharing;
pub(crate) mod sign_in;
pub(crate) mod usable;
pub(crate) mod workspace;
