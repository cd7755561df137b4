//! What only a real API server can show: its judgement of our schemas, policies and rights, and of what we write.
//!
//! Needs an API server: `make test` starts one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admission;
mod asking;
mod examples;
mod fixture;
mod judging;
mod operator_only;
mod publishing;
mod rights;
mod schema;

/// A client for the cluster of `BOWLINE_KUBECONFIG`.
async fn client() -> kube::Client {
    // Two tests may both be first; the second finds the provider installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let path = std::env::var_os("BOWLINE_KUBECONFIG").unwrap();
    let kubeconfig = kube::config::Kubeconfig::read_from(path).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
    config.default_retry = false;
    kube::Client::try_from(config).unwrap()
}
