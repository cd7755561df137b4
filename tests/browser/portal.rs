//! Portal processes, as tests/operator starts them.

#[path = "../operator/portal/browser.rs"]
#[allow(dead_code)]
mod browser;
#[path = "../operator/portal/house.rs"]
#[allow(dead_code)]
mod house;

pub use house::{Portal, token};

use crate::scene::Scene;

/// A portal for browsers on this machine, where people sign in with a token of the cluster.
pub async fn open(it: &Scene) -> Portal {
    Portal::start(it, &["--allow-insecure-http"]).await
}
