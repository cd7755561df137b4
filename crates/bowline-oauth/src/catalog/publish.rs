//! What is published beside a token or key: where each value comes from.

use std::collections::BTreeSet;

use super::entry::ThirdParty;
use super::pointer::Pointer;

/// Where a published value comes from: the first name of its path in [`ThirdParty::publish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishedFrom {
    Answer,
    Callback,
    UserInfo,
    Check,
    Call,
}

impl PublishedFrom {
    pub(crate) fn of(path: &Pointer) -> Option<Self> {
        match path.first_name()? {
            "answer" => Some(Self::Answer),
            "callback" => Some(Self::Callback),
            "userInfo" => Some(Self::UserInfo),
            "check" => Some(Self::Check),
            "call" => Some(Self::Call),
            _ => None,
        }
    }
}

impl<U> ThirdParty<U> {
    /// Keys to publish, and the paths of their values in that document.
    pub(crate) fn published_from(&self, from: PublishedFrom) -> impl Iterator<Item = (&str, Pointer)> {
        let there = self.publish.iter().filter(move |(_, path)| PublishedFrom::of(path) == Some(from));
        there.map(|(key, path)| (key.as_str(), path.behind_first_name()))
    }

    /// Whether a value is published under this key.
    pub fn publishes(&self, key: &str) -> bool {
        self.publish.contains_key(key) || self.publish_text.contains_key(key)
    }

    /// Whether calls have values to publish.
    pub fn publishes_from_calls(&self) -> bool {
        self.published_from(PublishedFrom::UserInfo)
            .chain(self.published_from(PublishedFrom::Call))
            .next()
            .is_some()
    }

    /// Names of the parameters of a callback that are read besides the standard's.
    pub fn callback_parameters(&self) -> BTreeSet<String> {
        let is_there = |path: &&Pointer| PublishedFrom::of(path) == Some(PublishedFrom::Callback);
        let published = self.publish.values().filter(is_there).filter_map(Pointer::second_name);
        let compared = self.link_session.iter().flat_map(|session| session.callback.keys().cloned());
        published.chain(compared).collect()
    }
}
