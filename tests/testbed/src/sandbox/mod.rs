//! The sandbox: an OAuth 2.0 and `OpenID` provider that produces faults, stricter than real ones.
//!
//! Each *realm* is an independent provider with its own issuer, clients, accounts, habits, fault script and ledger. The
//! default realm's issuer is the server's address; the others live under `/r/{realm}`. Endpoints, relative to the issuer:
//! `authorize`, `par`, `token`, `device_authorization`, `device`, `revoke`, `introspect`, `userinfo`, `api/me`. The admin API is
//! under `/admin/realms`; it is the same as [`RealmHandle`]. Everything is in memory.

mod admin;
mod answer;
mod assertion;
mod authorize;
mod call;
mod client_auth;
mod clock;
mod config;
mod connection;
mod device;
mod discovery;
mod faults;
mod form;
mod grants;
mod inspect;
mod ledger;
mod pages;
mod push;
mod realm;
mod state;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
mod token;
mod token_text;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, get, post};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use assertion::TrustedIssuer;
pub use clock::{Clock, ManualClock};
pub use config::{
    Account, ApiKey, AuthMethod, BasicUser, CallbackIssuer, ClientConfig, Pushed, RealmConfig, Rotation,
};
pub use faults::{Action, Fault, RetryAfter};
pub use ledger::{Endpoint, Entry, Event, GrantType, Ledger, Reason, Request, TokenKind, TokenName};
pub use realm::{DEFAULT_REALM, MintRequest, Minted, RealmError, RealmHandle};
pub use token_text::{challenge, fingerprint};

use call::{Call, Work};
use realm::Realms;

/// Why the sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The requested address.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

/// How to start a sandbox.
pub struct Options {
    /// Where to listen; port 0 is a free one.
    pub listen: SocketAddr,
    /// The default realm, and the defaults of other realms.
    pub defaults: RealmConfig,
    /// Its time.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            defaults: RealmConfig::default(),
            clock: Clock::system(),
        }
    }
}

/// A running sandbox. It stops listening when this is dropped; started requests are answered.
pub struct Sandbox {
    realms: Arc<Realms>,
    address: SocketAddr,
    _stop: DropGuard,
}

impl Sandbox {
    /// Starts listening, and serves on the current tokio runtime.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let listen_error = |source| StartError::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let realms = Arc::new(Realms::new(format!("http://{address}"), options.clock, options.defaults));
        let app = router(Arc::clone(&realms)).into_make_service_with_connect_info::<connection::Switch>();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            let server = axum::serve(connection::Listener(listener), app).with_graceful_shutdown(stopped);
            if let Err(error) = server.await {
                tracing::error!(%error, "the sandbox stopped serving");
            }
        });
        Ok(Self { realms, address, _stop: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Creates a realm, or gives an existing one this configuration. Names are made of a-z, 0-9 and hyphens.
    pub fn realm(&self, name: &str, config: RealmConfig) -> RealmHandle {
        RealmHandle(self.realms.put(name, config))
    }

    /// The realm whose issuer is the server's address; `None` after it was removed through the admin API.
    pub fn default_realm(&self) -> Option<RealmHandle> {
        self.realms.find(DEFAULT_REALM).map(RealmHandle)
    }

    /// The ledger of a realm; empty when there is no such realm.
    pub fn ledger(&self, realm: &str) -> Ledger {
        self.realms.find(realm).map(|realm| RealmHandle(realm).ledger()).unwrap_or_default()
    }
}

fn router(realms: Arc<Realms>) -> Router {
    let metadata = || get(|call| serve(call, Endpoint::Discovery, discovery::answer));
    let endpoints = || realm_routes().route("/.well-known/openid-configuration", metadata());
    Router::new()
        .merge(endpoints())
        .nest("/r/{realm}", endpoints())
        .route("/.well-known/oauth-authorization-server", metadata())
        .route("/.well-known/oauth-authorization-server/r/{realm}", metadata())
        .merge(admin::routes())
        .with_state(realms)
}

fn realm_routes() -> Router<Arc<Realms>> {
    let posted = |endpoint, work: Work| -> MethodRouter<Arc<Realms>> {
        post(move |call: Call| serve(call, endpoint, work))
    };
    let got = |endpoint, work: Work| -> MethodRouter<Arc<Realms>> {
        get(move |call: Call| serve(call, endpoint, work))
    };
    Router::new()
        .route("/authorize", got(Endpoint::Authorization, authorize::answer))
        .route("/authorize/decision", posted(Endpoint::Authorization, authorize::decide))
        .route("/par", posted(Endpoint::PushedRequest, push::answer))
        .route("/token", posted(Endpoint::Token, token::answer))
        .route("/device_authorization", posted(Endpoint::DeviceAuthorization, device::answer))
        .route("/device", got(Endpoint::DeviceAuthorization, device::page))
        .route("/device/decision", posted(Endpoint::DeviceAuthorization, device::decide))
        .route("/revoke", posted(Endpoint::Revocation, inspect::revoke))
        .route("/introspect", posted(Endpoint::Introspection, inspect::introspect))
        .route(
            "/userinfo",
            got(Endpoint::Userinfo, inspect::userinfo)
                .post(|call: Call| serve(call, Endpoint::Userinfo, inspect::userinfo)),
        )
        .route("/jwks", got(Endpoint::Discovery, discovery::keys))
        .route("/api/me", got(Endpoint::ApiMe, inspect::api_me))
}

async fn serve(call: Call, endpoint: Endpoint, work: Work) -> axum::response::Response {
    call.run(endpoint, work).await
}
