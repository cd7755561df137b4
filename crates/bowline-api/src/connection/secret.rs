//! The Secret that a connection publishes, as its spec chooses it.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::open::Open;

#[skip_serializing_none]
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.format) || !has(self.template) || !has(self.template.data) || size(self.template.data) == 0")
        .message("template.data replaces format: set one of them")
)]
pub struct PublishedSecret {
    /// Name of the Secret. Absent means the name of this object.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: Option<String>,

    /// Which keys the Secret has. Raw: `access_token`, `token_type`, `expires_at`, `scopes`, `account_id` and `account_name`; or
    /// `api_key`; or `username` and `password`; and with `config` also `config.json`. Env: the same keys in upper case, for
    /// `envFrom`, with `CONFIG_JSON`. The others hold a file that a tool reads, and `expires_at`. Netrc: `.netrc`, for curl and
    /// others. `GitCredentials`: `.git-credentials`, for git's credential store. `DockerConfigJson`: `.dockerconfigjson`, for
    /// `imagePullSecrets`. `EnvoySds`: `sds-authorization.json` (the whole value of the header) and `sds-token.json`, for Envoy.
    /// Where the first three sign in, and as whom, is `logins` of the provider's description. Absent means Raw.
    pub format: Option<Format>,

    /// Type, labels and annotations of the Secret, and keys of your own instead of those of `format`. Absent means type and keys of
    /// `format`, and no labels or annotations besides Bowline's.
    pub template: Option<SecretTemplate>,

    /// Whether running pods of this namespace that mount the Secret as files are annotated after each change of it
    /// (`bowline.dev/nudged-at`), so that kubelet hands it on at once instead of within a minute or two. Needs a Role in this
    /// namespace by which the operator may list and patch pods (`examples/nudge`). Absent means false.
    pub nudge: Option<bool>,
}

#[skip_serializing_none]
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.type) || has(self.data) && size(self.data) > 0")
        .message("template.type needs template.data: without it, format decides the type")
        .field_path(".type"),
    validation = Rule::new("!has(self.type) || self.type != 'kubernetes.io/basic-auth' || has(self.data) && ('username' in self.data || 'password' in self.data)")
        .message("type kubernetes.io/basic-auth needs the key username or password in template.data"),
    validation = Rule::new("!has(self.type) || self.type != 'kubernetes.io/dockerconfigjson' || has(self.data) && '.dockerconfigjson' in self.data")
        .message("type kubernetes.io/dockerconfigjson needs the key .dockerconfigjson in template.data"),
    validation = Rule::new("!has(self.type) || self.type != 'kubernetes.io/ssh-auth' || has(self.data) && 'ssh-privatekey' in self.data")
        .message("type kubernetes.io/ssh-auth needs the key ssh-privatekey in template.data")
)]
pub struct SecretTemplate {
    /// Type of the Secret. Each but Opaque needs certain keys in `data`: `kubernetes.io/basic-auth` needs `username` or `password`,
    /// `kubernetes.io/dockerconfigjson` needs `.dockerconfigjson` with a JSON object, `kubernetes.io/ssh-auth` needs
    /// `ssh-privatekey`. Absent means Opaque.
    #[serde(rename = "type")]
    #[schemars(with = "Option<SecretType>")]
    pub type_: Option<Open<SecretType>>,

    /// Labels and annotations of the Secret. Absent means Bowline's alone.
    pub metadata: Option<TemplateMetadata>,

    /// Key of the Secret to minijinja template over `token`, `username`, `account`, `scopes`, `expiresAt` and `config`. Replaces
    /// `format`.
    /// Rendering has a step limit, fails on names that do not exist, and yields at most 256 KiB in total.
    /// A template may have 8192 characters, all of them together 32768. Absent means the keys of `format`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 8192}))]
    #[x_kube(
        validation = Rule::new("self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$'))")
            .message("a template key has at most 253 characters: letters, digits, '-', '_' and '.'"),
        validation = Rule::new("self.map(k, size(self[k])).sum() <= 32768")
            .message("the templates of a connection may have 32768 characters together")
    )]
    pub data: BTreeMap<String, String>,
}

#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMetadata {
    /// Labels, up to 32, under prefixes that the administrator allows (`--published-label-prefix`; none by default). Absent means
    /// none besides Bowline's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    #[x_kube(
        validation = Rule::new("self.all(k, size(k) <= 317)").message("a label name may have 317 characters")
    )]
    pub labels: BTreeMap<String, String>,

    /// Annotations, up to 32, under prefixes that the administrator allows (`--published-annotation-prefix`; none by default, so
    /// that nobody makes another controller copy the Secret or restart workloads). Absent means none besides Bowline's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 4096}))]
    #[x_kube(
        validation = Rule::new("self.all(k, size(k) <= 317)").message("an annotation name may have 317 characters")
    )]
    pub annotations: BTreeMap<String, String>,
}

/// Type of a published Secret. Types that Kubernetes or other controllers act on (service account tokens, bootstrap tokens,
/// Helm releases) are not among them.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[schemars(transform = crate::schema::undescribed)]
pub enum SecretType {
    /// Any keys.
    #[default]
    Opaque,
    /// A user name and a password.
    #[serde(rename = "kubernetes.io/basic-auth")]
    BasicAuth,
    /// Logins of container registries.
    #[serde(rename = "kubernetes.io/dockerconfigjson")]
    DockerConfigJson,
    /// A private key.
    #[serde(rename = "kubernetes.io/ssh-auth")]
    SshAuth,
}

impl SecretType {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opaque => "Opaque",
            Self::BasicAuth => "kubernetes.io/basic-auth",
            Self::DockerConfigJson => "kubernetes.io/dockerconfigjson",
            Self::SshAuth => "kubernetes.io/ssh-auth",
        }
    }
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[schemars(transform = crate::schema::undescribed)]
pub enum Format {
    /// `access_token`, `token_type`, `expires_at`, `scopes`, `account_id`, `account_name`; or `api_key`; or `username`, `password`.
    #[default]
    Raw,
    /// Raw's keys in upper case, for `envFrom`.
    Env,
    /// `.netrc`, for curl, Python and others.
    Netrc,
    /// `.git-credentials`, for git's credential store.
    GitCredentials,
    /// `.dockerconfigjson` of type `kubernetes.io/dockerconfigjson`, for `imagePullSecrets` and container tools.
    DockerConfigJson,
    /// `sds-authorization.json` and `sds-token.json`, generic secrets for Envoy.
    EnvoySds,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_kubernetes_writes_them() {
        for type_ in
            [SecretType::Opaque, SecretType::BasicAuth, SecretType::DockerConfigJson, SecretType::SshAuth]
        {
            assert_eq!(serde_json::to_value(type_).unwrap(), type_.as_str());
        }
    }
}
