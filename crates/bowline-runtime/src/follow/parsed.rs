//! Reading objects with tolerance: one that does not parse is set aside by name, and all others are served.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::PartialObjectMeta;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::project;

/// How much is kept of the description of a fault.
const PROBLEM_BYTES: usize = 512;

/// An object as the API server sent it, without what nobody reads; if it does not parse, its metadata and the error.
///
/// kube's `DeserializeGuard` does the same, but names no field and needs whole objects even if metadata is enough.
#[derive(Clone, Debug)]
pub struct Parsed<K>(pub Result<K, Unreadable>);

/// An object that does not parse. Its content is unknown: it counts neither as unchanged nor as gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    pub metadata: ObjectMeta,
    /// The path of the field, as `spec.refresh.before`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Unreadable {
    /// What is wrong and what follows, in words.
    pub fn note(&self) -> String {
        let Self { field, problem, .. } = self;
        format!(
            "The object cannot be read: {field}: {problem}. Nothing is done for it and nothing of it is withdrawn until the field is corrected."
        )
    }
}

impl<'de, K> Deserialize<'de> for Parsed<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        let error = match serde_path_to_error::deserialize::<_, K>(&object) {
            Ok(mut parsed) => {
                // Here, and not once the page is complete: a page of large objects would be in memory twice.
                project(&mut parsed);
                return Ok(Self(Ok(parsed)));
            }
            Err(error) => error,
        };
        let mut partial = PartialObjectMeta::<K>::deserialize(&object).map_err(D::Error::custom)?;
        project(&mut partial);
        let PartialObjectMeta { metadata, .. } = partial;
        // serde's message quotes the value.
        let problem = match &*K::kind(&()) {
            "Secret" => "it has another type".to_owned(),
            _ => error.inner().to_string(),
        };
        let field = shortened(error.path().to_string());
        Ok(Self(Err(Unreadable { metadata, field, problem: shortened(problem) })))
    }
}

/// The text is kept with the object, and may quote a value of any length.
fn shortened(mut text: String) -> String {
    if text.len() > PROBLEM_BYTES {
        text.truncate(text.floor_char_boundary(PROBLEM_BYTES));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

impl<K: Resource> Resource for Parsed<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(kind)
    }

    fn group(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::group(kind)
    }

    fn version(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::version(kind)
    }

    fn plural(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(kind)
    }

    fn metadata_api() -> bool {
        K::metadata_api()
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|unreadable| &unreadable.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|unreadable| &mut unreadable.metadata, K::meta_mut)
    }
}
