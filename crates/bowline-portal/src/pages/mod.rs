//! The pages: handlers gather what a template under `templates/` shows, in the words of [`crate::view`].

pub(crate) mod actions;
pub(crate) mod approve;
pub(crate) mod bindings;
pub(crate) mod connection;
pub(crate) mod credential;
pub(crate) mod ending;
pub(crate) mod extra;
pub(crate) mod health;
pub(crate) mod list;
pub(crate) mod make;
pub(crate) mod offboard;
pub(crate) mod parameters;
pub(crate) mod review;
pub(crate) mod sign_in;
pub(crate) mod transfer;
pub(crate) mod usable;
pub(crate) mod workspace;
