//! What a person sees: the portal's pages in a real browser, from signing in to disconnecting, with a running operator and
//! OAuth servers.
//!
//! tests/operator/portal checks that a page's words, rights and answers are correct. Only these tests show that the pages
//! work in a browser: with its cookies, policies and redirects, with the keyboard alone, and at each width.
//!
//! Needs an API server and Chromium: `make test` starts the first and finds the second.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod axe;
mod chromium;
mod consent;
mod installed;
mod keyboard;
mod looks;
mod moments;
mod person;
mod portal;
mod viewer;
mod walk;

// The scene of tests/operator, of which these tests use only a part.
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

/// Where browsers find the portal: for each browser, port 80 on this host is the portal of its test.
pub const PORTAL: &str = "http://localhost";
