//! What a `spec.secret` makes of a token. Pure.

use bowline_api::connection::{PublishedSecret, SecretTemplate, TemplateMetadata};
use bowline_api::reason::Reason;
use bowline_oauth::catalog::Description;

use super::content::Published;
use super::material::{ContentError, Material, Unpublishable};
use super::metadata::{AllowedMetadata, MetadataError};
use super::template::{self, RenderError};

/// Why there is no Secret as `spec.secret` chooses it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChosenSecretError {
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error(transparent)]
    Template(#[from] RenderError),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error(transparent)]
    Unpublishable(#[from] Unpublishable),
    #[error("the object has no UID")]
    NoUid,
}

impl ChosenSecretError {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Template(_) => Reason::TemplateFailed,
            Self::Content(ContentError::LoginUnknown { .. }) => Reason::LoginUnknown,
            Self::Content(_) | Self::Metadata(_) => Reason::FormatFailed,
            Self::Unpublishable(Unpublishable::TokenType) => Reason::Withheld,
            Self::Unpublishable(Unpublishable::NoToken) | Self::NoUid => Reason::NotYet,
        }
    }
}

/// Content, and the user's labels and annotations, of the Secret that is chosen; absent means the keys of format Raw.
pub(crate) fn chosen(
    wanted: Option<&PublishedSecret>,
    material: &Material<'_>,
    provider: &Description,
    allowed: &AllowedMetadata,
) -> Result<(Published, TemplateMetadata), ChosenSecretError> {
    let wanted = wanted.cloned().unwrap_or_default();
    let SecretTemplate { type_, metadata, data } = wanted.template.unwrap_or_default();
    let metadata = metadata.unwrap_or_default();
    allowed.check(&metadata)?;
    let content = if data.is_empty() {
        Published::new(material, wanted.format.unwrap_or_default(), provider)?
    } else {
        Published::rendered(type_.as_ref(), template::render(&data, material)?)?
    };
    Ok((content, metadata))
}
