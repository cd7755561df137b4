//! Messages that a provider sends by itself, when somebody withdraws a grant there.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pointer::{Pointer, Pointers};

/// How a provider signs its messages, and which of them say that a grant has ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Webhook {
    /// Where the signature is.
    pub(crate) signature: WebhookValue,
    /// How it is made.
    #[serde(default)]
    pub(crate) scheme: WebhookScheme,
    /// What stands before the signature there.
    #[serde(default)]
    pub(crate) prefix: String,
    /// The text that is signed: `{body}` is the body as it came, `{time}` what `time` names, `{url}` the address to which it came.
    /// A JWT has its own.
    #[serde(default = "whole_body")]
    pub(crate) signs: String,
    /// When the message was sent: RFC 3339, or seconds or milliseconds since 1970. It has to be a part of what is signed. Absent
    /// means that the same message may come again; a JWT has its own.
    pub(crate) time: Option<WebhookValue>,
    /// Where a test of the address carries the text that is to be sent back.
    pub(crate) challenge: Option<Pointer>,
    /// The messages to listen for.
    pub(crate) events: Vec<WebhookEvent>,
}

/// How a provider signs messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum WebhookScheme {
    /// HMAC-SHA-256 in hexadecimal, with a secret that both sides know.
    #[default]
    #[serde(rename = "HMACSHA256")]
    HmacSha256,
    /// RSA PKCS #1 v1.5 with SHA-256 in base64. The provider's public key is in PEM.
    #[serde(rename = "RSASHA256")]
    RsaSha256,
    /// A JWT with ES256, whose claim `request_body_sha256` is the digest of the body in hexadecimal, and `iat` the time. The
    /// provider's public keys are JWKs (RFC 7517), one a line.
    #[serde(rename = "BodyDigestJWT")]
    BodyDigestJwt,
}

/// Where a value of a message is. Exactly one of `header` and `body`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WebhookValue {
    /// Name of a header.
    pub(crate) header: Option<String>,
    /// Its name within that header, for a header that is a list such as `t=…,v1=…`.
    pub(crate) item: Option<String>,
    /// A place in the body.
    pub(crate) body: Option<Pointer>,
}

/// A message that says something about grants.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WebhookEvent {
    /// Headers that it has. Absent means any.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Values of its body. Absent means any.
    #[serde(default)]
    pub(crate) body: Vec<WebhookField>,
    /// The parts with which the id of the account begins (`identity.account.id`): connections of these accounts are checked.
    pub(crate) account: Vec<Pointers>,
}

/// A value that the body has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookField {
    /// Where.
    pub(crate) at: Pointer,
    /// The value, as text.
    pub(crate) is: String,
}

fn whole_body() -> String {
    "{body}".to_owned()
}
