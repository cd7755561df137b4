//! The users of a control plane, and the key that signs `ServiceAccount` tokens.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};

use super::Layout;
use crate::{
    access::{ADMIN, PLAIN_USERS, USERS_GROUP},
    error::Error,
    random,
};

/// The user of the controller manager; Kubernetes' own roles are bound to it.
pub(super) const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";

pub(super) struct Credentials {
    /// User, token, group.
    users: Vec<(&'static str, String, &'static str)>,
    signing_key: String,
}

impl Credentials {
    pub(super) fn generate() -> Result<Self, Error> {
        let special = [(ADMIN, "system:masters"), (CONTROLLER_MANAGER, "")];
        let plain = PLAIN_USERS.map(|user| (user, USERS_GROUP));
        let users = special
            .into_iter()
            .chain(plain)
            .map(|(user, group)| Ok((user, random::hex(32)?, group)))
            .collect::<Result<_, Error>>()?;
        Ok(Self { users, signing_key: signing_key()? })
    }

    pub(super) fn write(&self, layout: &Layout) -> Result<(), Error> {
        let rows =
            self.users.iter().map(|(user, token, group)| format!("{token},{user},{user},\"{group}\"\n"));
        for (name, content) in [("tokens.csv", rows.collect()), ("signing.key", self.signing_key.clone())] {
            let path = layout.path(name);
            fs::write(&path, content).map_err(Error::io("write", path))?;
        }
        Ok(())
    }

    /// Users and their tokens.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (&str, &str)> {
        self.users.iter().map(|(user, token, _)| (*user, token.as_str()))
    }
}

/// A P-256 key as PEM (PKCS #8, RFC 5208), which the API server takes for `ServiceAccount` tokens (ES256).
///
/// ring is in the build for TLS anyway, so this asks for no program and no crate more.
fn signing_key() -> Result<String, Error> {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map_err(|_| Error::Random)?;
    let body = STANDARD.encode(document.as_ref());
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII, so every index is a boundary.
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.extend([line, "\n"]);
        rest = after;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Ok(pem)
}
