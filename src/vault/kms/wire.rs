//! The messages of the API, and one call. A connection lives as long as a call: calls are rare, and a plug-in that was started
//! again is reached at once.

use std::collections::BTreeMap;
use std::path::Path;

use bowline_api::shown::one_line;
use http::Uri;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{KmsCall, KmsProblem};

/// Bytes of an answer: the limits of the API are 1 KiB for a ciphertext and a key's id, and 32 KiB for annotations.
const ANSWER_LIMIT: usize = 64 * 1024;
/// Letters of a plug-in's message that are shown.
const MESSAGE_LIMIT: usize = 200;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StatusResponse {
    #[prost(string, tag = "1")]
    pub(super) version: String,
    #[prost(string, tag = "2")]
    pub(super) healthz: String,
    #[prost(string, tag = "3")]
    pub(super) key_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DecryptRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) ciphertext: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(super) uid: String,
    #[prost(string, tag = "3")]
    pub(super) key_id: String,
    #[prost(btree_map = "string, bytes", tag = "4")]
    pub(super) annotations: BTreeMap<String, Vec<u8>>,
}

/// Has a secret: it has no `Debug`, and is wiped when it is dropped.
#[derive(PartialEq, prost::Message, Zeroize, ZeroizeOnDrop)]
#[prost(skip_debug)]
pub(super) struct DecryptResponse {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) plaintext: Vec<u8>,
}

/// Has a secret: as [`DecryptResponse`].
#[derive(PartialEq, prost::Message, Zeroize, ZeroizeOnDrop)]
#[prost(skip_debug)]
pub(super) struct EncryptRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) plaintext: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(super) uid: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EncryptResponse {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) ciphertext: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(super) key_id: String,
    #[prost(btree_map = "string, bytes", tag = "3")]
    pub(super) annotations: BTreeMap<String, Vec<u8>>,
}

/// Sends one request to the plug-in at `socket`. Has no time limit.
pub(super) async fn ask<A, B>(socket: &Path, call: KmsCall, request: A) -> Result<B, KmsProblem>
where
    A: prost::Message + 'static,
    B: prost::Message + Default + 'static,
{
    let unreachable = |error: tonic::transport::Error| KmsProblem::Unreachable { cause: root_of(&error) };
    let endpoint = Endpoint::try_from(format!("unix://{}", socket.display())).map_err(unreachable)?;
    // As the API server names it.
    let channel =
        endpoint.origin(Uri::from_static("http://localhost")).connect().await.map_err(unreachable)?;
    let mut client = Grpc::new(channel).max_decoding_message_size(ANSWER_LIMIT);
    client.ready().await.map_err(unreachable)?;
    let path = PathAndQuery::from_static(match call {
        KmsCall::Status => "/v2.KeyManagementService/Status",
        KmsCall::Encrypt => "/v2.KeyManagementService/Encrypt",
        KmsCall::Decrypt => "/v2.KeyManagementService/Decrypt",
    });
    let answer = client.unary(Request::new(request), path, ProstCodec::default()).await;
    answer.map(tonic::Response::into_inner).map_err(|status| refused(call, &status))
}

/// The plug-in's message, except of Encrypt: that could repeat what it was given.
fn refused(call: KmsCall, status: &Status) -> KmsProblem {
    let code = match status.code() {
        // The transport's own words say more than its code does.
        Code::Unknown if status.message().is_empty() => "the connection broke".to_owned(),
        code => code.to_string(),
    };
    let cause = match call {
        KmsCall::Encrypt => code,
        KmsCall::Status | KmsCall::Decrypt => format!("{code} ({})", shortened(status.message())),
    };
    KmsProblem::Refused { call, cause }
}

/// Foreign text, for one line of a log.
pub(super) fn shortened(text: &str) -> String {
    one_line(text).chars().take(MESSAGE_LIMIT).collect()
}

/// The innermost cause: the layers above it only say that something failed.
fn root_of(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}
