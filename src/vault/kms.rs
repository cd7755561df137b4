//! A client of Kubernetes' KMS v2 API (`k8s.io/kms/apis/v2`): a plug-in that listens on a socket and encrypts small secrets with
//! a key that it does not give away.
//!
//! Its answers are checked as the API server checks them (`apiserver/pkg/storage/value/encrypt/envelope/kmsv2`), and nothing is
//! believed that was not tried: what it encrypts is decrypted again before anybody relies on it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use super::id::{KeyId, NoRandomBytes};

mod answer;
mod wire;

pub(crate) use answer::WrongAnswer;

/// Where a KMS plug-in listens, and how long each of its answers may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kms {
    socket: PathBuf,
    timeout: Duration,
}

/// What the KMS made of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encrypted {
    /// The key of the KMS.
    pub(crate) key_id: String,
    pub(crate) ciphertext: Vec<u8>,
    /// What the KMS wants back for decrypting.
    pub(crate) annotations: BTreeMap<String, Vec<u8>>,
}

/// What is asked of a KMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KmsCall {
    Status,
    Encrypt,
    Decrypt,
}

/// Why the KMS is of no use now: which one, what happened, and who can fix it. Never has anything of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the KMS at unix://{socket} {problem}; whoever runs the KMS plug-in can fix that")]
pub struct KmsError {
    socket: String,
    problem: KmsProblem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KmsProblem {
    #[error("cannot be reached: {cause}")]
    Unreachable { cause: String },
    #[error("did not answer {call} within {} ms (--kms-timeout)", limit.as_millis())]
    TimedOut { call: KmsCall, limit: Duration },
    #[error("refused {call}: {cause}")]
    Refused { call: KmsCall, cause: String },
    #[error("answered {call} wrongly: {wrong}")]
    Wrong { call: KmsCall, wrong: WrongAnswer },
    #[error("was not asked: {0}")]
    NoRandomBytes(NoRandomBytes),
}

impl std::fmt::Display for KmsCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Status => "Status",
            Self::Encrypt => "Encrypt",
            Self::Decrypt => "Decrypt",
        })
    }
}

impl Kms {
    pub(crate) const fn new(socket: PathBuf, timeout: Duration) -> Self {
        Self { socket, timeout }
    }

    /// The key that the KMS encrypts with now, if it says that it is well.
    pub(crate) async fn key_id(&self) -> Result<String, KmsError> {
        let call = KmsCall::Status;
        let answer: wire::StatusResponse = self.ask(call, wire::StatusRequest {}).await?;
        answer::of_status(answer).map_err(|wrong| self.wrong(call, wrong))
    }

    /// Encrypts a secret with the key that Status named, and decrypts it again: an answer that does not give it back is none.
    pub(crate) async fn encrypt(&self, secret: &[u8], key_id: &str) -> Result<Encrypted, KmsError> {
        let call = KmsCall::Encrypt;
        let request = wire::EncryptRequest { plaintext: secret.to_vec(), uid: self.request_id()? };
        let answer: wire::EncryptResponse = self.ask(call, request).await?;
        let encrypted = answer::of_encrypt(answer, secret).map_err(|wrong| self.wrong(call, wrong))?;
        if encrypted.key_id != key_id {
            return Err(self.wrong(call, WrongAnswer::OtherKey));
        }
        if self.decrypt(&encrypted).await?.as_slice() != secret {
            return Err(self.wrong(KmsCall::Decrypt, WrongAnswer::OtherSecret));
        }
        Ok(encrypted)
    }

    /// What was encrypted, as the KMS says; whoever asks has to check that it is what was meant.
    pub(crate) async fn decrypt(&self, encrypted: &Encrypted) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        let Encrypted { key_id, ciphertext, annotations } = encrypted.clone();
        let request = wire::DecryptRequest { ciphertext, uid: self.request_id()?, key_id, annotations };
        let mut answer: wire::DecryptResponse = self.ask(KmsCall::Decrypt, request).await?;
        Ok(Zeroizing::new(std::mem::take(&mut answer.plaintext)))
    }

    pub(crate) fn wrong(&self, call: KmsCall, wrong: WrongAnswer) -> KmsError {
        self.error(KmsProblem::Wrong { call, wrong })
    }

    async fn ask<A, B>(&self, call: KmsCall, request: A) -> Result<B, KmsError>
    where
        A: prost::Message + 'static,
        B: prost::Message + Default + 'static,
    {
        let answered = tokio::time::timeout(self.timeout, wire::ask(&self.socket, call, request)).await;
        let limit = self.timeout;
        answered.unwrap_or(Err(KmsProblem::TimedOut { call, limit })).map_err(|problem| self.error(problem))
    }

    /// Names one request in the plug-in's log.
    fn request_id(&self) -> Result<String, KmsError> {
        let id = KeyId::generate().map_err(|error| self.error(KmsProblem::NoRandomBytes(error)))?;
        Ok(id.to_string())
    }

    fn error(&self, problem: KmsProblem) -> KmsError {
        KmsError { socket: self.socket.display().to_string(), problem }
    }
}
