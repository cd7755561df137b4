//! What a person sees: the portal's pages in a real browser, from signing in to disconnecting, with a running operator behind
//! them and OAuth servers beside them.
//!
//! That a page's words, rights and answers are right shows in tests/operator/portal. Only here does it show that the pages
//! work with cookies, policies and redirects as a browser understands them, with a keyboard alone, and at each width.
//!
//! Needs an API server and Chromium: `make test` starts the one and names the other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod axe;
mod chromium;
mod consent;
mod keyboard;
mod looks;
mod moments;
mod person;
mod portal;
mod viewer;
mod walk;

// The scene of tests/operator, of which these tests use a part.
#[path = "../operator/drafts.rs"]
#[allow(dead_code)]
mod drafts;
#[path = "../operator/looking.rs"]
#[allow(dead_code)]
mod looking;
#[path = "../operator/scene.rs"]
#[allow(dead_code)]
mod scene;
#[path = "../operator/stage.rs"]
#[allow(dead_code)]
mod stage;

/// Where browsers find the portal: each browser's port 80 on this host is the portal of its test.
pub const PORTAL: &str = "http://localhost";
