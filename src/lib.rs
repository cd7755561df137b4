//! Bowline keeps third-party connections as Kubernetes objects.
//!
//! The map, in the direction in which modules may use each other:
//!
//! - [`api`]: the kinds, their fields, rules and reasons.
//! - [`attempt`]: the Secrets through which portal and operator speak of one try to connect.
//! - [`catalog`]: what is known of each third party, as data.
//! - [`oauth`]: the protocol, spoken carefully.
//! - [`vault`]: grants at rest: sealed, one record each, one writer.
//! - [`grant`]: the life of one grant, whoever asks.
//! - [`publishing`]: the Secret that workloads read.
//! - [`sharing`]: where a connection is shared; pure.
//! - [`world`], [`context`]: what is known of the cluster, and what every controller is given.
//! - [`discovered`]: what issuers said of their addresses.
//! - [`connection`], [`provider`], [`workspace`], [`share`]: the controllers.
//! - [`operator`], [`cli`]: the process and its command line.
//! - [`kube_ext`]: writing objects, conditions, Events, indexes of Secrets.
//! - [`clock`], [`telemetry`], [`metrics`]: time, logs and numbers, for whoever needs them.
//! - [`portal`]: `bowline portal`, which people see in a browser.
//! - [`kubeconfig`]: what is wrong with one, without quoting it.
//! - [`plugin`]: `kubectl bowline`, which knows only the kinds and the API server.

pub mod api;
pub mod attempt;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod connection;
pub mod context;
pub mod discovered;
pub mod grant;
pub mod kube_ext;
pub mod kubeconfig;
pub mod metrics;
pub mod oauth;
pub mod operator;
pub mod plugin;
pub mod portal;
pub mod provider;
pub mod publishing;
pub mod share;
pub mod sharing;
pub mod telemetry;
pub mod vault;
pub mod workspace;
pub mod world;
