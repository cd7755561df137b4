#![allow(clippy::unwrap_used, clippy::panic)]

use bowline_api::{IntegrationProvider, Workspace};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use serde_json::{Value, json};

use super::*;

fn provider(name: &str, version: u64, before: &str) -> Value {
    json!({
        "apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationProvider",
        "metadata": {"name": name, "uid": name, "resourceVersion": version.to_string(), "generation": version},
        "spec": {"type": "github", "refresh": {"before": before}},
    })
}

fn parsed(object: Value) -> Parsed<IntegrationProvider> {
    serde_json::from_value(object).unwrap()
}

fn good(name: &str, version: u64) -> Parsed<IntegrationProvider> {
    parsed(provider(name, version, "10m"))
}

fn bad(name: &str, version: u64) -> Parsed<IntegrationProvider> {
    parsed(provider(name, version, "soon"))
}

fn key(name: &str) -> ObjectRef<IntegrationProvider> {
    ObjectRef::new(name)
}

fn list(
    cache: &Cache<IntegrationProvider>,
    objects: impl IntoIterator<Item = Parsed<IntegrationProvider>>,
) -> Vec<Change<IntegrationProvider>> {
    let events = objects.into_iter().map(Event::InitApply);
    [Event::Init]
        .into_iter()
        .chain(events)
        .chain([Event::InitDone])
        .flat_map(|event| cache.take(event))
        .collect()
}

fn names<'a>(changes: impl IntoIterator<Item = &'a Change<IntegrationProvider>>) -> Vec<String> {
    let name = |change: &Change<_>| {
        let what = match change {
            Change::Applied { .. } => "applied",
            Change::SetAside(_) => "set aside",
            Change::Gone { .. } => "gone",
        };
        format!("{} {what}", change.meta().name.as_deref().unwrap_or_default())
    };
    changes.into_iter().map(name).collect()
}

#[test]
fn an_object_that_does_not_parse_says_which_field_and_keeps_its_metadata() {
    let Parsed(Err(unreadable)) = bad("p", 1) else { panic!("it was read") };
    assert_eq!(unreadable.field, "spec.refresh.before");
    assert_eq!(unreadable.metadata.name.as_deref(), Some("p"));
    assert!(unreadable.note().contains("spec.refresh.before: "), "{}", unreadable.note());
}

#[test]
fn what_a_secret_holds_is_never_quoted() {
    let secret = json!({"metadata": {"name": "s", "uid": "u", "resourceVersion": "1"}, "data": {"key": "not base64!"}});
    let Parsed(Err(unreadable)) = serde_json::from_value::<Parsed<Secret>>(secret).unwrap() else {
        panic!("it was read")
    };
    assert!(!unreadable.note().contains("base64"), "{}", unreadable.note());
}

#[test]
fn metadata_is_requested_where_metadata_is_wanted() {
    assert!(Parsed::<PartialObjectMeta<Namespace>>::metadata_api());
    assert!(!Parsed::<Workspace>::metadata_api());
}

#[test]
fn one_bad_object_hides_no_other_and_is_served_when_it_is_corrected() {
    let cache = Cache::default();
    let changes = list(&cache, [good("a", 1), bad("b", 2), good("c", 3)]);
    assert_eq!(names(&changes), ["a applied", "b set aside", "c applied"]);
    assert_eq!((cache.state().len(), cache.unreadable().len()), (2, 1));
    assert!(cache.get(&key("b")).is_none() && cache.set_aside(&key("b")).is_some());

    assert_eq!(names(&cache.take(Event::Apply(good("b", 4)))), ["b applied"]);
    assert!(cache.get(&key("b")).is_some() && cache.set_aside(&key("b")).is_none());
}

#[test]
fn an_object_that_no_longer_parses_is_neither_as_it_was_nor_gone() {
    let cache = Cache::default();
    list(&cache, [good("a", 1)]);
    let [Change::SetAside(_)] = &cache.take(Event::Apply(bad("a", 2)))[..] else { panic!("not set aside") };
    assert!(cache.get(&key("a")).is_none() && cache.set_aside(&key("a")).is_some());
    assert!(list(&cache, [bad("a", 2)]).is_empty(), "it is said once");
    assert!(cache.take(Event::Apply(bad("a", 3))).is_empty(), "for each fault");
    assert_eq!(names(&cache.take(Event::Delete(bad("a", 4)))), ["a gone"]);
    assert!(cache.set_aside(&key("a")).is_none());
}

