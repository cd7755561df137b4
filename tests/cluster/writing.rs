//! Writes other than published Secrets: annotations and Events, as the API server keeps them.

use bowline_api::reason::Reason;
use std::collections::BTreeMap;

use bowline::testing::{Events, apply, remove_annotation};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;

use crate::fixture::administrator;

async fn config_map() -> (Client, Api<ConfigMap>, ConfigMap) {
    let client = administrator().await;
    let namespace: Namespace =
        serde_json::from_value(json!({ "metadata": { "generateName": "writing-" } })).unwrap();
    let namespace = Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    let maps = Api::namespaced(client.clone(), &namespace.name_any());
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "map", "annotations": { "bowline.dev/intake": "a/1" } } });
    let map = apply(&maps, "map", &serde_json::from_value(map).unwrap()).await.unwrap();
    (client, maps, map)
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_handled_annotation_is_removed_and_a_newer_one_stays() {
    let (_, maps, _) = config_map().await;
    assert!(!remove_annotation(&maps, "map", "bowline.dev/intake", "a/2").await.unwrap());
    assert_eq!(maps.get("map").await.unwrap().annotations()["bowline.dev/intake"], "a/1");
    assert!(remove_annotation(&maps, "map", "bowline.dev/intake", "a/1").await.unwrap());
    assert!(maps.get("map").await.unwrap().annotations().is_empty());
    assert!(!remove_annotation(&maps, "map", "bowline.dev/intake", "a/1").await.unwrap());
    assert!(!remove_annotation(&maps, "none", "bowline.dev/intake", "a/1").await.unwrap());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_event_shows_its_own_note_and_repeats_are_counted() {
    let (client, _, map) = config_map().await;
    let events = Events::new(client.clone(), Some("pod-0".to_owned()));
    let object = map.object_ref(&());
    let long = "ä".repeat(2000);
    for note in ["first", "second", "second", &long] {
        events.publish(&object, Reason::RefreshFailing, "Refresh", note).await;
    }
    let kept = Api::<Event>::namespaced(client, &map.namespace().unwrap());
    let kept = kept.list(&ListParams::default()).await.unwrap();
    let told: BTreeMap<_, _> = kept
        .into_iter()
        .map(|event| (event.note.unwrap(), event.series.map_or(1, |series| series.count)))
        .collect();
    let expected = [("first".to_owned(), 1), ("second".to_owned(), 2), ("ä".repeat(512), 1)];
    assert_eq!(told, BTreeMap::from(expected));
}
