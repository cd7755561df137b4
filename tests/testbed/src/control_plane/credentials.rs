//! The users of a control plane, and the key that signs `ServiceAccount` tokens.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
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
    signing_key: SigningKey,
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
        Ok(Self { users, signing_key: SigningKey::generate()? })
    }

    pub(super) fn write(&self, layout: &Layout) -> Result<(), Error> {
        let rows =
            self.users.iter().map(|(user, token, group)| format!("{token},{user},{user},\"{group}\"\n"));
        let files = [
            ("tokens.csv", rows.collect()),
            ("signing.key", self.signing_key.private.clone()),
            ("signing.pub", self.signing_key.public.clone()),
        ];
        for (name, content) in files {
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

/// What comes before the point in the `SubjectPublicKeyInfo` of a P-256 key (RFC 5480 §2).
const P256_KEY_INFO: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A P-256 key pair as PEM (PKCS #8, RFC 5208), which signs `ServiceAccount` tokens (ES256).
///
/// ring is in the build for TLS anyway, so this needs no other program or crate. The API server derives no public key from
/// this form, so it gets both.
struct SigningKey {
    private: String,
    public: String,
}

impl SigningKey {
    fn generate() -> Result<Self, Error> {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| Error::Random)?;
        let pair =
            EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).map_err(|_| Error::Random)?;
        let public = [P256_KEY_INFO.as_slice(), pair.public_key().as_ref()].concat();
        Ok(Self { private: pem("PRIVATE KEY", document.as_ref()), public: pem("PUBLIC KEY", &public) })
    }
}

/// RFC 7468.
fn pem(label: &str, content: &[u8]) -> String {
    let body = STANDARD.encode(content);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII, so every index is a boundary.
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.extend([line, "\n"]);
        rest = after;
    }
    pem.extend(["-----END ", label, "-----\n"]);
    pem
}
