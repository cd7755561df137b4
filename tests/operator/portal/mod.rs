//! `bowline portal` as a process with its shipped rights, beside a running operator and the sandbox.
//!
//! Unit tests show what each request must contain and what each response has. Only here do we see that the API server is
//! asked, that its policies treat the portal's writes as the user's, and that portal and operator finish what the other
//! began.

mod actions;
mod attacks;
mod bindings;
mod browser;
mod canary;
mod credential;
mod deeds;
mod facts;
mod forged;
mod hostile;
pub mod house;
mod issued;
mod keys;
mod link;
mod menu;
mod offboard;
mod owners;
mod pace;
mod proxy;
mod returning;
mod rights;
pub mod routes;
mod sign_in;
mod strangers;
mod terms;
pub mod walk;
mod webhook;

/// Flags for sign-in at an issuer on this machine.
fn openid<'a>(issuer: &'a str, client_id: &'a str) -> [&'a str; 6] {
    let network = ["--oidc-allow-http", "--oidc-allowed-cidrs=127.0.0.0/8"];
    [network[0], network[1], "--oidc-issuer", issuer, "--oidc-client-id", client_id]
}
