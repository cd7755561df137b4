//! Events, through one publisher.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bowline_api::reason::{self, Reason};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

/// The API server rejects longer notes.
const NOTE_BYTES: usize = 1024;
/// How many objects' last notes are kept. Forgetting one only causes a second Event with the same text.
const REMEMBERED: usize = 4096;
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Publishes Events, and logs each, because Events are deleted after an hour. A failed write never fails the caller.
///
/// kube's `Recorder` aggregates by object and reason and ignores the note: a changed note would be shown with its first
/// text. So each note gets its own recorder, kept while it repeats.
pub struct Events {
    client: Client,
    reporter: Reporter,
    /// The last note, by UID of the object and reason, with its recorder.
    last: Mutex<HashMap<(String, Reason), (String, Recorder)>>,
}

impl Events {
    /// Reports as `bowline`; `instance` is the pod's name.
    pub fn new(client: Client, instance: Option<String>) -> Self {
        let reporter = Reporter { controller: "bowline.dev/operator".to_owned(), instance };
        Self { client, reporter, last: Mutex::default() }
    }

    /// Publishes an Event about `object`, which may be deleted already. The table of reasons says whether it is a warning.
    pub async fn publish(&self, object: &ObjectReference, reason: Reason, action: &str, note: &str) {
        let type_ = match reason.row().event {
            Some(reason::EventType::Warning) => EventType::Warning,
            Some(reason::EventType::Normal) | None => EventType::Normal,
        };
        let note = cut(note);
        let recorder = self.recorder(object, reason, note);
        let event = Event {
            type_,
            reason: reason.to_string(),
            note: Some(note.to_owned()),
            action: action.to_owned(),
            secondary: None,
        };
        log(&event, object);
        let told = tokio::time::timeout(CALL_LIMIT, recorder.publish(&event, object)).await;
        let object = object.name.as_deref().unwrap_or_default();
        match told {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%reason, object, %error, "could not write an Event"),
            Err(_) => tracing::warn!(%reason, object, "could not write an Event: no answer"),
        }
    }

    fn recorder(&self, object: &ObjectReference, reason: Reason, note: &str) -> Recorder {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (object.uid.clone().unwrap_or_default(), reason);
        if let Some((_, recorder)) = last.get(&key).filter(|(said, _)| said == note) {
            return recorder.clone();
        }
        if last.len() >= REMEMBERED {
            last.clear();
        }
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        last.insert(key, (note.to_owned(), recorder.clone()));
        recorder
    }
}

/// As much of a note as fits, up to a whole character.
fn cut(note: &str) -> &str {
    &note[..note.floor_char_boundary(NOTE_BYTES)]
}

/// Outside of the reconcile's span, which would name the object a second time.
fn log(event: &Event, object: &ObjectReference) {
    let ObjectReference { kind, namespace, name, .. } = object;
    let (kind, namespace, name) = (kind.as_deref(), namespace.as_deref(), name.as_deref());
    let (reason, note) = (event.reason.as_str(), event.note.as_deref().unwrap_or_default());
    match event.type_ {
        EventType::Normal => tracing::info!(parent: None, kind, namespace, name, reason, "{note}"),
        EventType::Warning => tracing::warn!(parent: None, kind, namespace, name, reason, "{note}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_at_a_whole_character() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"ä".repeat(600)).len(), 1024);
        assert_eq!(cut(&format!("a{}", "ä".repeat(600))).len(), 1023);
    }
}