#[test]
fn what_went_or_changed_in_a_gap_of_the_watch_is_found_when_all_is_listed_again() {
    let cache = Cache::default();
    list(&cache, [good("a", 1), good("b", 2), good("c", 3), bad("d", 4)]);
    let mut changes = names(&list(&cache, [good("b", 2), good("c", 5)]));
    changes.sort();
    assert_eq!(changes, ["a gone", "c applied", "d gone"]);
    assert_eq!(cache.state().len(), 2);
}

#[test]
fn our_own_write_shows_at_once_and_no_late_event_undoes_it() {
    let cache = Cache::default();
    list(&cache, [good("a", 1)]);
    let version =
        |cache: &Cache<IntegrationProvider>| cache.get(&key("a")).unwrap().metadata.resource_version.clone();
    let changes = cache.wrote(good("a", 3));
    assert!(changes[0].matters(), "its generation is another one");
    for late in [Event::Apply(good("a", 2)), Event::Apply(good("a", 3))] {
        assert!(cache.take(late).is_empty());
    }
    assert!(list(&cache, [good("a", 2)]).is_empty(), "a listing that began before");
    assert_eq!(version(&cache).as_deref(), Some("3"));
}

#[test]
fn class_17_what_a_listing_contains_is_in_the_cache_before_it_is_reported() {
    let cache = Cache::default();
    list(&cache, (0..600).map(|number| good(&format!("p{number}"), number + 1)));
    // The second page has not arrived yet.
    cache.take(Event::Init);
    let changed = cache.take(Event::InitApply(good("p7", 1_000)));
    let [Change::Applied { object, before: Some(_) }] = &changed[..] else { panic!("{changed:?}") };
    assert!(std::sync::Arc::ptr_eq(object, &cache.get(&key("p7")).unwrap()));
}

#[test]
fn class_17_an_object_that_was_replaced_in_a_gap_is_reported_as_gone_and_as_new() {
    let replaced = |name: &str, version: u64, before: &str| {
        let mut object = provider(name, version, before);
        object["metadata"]["uid"] = json!("another");
        parsed(object)
    };
    let cache = Cache::default();
    list(&cache, [good("a", 1), bad("b", 2)]);
    let changes = list(&cache, [replaced("a", 9, "10m"), replaced("b", 9, "10m")]);
    assert_eq!(names(&changes), ["a gone", "a applied", "b gone", "b applied"]);
    let uids = |change: &Change<_>| change.meta().uid.clone().unwrap();
    assert_eq!(changes.iter().map(uids).collect::<Vec<_>>(), ["a", "another", "b", "another"]);
    assert!(matches!(&changes[1], Change::Applied { before: None, .. }), "it is no change of the former one");
    let changes = list(&cache, [replaced("a", 10, "soon"), good("b", 11)]);
    assert_eq!(names(&changes), ["a set aside", "b gone", "b applied"]);
}

#[test]
fn class_14_objects_are_found_by_what_they_refer_to_and_no_other_is_visited() {
    let type_of = |object: &IntegrationProvider| vec![("type", object.spec.type_.clone())];
    let cache = Cache::looked_up_by(type_of);
    let of_type = |name: &str, version: u64, type_: &str| {
        let mut object = provider(name, version, "10m");
        object["spec"]["type"] = json!(type_);
        parsed(object)
    };
    list(&cache, [of_type("a", 1, "github"), of_type("b", 2, "github"), of_type("c", 3, "slack")]);
    let found = |type_: &str| {
        let found = cache.having(&("type", type_.to_owned()));
        let mut names: Vec<_> = found.iter().filter_map(|object| object.metadata.name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(found("github"), ["a", "b"]);
    cache.take(Event::Apply(of_type("a", 4, "slack")));
    cache.take(Event::Delete(of_type("c", 5, "slack")));
    assert_eq!((found("github"), found("slack")), (vec!["b".to_owned()], vec!["a".to_owned()]));
    cache.take(Event::Apply(bad("b", 6)));
    list(&cache, []);
    assert_eq!((found("github").len(), found("slack").len()), (0, 0));
}

#[test]
fn what_is_wrong_with_an_object_is_said_in_few_words() {
    let mut object = provider("a", 1, "10m");
    object["spec"]["refresh"]["before"] = json!("x".repeat(300_000));
    let Parsed(Err(unreadable)) = parsed(object) else { panic!("it was read") };
    assert!(unreadable.note().len() < 2_000, "{} bytes", unreadable.note().len());
}
